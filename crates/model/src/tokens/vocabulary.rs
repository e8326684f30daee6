//! The tokens of a file: their texts and kinds.

use std::collections::HashMap;
use std::sync::Arc;

use super::keys::Keys;
use crate::error::ModelError;
use crate::files::Array;

/// Sixteen times the largest vocabulary known; bounds what a hostile file can ask for.
pub(super) const MOST_TOKENS: usize = 1 << 22;

/// Names by which llama.cpp knows a token that ends a text, and takes it as a control token
/// whatever the file says.
pub(super) const ENDS: [&str; 16] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
];

/// What a token is for (`tokenizer.ggml.token_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// A piece of text, made by merging.
    Normal,
    /// Stands for what has no piece.
    Unknown,
    /// Steers the model; never made from text, and without text of its own.
    Control,
    /// A piece that is found in a text before anything is merged.
    UserDefined,
    /// A place that nothing uses.
    Unused,
    /// One byte of a character that is no piece.
    Byte,
}

/// All tokens of a tokenizer, by id and by text.
#[derive(Debug, Clone)]
pub(super) struct Vocabulary {
    pieces: Vec<Arc<str>>,
    kinds: Vec<TokenKind>,
    ids: HashMap<Arc<str>, u32>,
}

impl Vocabulary {
    /// Reads `tokens` and `token_type`.
    pub fn read(keys: Keys) -> Result<Self, ModelError> {
        let tokens = keys.strings("tokens")?;
        if tokens.is_empty() || tokens.len() > MOST_TOKENS {
            let reason = format!("has {} elements, not 1 to {MOST_TOKENS}", tokens.len());
            return Err(keys.wrong("tokens", reason));
        }
        let kinds = kinds(keys, tokens.len())?;
        Self::new(tokens, kinds).map_err(|reason| keys.wrong("tokens", reason))
    }

    /// Of texts and kinds, one each; says what is wrong with them.
    pub fn new(tokens: &[String], mut kinds: Vec<TokenKind>) -> Result<Self, String> {
        let mut pieces = Vec::with_capacity(tokens.len());
        let mut ids = HashMap::with_capacity(tokens.len());
        for ((id, token), kind) in (0..).zip(tokens).zip(&mut kinds) {
            let piece: Arc<str> = token.as_str().into();
            // A place without a name can be many times there; a name can not.
            if !piece.is_empty()
                && let Some(first) = ids.insert(Arc::clone(&piece), id)
            {
                return Err(format!("tokens {first} and {id} are the same"));
            }
            if ENDS.contains(&token.as_str()) {
                *kind = TokenKind::Control;
            }
            pieces.push(piece);
        }
        Ok(Self { pieces, kinds, ids })
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    pub fn piece(&self, id: u32) -> Option<&str> {
        self.pieces.get(id as usize).map(|piece| &**piece)
    }

    pub fn kind(&self, id: u32) -> Option<TokenKind> {
        self.kinds.get(id as usize).copied()
    }

    /// The token of exactly this text, of any kind.
    pub fn id(&self, piece: &str) -> Option<u32> {
        self.ids.get(piece).copied()
    }

    /// The token that merging may make of this text.
    pub fn text_id(&self, piece: &str) -> Option<u32> {
        let id = self.id(piece)?;
        matches!(self.kind(id)?, TokenKind::Normal | TokenKind::UserDefined).then_some(id)
    }

    /// Ids, texts and kinds of all tokens.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str, TokenKind)> {
        let pieces = self.pieces.iter().zip(&self.kinds);
        (0..).zip(pieces).map(|(id, (piece, &kind))| (id, &**piece, kind))
    }
}

/// Kinds of all tokens; without the array, all are normal.
fn kinds(keys: Keys, length: usize) -> Result<Vec<TokenKind>, ModelError> {
    const KEY: &str = "token_type";
    let Some(array) = keys.array(KEY, Some(length))? else {
        return Ok(vec![TokenKind::Normal; length]);
    };
    let Array::I32(types) = array else {
        return Err(keys.wrong(KEY, format!("holds {}, not i32", array.type_name())));
    };
    let kind = |(i, kind): (usize, &i32)| match kind {
        1 => Ok(TokenKind::Normal),
        2 => Ok(TokenKind::Unknown),
        3 => Ok(TokenKind::Control),
        4 => Ok(TokenKind::UserDefined),
        5 => Ok(TokenKind::Unused),
        6 => Ok(TokenKind::Byte),
        other => Err(keys.wrong(KEY, format!("token {i} is of type {other}, not 1 to 6"))),
    };
    types.iter().enumerate().map(kind).collect()
}
