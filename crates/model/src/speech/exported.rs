//! A trained model as a pair of stock files: a language model with its marks inside, and encoder
//! with adapter as llama.cpp's `mtmd` names them.

use super::pair::{PairSource, companion, dimensions};
use super::{Bases, CtcHead, SpeechConfig, SpeechEngine, SpeechLlm};
use crate::error::ModelError;
use crate::files::{Array, FileError, Value, WeightFile};
use crate::nn::{FileSource, Precision};
use crate::tokens::{Lang, Marks, Shortlist, TextTokenizer};
use candle_core::Device;
use std::path::Path;
use std::sync::Arc;

/// An opened pair: `NAME-QUANT.gguf` and `mmproj-NAME-QUANT.gguf`.
///
/// Everything that [`super::TrainedModel`] describes is in the two files: dimensions under
/// llama.cpp's keys, the rest under `partita.*`.
#[derive(Debug)]
pub struct ExportedModel {
    bases: Bases,
    projector: WeightFile,
    languages: Vec<Lang>,
    targets: Vec<Lang>,
    config: SpeechConfig,
}

impl ExportedModel {
    /// Key of the languages that the model understands (strings; in the language model's file).
    pub const LANGUAGES: &'static str = "partita.languages";
    /// Key of the languages that it translates into (strings; in the language model's file).
    pub const TARGETS: &'static str = "partita.targets";
    /// Key of the tokens that text is written with (u32, ascending; in the language model's file).
    pub const SHORTLIST: &'static str = "partita.shortlist";
    /// Key of what both files of a pair have in common.
    pub const PAIR: &'static str = "partita.pair";
    /// Key of [`super::AdapterConfig::output_rms`] (f32; in the other file).
    pub const OUTPUT_RMS: &'static str = "partita.adapter.output_rms";

    /// Opens the pair of a language model's file and the other file beside it: the same name with
    /// `mmproj-` before it, or one that differs in its quantization alone (`Q8_0` before others).
    ///
    /// # Errors
    /// When there is no such file, or [`ExportedModel::open_pair`] fails.
    pub fn open(llm: &Path) -> Result<Self, ModelError> {
        Self::open_pair(llm, &companion(llm)?)
    }

    /// The language model's file (or its shards in order), and that of its encoder and adapter.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.bases.text.files().chain(self.projector.files())
    }

    /// Whether the file is a language model's of such a pair, and no other's.
    pub fn is_at(llm: &Path) -> bool {
        let ours = |file: WeightFile| file.metadata().contains_key(Self::PAIR);
        llm.is_file() && WeightFile::open(llm).is_ok_and(ours)
    }

    /// Opens a language model's file and that of its encoder and adapter.
    ///
    /// # Errors
    /// When one is missing, malformed, or no part of a pair; when they are of different pairs.
    pub fn open_pair(llm: &Path, projector: &Path) -> Result<Self, ModelError> {
        let (llm, projector) = (Arc::new(WeightFile::open(llm)?), WeightFile::open(projector)?);
        let wrong = |file: &WeightFile, key: &str, reason: String| -> ModelError {
            FileError::metadata(file.path(), key, reason).into()
        };
        let (ours, theirs) = (llm.metadata_str(Self::PAIR)?, projector.metadata_str(Self::PAIR)?);
        if ours != theirs {
            let reason = format!("not the one of {}", llm.path().display());
            return Err(wrong(&projector, Self::PAIR, reason));
        }
        let langs = |key: &str| -> Result<Vec<Lang>, ModelError> {
            let array = llm.metadata().get(key).and_then(Value::as_array);
            let codes = array.and_then(Array::as_strings);
            let codes = codes.ok_or_else(|| wrong(&llm, key, "missing, or no strings".into()))?;
            codes.iter().map(|code| code.parse()).collect()
        };
        let shortlist = match llm.metadata().get(Self::SHORTLIST) {
            Some(Value::Array(Array::U32(ids))) => Shortlist::try_from(ids.clone())?,
            _ => return Err(wrong(&llm, Self::SHORTLIST, "missing, or no u32".into())),
        };
        let tokenizer = Arc::new(TextTokenizer::from_gguf(&llm)?);
        let (encoder, adapter) = dimensions(&projector)?;
        Ok(Self {
            languages: langs(Self::LANGUAGES)?,
            targets: langs(Self::TARGETS)?,
            config: SpeechConfig { adapter, shortlist },
            bases: Bases { encoder, text: llm, tokenizer },
            projector,
        })
    }

    /// Languages that it understands.
    pub fn languages(&self) -> &[Lang] {
        &self.languages
    }

    /// Languages that it translates into.
    pub fn targets(&self) -> &[Lang] {
        &self.targets
    }

    /// Adapter and shortlist.
    pub fn config(&self) -> &SpeechConfig {
        &self.config
    }

    /// Loads it, with weights held in the forms that are fastest here.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape, or the device has no room.
    pub fn engine(&self, device: &Device) -> Result<SpeechEngine, ModelError> {
        self.engine_with([Precision::Prefill, Precision::Decoding], device)
    }

    /// As [`ExportedModel::engine`], with precisions of encoder and language model of one's own.
    ///
    /// # Errors
    /// As there.
    pub fn engine_with(
        &self,
        [hearing, writing]: [Precision; 2],
        device: &Device,
    ) -> Result<SpeechEngine, ModelError> {
        let Bases { encoder, text, tokenizer } = &self.bases;
        let marks = Marks::for_tokenizer(tokenizer).ids().collect();
        let speech = PairSource::new(&self.projector, text, marks, (device, hearing));
        let source = FileSource::new(text, device, writing);
        let model = SpeechLlm::load(&speech, &source, &self.bases, &self.config, device)?;
        let engine = SpeechEngine::new(model, encoder.mel_bins, &self.languages, &self.targets)?;
        let words = CtcHead::words(&self.projector)?;
        if words.is_none() {
            return Ok(engine);
        }
        let rows = (&source, &**text);
        let head = CtcHead::over_shortlist(&speech, rows, &self.config, words, device)?;
        Ok(engine.with_ctc(head))
    }
}
