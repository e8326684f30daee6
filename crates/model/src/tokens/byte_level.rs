//! Byte-level BPE with ranked merges (`tokenizer.ggml.model = "gpt2"`): SmolLM2, Qwen, Llama 3.
//!
//! A text is cut into words by patterns, and the bytes of each word merge by rank. Pieces are
//! written in GPT-2's alphabet, which has a printable letter for every byte.

use std::collections::HashMap;

use super::keys::Keys;
use super::merge::{Join, Merged, Part, merge};
use super::split::Splitter;
use super::vocabulary::Vocabulary;
use crate::error::ModelError;

#[derive(Debug, Clone)]
pub(super) struct ByteScheme {
    /// What two tokens make.
    merges: HashMap<(u32, u32), Join>,
    /// Token of each byte.
    bytes: Vec<Option<u32>>,
    pub splitter: Splitter,
}

impl ByteScheme {
    pub fn read(keys: Keys, vocabulary: &Vocabulary) -> Result<Self, ModelError> {
        const KEY: &str = "merges";
        let name = keys.text("pre")?.unwrap_or("default");
        let splitter = Splitter::named(name).ok_or_else(|| {
            let known = Splitter::names().collect::<Vec<_>>().join(", ");
            keys.wrong("pre", format!("is {:?}; known are {known}", shown(name)))
        });
        let lines = keys.strings(KEY)?;
        Self::new(lines, vocabulary, splitter?).map_err(|reason| keys.wrong(KEY, reason))
    }

    /// Of merges in their order, a line each.
    pub fn new(
        lines: &[String],
        vocabulary: &Vocabulary,
        splitter: Splitter,
    ) -> Result<Self, String> {
        let mut merges = HashMap::with_capacity(lines.len());
        for (rank, line) in (0..).zip(lines) {
            let wrong = |reason: &str| format!("merge {rank} {reason}");
            // The first letter belongs to the left piece, even if it is a space.
            let cut = line.char_indices().skip(1).find(|&(_, letter)| letter == ' ');
            let (left, right) = cut
                .and_then(|(at, _)| Some((line.get(..at)?, line.get(at + 1..)?)))
                .ok_or_else(|| wrong("is not two pieces with a space between"))?;
            let find = |piece: &str| vocabulary.text_id(piece);
            let pair = find(left).zip(find(right));
            let pair = pair.ok_or_else(|| wrong("is of a piece that is no token"))?;
            let id = find(&[left, right].concat());
            let id = id.ok_or_else(|| wrong("makes a piece that is no token"))?;
            merges.entry(pair).or_insert(Join { order: rank, id });
        }
        let token = |byte: u8| vocabulary.text_id(letter(byte).encode_utf8(&mut [0; 4]));
        let bytes = (0..=u8::MAX).map(token).collect();
        Ok(Self { merges, bytes, splitter })
    }

    /// Tokens of single bytes, where there are such tokens.
    pub fn byte_tokens(&self) -> &[Option<u32>] {
        &self.bytes
    }

    /// Cuts a word into tokens that `keep` allows.
    pub fn merged(&self, all: &Vocabulary, word: &[u8], keep: &dyn Fn(u32) -> bool) -> Merged {
        if self.splitter.whole_words
            && let Some(id) = all.text_id(&spelled(word)).filter(|&id| keep(id))
        {
            let whole = Part { start: 0, end: word.len(), id: Some(id) };
            return Merged { parts: vec![whole], merges: Vec::new() };
        }
        self.merged_bytes(word, keep)
    }

    /// The same, without looking for the whole word first.
    pub fn merged_bytes(&self, word: &[u8], keep: &dyn Fn(u32) -> bool) -> Merged {
        let bytes = word.iter().enumerate().map(|(start, &byte)| {
            let id = self.bytes.get(usize::from(byte)).copied().flatten();
            Part { start, end: start + 1, id: id.filter(|&id| keep(id)) }
        });
        merge(bytes, |left, right| {
            let join = self.merges.get(&(left.id?, right.id?))?;
            keep(join.id).then_some(*join)
        })
    }
}

/// The start of a text of a file, for a message.
fn shown(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Bytes in GPT-2's alphabet.
fn spelled(word: &[u8]) -> String {
    word.iter().map(|&byte| letter(byte)).collect()
}

/// GPT-2's letter for a byte: printable Latin-1 stands for itself, the others follow in order
/// from U+0100.
fn letter(byte: u8) -> char {
    let code = match byte {
        0x00..=0x20 => 0x100 + u32::from(byte),
        0x7F..=0xA0 => 0x121 + u32::from(byte - 0x7F),
        0xAD => 0x143,
        _ => byte.into(),
    };
    char::from_u32(code).unwrap_or_default()
}

/// The bytes that a piece stands for; letters outside the alphabet stand for themselves.
pub(super) fn unspelled(piece: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(piece.len());
    for character in piece.chars() {
        let code = match u32::from(character) {
            code @ (0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) => Some(code),
            code @ 0x100..=0x120 => Some(code - 0x100),
            code @ 0x121..=0x142 => Some(code - 0x121 + 0x7F),
            0x143 => Some(0xAD),
            _ => None,
        };
        match code.and_then(|code| u8::try_from(code).ok()) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend(character.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_letter() {
        let all: Vec<u8> = (0..=255).collect();
        let spelled = spelled(&all);
        assert_eq!(unspelled(&spelled), all);
        let letters: std::collections::BTreeSet<char> = spelled.chars().collect();
        assert_eq!(letters.len(), 256);
        assert_eq!((letter(b' '), letter(b'\n'), letter(0xAD)), ('Ġ', 'Ċ', 'Ń'));
    }
}
