//! A trained model's folder: what it is made of, and what training changed of its bases.

use super::{AdapterConfig, Bases, CtcHead, SpeechConfig, SpeechEngine, SpeechLlm};
use crate::error::ModelError;
use crate::files::{WeightFile, whole};
use crate::nn::{DeltaSource, FileSource, Precision, WeightSource};
use crate::tokens::Lang;
use candle_core::Device;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a trained model is, in `model.json`; its weights are beside it in `weights.safetensors`:
/// trained tensors under the networks' names, and low-rank changes.
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

    /// Reads a folder's description.
    ///
    /// # Errors
    /// When it is missing or malformed.
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
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
        let text = serde_json::to_vec(self).map_err(|cause| {
            let (path, reason) = (path.clone(), cause.to_string());
            ModelError::Companion { path, reason }
        })?;
        Ok(whole::write(&path, &text)?)
    }

    /// Opens the model in `folder` over its two bases: an imported Whisper file and a language
    /// model's GGUF file.
    ///
    /// # Errors
    /// When a file is missing, malformed, or does not fit the others.
    pub fn open(
        &self,
        folder: &Path,
        (encoder, llm): (&PathBuf, &PathBuf),
        device: &Device,
    ) -> Result<SpeechEngine, ModelError> {
        let delta = WeightFile::open(&folder.join(Self::WEIGHTS))?;
        let (encoder, llm) = (WeightFile::open(encoder)?, Arc::new(WeightFile::open(llm)?));
        let bases = Bases::open(&encoder, llm.clone())?;
        let over = |base| DeltaSource::new(base, &delta, device);
        let speech = over(FileSource::new(&encoder, device, Precision::Prefill))?;
        let text = over(FileSource::new(&llm, device, Precision::Decoding))?;
        let model = SpeechLlm::load(&speech, &text, &bases, &self.config, device)?;
        let engine =
            SpeechEngine::new(model, bases.encoder.mel_bins, &self.languages, &self.targets)?;
        if !delta.contains(CtcHead::BLANK) {
            return Ok(engine);
        }
        let ids = self.config.shortlist.ids();
        let rows = text.linear_of_rows(&llm, "token_embd", ids, device)?;
        let AdapterConfig { llm_width, output_rms, .. } = self.config.adapter;
        let shape = (ids.len(), llm_width);
        Ok(engine.with_ctc(CtcHead::load(&speech, rows, shape, output_rms, device)?))
    }
}
