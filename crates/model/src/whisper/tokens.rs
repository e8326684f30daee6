//! Whisper's tokenizer and its special tokens.

use crate::error::ModelError;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::path::Path;
use tokenizers::Tokenizer;

/// Seconds a step of a timestamp token.
pub const TIMESTAMP_STEP: f64 = 0.02;

/// How Whisper's tokenizers cut text and join it.
const BYTES: &str = "ByteLevel";

/// Byte-level BPE with Whisper's special tokens, found by name: their ids differ between sizes.
#[derive(Debug, Clone)]
pub struct WhisperTokens {
    tokenizer: Tokenizer,
    /// `<|startoftranscript|>`
    pub start: u32,
    /// `<|endoftext|>`
    pub end: u32,
    /// `<|transcribe|>`
    pub transcribe: u32,
    /// `<|translate|>`
    pub translate: u32,
    /// `<|startofprev|>`
    pub previous: u32,
    /// `<|nospeech|>`
    pub no_speech: u32,
    /// `<|notimestamps|>`
    pub no_timestamps: u32,
    /// Language codes with their tokens; one entry, `en`, for English-only models.
    pub languages: Vec<(String, u32)>,
    multilingual: bool,
}

/// Refuses what Whisper's tokenizers do not have: tables of a normalizer, or broken steps of a decoder,
/// on which the tokenizer's crate ends the program, and patterns of others, which may take forever.
fn check(json: &str) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Step {
        #[serde(rename = "type")]
        kind: String,
    }
    #[derive(Deserialize)]
    struct File {
        normalizer: Option<IgnoredAny>,
        pre_tokenizer: Option<Step>,
        decoder: Option<Step>,
    }
    let file: File = serde_json::from_str(json).map_err(|cause| cause.to_string())?;
    if file.normalizer.is_some() {
        return Err("a normalizer, which Whisper has none of".to_owned());
    }
    let steps = [file.pre_tokenizer, file.decoder].into_iter().flatten();
    match steps.map(|step| step.kind).find(|kind| kind != BYTES) {
        Some(kind) => Err(format!("{kind}, where Whisper has {BYTES}")),
        None => Ok(()),
    }
}

impl WhisperTokens {
    /// Reads the content of a `tokenizer.json` for a model with so many tokens that is told language
    /// and task or not; `origin` is named in errors.
    ///
    /// # Errors
    /// When it is no tokenizer, or one without Whisper's special tokens.
    pub fn parse(
        json: &str,
        (vocabulary, multilingual): (usize, bool),
        origin: &Path,
    ) -> Result<Self, ModelError> {
        let wrong = |reason: String| ModelError::Companion { path: origin.to_owned(), reason };
        check(json).map_err(|cause| wrong(format!("not a tokenizer: {cause}")))?;
        let tokenizer: Tokenizer =
            json.parse().map_err(|cause| wrong(format!("not a tokenizer: {cause}")))?;
        let find = |names: &[&str]| {
            let found = names.iter().find_map(|name| tokenizer.token_to_id(name));
            found.filter(|&id| (id as usize) < vocabulary).ok_or_else(|| {
                wrong(format!("no token {} within the vocabulary", names.join(" or ")))
            })
        };
        let start = find(&["<|startoftranscript|>"])?;
        let translate = find(&["<|translate|>"])?;
        let language = |id: u32| {
            let token = tokenizer.id_to_token(id)?;
            let code = token.strip_prefix("<|")?.strip_suffix("|>")?;
            Some((code.to_owned(), id))
        };
        // English-only models share the table of tokens but have no use for the others.
        let languages: Vec<_> = (start + 1..translate).filter_map(language).collect();
        let languages = match multilingual {
            true => languages,
            false => languages.into_iter().filter(|(code, _)| code == "en").collect(),
        };
        let (end, transcribe) = (find(&["<|endoftext|>"])?, find(&["<|transcribe|>"])?);
        let (previous, no_timestamps) = (find(&["<|startofprev|>"])?, find(&["<|notimestamps|>"])?);
        let no_speech = find(&["<|nospeech|>", "<|nocaptions|>"])?;
        Ok(Self {
            tokenizer,
            start,
            end,
            transcribe,
            translate,
            previous,
            no_speech,
            no_timestamps,
            languages,
            multilingual,
        })
    }

    /// The token of 0.00 s; the following ones count in steps of 0.02 s.
    pub fn first_timestamp(&self) -> u32 {
        self.no_timestamps + 1
    }

    /// The token of a language.
    pub fn language(&self, code: &str) -> Option<u32> {
        self.languages.iter().find(|(known, _)| known == code).map(|&(_, id)| id)
    }

    /// What the decoder is given before it writes.
    pub fn prompt(&self, language: u32, translate: bool, timestamps: bool) -> Vec<u32> {
        let mut prompt = vec![self.start];
        if self.multilingual {
            prompt.push(language);
            prompt.push(if translate { self.translate } else { self.transcribe });
        }
        if !timestamps {
            prompt.push(self.no_timestamps);
        }
        prompt
    }

    /// A token as the tokenizer has it.
    pub fn piece(&self, token: u32) -> Option<String> {
        self.tokenizer.id_to_token(token)
    }

    /// Text of ordinary tokens; special ones and timestamps are left out.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn text(&self, tokens: &[u32]) -> Result<String, ModelError> {
        let ordinary: Vec<u32> = tokens.iter().copied().filter(|&id| id < self.end).collect();
        let text = self.tokenizer.decode(&ordinary, true);
        text.map_err(|cause| ModelError::Tokenizer(cause.to_string()))
    }

    /// Tokens of a text, without any special ones.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let encoding = self.tokenizer.encode_fast(text, false);
        let encoding = encoding.map_err(|cause| ModelError::Tokenizer(cause.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_the_program_is_an_error() {
        let json = include_str!("../../tests/whisper/tokenizer.json");
        let read =
            |json: &str| WhisperTokens::parse(json, (327, false), Path::new("tokenizer.json"));
        assert!(read(json).is_ok());
        let decoder = json.find("\"decoder\"").unwrap();
        for length in [decoder + 12, decoder + 20, decoder + 40] {
            assert!(read(&json[..length]).is_err());
        }
        let normalized = json.replacen(
            "\"normalizer\": null",
            r#""normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}"#,
            1,
        );
        assert_ne!(normalized, json);
        assert!(read(&normalized).unwrap_err().to_string().contains("normalizer"));
        for step in ["pre_tokenizer", "decoder"] {
            let mut file: serde_json::Value = serde_json::from_str(json).unwrap();
            let pattern = serde_json::json!({"Regex": "(x+x+)+y"});
            file[step] = match step {
                "decoder" => {
                    serde_json::json!({"type": "Replace", "pattern": pattern, "content": ""})
                }
                _ => {
                    serde_json::json!({"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": false})
                }
            };
            let said = read(&file.to_string()).unwrap_err().to_string();
            assert!(said.contains("where Whisper has ByteLevel"), "{said}");
        }
    }
}
