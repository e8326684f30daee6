//! SentencePiece's pieces with scores (`tokenizer.ggml.model = "llama"`): Gemma, Llama 2.
//!
//! Characters merge to the known piece of the highest score, the leftmost first among equals; a
//! character that is no piece becomes bytes. Spaces are written `▁` (U+2581).

use super::keys::Keys;
use super::merge::{Join, Merged, Part, merge};
use super::vocabulary::{TokenKind, Vocabulary};
use crate::error::ModelError;
use crate::files::Array;

/// How SentencePiece writes a space.
pub(super) const SPACE: char = '\u{2581}';

#[derive(Debug, Clone)]
pub(super) struct ScoreScheme {
    /// When each token is merged: the higher the score, the lower the number.
    order: Vec<u32>,
    /// Token of each byte.
    bytes: Vec<Option<u32>>,
    /// Whether a text gets a space before it.
    pub prefix: bool,
}

impl ScoreScheme {
    pub fn read(keys: Keys, vocabulary: &Vocabulary) -> Result<Self, ModelError> {
        const KEY: &str = "scores";
        let array = keys.array(KEY, Some(vocabulary.len()))?;
        let array = array.ok_or_else(|| keys.wrong(KEY, "missing"))?;
        let Array::F32(scores) = array else {
            return Err(keys.wrong(KEY, format!("holds {}, not f32", array.type_name())));
        };
        if let Some(id) = scores.iter().position(|score| !score.is_finite()) {
            return Err(keys.wrong(KEY, format!("token {id} has no finite score")));
        }
        let prefix = keys.flag("add_space_prefix")?.unwrap_or(true);
        Self::new(scores, vocabulary, prefix).map_err(|reason| keys.wrong("tokens", reason))
    }

    /// Of finite scores, one a token; says which token of a byte has another name than such have.
    pub fn new(scores: &[f32], vocabulary: &Vocabulary, prefix: bool) -> Result<Self, String> {
        let mut bytes = vec![None; 256];
        for (id, piece, _) in vocabulary.iter().filter(|(.., kind)| *kind == TokenKind::Byte) {
            let place = byte(piece).and_then(|byte| bytes.get_mut(usize::from(byte)));
            *place.ok_or_else(|| format!("byte token {id} is not named <0x00>"))? = Some(id);
        }
        Ok(Self { order: scores.iter().map(|&score| order(score)).collect(), bytes, prefix })
    }

    /// Tokens of single bytes, where there are such tokens.
    pub fn byte_tokens(&self) -> &[Option<u32>] {
        &self.bytes
    }

    /// Cuts a text, in which spaces are written `▁`, into tokens that `keep` allows.
    pub fn merged(&self, all: &Vocabulary, text: &str, keep: &dyn Fn(u32) -> bool) -> Merged {
        let find =
            |start: usize, end: usize| all.text_id(text.get(start..end)?).filter(|&id| keep(id));
        let characters = text.char_indices().map(|(start, character)| {
            let end = start + character.len_utf8();
            Part { start, end, id: find(start, end) }
        });
        merge(characters, |left, right| {
            let id = find(left.start, right.end)?;
            Some(Join { order: *self.order.get(id as usize)?, id })
        })
    }
}

/// A number that falls as the score rises.
fn order(score: f32) -> u32 {
    // Adding zero makes one zero of the two. Bits of floats of one sign are in the order of their
    // sizes.
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 0 { !(bits | 1 << 31) } else { bits }
}

/// The byte that a token named `<0x0A>` stands for.
pub(super) fn byte(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    let two = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if two { u8::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn higher_scores_come_first() {
        let scores = [3.5, 1.0, f32::MIN_POSITIVE, 0.0, -1e-30, -1.0, -2.0, -255_504.0, f32::MIN];
        assert!(scores.map(order).is_sorted_by(|a, b| a < b), "{:?}", scores.map(order));
        assert_eq!(order(0.0), order(-0.0));
    }

    #[test]
    fn names_of_bytes() {
        assert_eq!((byte("<0x0A>"), byte("<0xff>")), (Some(10), Some(255)));
        for wrong in ["<0x>", "<0x1>", "<0x001>", "<0x+1>", "0x0A", "<0xé>", "<0x0A"] {
            assert_eq!(byte(wrong), None, "{wrong}");
        }
    }
}
