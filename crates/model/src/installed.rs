//! Where models and runs lie on this machine.

use std::fs;
use std::path::{Path, PathBuf};

/// Why a place is not known.
#[derive(Debug, thiserror::Error)]
pub enum InstalledError {
    /// Neither `PARTITA_HOME` nor the system names a folder.
    #[error("this user has no home folder; set PARTITA_HOME to one")]
    NoHome,
    /// No such model in the store.
    #[error("no {name} in {}: `partita models pull {name}` fetches it", folder.display())]
    Missing {
        /// Its name.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
}

/// The folder that models and runs are in: `$PARTITA_HOME`, or the one for application data that the
/// system names (Linux: `~/.local/share/partita`).
///
/// # Errors
/// When there is neither.
pub fn home() -> Result<PathBuf, InstalledError> {
    if let Some(home) = std::env::var_os("PARTITA_HOME").filter(|home| !home.is_empty()) {
        return Ok(home.into());
    }
    let folders = directories::ProjectDirs::from("", "", "partita");
    Ok(folders.ok_or(InstalledError::NoHome)?.data_dir().to_owned())
}

/// The folder that models are in, each in a folder of its name.
///
/// # Errors
/// As [`home`]'s.
pub fn store() -> Result<PathBuf, InstalledError> {
    Ok(home()?.join("models"))
}

/// A GGUF file by its path, or the one of a model in the store; the largest, should there be several.
///
/// # Errors
/// When there is none.
pub fn gguf(name: &str) -> Result<PathBuf, InstalledError> {
    let path = Path::new(name);
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let folder = store()?.join(name);
    largest(&folder).ok_or_else(|| InstalledError::Missing { name: name.to_owned(), folder })
}

/// The largest GGUF file of a folder: that of the highest precision.
pub fn largest(folder: &Path) -> Option<PathBuf> {
    let is_gguf = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "gguf");
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let size = |path: &PathBuf| fs::metadata(path).map_or(0, |found| found.len());
    files.filter(is_gguf).max_by_key(size)
}

/// The shared library of ONNX Runtime: `$ORT_DYLIB_PATH`, or the store's.
///
/// # Errors
/// When there is none.
pub fn onnx_runtime() -> Result<PathBuf, InstalledError> {
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH") {
        return Ok(path.into());
    }
    let folder = store()?.join("onnxruntime");
    let is_library = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.contains("onnxruntime") && ["so", "dylib", "dll"].iter().any(|end| name.contains(end))
    };
    let files = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let name = "onnxruntime".to_owned();
    files.into_iter().find(is_library).ok_or(InstalledError::Missing { name, folder })
}
