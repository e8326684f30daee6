//! Whisper as one file of our own layout.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use partita_model::files::{Value, WeightFile};
use partita_model::whisper::{Quantization, WhisperConfig, import};

use super::content::{Content, Item, Plan};
use super::keys;
use super::llm::whole;
use super::quant::Quant;
use super::whisper_vocabulary::Cut;

/// The token table.
pub const TABLE: &str = "d.token_embd.weight";

/// Imports a Whisper model of others in full precision, for [`plan`] to start from.
///
/// # Errors
/// When it cannot be imported.
pub fn imported(foreign: &Path, folder: &Path) -> Result<WeightFile> {
    let path = folder.join("imported.gguf");
    import(foreign, &path, Quantization::F32)?;
    Ok(WeightFile::open(&path)?)
}

/// Plans the file: an imported one's tensors and keys, in other types and, if `cut`, with fewer tokens.
///
/// # Errors
/// When `file` is no imported Whisper model.
pub fn plan<'a>(
    file: &'a WeightFile,
    name: &str,
    quant: Quant,
    cut: Option<&Cut>,
) -> Result<Plan<'a>> {
    let mut config = WhisperConfig::from_file(file)?;
    let mut metadata = keys::unchanged(file, Some(name), quant);
    let own = |key: &str| key.starts_with("whisper.") || key.starts_with("tokenizer.");
    let kept = file.metadata().iter().filter(|(key, _)| own(key));
    for (key, value) in kept {
        let value = cut.map_or_else(|| Ok(value.clone()), |cut| cut.key(key, value))?;
        metadata.push((key.clone(), value));
    }
    if let Some(cut) = cut {
        config.vocabulary = cut.tokens().ids().len();
        // By its number of tokens it would be none that knows languages.
        metadata.retain(|(key, _)| key != WhisperConfig::MULTILINGUAL);
        let multilingual = Value::Bool(config.multilingual);
        metadata.push((WhisperConfig::MULTILINGUAL.to_owned(), multilingual));
    }
    let items = file.tensors().iter().map(|tensor| {
        let (name, mut shape) = (&tensor.name, tensor.shape.clone());
        let layers =
            if name.starts_with("a.") { config.encoder_layers } else { config.decoder_layers };
        let choice = quant.choose(name, &shape, layers, name == TABLE);
        let content = match (cut, &mut shape[..]) {
            (Some(cut), [rows, width]) if name == TABLE => {
                *rows = config.table_rows();
                let ids = cut.tokens().ids().to_vec();
                let empty = (ids.len()..*rows).map(|place| (place, vec![0.0; *width]));
                let replaced = empty.collect::<BTreeMap<_, _>>();
                Content::Rows { file, name: name.clone(), rows: ids, replaced }
            }
            (_, [rows, _]) => whole(file, name, *rows),
            _ => Content::Made(Box::new(move || Ok(file.floats(name)?.1))),
        };
        Item { name: name.clone(), shape, choice, content }
    });
    Ok(Plan::new(metadata, items.collect()))
}
