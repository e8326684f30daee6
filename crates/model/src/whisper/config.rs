//! The dimensions of a Whisper model.

use crate::error::ModelError;
use crate::files::{FileError, Value, WeightFile};

/// Dimensions of a Whisper model; head width is 64 in every published size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhisperConfig {
    /// Mel bins of the input: 80, or 128 for large-v3.
    pub mel_bins: usize,
    /// Encoder positions of 20 ms: 1500, which is 30 s.
    pub audio_positions: usize,
    /// Decoder positions: 448.
    pub text_positions: usize,
    /// Width of encoder and decoder.
    pub width: usize,
    /// Attention heads of encoder and decoder.
    pub heads: usize,
    /// Encoder layers.
    pub encoder_layers: usize,
    /// Decoder layers.
    pub decoder_layers: usize,
    /// Tokens; the stored table may have rows beyond.
    pub vocabulary: usize,
    /// Whether it is told language and task; English-only models are not.
    pub multilingual: bool,
}

/// Largest value of any dimension that is believed.
const LIMIT: u64 = 1 << 20;
/// Tokens of the smallest published model that knows languages; English-only ones have one less.
const KNOWING_LANGUAGES: usize = 51_865;

impl WhisperConfig {
    /// Key of [`WhisperConfig::multilingual`]; where it is missing, the number of tokens says it.
    pub const MULTILINGUAL: &'static str = "whisper.multilingual";

    /// Whether a published model with so many tokens knows languages.
    pub fn knows_languages(vocabulary: usize) -> bool {
        vocabulary >= KNOWING_LANGUAGES
    }

    /// Rows of the stored token table: the vocabulary rounded up to what fast products take.
    pub fn table_rows(&self) -> usize {
        self.vocabulary.next_multiple_of(16)
    }

    /// Reads the `whisper.*` keys of a file that [`super::import`] wrote.
    ///
    /// # Errors
    /// When a key is missing, of another type, zero, or beyond belief.
    pub fn from_file(file: &WeightFile) -> Result<Self, ModelError> {
        if file.metadata_str("general.architecture")? != "whisper" {
            return Err(wrong(file, "general.architecture", "not a Whisper model"));
        }
        let read = |key: &str| {
            let key = format!("whisper.{key}");
            match file.metadata_u64(&key)? {
                value @ 1..=LIMIT => Ok(value as usize),
                value => Err(wrong(file, &key, &format!("{value} is out of range"))),
            }
        };
        let vocabulary = read("vocabulary")?;
        let multilingual = match file.metadata().get(Self::MULTILINGUAL) {
            None => Self::knows_languages(vocabulary),
            Some(Value::Bool(multilingual)) => *multilingual,
            Some(_) => return Err(wrong(file, Self::MULTILINGUAL, "is not a bool")),
        };
        let config = Self {
            multilingual,
            mel_bins: read("mel_bins")?,
            audio_positions: read("audio_positions")?,
            text_positions: read("text_positions")?,
            width: read("width")?,
            heads: read("heads")?,
            encoder_layers: read("encoder_layers")?,
            decoder_layers: read("decoder_layers")?,
            vocabulary,
        };
        if !config.width.is_multiple_of(config.heads) {
            return Err(wrong(file, "whisper.heads", "does not divide the width"));
        }
        Ok(config)
    }

    /// The keys that [`WhisperConfig::from_file`] reads.
    pub fn metadata(&self) -> Vec<(String, Value)> {
        let numbers = [
            ("mel_bins", self.mel_bins),
            ("audio_positions", self.audio_positions),
            ("text_positions", self.text_positions),
            ("width", self.width),
            ("heads", self.heads),
            ("encoder_layers", self.encoder_layers),
            ("decoder_layers", self.decoder_layers),
            ("vocabulary", self.vocabulary),
        ];
        let number = |(key, value)| (format!("whisper.{key}"), Value::U32(value as u32));
        let multilingual = (Self::MULTILINGUAL.to_owned(), Value::Bool(self.multilingual));
        numbers.map(number).into_iter().chain([multilingual]).collect()
    }
}

fn wrong(file: &WeightFile, key: &str, reason: &str) -> ModelError {
    let (path, key, reason) = (file.path().to_owned(), key.to_owned(), reason.to_owned());
    FileError::Metadata { path, key, reason }.into()
}
