//! Exported tokenizers: `tokenizer.json` as Hugging Face's libraries read it.

use super::byte_level::ByteScheme;
use super::score::{ScoreScheme, byte};
use super::split::Splitter;
use super::tokenizer::{Scheme, Special, TextTokenizer};
use super::vocabulary::{MOST_TOKENS, TokenKind, Vocabulary};
use crate::error::ModelError;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    normalizer: Value,
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    byte_fallback: bool,
    unk_token: Option<String>,
    vocab: HashMap<String, u32>,
    merges: Vec<String>,
}

impl TextTokenizer {
    /// Reads the content of a `tokenizer.json` that `partita-export onnx` wrote: pieces, and the pairs
    /// that make pieces in the order of what SentencePiece scores them; or pieces of bytes, for which
    /// `pre` names the cutting into words (`tokenizer.ggml.pre` of GGUF files). `origin` is named in
    /// errors; the start and the end, which such files do not name, are `bos` and `eos`.
    ///
    /// # Errors
    /// When it is no such file, or a token is beyond the vocabulary.
    pub fn from_json(
        json: &[u8],
        origin: &Path,
        (bos, eos): (Option<u32>, Option<u32>),
        pre: Option<&str>,
    ) -> Result<Self, ModelError> {
        let wrong = |reason: String| ModelError::Companion { path: origin.to_owned(), reason };
        let file: File = serde_json::from_slice(json).map_err(|cause| wrong(cause.to_string()))?;
        let model = &file.model;
        if model.kind != "BPE" || model.byte_fallback == pre.is_some() {
            let reason = "neither SentencePiece's pieces with bytes (BPE, byte_fallback) nor \
                byte-level BPE with a known cutting into words";
            return Err(wrong(reason.to_owned()));
        }
        let count = model.vocab.len();
        if count == 0 || count > MOST_TOKENS {
            return Err(wrong(format!("{count} tokens, not 1 to {MOST_TOKENS}")));
        }
        let mut pieces = vec![String::new(); count];
        for (piece, &id) in &model.vocab {
            let place = pieces.get_mut(id as usize).filter(|place| place.is_empty());
            let fault = || wrong(format!("token {id} twice, or not below {count}"));
            piece.clone_into(place.ok_or_else(fault)?);
        }
        let is_byte = |piece: &String| pre.is_none() && byte(piece).is_some();
        let kind = |piece| if is_byte(piece) { TokenKind::Byte } else { TokenKind::Normal };
        let mut kinds: Vec<TokenKind> = pieces.iter().map(kind).collect();
        for added in &file.added_tokens {
            let fault = || wrong(format!("added token {} of {count}", added.id));
            *kinds.get_mut(added.id as usize).ok_or_else(fault)? =
                if added.special { TokenKind::Control } else { TokenKind::UserDefined };
        }
        let unknown = model.unk_token.as_ref().and_then(|name| model.vocab.get(name)).copied();
        if let Some(kind) = unknown.and_then(|id| kinds.get_mut(id as usize)) {
            *kind = TokenKind::Unknown;
        }
        let mut ends = [bos, eos].into_iter().flatten();
        if let Some(id) = ends.find(|&id| id as usize >= count) {
            return Err(wrong(format!("no token {id}, which starts or ends texts")));
        }
        let vocabulary = Vocabulary::new(&pieces, kinds).map_err(wrong)?;
        let special = Special { bos, eos, unknown, padding: None };
        if let Some(name) = pre {
            let unknown = || wrong(format!("no cutting into words is called {name:?}"));
            let splitter = Splitter::named(name).ok_or_else(unknown)?;
            let scheme = ByteScheme::new(&model.merges, &vocabulary, splitter).map_err(wrong)?;
            return Ok(Self::of(vocabulary, Scheme::Bytes(scheme), special));
        }
        // The first pair that makes a piece says how early it is made.
        let mut scores = vec![-(MOST_TOKENS as f32); count];
        let mut made = 0;
        for merge in &model.merges {
            let piece: String = merge.split(' ').collect();
            let place = model.vocab.get(&piece).and_then(|&id| scores.get_mut(id as usize));
            if let Some(score) = place.filter(|score| **score <= -(MOST_TOKENS as f32)) {
                *score = -(made as f32);
                made += 1;
            }
        }
        let prefix = prepends(&file.normalizer);
        let scheme = ScoreScheme::new(&scores, &vocabulary, prefix).map_err(wrong)?;
        if unknown.is_none() && scheme.byte_tokens().contains(&None) {
            return Err(wrong("no token of what is unknown, and not every byte has one".into()));
        }
        Ok(Self::of(vocabulary, Scheme::Scores(scheme), special))
    }
}

/// Whether a text gets a space before it.
fn prepends(normalizer: &Value) -> bool {
    let is_prepend = |value: &Value| value["type"] == "Prepend";
    let parts = normalizer["normalizers"].as_array().map_or(&[][..], Vec::as_slice);
    is_prepend(normalizer) || parts.iter().any(is_prepend)
}
