//! Speech encoder, adapter and language model as one.

use super::{Adapter, AdapterConfig, Vocabulary};
use crate::error::ModelError;
use crate::files::WeightFile;
use crate::llm::{Llm, LlmConfig, TrainedRows};
use crate::nn::{Init, WeightSource};
use crate::tokens::{Marks, Shortlist, TextTokenizer};
use crate::whisper::{Encoder, WhisperConfig};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a speech model is made of, beside its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpeechConfig {
    /// Between encoder and language model.
    pub adapter: AdapterConfig,
    /// Tokens that are read and written.
    pub shortlist: Shortlist,
}

/// The two base models of others.
#[derive(Debug, Clone)]
pub struct Bases {
    /// Dimensions of the speech encoder.
    pub encoder: WhisperConfig,
    /// The language model's file, whose token table is read as it is needed.
    pub text: Arc<WeightFile>,
    /// Its tokenizer.
    pub tokenizer: Arc<TextTokenizer>,
}

impl Bases {
    /// Reads what is needed beside weights from an imported Whisper file and a language model's.
    ///
    /// # Errors
    /// When a file is not what it should be.
    pub fn open(encoder: &WeightFile, text: Arc<WeightFile>) -> Result<Self, ModelError> {
        let tokenizer = Arc::new(TextTokenizer::from_gguf(&text)?);
        Ok(Self { encoder: WhisperConfig::from_file(encoder)?, text, tokenizer })
    }
}

/// A language model that hears.
#[derive(Debug, Clone)]
pub struct SpeechLlm {
    encoder: Encoder,
    adapter: Adapter,
    llm: Llm,
    vocabulary: Vocabulary,
}

impl SpeechLlm {
    /// Name of the trained vectors of the marks: `[marks, width]`, in the order of [`Marks::ids`].
    pub const MARKS: &'static str = "marks.weight";

    /// Takes the encoder, the adapter and the marks from `speech` and the language model's blocks
    /// from `text`; in training, adapter and marks may begin at random.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape, or the parts do not fit each other.
    pub fn load(
        speech: &impl WeightSource,
        text: &impl WeightSource,
        bases: &Bases,
        config: &SpeechConfig,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let llm_config = LlmConfig::from_gguf(&bases.text)?;
        let (width, heard) = (llm_config.width, bases.encoder.width);
        if (config.adapter.encoder_width, config.adapter.llm_width) != (heard, width) {
            let reason = format!("{:?} between widths {heard} and {width}", config.adapter);
            return Err(ModelError::Parameter { name: "mm.a".to_owned(), reason });
        }
        let marks: Vec<u32> = Marks::for_tokenizer(&bases.tokenizer).ids().collect();
        let deviation = config.adapter.output_rms / llm_config.embedding_scale;
        let rows = speech.tensor_or(Self::MARKS, &[marks.len(), width], Init::Normal(deviation))?;
        let trained = TrainedRows::new(&marks, rows);
        let mut shortlist = config.shortlist.ids().to_vec();
        shortlist.extend(&marks);
        shortlist.sort_unstable();
        shortlist.dedup();
        let wanted = (Some(&shortlist[..]), Some(trained));
        let llm = Llm::load(text, bases.text.clone(), llm_config, wanted, device)?;
        let outputs = llm.output_ids().unwrap_or_default().to_vec();
        Ok(Self {
            encoder: Encoder::load(speech, &bases.encoder)?,
            adapter: Adapter::load(speech, &config.adapter)?,
            vocabulary: Vocabulary::new(
                bases.tokenizer.clone(),
                config.shortlist.clone(),
                outputs,
            )?,
            llm,
        })
    }

    /// Its words.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Its language model.
    pub fn llm(&self) -> &Llm {
        &self.llm
    }

    /// The device that it runs on.
    pub fn device(&self) -> &Device {
        self.llm.device()
    }

    /// Log-mel `[batch, bins, time]` of clips of `frames` mel frames each to what the language model
    /// takes for tokens: `[batch, time', width]` and each clip's length in it.
    ///
    /// # Errors
    /// When the shapes do not fit, or a clip has no frames or more than the encoder takes.
    pub fn listen(
        &self,
        mel: &Tensor,
        frames: &[usize],
    ) -> candle_core::Result<(Tensor, Vec<usize>)> {
        self.listen_through(mel, frames, Ok)
    }

    /// The same where `change` comes between the encoder's vectors `[batch, time, width]` and the
    /// adapter; training drops vectors there.
    ///
    /// # Errors
    /// As [`SpeechLlm::listen`], and those of `change`.
    pub fn listen_through(
        &self,
        mel: &Tensor,
        frames: &[usize],
        change: impl FnOnce(Tensor) -> candle_core::Result<Tensor>,
    ) -> candle_core::Result<(Tensor, Vec<usize>)> {
        let heard = change(self.encoder.forward_batch(mel, frames)?)?;
        let lengths: Vec<usize> = frames.iter().map(|&frames| Encoder::frames(frames)).collect();
        self.adapter.forward(&heard, &lengths)
    }
}
