//! How much of the processor's arithmetic a step of training uses:
//! `cargo bench --workspace --bench training -- WHISPER.gguf LLM.gguf [SHORTLIST]`.
//!
//! The peak is the best f32 product measured here, on all cores; a step's operations are counted
//! from the shapes of its products: 2 a weight and position forward, as many for the gradient of a
//! product's input, and as many for that of a trained weight.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench fails by panicking")]

use candle_core::{DType, Device, Tensor};
use partita_model::files::WeightFile;
use partita_model::llm::LlmConfig;
use partita_model::nn::{LowRankSpec, NameSet, Parameters, TrainingSource, WeightSource};
use partita_model::speech::{
    AdapterConfig, AdapterShape, Bases, CtcHead, Sequence, SpeechConfig, SpeechLlm, ctc_loss,
};
use partita_model::tokens::{Marks, ShortlistBuilder};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Clips of a batch, their mel frames (100 a second) and the tokens said in each.
const CLIPS: usize = 12;
const FRAMES: usize = 400;
const ANSWER: usize = 16;
const HIDDEN: f64 = 1024.0;
const STACK: f64 = 4.0;

/// The best of three, in seconds.
fn best(mut run: impl FnMut()) -> f64 {
    let time = |_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    };
    (0..3).map(time).fold(f64::INFINITY, f64::min)
}

/// f32 operations a second of the fastest of some products.
fn peak() -> f64 {
    let shapes = [(1024, 1024, 1024), (2048, 640, 2048), (3072, 512, 2048)];
    let speed = |(rows, inner, columns): (usize, usize, usize)| {
        let x = Tensor::randn(0f32, 1.0, (rows, inner), &Device::Cpu).unwrap();
        let w = Tensor::randn(0f32, 1.0, (inner, columns), &Device::Cpu).unwrap();
        2.0 * (rows * inner * columns) as f64 / best(|| drop(x.matmul(&w).unwrap()))
    };
    shapes.into_iter().map(speed).fold(0.0, f64::max)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [encoder, text, rest @ ..] = &arguments[..] else {
        println!("skipped: name an imported Whisper file and a language model's GGUF file");
        return;
    };
    let shortlist: usize = rest.first().map_or(16_384, |count| count.parse().unwrap());
    let device = &Device::Cpu;
    let encoder = WeightFile::open(Path::new(encoder)).unwrap();
    let text = Arc::new(WeightFile::open(Path::new(text)).unwrap());
    let bases = Bases::open(&encoder, text.clone()).unwrap();
    let llm = LlmConfig::from_gguf(&text).unwrap();
    let heard = bases.encoder.clone();
    let mut words = ShortlistBuilder::new(&bases.tokenizer);
    let pieces =
        (0..bases.tokenizer.vocabulary() as u32).filter_map(|id| bases.tokenizer.piece(id));
    pieces.take(shortlist).for_each(|piece| words.add_text(piece));
    let config = SpeechConfig {
        adapter: AdapterConfig {
            encoder_width: heard.width,
            llm_width: llm.width,
            output_rms: 1.0,
            shape: AdapterShape::ULTRAVOX,
        },
        shortlist: words.finish(&Marks::for_tokenizer(&bases.tokenizer), 1),
    };
    let ids = config.shortlist.ids();
    let parameters = Parameters::new(1, device)
        .with_base(encoder)
        .with_base(WeightFile::open(text.path()).unwrap());
    let mel = Tensor::randn(0f32, 1.0, (CLIPS, heard.mel_bins, FRAMES), device).unwrap();
    let frames = [FRAMES; CLIPS];

    // Weights that each position meets.
    let layer = 12.0 * (heard.width * heard.width) as f64;
    let kernels = 3.0 * (heard.width * (heard.mel_bins * 2 + heard.width)) as f64;
    let adapter = STACK * heard.width as f64 * 2.0 * HIDDEN + HIDDEN * llm.width as f64;
    let queries = llm.heads * llm.head_width;
    let keys = llm.key_heads * llm.head_width;
    let block = llm.width * (2 * queries + 2 * keys + 3 * llm.feed_forward);
    let block = (llm.layers * block) as f64;
    let table = (ids.len() * llm.width) as f64;
    let encoded = (CLIPS * FRAMES / 2) as f64;
    let vectors = encoded / STACK;
    let answers = (CLIPS * ANSWER) as f64;
    // Scores and sums of attention: twice the width, each way, for every pair of positions.
    let looks = |positions: f64, width: usize| 2.0 * positions / CLIPS as f64 * width as f64;
    let own = looks(encoded, heard.width) * heard.encoder_layers as f64;
    let forward = 2.0 * encoded * (kernels + heard.encoder_layers as f64 * layer + own);
    let read = vectors + answers + CLIPS as f64;
    let write =
        4.0 * read * (block + looks(read, queries) * llm.layers as f64) + 4.0 * answers * table;

    let peak = peak();
    println!("peak of f32 products: {:.0} GFLOP/s", peak / 1e9);
    println!(
        "{:<46} {:>8} {:>9} {:>7} {:>10}",
        "a batch of 48 s", "seconds", "GFLOP/s", "share", "real time"
    );
    let row = |name: &str, operations: f64, seconds: f64| {
        let speed = operations / seconds;
        let hours = (CLIPS * FRAMES) as f64 / 100.0 / seconds;
        let (rate, share) = (speed / 1e9, 100.0 * speed / peak);
        println!("{name:<46} {seconds:>8.2} {rate:>9.1} {share:>6.0}% {hours:>9.1}x");
    };
    let lora = LowRankSpec {
        rank: 16,
        alpha: 32.0,
        dropout: 0.0,
        targets: NameSet::parse(&["blk.*.attn_q", "blk.*.attn_v"]).unwrap(),
    };
    let low_rank = 6.0 * read * (16 * llm.layers * (2 * llm.width + queries + keys)) as f64;
    for (name, trained, top) in [
        ("adapter", &["mm.a.*", "marks.*", "ctc.*"][..], 0.0),
        (
            "adapter and two layers",
            &["mm.a.*", "marks.*", "ctc.*", "a.blk.[45].*", "a.post_ln.*"],
            2.0,
        ),
        ("adapter, encoder and low rank", &["mm.a.*", "marks.*", "ctc.*", "a.*", "*.lora_*"], 6.0),
    ] {
        let mut source = TrainingSource::new(&parameters, NameSet::parse(trained).unwrap());
        if top > 2.0 {
            source = source.with_low_rank(lora.clone());
        }
        let model = SpeechLlm::load(&source, &source, &bases, &config, device).unwrap();
        let rows = source.linear_of_rows(&text, "token_embd", ids, device).unwrap();
        let head = CtcHead::load(&source, rows, (ids.len(), llm.width), 1.0, device).unwrap();
        let words: Vec<u32> =
            ids.iter().copied().filter(|&id| model.vocabulary().place(id).is_some()).collect();
        let answer =
            |clip: usize| (0..ANSWER).map(|i| words[(clip * 97 + i * 31) % words.len()]).collect();
        let sequences: Vec<Sequence> = (0..CLIPS)
            .map(|clip| Sequence { clip: Some(clip), prompt: vec![words[0]], answer: answer(clip) })
            .collect();
        let labels: Vec<Vec<u32>> = (0..CLIPS as u32)
            .map(|clip| (0..ANSWER as u32).map(|i| clip * 97 + i * 31).collect())
            .collect();
        // Gradients: of a trained layer's weight and input; the bottom one needs no input's.
        let backward = 4.0 * encoded * top * (layer + looks(encoded, heard.width))
            + if top > 2.0 { 4.0 * encoded * kernels } else { 0.0 };
        let hearing = forward + backward + 6.0 * vectors * adapter;
        let seconds = best(|| {
            let (audio, lengths) = model.listen(&mel, &frames).unwrap();
            let loss = model.answer_loss(Some((&audio, &lengths)), &sequences).unwrap();
            drop(loss.sum.backward().unwrap());
        });
        let with_low_rank = if top > 2.0 { low_rank } else { 0.0 };
        row(&format!("{name}, language model"), hearing + write + with_low_rank, seconds);
        let seconds = best(|| {
            let (audio, lengths) = model.listen(&mel, &frames).unwrap();
            let scores = head.forward(&audio.to_dtype(DType::F32).unwrap()).unwrap();
            let loss = ctc_loss(&scores, &lengths, &labels, head.blank()).unwrap();
            drop(loss.losses.sum_all().unwrap().backward().unwrap());
        });
        row(&format!("{name}, CTC"), hearing + 4.0 * vectors * table, seconds);
    }
}
