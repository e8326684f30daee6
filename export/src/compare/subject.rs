//! What is compared: a run, a pair, a packed model, graphs, or Whisper; opened as it runs, or in
//! floats.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use partita_model::engine::{Capabilities, Engine};
use partita_model::files::{Value, WeightFile};
use partita_model::installed;
use partita_model::nn::Precision;
use partita_model::onnx::{Provider, Runtime};
use partita_model::speech::{ExportedModel, OnnxModel, OnnxSpeech, SpeechEngine, TrainedModel};
use partita_model::tokens::Lang;
use partita_model::whisper::{Padding, Whisper};
use serde::{Deserialize, Serialize};

use crate::bases;
use crate::onnx::OnnxFile;
use crate::scratch::Scratch;

/// Files of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Subject {
    /// What training left, a folder or packed, over its bases.
    Trained {
        /// The folder, or the packed file.
        path: PathBuf,
        /// The imported Whisper file.
        encoder: PathBuf,
        /// The language model's file.
        llm: PathBuf,
    },
    /// The language model's half of an exported pair.
    Pair(PathBuf),
    /// A folder of ONNX graphs, or the decoder graph of one type in it.
    Graphs(PathBuf),
    /// A Whisper model in our layout.
    Whisper(PathBuf),
}

/// Whether a file has a pair's encoder and adapter.
pub fn is_projector(path: &Path) -> bool {
    let is_clip = |file: WeightFile| {
        file.metadata_str("general.architecture").is_ok_and(|found| found == "clip")
    };
    path.is_file() && WeightFile::open(path).is_ok_and(is_clip)
}

/// A model that is compared.
#[derive(Debug)]
pub struct Entry {
    /// What it is called in tables.
    pub name: String,
    /// Its files.
    pub subject: Subject,
    /// Keeps a file that was made for now.
    made: Option<Scratch>,
}

impl Entry {
    /// A folder of a trained model, a packed model, the language model's half of a pair, a folder of
    /// graphs or a decoder graph in it, a Whisper file, or a model of the store. Of a Whisper model of others the reference is made in f32.
    ///
    /// # Errors
    /// When there is none, or it is none of these.
    pub fn find(name: &str, is_reference: bool) -> Result<Self> {
        let path = Path::new(name);
        let called = |path: &Path| {
            let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            let name = if full.is_file() { full.file_stem() } else { full.file_name() };
            name.unwrap_or_default().to_string_lossy().into_owned()
        };
        if TrainedModel::is_at(path) {
            let model = TrainedModel::read(path)?;
            let (encoder, llm) = (bases::gguf(&model.encoder)?.path, bases::gguf(&model.llm)?.path);
            let subject = Subject::Trained { path: path.to_owned(), encoder, llm };
            return Ok(Self { name: called(path), subject, made: None });
        }
        if OnnxModel::is_at(path) {
            if is_reference {
                bail!("{name}: graphs are compared with the model that they were made of");
            }
            let model = OnnxModel::open(path)?;
            let (folder, suffix) = model.place();
            let name = format!("{}{suffix}", called(folder));
            return Ok(Self { name, subject: Subject::Graphs(path.to_owned()), made: None });
        }
        let found = match is_reference || path.is_dir() {
            true => bases::whisper(name)?,
            false => bases::gguf(name)?,
        };
        let name = match found.made.is_some() || !path.exists() {
            true => called(path),
            false => called(&found.path),
        };
        let file = WeightFile::open(&found.path)?;
        let subject = match file.metadata_str("general.architecture")? {
            "whisper" => Subject::Whisper(found.path),
            "clip" => bail!(
                "{}: encoder and adapter; the other half of the pair is to be named",
                found.path.display()
            ),
            _ if matches!(file.metadata().get(ExportedModel::PAIR), Some(Value::String(_))) => {
                Subject::Pair(found.path)
            }
            other => bail!("{}: {other:?} alone cannot hear", found.path.display()),
        };
        Ok(Self { name, subject, made: found.made })
    }

    /// Whether its file was made for now, in f32.
    pub fn is_made(&self) -> bool {
        self.made.is_some()
    }
}

impl Subject {
    /// All files that it needs.
    ///
    /// # Errors
    /// When one cannot be opened.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        Ok(match self {
            Self::Trained { path, encoder, llm } => {
                vec![TrainedModel::weights(path), encoder.clone(), llm.clone()]
            }
            Self::Pair(file) => ExportedModel::open(file)?.files().map(Path::to_path_buf).collect(),
            Self::Graphs(path) => {
                let mut files = Vec::new();
                for graph in OnnxModel::open(path)?.graphs() {
                    let beside = OnnxFile::open(&graph)?.beside;
                    files.extend(beside.into_iter().map(|name| graph.with_file_name(name)));
                    files.push(graph);
                }
                files
            }
            Self::Whisper(file) => WeightFile::open(file)?.files().map(Path::to_path_buf).collect(),
        })
    }

    /// Bytes of all files.
    ///
    /// # Errors
    /// As [`Subject::files`], or when one is gone.
    pub fn bytes(&self) -> Result<u64> {
        let length = |path: PathBuf| -> Result<u64> {
            Ok(fs::metadata(&path).with_context(|| path.display().to_string())?.len())
        };
        self.files()?.into_iter().map(length).sum()
    }

    /// Languages that it understands, and those that it translates into.
    ///
    /// # Errors
    /// When its files do not say.
    pub fn languages(&self) -> Result<(Vec<String>, Vec<String>)> {
        let codes = |langs: &[Lang]| langs.iter().map(|lang| lang.code().to_owned()).collect();
        Ok(match self {
            Self::Trained { path, .. } => {
                let model = TrainedModel::read(path)?;
                (codes(&model.languages), codes(&model.targets))
            }
            Self::Pair(file) => {
                let pair = ExportedModel::open(file)?;
                (codes(pair.languages()), codes(pair.targets()))
            }
            Self::Graphs(path) => {
                let model = OnnxModel::open(path)?;
                (codes(model.languages()), codes(model.targets()))
            }
            Self::Whisper(_) => {
                let can = self.open(true)?.capabilities().clone();
                (can.languages, can.translation_targets)
            }
        })
    }

    /// Loads it as it runs on this machine; a speech model in floats if `float`.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub fn open(&self, float: bool) -> Result<Model> {
        let device = &Device::Cpu;
        let precisions = match float {
            true => [Precision::Float; 2],
            false => [Precision::Prefill, Precision::Decoding],
        };
        Ok(match self {
            Self::Trained { path, encoder, llm } => {
                let weights = TrainedModel::weights(path);
                let bases = (encoder.as_path(), llm.as_path());
                let model = TrainedModel::read(path)?;
                Model::Speech(Box::new(model.open_weights(&weights, bases, precisions, device)?))
            }
            Self::Pair(file) => {
                let pair = ExportedModel::open(file)?;
                Model::Speech(Box::new(pair.engine_with(precisions, device)?))
            }
            Self::Graphs(path) => {
                let threads = candle_core::utils::get_num_threads();
                let library = installed::onnx_runtime()?;
                let runtime = Runtime { library, provider: Provider::Cpu, threads };
                Model::Graphs(Box::new(OnnxModel::open(path)?.engine(&runtime)?))
            }
            Self::Whisper(file) => {
                Model::Whisper(Box::new(Whisper::load(file, device, Padding::Natural)?))
            }
        })
    }
}

/// A loaded model.
pub enum Model {
    /// A language model that hears.
    Speech(Box<SpeechEngine>),
    /// The same as graphs.
    Graphs(Box<SpeechEngine<OnnxSpeech>>),
    /// Whisper.
    Whisper(Box<Whisper>),
}

impl Model {
    /// It as an engine.
    pub fn engine(&mut self) -> &mut dyn Engine {
        match self {
            Self::Speech(engine) => engine.as_mut(),
            Self::Graphs(engine) => engine.as_mut(),
            Self::Whisper(whisper) => whisper.as_mut(),
        }
    }

    /// What it can do.
    pub fn capabilities(&self) -> &Capabilities {
        match self {
            Self::Speech(engine) => engine.capabilities(),
            Self::Graphs(engine) => engine.capabilities(),
            Self::Whisper(whisper) => whisper.capabilities(),
        }
    }

    /// What its encoder, and the adapter where there is one, make of audio.
    ///
    /// # Errors
    /// When the audio is too long, or the network fails.
    pub fn encode(&self, samples: &[f32]) -> Result<Tensor> {
        Ok(match self {
            Self::Speech(engine) => engine.listen(samples)?,
            Self::Graphs(engine) => engine.listen(samples)?,
            Self::Whisper(whisper) => whisper.encode(samples)?,
        })
    }
}
