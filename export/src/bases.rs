//! The models of others that a trained one stands on, or that are exported as they are.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use partita_model::whisper::{Quantization, import};
use tempfile::TempDir;

/// A weight file, and the folder that it was made in if it was made for now.
#[derive(Debug)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// Goes when this is dropped.
    pub made: Option<TempDir>,
}

/// The folder that models and runs are in: `$PARTITA_HOME`, or the one for application data that the
/// system names.
///
/// # Errors
/// When there is neither.
pub fn home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("PARTITA_HOME").filter(|home| !home.is_empty()) {
        return Ok(home.into());
    }
    let folders = directories::ProjectDirs::from("", "", "partita").context("no home folder")?;
    Ok(folders.data_dir().to_owned())
}

/// The folder that models are in.
///
/// # Errors
/// As [`home`]'s.
pub fn store() -> Result<PathBuf> {
    Ok(home()?.join("models"))
}

/// A GGUF file, or the one of a model in the store; the largest, should there be several.
///
/// # Errors
/// When there is none.
pub fn gguf(name: &str) -> Result<Found> {
    let path = Path::new(name);
    if path.is_file() {
        return Ok(Found { path: path.to_owned(), made: None });
    }
    let folder = store()?.join(name);
    match largest(&folder) {
        Some(path) => Ok(Found { path, made: None }),
        None => bail!("no {name} in {}: `partita models pull {name}` fetches it", folder.display()),
    }
}

/// The largest GGUF file of a folder: that of the highest precision.
pub fn largest(folder: &Path) -> Option<PathBuf> {
    let is_gguf = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "gguf");
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let size = |path: &PathBuf| fs::metadata(path).map_or(0, |found| found.len());
    files.filter(is_gguf).max_by_key(size)
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
        false => store()?.join(name),
    };
    let originals = ["model.bin", "model.safetensors", "model.safetensors.index.json"];
    let original = originals.iter().any(|file| source.join(file).is_file());
    if !original && (source.is_file() || !path.exists()) {
        return gguf(name);
    }
    let folder = tempfile::tempdir().context("a folder for the encoder")?;
    let made = folder.path().join("whisper.gguf");
    import(&source, &made, Quantization::F32)?;
    Ok(Found { path: made, made: Some(folder) })
}

/// A base's name: of a path, what it ends with, which says nothing of this machine.
pub fn file_name(name: &str) -> &str {
    Path::new(name).file_name().and_then(|name| name.to_str()).unwrap_or(name)
}
