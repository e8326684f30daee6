//! A small speech model for tests: random bases, clips of tones, a recipe.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![allow(dead_code, reason = "not every test uses all of it")]

use std::fs;
use std::path::{Path, PathBuf};

use partita_train::reproduce::tiny::{write_encoder, write_llm};
use serde_json::json;

use crate::recordings::wav;

/// Words, each a tone.
pub const WORDS: [(&str, &str, f32); 4] = [
    ("one", "eins", 300.0),
    ("two", "zwei", 700.0),
    ("three", "drei", 1500.0),
    ("four", "vier", 3000.0),
];

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
    write_encoder(&folder.join("encoder.gguf")).unwrap();
    write_llm(&folder.join("llm.gguf")).unwrap();
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
