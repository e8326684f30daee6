//! The models of others that a trained one stands on, or that are exported as they are.

use std::path::{Path, PathBuf};

use anyhow::Result;
use partita_model::installed;
use partita_model::whisper::{Quantization, import};

use crate::scratch::Scratch;

/// Files that a folder with a model of others has one of.
pub const ORIGINALS: [&str; 3] = ["model.bin", "model.safetensors", "model.safetensors.index.json"];

/// A weight file, and the folder that it was made in if it was made for now.
#[derive(Debug)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// Goes when this is dropped.
    pub made: Option<Scratch>,
}

/// A GGUF file, or the one of a model in the store.
///
/// # Errors
/// When there is none.
pub fn gguf(name: &str) -> Result<Found> {
    Ok(Found { path: installed::gguf(name)?, made: None })
}

/// A Whisper model in floats: an imported GGUF file as it is; a model of others (a folder, or one of
/// the store) imported for now, since what the store keeps beside it is quantized.
///
/// # Errors
/// When there is none, or it is no Whisper model.
pub fn whisper(name: &str) -> Result<Found> {
    let path = Path::new(name);
    let source = match path.exists() {
        true => path.to_owned(),
        false => installed::store()?.join(name),
    };
    let original = ORIGINALS.iter().any(|file| source.join(file).is_file());
    if !original && (source.is_file() || !path.exists()) {
        return gguf(name);
    }
    let folder = Scratch::temporary()?;
    let made = folder.path().join("whisper.gguf");
    import(&source, &made, Quantization::F32)?;
    Ok(Found { path: made, made: Some(folder) })
}

/// A base's name: of a path, what it ends with, which says nothing of this machine.
pub fn file_name(name: &str) -> &str {
    Path::new(name).file_name().and_then(|name| name.to_str()).unwrap_or(name)
}
