//! What a pair writes greedily over its whole vocabulary, with audio zero-padded to 30 s: what stock
//! tools do, for `scripts/stock-llama.py` to compare with.
//!
//! ```sh
//! cargo run --release --workspace --example greedy -- NAME-F32.gguf clip.wav '<asr>' 32
//! ```
//!
//! Prints a JSON object: the tokens, their text, how far the best score is from the second, and what
//! the CTC head makes of the audio.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use partita_audio::{AudioReader, SAMPLE_RATE};
use partita_model::files::WeightFile;
use partita_model::llm::Llm;
use partita_model::nn::Precision;
use partita_model::speech::ExportedModel;
use partita_model::tokens::{Mark, Marks, TextTokenizer};

/// Samples of the window that stock tools pad to.
const WINDOW: usize = 30 * SAMPLE_RATE as usize;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, audio, prompt, most] = &arguments[..] else {
        anyhow::bail!("usage: greedy LLM.gguf AUDIO PROMPT TOKENS");
    };
    let (file, device) = (Path::new(file), Device::Cpu);
    let weights = Arc::new(WeightFile::open(file)?);
    let tokenizer = TextTokenizer::from_gguf(&weights)?;
    let llm = Llm::open(weights, Precision::Float, None, &device)?;
    let start = tokenizer.bos().or(tokenizer.eos()).context("no start token")?;
    let mut parts = vec![llm.embed(&[start])?];
    let mut glimpse = String::new();
    if audio != "-" {
        let mut samples = Vec::new();
        for block in AudioReader::open(Path::new(audio))? {
            samples.extend(block?);
        }
        samples.resize(WINDOW, 0.0);
        let pair = ExportedModel::open(file)?;
        let engine = pair.engine_with([Precision::Float; 2], &device)?;
        let heard = engine.listen(&samples)?;
        if let Some(head) = engine.ctc() {
            glimpse = head.glimpse(engine.model().vocabulary(), &heard)?;
        }
        parts.push(heard);
    }
    parts.push(llm.embed(&tokens(prompt, &tokenizer))?);

    let mut state = llm.start();
    let mut next = Tensor::cat(&parts, 1)?;
    let (mut ids, mut gaps) = (Vec::new(), Vec::new());
    for _ in 0..most.parse::<usize>()? {
        let hidden = llm.forward(&next, Some(&mut state))?;
        let last = hidden.narrow(1, hidden.dim(1)? - 1, 1)?;
        let scores = llm.logits(&last)?.flatten_all()?.to_vec1::<f32>()?;
        let mut order: Vec<u32> = (0..scores.len() as u32).collect();
        order.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
        let best = order[0];
        gaps.push(scores[best as usize] - scores[order[1] as usize]);
        if Some(best) == tokenizer.eos() {
            break;
        }
        ids.push(best);
        next = llm.embed(&[best])?;
    }
    let text = tokenizer.decode(&ids);
    let found = serde_json::json!({"ids": ids, "text": text, "gaps": gaps, "glimpse": glimpse});
    println!("{found}");
    Ok(())
}

/// Tokens of a prompt, marks by their names.
fn tokens(prompt: &str, tokenizer: &TextTokenizer) -> Vec<u32> {
    let marks = Marks::for_tokenizer(tokenizer);
    let mut ids = Vec::new();
    let mut rest = prompt;
    while !rest.is_empty() {
        let found = Mark::all().filter_map(|mark| Some((rest.find(&mark.to_string())?, mark)));
        match found.min_by_key(|(at, _)| *at) {
            Some((at, mark)) => {
                ids.extend(tokenizer.encode(&rest[..at]));
                ids.push(marks.mark(mark));
                rest = &rest[at + mark.to_string().len()..];
            }
            None => {
                ids.extend(tokenizer.encode(rest));
                rest = "";
            }
        }
    }
    ids
}
