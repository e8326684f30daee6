//! A trained model: what it is made of, and what training changed of its bases.

use super::{Bases, CtcHead, SpeechConfig, SpeechEngine, SpeechLlm};
use crate::error::ModelError;
use crate::files::gguf::write_gguf;
use crate::files::{FileError, Value, WeightFile, whole};
use crate::nn::{DeltaSource, FileSource, LowRank, Precision};
use crate::tokens::Lang;
use candle_core::Device;
use candle_core::quantized::QTensor;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a trained model is. In a run's folder it is written in `model.json`, its weights beside it in
/// `weights.safetensors`: trained tensors under the networks' names, and low-rank changes. A packed
/// model is one GGUF file: the same description in its metadata, and the weights in fewer bits, some
/// as [changes](crate::nn::change_name) of those of a base.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainedModel {
    /// The speech encoder's model in the store.
    pub encoder: String,
    /// The language model's model in the store.
    pub llm: String,
    /// Languages that it was trained to understand.
    pub languages: Vec<Lang>,
    /// Languages that it was trained to translate into.
    pub targets: Vec<Lang>,
    /// What stands between encoder and language model, and the tokens that it knows.
    pub config: SpeechConfig,
}

/// Largest description that is read.
const LONGEST: u64 = 100_000_000;

impl TrainedModel {
    /// Name of the description in a model's folder.
    pub const DESCRIPTION: &'static str = "model.json";
    /// Name of the weights in a model's folder.
    pub const WEIGHTS: &'static str = "weights.safetensors";
    /// Where a packed model has its description.
    const KEY: &'static str = "partita.model";
    const ARCHITECTURE: &'static str = "partita-change";

    /// The file with the weights of the model at `path`: a folder's, or a packed file itself.
    pub fn weights(path: &Path) -> PathBuf {
        if path.is_dir() { path.join(Self::WEIGHTS) } else { path.to_owned() }
    }

    /// Whether there is a trained model at `path`: a folder with a description, or a packed file.
    pub fn is_at(path: &Path) -> bool {
        path.join(Self::DESCRIPTION).is_file() || Self::is_packed(path)
    }

    /// Whether there is a packed model at `path`, and no other file.
    pub fn is_packed(path: &Path) -> bool {
        let packed = |file: WeightFile| file.metadata().contains_key(Self::KEY);
        path.is_file() && WeightFile::open(path).is_ok_and(packed)
    }

    /// Reads the description of the model at `path`, a folder or a packed file.
    ///
    /// # Errors
    /// When it is missing or malformed.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        if path.is_file() {
            let file = WeightFile::open(path)?;
            let text = file.metadata_str(Self::KEY)?;
            return serde_json::from_str(text)
                .map_err(|cause| FileError::metadata(path, Self::KEY, cause.to_string()).into());
        }
        Self::read_folder(path)
    }

    fn read_folder(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join(Self::DESCRIPTION);
        let wrong = |reason: String| ModelError::Companion { path: path.clone(), reason };
        let length = std::fs::metadata(&path).map_err(|cause| wrong(cause.to_string()))?.len();
        if length > LONGEST {
            return Err(wrong(format!("{length} bytes are no description")));
        }
        let text = std::fs::read(&path).map_err(|cause| wrong(cause.to_string()))?;
        serde_json::from_slice(&text).map_err(|cause| wrong(cause.to_string()))
    }

    /// Writes the description into a folder, whole or not at all.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), ModelError> {
        let path = folder.join(Self::DESCRIPTION);
        let text = self.text(&path)?;
        whole::write(&path, text.as_bytes()).map_err(|cause| FileError::io(&path, cause).into())
    }

    /// Writes a packed model: this description and these weights, with the alpha of the low-rank
    /// changes among them. Whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_packed(
        &self,
        path: &Path,
        alpha: f64,
        weights: &[(&str, &QTensor)],
    ) -> Result<(), ModelError> {
        let text = |text: &str| Value::String(text.to_owned());
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let metadata = [
            ("general.architecture".to_owned(), text(Self::ARCHITECTURE)),
            ("general.name".to_owned(), text(&name)),
            (LowRank::ALPHA_KEY.to_owned(), Value::F64(alpha)),
            (Self::KEY.to_owned(), Value::String(self.text(path)?)),
        ];
        Ok(write_gguf(path, &metadata, weights)?)
    }

    fn text(&self, path: &Path) -> Result<String, ModelError> {
        serde_json::to_string(self).map_err(|cause| {
            let (path, reason) = (path.to_owned(), cause.to_string());
            ModelError::Companion { path, reason }
        })
    }

    /// Opens the model at `path`, a folder or a packed file, over its two bases: an imported Whisper
    /// file and a language model's GGUF file.
    ///
    /// # Errors
    /// When a file is missing, malformed, or does not fit the others.
    pub fn open(
        &self,
        path: &Path,
        bases: (&Path, &Path),
        device: &Device,
    ) -> Result<SpeechEngine, ModelError> {
        let precisions = [Precision::Prefill, Precision::Decoding];
        self.open_weights(&Self::weights(path), bases, precisions, device)
    }

    /// As [`TrainedModel::open`], with weights of another file and precisions of encoder and language
    /// model of one's own.
    ///
    /// # Errors
    /// As there.
    pub fn open_weights(
        &self,
        weights: &Path,
        (encoder, llm): (&Path, &Path),
        [hearing, writing]: [Precision; 2],
        device: &Device,
    ) -> Result<SpeechEngine, ModelError> {
        let delta = WeightFile::open(weights)?;
        let (encoder, llm) = (WeightFile::open(encoder)?, Arc::new(WeightFile::open(llm)?));
        let bases = Bases::open(&encoder, llm.clone())?;
        let over = |base| DeltaSource::new(base, &delta, device);
        let speech = over(FileSource::new(&encoder, device, hearing))?;
        let text = over(FileSource::new(&llm, device, writing))?;
        let model = SpeechLlm::load(&speech, &text, &bases, &self.config, device)?;
        let engine =
            SpeechEngine::new(model, bases.encoder.mel_bins, &self.languages, &self.targets)?;
        let words = CtcHead::words(&delta)?;
        if words.is_none() {
            return Ok(engine);
        }
        let rows = (&text, &*llm);
        let head = CtcHead::over_shortlist(&speech, rows, &self.config, words, device)?;
        Ok(engine.with_ctc(head))
    }
}
