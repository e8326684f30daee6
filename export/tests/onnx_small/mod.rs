//! A speech model of random numbers, small enough to export in a moment.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use partita_model::files::gguf::write_gguf;
use partita_model::files::{Value, WeightFile, write_safetensors};
use partita_model::nn::LowRank;
use partita_model::speech::{AdapterConfig, AdapterShape, SpeechConfig, TrainedModel};
use partita_model::tokens::{Mark, Marks, ShortlistBuilder, TextTokenizer};
use std::path::{Path, PathBuf};

pub const HEARD: usize = 64;
pub const WIDTH: usize = 32;
const HIDDEN: usize = 48;
pub const LAYERS: usize = 3;
/// Sentences whose tokens the model knows.
pub const TEXTS: [&str; 2] = ["the train was late", "das war zu spät"];

/// Numbers between -1 and 1, times `size`.
pub fn drawn(seed: u64, size: f32, shape: &[usize]) -> Tensor {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        size * ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// What a tensor of this name and shape is drawn as.
fn weight(name: &str, shape: &[usize]) -> Tensor {
    let seed = name.bytes().fold(7u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
    match shape {
        [_] if name.ends_with("bias") => drawn(seed, 0.1, shape),
        [_] => (drawn(seed, 0.3, shape) + 1.0).unwrap(),
        _ if name.starts_with("token_embd") => drawn(seed, 0.8, shape),
        [_, rest @ ..] => drawn(seed, (3.0 / rest.iter().product::<usize>() as f32).sqrt(), shape),
        [] => drawn(seed, 1.0, shape),
    }
}

fn save(path: &Path, metadata: &[(String, Value)], shapes: &[(String, Vec<usize>)]) {
    let made = |(name, shape): &(String, Vec<usize>)| {
        (name.clone(), QTensor::quantize(&weight(name, shape), GgmlDType::F32).unwrap())
    };
    let tensors: Vec<(String, QTensor)> = shapes.iter().map(made).collect();
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
    write_gguf(path, metadata, &tensors).unwrap();
}

fn keys(prefix: &str, numbers: &[(&str, usize)]) -> Vec<(String, Value)> {
    let key = |(key, value): &(&str, usize)| (format!("{prefix}.{key}"), Value::U32(*value as u32));
    let architecture = ("general.architecture".to_owned(), Value::from(prefix));
    std::iter::once(architecture).chain(numbers.iter().map(key)).collect()
}

/// A Whisper encoder as the import writes it.
pub fn write_encoder(path: &Path) {
    let metadata = keys(
        "whisper",
        &[
            ("mel_bins", 80),
            ("audio_positions", 60),
            ("text_positions", 8),
            ("width", HEARD),
            ("heads", 2),
            ("encoder_layers", 2),
            ("decoder_layers", 1),
            ("vocabulary", 16),
        ],
    );
    let mut shapes = Vec::new();
    let mut add = |name: &str, weight: &[usize], bias: bool| {
        shapes.push((format!("{name}.weight"), weight.to_vec()));
        if bias {
            shapes.push((format!("{name}.bias"), weight[..1].to_vec()));
        }
    };
    add("a.conv1d.1", &[HEARD, 80, 3], true);
    add("a.conv1d.2", &[HEARD, HEARD, 3], true);
    add("a.position_embd", &[60, HEARD], false);
    add("a.post_ln", &[HEARD], true);
    for i in 0..2 {
        for part in ["ln1", "ln2"] {
            add(&format!("a.blk.{i}.{part}"), &[HEARD], true);
        }
        for part in ["attn_q", "attn_k", "attn_v", "attn_out"] {
            add(&format!("a.blk.{i}.{part}"), &[HEARD, HEARD], part != "attn_k");
        }
        add(&format!("a.blk.{i}.ffn_up"), &[4 * HEARD, HEARD], true);
        add(&format!("a.blk.{i}.ffn_down"), &[HEARD, 4 * HEARD], true);
    }
    save(path, &metadata, &shapes);
}

/// SentencePiece with a piece for every beginning of a word, bytes, and marks.
fn tokenizer() -> (Vec<(String, Value)>, usize) {
    let mut tokens: Vec<(String, i32)> =
        [("<pad>", 3), ("<eos>", 3), ("<bos>", 3), ("<unk>", 2)].map(|(n, k)| (n.into(), k)).into();
    tokens.extend((0..Mark::rows()).map(|row| (format!("<unused{row}>"), 3)));
    tokens.extend((0..=255).map(|byte| (format!("<0x{byte:02X}>"), 6)));
    tokens.push(("\n\n".to_owned(), 4));
    for word in TEXTS.iter().flat_map(|text| text.split(' ')).chain(["unheard", "of"]) {
        let mut piece = "\u{2581}".to_owned();
        for letter in std::iter::once(None).chain(word.chars().map(Some)) {
            piece.extend(letter);
            let letter = letter.map(String::from);
            for piece in letter.into_iter().chain([piece.clone()]) {
                if tokens.iter().all(|(known, _)| *known != piece) {
                    tokens.push((piece, 1));
                }
            }
        }
    }
    let scores: Vec<f32> = (0..tokens.len()).map(|place| -(place as f32)).collect();
    let count = tokens.len();
    let (pieces, kinds): (Vec<String>, Vec<i32>) = tokens.into_iter().unzip();
    let metadata = [
        ("model", Value::from("llama")),
        ("tokens", pieces.into()),
        ("token_type", kinds.into()),
        ("scores", scores.into()),
        ("padding_token_id", Value::U32(0)),
        ("eos_token_id", Value::U32(1)),
        ("bos_token_id", Value::U32(2)),
        ("unknown_token_id", Value::U32(3)),
        ("add_space_prefix", Value::Bool(false)),
    ];
    (metadata.map(|(key, value)| (format!("tokenizer.ggml.{key}"), value)).to_vec(), count)
}

/// A language model of this architecture: gemma3 (windows, norms of heads, tied outputs) or llama
/// (neighbours turned, outputs of its own, heads that do not share).
pub fn write_llm(path: &Path, architecture: &str) {
    let gemma = architecture == "gemma3";
    let key_heads = if gemma { 1 } else { 2 };
    let mut numbers = vec![
        ("block_count", LAYERS),
        ("context_length", 256),
        ("embedding_length", WIDTH),
        ("feed_forward_length", 64),
        ("attention.head_count", 2),
        ("attention.head_count_kv", key_heads),
        ("attention.key_length", 16),
    ];
    if gemma {
        numbers.extend([("attention.sliding_window", 5), ("attention.sliding_window_pattern", 2)]);
    }
    let mut metadata = keys(architecture, &numbers);
    let epsilon = format!("{architecture}.attention.layer_norm_rms_epsilon");
    metadata.push((epsilon, Value::F32(1e-6)));
    let (tokens, vocabulary) = tokenizer();
    metadata.extend(tokens);
    let mut shapes = vec![
        ("token_embd.weight".to_owned(), vec![vocabulary, WIDTH]),
        ("output_norm.weight".to_owned(), vec![WIDTH]),
    ];
    if !gemma {
        shapes.push(("output.weight".to_owned(), vec![vocabulary, WIDTH]));
    }
    for i in 0..LAYERS {
        let mut add = |part: &str, shape: &[usize]| {
            shapes.push((format!("blk.{i}.{part}.weight"), shape.to_vec()));
        };
        add("attn_q", &[32, WIDTH]);
        add("attn_k", &[16 * key_heads, WIDTH]);
        add("attn_v", &[16 * key_heads, WIDTH]);
        add("attn_output", &[WIDTH, 32]);
        add("ffn_gate", &[64, WIDTH]);
        add("ffn_up", &[64, WIDTH]);
        add("ffn_down", &[WIDTH, 64]);
        add("attn_norm", &[WIDTH]);
        add("ffn_norm", &[WIDTH]);
        if gemma {
            add("post_attention_norm", &[WIDTH]);
            add("post_ffw_norm", &[WIDTH]);
            add("attn_q_norm", &[16]);
            add("attn_k_norm", &[16]);
        }
    }
    save(path, &metadata, &shapes);
}

/// A trained model over the two in a folder of its own: adapter, marks, a changed matrix of the
/// encoder and two low-rank changes.
pub fn write_model(folder: &Path, architecture: &str, shape: AdapterShape) -> PathBuf {
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
        ("blk.2.ffn_down.weight.lora_a", &[4, 64]),
        ("blk.2.ffn_down.weight.lora_b", &[WIDTH, 4]),
    ];
    let mut tensors: Vec<(String, Tensor)> =
        shapes.iter().map(|(name, shape)| ((*name).to_owned(), weight(name, shape))).collect();
    let rows = drawn(5, 0.8, &[marks.ids().count(), WIDTH]);
    tensors.push(("marks.weight".to_owned(), rows));
    let alpha = [(LowRank::ALPHA_KEY.to_owned(), "8".to_owned())];
    write_safetensors(&model.join(TrainedModel::WEIGHTS), &alpha, &tensors).unwrap();
    model
}

/// The adapter that is exported.
pub const ULTRAVOX: AdapterShape = AdapterShape::Ultravox { stack: 4, hidden: HIDDEN };
