//! Tokenizers as GGUF files hold them.

use partita_model::files::{Array, Value, WeightFile};
use partita_model::tokens::Mark;

/// Kinds of tokens in GGUF files.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const DEFINED: i32 = 4;
const BYTE: i32 = 6;

/// A tokenizer's keys, and the number of its tokens.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    pub(crate) keys: Vec<(String, Value)>,
    pub(crate) tokens: usize,
}

impl Tokenizer {
    /// SentencePiece with scores: reserved tokens for all marks, bytes, and pieces for the words and
    /// all their beginnings. Each word at a text's beginning or behind a space is one token.
    pub fn of_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        Self::made(words, &[], true)
    }

    /// As [`Tokenizer::of_words`], with these defined tokens, a piece for each letter, and no space
    /// put before a text.
    pub fn of_letters<'a>(words: impl IntoIterator<Item = &'a str>, defined: &[&str]) -> Self {
        Self::made(words, defined, false)
    }

    /// The tokenizer of a GGUF file; `None` where it has none.
    pub fn of_file(file: &WeightFile) -> Option<Self> {
        let keys = file.metadata().iter().filter(|(key, _)| key.starts_with("tokenizer."));
        let keys = keys.map(|(key, value)| (key.clone(), value.clone())).collect();
        let tokens = file.metadata().get("tokenizer.ggml.tokens").and_then(Value::as_array)?;
        Some(Self { keys, tokens: tokens.len() })
    }

    fn made<'a>(words: impl IntoIterator<Item = &'a str>, defined: &[&str], prefix: bool) -> Self {
        let mut tokens: Vec<(String, i32)> =
            ["<pad>", "<eos>", "<bos>"].map(|name| (name.to_owned(), CONTROL)).into();
        tokens.push(("<unk>".to_owned(), UNKNOWN));
        tokens.extend((0..Mark::rows()).map(|row| (format!("<unused{row}>"), CONTROL)));
        tokens.extend((0..=255).map(|byte| (format!("<0x{byte:02X}>"), BYTE)));
        tokens.extend(defined.iter().map(|&name| (name.to_owned(), DEFINED)));
        // A word is made from its beginning on: every beginning of it is a piece.
        for word in words {
            let mut piece = "\u{2581}".to_owned();
            for letter in std::iter::once(None).chain(word.chars().map(Some)) {
                piece.extend(letter);
                let letter = letter.filter(|_| !prefix).map(String::from);
                for piece in letter.into_iter().chain([piece.clone()]) {
                    if tokens.iter().all(|(known, _)| *known != piece) {
                        tokens.push((piece, NORMAL));
                    }
                }
            }
        }
        let count = tokens.len();
        let (pieces, kinds): (Vec<String>, Vec<i32>) = tokens.into_iter().unzip();
        // What was added first is merged first.
        let scores: Vec<f32> = (0..count).map(|place| -(place as f32)).collect();
        let keys = [
            ("model", Value::from("llama")),
            ("pre", Value::from("default")),
            ("tokens", Value::Array(Array::String(pieces))),
            ("token_type", kinds.into()),
            ("scores", scores.into()),
            ("padding_token_id", Value::U32(0)),
            ("eos_token_id", Value::U32(1)),
            ("bos_token_id", Value::U32(2)),
            ("unknown_token_id", Value::U32(3)),
            ("add_space_prefix", Value::Bool(prefix)),
        ];
        let keys = keys.map(|(key, value)| (format!("tokenizer.ggml.{key}"), value));
        Self { keys: keys.into(), tokens: count }
    }
}
