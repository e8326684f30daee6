//! A speech model of random numbers, small enough to export in a moment.

use candle_core::Tensor;
use partita_model::files::{WeightFile, write_safetensors};
use partita_model::nn::LowRank;
use partita_model::speech::{AdapterConfig, AdapterShape, SpeechConfig, TrainedModel};
use partita_model::tokens::{Marks, ShortlistBuilder, TextTokenizer};
use partita_small::{Encoder, Llm, Tokenizer, drawn_weight};
use std::path::{Path, PathBuf};

pub const HEARD: usize = 64;
pub const WIDTH: usize = 32;
const INNER: usize = 64;
const HIDDEN: usize = 48;
pub const LAYERS: usize = 3;
/// Sentences whose tokens the model knows.
pub const TEXTS: [&str; 2] = ["the train was late", "das war zu spät"];

/// Random numbers of another draw for every seed.
pub fn drawn(seed: u64, deviation: f32, shape: &[usize]) -> Tensor {
    partita_small::drawn(&format!("seed {seed}"), deviation, shape).unwrap()
}

/// A Whisper encoder of few positions.
pub fn write_encoder(path: &Path) {
    let encoder = Encoder { width: HEARD, heads: 2, positions: 60 };
    encoder.write(path, drawn_weight).unwrap();
}

/// A language model of this architecture: gemma3 (windows, norms of heads, tied outputs) or llama
/// (neighbours turned, outputs of its own, heads that do not share).
fn write_llm(path: &Path, architecture: &'static str) {
    let gemma = architecture == "gemma3";
    let llm = Llm {
        architecture,
        width: WIDTH,
        inner: INNER,
        blocks: LAYERS,
        key_heads: if gemma { 1 } else { 2 },
        head: 16,
        window: 5,
        tied: gemma,
    };
    let words = TEXTS.iter().flat_map(|text| text.split(' ')).chain(["unheard", "of"]);
    llm.write(path, &Tokenizer::of_letters(words, &["\n\n"]), drawn_weight).unwrap();
}

/// A trained model over the two in a folder of its own: adapter, marks, a changed matrix of the
/// encoder and two low-rank changes.
pub fn write_model(folder: &Path, architecture: &'static str, shape: AdapterShape) -> PathBuf {
    let (encoder, llm) = (folder.join("whisper.gguf"), folder.join("llm.gguf"));
    write_encoder(&encoder);
    write_llm(&llm, architecture);
    let tokenizer = TextTokenizer::from_gguf(&WeightFile::open(&llm).unwrap()).unwrap();
    let marks = Marks::for_tokenizer(&tokenizer);
    let mut shortlist = ShortlistBuilder::new(&tokenizer);
    TEXTS.iter().for_each(|text| shortlist.add_text(text));
    shortlist.add_text("\n\n");
    let lang = |code: &str| code.parse().unwrap();
    let trained = TrainedModel {
        encoder: encoder.to_str().unwrap().to_owned(),
        llm: llm.to_str().unwrap().to_owned(),
        languages: vec![lang("en"), lang("de")],
        targets: vec![lang("en")],
        config: SpeechConfig {
            adapter: AdapterConfig {
                encoder_width: HEARD,
                llm_width: WIDTH,
                output_rms: 2.0,
                shape,
            },
            shortlist: shortlist.finish(&marks, 1),
        },
    };
    let model = folder.join("model");
    std::fs::create_dir(&model).unwrap();
    trained.write(&model).unwrap();
    let shapes: &[(&str, &[usize])] = &[
        ("mm.a.norm_pre.weight", &[4 * HEARD]),
        ("mm.a.mlp.1.weight", &[2 * HIDDEN, 4 * HEARD]),
        ("mm.a.norm_mid.weight", &[HIDDEN]),
        ("mm.a.mlp.2.weight", &[WIDTH, HIDDEN]),
        ("a.blk.1.ffn_up.weight", &[4 * HEARD, HEARD]),
        ("blk.0.attn_q.weight.lora_a", &[4, WIDTH]),
        ("blk.0.attn_q.weight.lora_b", &[32, 4]),
        ("blk.2.ffn_down.weight.lora_a", &[4, INNER]),
        ("blk.2.ffn_down.weight.lora_b", &[WIDTH, 4]),
    ];
    let mut tensors: Vec<(String, Tensor)> = shapes
        .iter()
        .map(|(name, shape)| {
            ((*name).to_owned(), drawn_weight(&format!("trained {name}"), shape).unwrap())
        })
        .collect();
    let rows = drawn(5, 0.8, &[marks.ids().count(), WIDTH]);
    tensors.push(("marks.weight".to_owned(), rows));
    let alpha = [(LowRank::ALPHA_KEY.to_owned(), "8".to_owned())];
    write_safetensors(&model.join(TrainedModel::WEIGHTS), &alpha, &tensors).unwrap();
    model
}

/// The adapter that is exported.
pub const ULTRAVOX: AdapterShape = AdapterShape::Ultravox { stack: 4, hidden: HIDDEN };
