//! A small speech model for tests: random bases, clips of tones, a recipe.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![allow(dead_code, reason = "not every test uses all of it")]

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Device;
use candle_core::quantized::{GgmlDType, QTensor};
use partita_model::files::gguf::write_gguf;
use partita_model::files::{Value, WeightFile};
use partita_model::nn::{Init, NameSet, Parameters, TrainingSource, WeightSource};
use serde_json::json;

use crate::recordings::wav;

/// Words, each a tone.
pub const WORDS: [(&str, &str, f32); 4] = [
    ("one", "eins", 300.0),
    ("two", "zwei", 700.0),
    ("three", "drei", 1500.0),
    ("four", "vier", 3000.0),
];

fn random_tensors(shapes: &[(String, Vec<usize>)]) -> Vec<(String, QTensor)> {
    let parameters = Parameters::new(11, &Device::Cpu);
    let source = TrainingSource::new(&parameters, NameSet::default());
    let make = |(name, shape): &(String, Vec<usize>)| {
        let init = match &shape[..] {
            [_, _] if name.starts_with("token_embd") => Init::Normal(0.5),
            [_, inputs] => Init::fan_in(*inputs),
            [_, inputs, kernel] => Init::fan_in(inputs * kernel),
            _ if name.ends_with("bias") => Init::Constant(0.0),
            _ => Init::Constant(1.0),
        };
        let tensor = source.tensor_or(name, shape, init).unwrap();
        (name.clone(), QTensor::quantize(&tensor, GgmlDType::F32).unwrap())
    };
    shapes.iter().map(make).collect()
}

fn write(path: &Path, metadata: &[(String, Value)], shapes: &[(String, Vec<usize>)]) {
    let tensors = random_tensors(shapes);
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
    write_gguf(path, metadata, &tensors).unwrap();
}

/// A Whisper encoder of two layers, as the import writes it.
fn small_encoder(path: &Path) {
    let width = 64;
    let mut metadata =
        vec![("general.architecture".to_owned(), Value::String("whisper".to_owned()))];
    for (key, value) in [
        ("mel_bins", 80),
        ("audio_positions", 1500),
        ("text_positions", 8),
        ("width", width as u32),
        ("heads", 1),
        ("encoder_layers", 2),
        ("decoder_layers", 1),
        ("vocabulary", 16),
    ] {
        metadata.push((format!("whisper.{key}"), Value::U32(value)));
    }
    let mut shapes = vec![
        ("a.conv1d.1.weight".to_owned(), vec![width, 80, 3]),
        ("a.conv1d.1.bias".to_owned(), vec![width]),
        ("a.conv1d.2.weight".to_owned(), vec![width, width, 3]),
        ("a.conv1d.2.bias".to_owned(), vec![width]),
        ("a.position_embd.weight".to_owned(), vec![1500, width]),
        ("a.post_ln.weight".to_owned(), vec![width]),
        ("a.post_ln.bias".to_owned(), vec![width]),
    ];
    for i in 0..2 {
        for (name, shape) in [
            ("ln1", vec![width]),
            ("attn_q", vec![width, width]),
            ("attn_k", vec![width, width]),
            ("attn_v", vec![width, width]),
            ("attn_out", vec![width, width]),
            ("ln2", vec![width]),
            ("ffn_up", vec![4 * width, width]),
            ("ffn_down", vec![width, 4 * width]),
        ] {
            if name != "attn_k" {
                shapes.push((format!("a.blk.{i}.{name}.bias"), vec![shape[0]]));
            }
            shapes.push((format!("a.blk.{i}.{name}.weight"), shape));
        }
    }
    write(path, &metadata, &shapes);
}

/// A Gemma 3 of two blocks with the tokenizer of the token tests.
fn small_llm(path: &Path) {
    let width = 32;
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/model/tests");
    let tokenizer = WeightFile::open(&tests.join("tokens/score.gguf")).unwrap();
    let vocabulary = tokenizer.metadata()["tokenizer.ggml.tokens"].as_array().unwrap().len();
    let mut metadata: Vec<(String, Value)> = tokenizer
        .metadata()
        .iter()
        .filter(|(key, _)| key.starts_with("tokenizer."))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    metadata.push(("general.architecture".to_owned(), Value::String("gemma3".to_owned())));
    for (key, value) in [
        ("block_count", 2),
        ("context_length", 256),
        ("embedding_length", width as u32),
        ("feed_forward_length", 64),
        ("attention.head_count", 2),
        ("attention.head_count_kv", 1),
        ("attention.key_length", 16),
        ("attention.sliding_window", 64),
        ("attention.sliding_window_pattern", 2),
    ] {
        metadata.push((format!("gemma3.{key}"), Value::U32(value)));
    }
    metadata.push(("gemma3.attention.layer_norm_rms_epsilon".to_owned(), Value::F32(1e-6)));
    let mut shapes = vec![
        ("token_embd.weight".to_owned(), vec![vocabulary, width]),
        ("output_norm.weight".to_owned(), vec![width]),
    ];
    for i in 0..2 {
        for (name, shape) in [
            ("attn_q", vec![32, width]),
            ("attn_k", vec![16, width]),
            ("attn_v", vec![16, width]),
            ("attn_output", vec![width, 32]),
            ("ffn_gate", vec![64, width]),
            ("ffn_up", vec![64, width]),
            ("ffn_down", vec![width, 64]),
            ("attn_norm", vec![width]),
            ("ffn_norm", vec![width]),
            ("post_attention_norm", vec![width]),
            ("post_ffw_norm", vec![width]),
            ("attn_q_norm", vec![16]),
            ("attn_k_norm", vec![16]),
        ] {
            shapes.push((format!("blk.{i}.{name}.weight"), shape));
        }
    }
    write(path, &metadata, &shapes);
}

fn words(clip: usize) -> [(&'static str, &'static str, f32); 3] {
    [clip % 4, clip / 4 % 4, clip / 16 % 4].map(|i| WORDS[i])
}

pub fn samples(clip: usize) -> Vec<f32> {
    let tone = |frequency: f32| {
        (0..5600).map(move |i| {
            let t = i as f32 / 16_000.0;
            0.3 * (t * frequency * std::f32::consts::TAU).sin()
        })
    };
    words(clip).iter().flat_map(|(_, _, frequency)| tone(*frequency)).collect()
}

/// Clips of three tones that say three words, with German translations; noise; sentences.
fn data(folder: &Path) {
    let (mut speech, mut text) = (String::new(), String::new());
    for clip in 0..60usize {
        let words = words(clip);
        let name = format!("{clip}.wav");
        fs::write(folder.join(&name), wav(&samples(clip))).unwrap();
        let english = words.map(|(english, _, _)| english).join(" ");
        let german = words.map(|(_, german, _)| german).join(" ");
        let split = if clip % 6 == 5 { "dev" } else { "train" };
        let row = json!({
            "id": name, "audio_filepath": name, "offset": 0.0, "duration": 1.05, "lang": "en",
            "text": english, "translations": { "de": german }, "speaker": "", "voice": "",
            "split": split, "source": "own", "licence": "MIT",
        });
        speech += &format!("{row}\n");
        let row = json!({
            "id": format!("t{clip}"), "src_lang": "en", "tgt_lang": "de", "src_text": english,
            "tgt_text": german, "split": split, "source": "own", "licence": "MIT",
        });
        text += &format!("{row}\n");
    }
    for (at, split) in ["train", "train", "dev"].iter().enumerate() {
        let noise = |i: usize| (i * 7919 % 1000) as f32 / 5000.0 - 0.1;
        let name = format!("noise{at}.wav");
        fs::write(folder.join(&name), wav(&(0..16_000).map(noise).collect::<Vec<_>>())).unwrap();
        let row = json!({
            "id": name, "audio_filepath": name, "offset": 0.0, "duration": 1.0, "lang": "none",
            "text": "", "translations": {}, "speaker": "", "voice": "", "split": split,
            "source": "own", "licence": "MIT",
        });
        speech += &format!("{row}\n");
    }
    fs::write(folder.join("speech.jsonl"), speech).unwrap();
    fs::write(folder.join("text.jsonl"), text).unwrap();
}

pub fn recipe(folder: &Path) -> PathBuf {
    small_encoder(&folder.join("encoder.gguf"));
    small_llm(&folder.join("llm.gguf"));
    data(folder);
    let (encoder, llm) = (folder.join("encoder.gguf"), folder.join("llm.gguf"));
    let text = format!(
        r#"
name = "small"
seed = 3
order = ["warm", "adapter", "joint"]
budget = {{ steps = 90 }}
[model]
encoder = {encoder:?}
llm = {llm:?}
[lora]
rank = 8
alpha = 16.0
targets = ["q", "k", "v", "o", "gate", "up", "down"]
[data]
speech = ["speech.jsonl"]
text = ["text.jsonl"]
padded_share = 0.0
noise_share = 0.1
longest = 10.0
[augmentation]
speed = [1.0, 1.0]
noise_share = 0.0
room_share = 0.0
frequency_masks = 0
time_masks = 0
[batch]
seconds = 12.0
text_tokens = 100
accumulate = 1
[evaluation]
every = 30
clips = 8
[schedule]
shape = "constant"
warmup = 0.0
floor = 1.0
[checkpoints]
steps = 20
[stage.warm]
share = 0.2
train.adapter = {{ learning_rate = 3e-3 }}
train.ctc = {{ learning_rate = 3e-3 }}
tasks = {{ ctc = 1.0 }}
[stage.adapter]
share = 0.4
train.adapter = {{ learning_rate = 3e-3 }}
train.marks = {{ learning_rate = 1e-2 }}
tasks = {{ asr = 1.0 }}
[stage.joint]
share = 0.4
train.adapter = {{ learning_rate = 2e-3 }}
train.encoder = {{ learning_rate = 1e-3, top = 1 }}
train.lora = {{ learning_rate = 1e-2 }}
train.marks = {{ learning_rate = 1e-2 }}
tasks = {{ asr = 1.0, st = 1.0 }}
late = {{ from = 0.7, tasks = {{ asr = 1.0, st = 1.0, mt = 0.5, lm = 0.2 }} }}
"#
    );
    let path = folder.join("small.toml");
    fs::write(&path, text).unwrap();
    path
}
