//! Whisper as one file of our own layout.

use std::path::Path;

use anyhow::Result;
use partita_model::files::{Value, WeightFile};
use partita_model::whisper::{Quantization, WhisperConfig, import};

use super::content::{Content, Item, Plan};
use super::keys;
use super::llm::whole;
use super::quant::Quant;

/// Imports a Whisper model of others in full precision, for [`plan`] to start from.
///
/// # Errors
/// When it cannot be imported.
pub fn imported(foreign: &Path, folder: &Path) -> Result<WeightFile> {
    let path = folder.join("imported.gguf");
    import(foreign, &path, Quantization::F32)?;
    Ok(WeightFile::open(&path)?)
}

/// Plans the file: an imported one's tensors and keys, in other types.
///
/// # Errors
/// When `file` is no imported Whisper model.
pub fn plan<'a>(file: &'a WeightFile, name: &str, quant: Quant) -> Result<Plan<'a>> {
    let config = WhisperConfig::from_file(file)?;
    let mut metadata = keys::unchanged(file, Some(name), quant);
    let own = |key: &str| key.starts_with("whisper.") || key.starts_with("tokenizer.");
    let kept = file.metadata().iter().filter(|(key, _)| own(key));
    metadata.extend(kept.map(|(key, value): (&String, &Value)| (key.clone(), value.clone())));
    let items = file.tensors().iter().map(|tensor| {
        let (name, shape) = (&tensor.name, &tensor.shape);
        let layers =
            if name.starts_with("a.") { config.encoder_layers } else { config.decoder_layers };
        let choice = quant.choose(name, shape, layers, name == "d.token_embd.weight");
        let content = match shape[..] {
            [rows, _] => whole(file, name, rows),
            _ => Content::Made(Box::new(move || Ok(file.floats(name)?.1))),
        };
        Item { name: name.clone(), shape: shape.clone(), choice, content }
    });
    Ok(Plan::new(metadata, items.collect()))
}
