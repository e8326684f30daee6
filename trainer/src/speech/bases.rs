//! The base models of others that training starts from.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use partita_model::files::WeightFile;
use partita_model::speech::Bases;

use crate::recipe::Model;
use crate::run_folder::home;

/// Weight files of the two bases.
#[derive(Debug, Clone)]
pub struct Files {
    /// An imported Whisper model.
    pub encoder: PathBuf,
    /// A language model.
    pub llm: PathBuf,
}

impl Files {
    /// Those that a recipe names: paths of GGUF files, or models of the store.
    ///
    /// # Errors
    /// When there is none.
    pub fn of(model: &Model) -> Result<Self> {
        Self::named(&model.encoder, &model.llm)
    }

    /// Those of such names.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(encoder: &str, llm: &str) -> Result<Self> {
        Ok(Self { encoder: find(encoder)?, llm: find(llm)? })
    }
}

/// A GGUF file, or the one of a model in the store; the largest, should there be several.
pub(crate) fn find(name: &str) -> Result<PathBuf> {
    let path = Path::new(name);
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let folder = home()?.join("models").join(name);
    let is_gguf = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "gguf");
    let files = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let size = |path: &PathBuf| fs::metadata(path).map_or(0, |found| found.len());
    match files.filter(is_gguf).max_by_key(size) {
        Some(file) => Ok(file),
        None => bail!("no {name} in {}: `partita models pull {name}` fetches it", folder.display()),
    }
}

/// Opens both files and what is needed of them beside weights.
///
/// # Errors
/// When one is not what it should be.
pub fn open_bases(files: &Files) -> Result<(WeightFile, Arc<WeightFile>, Bases)> {
    let open = |path: &Path| WeightFile::open(path).with_context(|| path.display().to_string());
    let encoder = open(&files.encoder)?;
    let llm = Arc::new(open(&files.llm)?);
    let bases = Bases::open(&encoder, Arc::clone(&llm))?;
    Ok((encoder, llm, bases))
}
