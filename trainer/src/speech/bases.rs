//! The base models of others that training starts from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use partita_model::files::WeightFile;
use partita_model::installed;
use partita_model::speech::Bases;

use crate::recipe::Model;

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
        Ok(Self { encoder: installed::gguf(encoder)?, llm: installed::gguf(llm)? })
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
