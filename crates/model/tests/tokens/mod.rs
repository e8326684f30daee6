//! Small tokenizers made by `make_golden.py`, and variants of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses a part")]

use std::path::{Path, PathBuf};

use partita_model::ModelError;
use partita_model::files::gguf::GgufWriter;
use partita_model::files::{Value, WeightFile};
use partita_model::tokens::TextTokenizer;
use serde::Deserialize;

/// Texts of our own: sentences in many languages, and strange ones.
#[derive(Deserialize)]
pub struct Texts {
    pub sentences: Vec<String>,
    pub strange: Vec<String>,
}

impl Texts {
    pub fn read() -> Self {
        serde_json::from_str(&std::fs::read_to_string(golden_path("texts.json")).unwrap()).unwrap()
    }

    pub fn all(&self) -> impl Iterator<Item = &String> {
        self.sentences.iter().chain(&self.strange)
    }
}

/// The file of that name beside the script that made it.
pub fn golden_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tokens").join(name)
}

/// Keys of a small tokenizer: `score` or `byte`.
pub fn keys(name: &str) -> Vec<(String, Value)> {
    let file = WeightFile::open(&golden_path(&format!("{name}.gguf"))).unwrap();
    file.metadata().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The keys with `tokenizer.ggml.KEY` changed, or left out.
pub fn changed(name: &str, key: &str, value: Option<Value>) -> Vec<(String, Value)> {
    let key = format!("tokenizer.ggml.{key}");
    let mut keys = keys(name);
    keys.retain(|(known, _)| *known != key);
    keys.extend(value.map(|value| (key, value)));
    keys
}

/// The tokenizer of a file with these keys.
pub fn tokenizer(keys: &[(String, Value)]) -> Result<TextTokenizer, ModelError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.gguf");
    GgufWriter::create(&path, keys, &[]).unwrap().finish().unwrap();
    TextTokenizer::from_gguf(&WeightFile::open(&path).unwrap())
}

/// The tokenizer of a model in the store, if it has been pulled.
pub fn pulled(model: &str) -> Option<TextTokenizer> {
    let found = || {
        let home = match std::env::var_os("PARTITA_HOME").filter(|home| !home.is_empty()) {
            Some(home) => PathBuf::from(home),
            None => PathBuf::from(std::env::var_os("HOME")?).join(".local/share/partita"),
        };
        let files = std::fs::read_dir(home.join("models").join(model)).ok()?;
        let mut paths = files.filter_map(|file| Some(file.ok()?.path()));
        paths.find(|path| path.extension().is_some_and(|extension| extension == "gguf"))
    };
    let Some(path) = found() else {
        println!("skipped: no {model} in the store; `partita models pull {model}` gets it");
        return None;
    };
    Some(TextTokenizer::from_gguf(&WeightFile::open(&path).unwrap()).unwrap())
}
