//! What is exported: a trained model, or one of the store.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use partita_model::files::WeightFile;
use partita_model::speech::TrainedModel;

/// What a name on the command line stands for.
#[derive(Debug)]
pub enum Source {
    /// What training left, over two bases.
    Trained {
        /// Where description and weights are.
        folder: PathBuf,
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
    /// A run's folder, a model's folder, a GGUF file, or the name of a model in the store.
    ///
    /// # Errors
    /// When there is no such thing, or it is none of these.
    pub fn find(name: &str) -> Result<Self> {
        let path = Path::new(name);
        if path.join(TrainedModel::DESCRIPTION).is_file() {
            let model = TrainedModel::read(path)?;
            let (encoder, llm) = (stored(&model.encoder)?, stored(&model.llm)?);
            return Ok(Self::Trained {
                folder: path.to_owned(),
                model: Box::new(model),
                encoder,
                llm,
            });
        }
        let folder = if path.is_dir() { path.to_owned() } else { store()?.join(name) };
        let is_foreign =
            ["model.bin", "model.safetensors"].iter().any(|n| folder.join(n).is_file());
        if !path.is_file() && is_foreign && folder.join("tokenizer.json").is_file() {
            return Ok(Self::ForeignWhisper(folder));
        }
        let file = if path.is_dir() { largest(path)? } else { stored(name)? };
        let opened = WeightFile::open(&file)?;
        match opened.metadata_str("general.architecture")? {
            "whisper" => Ok(Self::Whisper(file)),
            "clip" => bail!("{}: encoder and adapter of a pair that was exported", file.display()),
            _ => Ok(Self::Llm(file)),
        }
    }
}

/// Where models are kept: `$PARTITA_HOME/models`, or the user's data folder.
fn store() -> Result<PathBuf> {
    let home = match std::env::var_os("PARTITA_HOME").filter(|home| !home.is_empty()) {
        Some(home) => PathBuf::from(home),
        None => directories::ProjectDirs::from("", "", "partita")
            .context("this user has no home folder; set PARTITA_HOME to a folder")?
            .data_dir()
            .to_owned(),
    };
    Ok(home.join("models"))
}

/// A GGUF file, or the one of a model in the store.
fn stored(name: &str) -> Result<PathBuf> {
    let path = Path::new(name);
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let folder = store()?.join(name);
    largest(&folder).with_context(|| {
        format!("{name} is no model's folder, no GGUF file and no model of the store (`partita models pull {name}`)")
    })
}

/// The largest GGUF file of a folder: that of the highest precision.
fn largest(folder: &Path) -> Result<PathBuf> {
    let is_gguf = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "gguf");
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let size = |path: &PathBuf| fs::metadata(path).map_or(0, |found| found.len());
    let found = files.filter(is_gguf).max_by_key(size);
    found.with_context(|| format!("no GGUF file in {}", folder.display()))
}
