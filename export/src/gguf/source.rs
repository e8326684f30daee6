//! What is exported: a trained model, or one of the store.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use partita_model::files::WeightFile;
use partita_model::installed;
use partita_model::speech::TrainedModel;

use crate::bases;

/// What a name on the command line stands for.
#[derive(Debug)]
pub enum Source {
    /// What training left, over two bases.
    Trained {
        /// Its folder, or the packed file.
        path: PathBuf,
        /// The description.
        model: Box<TrainedModel>,
        /// An imported Whisper file.
        encoder: PathBuf,
        /// A language model's file.
        llm: PathBuf,
    },
    /// A language model's GGUF file.
    Llm(PathBuf),
    /// An imported Whisper file.
    Whisper(PathBuf),
    /// A folder with a Whisper model of others, in higher precision than its import.
    ForeignWhisper(PathBuf),
}

impl Source {
    /// A run's folder, a model's folder, a packed model, another GGUF file, or the name of a model in the store.
    ///
    /// # Errors
    /// When there is no such thing, or it is none of these.
    pub fn find(name: &str) -> Result<Self> {
        let path = Path::new(name);
        if TrainedModel::is_at(path) {
            let model = TrainedModel::read(path)?;
            let (encoder, llm) = (bases::gguf(&model.encoder)?.path, bases::gguf(&model.llm)?.path);
            return Ok(Self::Trained {
                path: path.to_owned(),
                model: Box::new(model),
                encoder,
                llm,
            });
        }
        let folder = if path.is_dir() { path.to_owned() } else { installed::store()?.join(name) };
        let is_foreign = bases::ORIGINALS.iter().any(|name| folder.join(name).is_file());
        if !path.is_file() && is_foreign && folder.join("tokenizer.json").is_file() {
            return Ok(Self::ForeignWhisper(folder));
        }
        let file = match path.is_dir() {
            true => installed::largest(path)
                .with_context(|| format!("no GGUF file in {}", path.display()))?,
            false => bases::gguf(name)?.path,
        };
        let opened = WeightFile::open(&file)?;
        match opened.metadata_str("general.architecture")? {
            "whisper" => Ok(Self::Whisper(file)),
            "clip" => bail!("{}: encoder and adapter of a pair that was exported", file.display()),
            _ => Ok(Self::Llm(file)),
        }
    }
}
