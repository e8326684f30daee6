//! Models of others that are damaged: whatever is wrong with a folder or a file, importing and loading
//! end in an error or a model, and hold no more than their size allows.
//!
//! `scripts/fuzz.sh` searches for longer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod damage;
#[allow(dead_code, reason = "shared with the tests of Whisper")]
mod whisper;

use candle_core::{Device, Tensor};
use damage::{damaged, peak};
use partita_model::files::{WeightFile, write_safetensors};
use partita_model::llm::{Llm, LlmConfig};
use partita_model::nn::{FileSource, Precision};
use partita_model::tokens::TextTokenizer;
use partita_model::whisper::{Padding, Quantization, Whisper, import};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// What error messages, paths and bookkeeping may take beside the files' share.
const SLACK: usize = 256 << 10;

/// How many are tried; `PROPTEST_CASES` asks for more.
fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(usual),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A Whisper model in Hugging Face's files.
static FOREIGN: LazyLock<Vec<(&str, Vec<u8>)>> = LazyLock::new(|| {
    let folder = whisper::hugging_face();
    let names = ["config.json", "tokenizer.json", "model.safetensors"];
    names.map(|name| (name, fs::read(folder.path().join(name)).unwrap())).to_vec()
});

/// Its files, one of them damaged.
fn folder() -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    (0..FOREIGN.len()).prop_flat_map(|which| {
        damaged(FOREIGN[which].1.clone()).prop_map(move |bytes| {
            let mut files = FOREIGN.clone();
            files[which].1 = bytes;
            files
        })
    })
}

fn language_model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/llm").join(name)
}

fn one_line(error: &impl ToString) {
    let line = error.to_string();
    assert!(!line.contains('\n') && line.len() < 2000, "{line}");
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn damaged_whisper_folders(files in folder()) {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in &files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let size: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        let out = folder.path().join("imported.gguf");
        let (found, held) = peak(|| import(folder.path(), &out, Quantization::Q8_0));
        prop_assert!(held <= 8 * size + SLACK, "{held} bytes held for {size}");
        match found {
            Err(error) => {
                one_line(&error);
                prop_assert!(!out.exists(), "left behind");
            }
            Ok(()) => {
                if let Err(error) = Whisper::load(&out, &Device::Cpu, Padding::Natural) {
                    one_line(&error);
                }
            }
        }
    }

    /// An index of two shards, one of which may be damaged instead.
    #[test]
    fn damaged_shards(which in 0..3_usize, index in damaged(INDEX.as_bytes().to_vec()), broken in damaged(shard(1))) {
        let folder = tempfile::tempdir().unwrap();
        let mut files = [
            ("model.safetensors.index.json", INDEX.as_bytes().to_vec()),
            ("model-1.safetensors", shard(1)),
            ("model-2.safetensors", shard(2)),
        ];
        files[which].1 = if which == 0 { index } else { broken };
        for (name, bytes) in &files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let size: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        let (found, held) = peak(|| WeightFile::open(folder.path()));
        prop_assert!(held <= 16 * size + SLACK, "{held} bytes held for {size}");
        match found {
            Err(error) => one_line(&error),
            Ok(file) => {
                for tensor in file.tensors() {
                    let _ = file.floats(&tensor.name);
                }
            }
        }
    }

    #[test]
    fn damaged_language_models(
        bytes in prop::sample::select(vec!["gemma3.gguf", "llama.gguf", "qwen2.gguf", "qwen3.gguf"])
            .prop_flat_map(|name| damaged(fs::read(language_model(name)).unwrap())),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        fs::write(&path, &bytes).unwrap();
        let load = || -> Result<(), partita_model::ModelError> {
            let file = Arc::new(WeightFile::open(&path)?);
            let config = LlmConfig::from_gguf(&file)?;
            let source = FileSource::new(&file, &Device::Cpu, Precision::Decoding);
            let llm = Llm::load(&source, file.clone(), config, (None, None), &Device::Cpu)?;
            let mut state = llm.start();
            llm.forward(&llm.embed(&[1, 2])?, Some(&mut state))?;
            TextTokenizer::from_gguf(&file)?;
            Ok(())
        };
        let (found, held) = peak(load);
        prop_assert!(held <= 16 * bytes.len() + SLACK, "{held} bytes held for {}", bytes.len());
        if let Err(error) = found {
            one_line(&error);
        }
    }
}

/// What is in which shard.
const INDEX: &str = r#"{"metadata": {"total_size": 64}, "weight_map": {
    "one": "model-1.safetensors", "two": "model-2.safetensors"}}"#;

fn shard(number: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shard.safetensors");
    let name = ["one", "two"][number - 1].to_owned();
    let values = Tensor::arange(0.0_f32, 8.0, &Device::Cpu).unwrap();
    write_safetensors(&path, &[], &[(name, values)]).unwrap();
    fs::read(&path).unwrap()
}
