//! The tokens that some languages need: loss, CTC and decoding run over these rows alone.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::marks::Marks;
use super::merge::Part;
use super::tokenizer::TextTokenizer;
use crate::error::ModelError;

/// A set of token ids, each with its place in ascending order (its short id).
///
/// With every piece, it holds the pieces that merging passes through on the way to it. So a text
/// whose tokens are all in the list gets the same tokens from a tokenizer that knows no others:
/// the merges that were made before are still there, and those that are gone were never made.
/// Written by serde as the ascending list of ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u32>", into = "Vec<u32>")]
pub struct Shortlist {
    ids: Vec<u32>,
}

impl Shortlist {
    /// All ids, ascending.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether no token is listed.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The place of a token in the list, if it is there.
    pub fn short(&self, full: u32) -> Option<u32> {
        self.ids.binary_search(&full).ok().map(|place| place as u32)
    }

    /// The token at a place, if the list is as long.
    pub fn full(&self, short: u32) -> Option<u32> {
        self.ids.get(short as usize).copied()
    }

    /// Tokens of a text as a tokenizer makes them that knows only this list.
    pub fn encode(&self, tokenizer: &TextTokenizer, text: &str) -> Vec<u32> {
        tokenizer.encode_with(text, &|id| self.short(id).is_some())
    }

    /// The same text in listed tokens alone: each token that is not listed is taken apart by
    /// undoing its merges, the last one first, and its characters at last into bytes.
    ///
    /// # Errors
    /// A token that is neither listed nor made from text.
    pub fn restrict(&self, from: &TextTokenizer, ids: &[u32]) -> Result<Vec<u32>, ModelError> {
        let mut listed = Vec::with_capacity(ids.len());
        for &id in ids {
            if self.short(id).is_some() {
                listed.push(id);
            } else {
                self.take_apart(from, id, &mut listed).ok_or_else(|| {
                    ModelError::Unsupported(format!("token {id} cannot be said in the shortlist"))
                })?;
            }
        }
        Ok(listed)
    }

    fn take_apart(&self, from: &TextTokenizer, id: u32, listed: &mut Vec<u32>) -> Option<()> {
        let (text, merged) = from.derivation(id)?;
        let halves: HashMap<_, _> = merged
            .merges
            .iter()
            .map(|merge| ((merge.left.start, merge.right.end), (merge.left, merge.right)))
            .collect();
        let mut waiting: Vec<Part> = merged.parts.into_iter().rev().collect();
        while let Some(part) = waiting.pop() {
            if let Some(id) = part.id.filter(|&id| self.short(id).is_some()) {
                listed.push(id);
            } else if let Some(&(left, right)) = halves.get(&(part.start, part.end)) {
                waiting.extend([right, left]);
            } else {
                for &byte in text.get(part.start..part.end)? {
                    let id = from.byte_token(byte)?;
                    self.short(id)?;
                    listed.push(id);
                }
            }
        }
        Some(())
    }
}

impl TryFrom<Vec<u32>> for Shortlist {
    type Error = ModelError;

    fn try_from(ids: Vec<u32>) -> Result<Self, ModelError> {
        if ids.is_sorted_by(|a, b| a < b) {
            Ok(Self { ids })
        } else {
            Err(ModelError::Unsupported("a shortlist whose ids do not ascend".to_owned()))
        }
    }
}

impl From<Shortlist> for Vec<u32> {
    fn from(list: Shortlist) -> Self {
        list.ids
    }
}

/// Counts the tokens of texts, and lists those that they need.
#[derive(Debug)]
pub struct ShortlistBuilder<'t> {
    tokenizer: &'t TextTokenizer,
    counts: HashMap<u32, u64>,
}

impl<'t> ShortlistBuilder<'t> {
    /// Starts with no text.
    pub fn new(tokenizer: &'t TextTokenizer) -> Self {
        Self { tokenizer, counts: HashMap::new() }
    }

    /// Counts a text's tokens. Give whole lines as they are trained on: a word's first token
    /// depends on what is before it.
    pub fn add_text(&mut self, text: &str) {
        for id in self.tokenizer.encode(text) {
            *self.counts.entry(id).or_default() += 1;
        }
    }

    /// Lists the tokens counted at least `least` times, and what every text may need: bytes,
    /// printable ASCII, tab and line end, the tokenizer's special tokens, the marks; then all
    /// pieces on the way to these.
    pub fn finish(self, marks: &Marks, least: u64) -> Shortlist {
        let from = self.tokenizer;
        let counted = self.counts.iter().filter(|&(_, &count)| count >= least).map(|(&id, _)| id);
        let mut kept: BTreeSet<u32> = counted.chain(marks.ids()).collect();
        kept.extend((0..=u8::MAX).filter_map(|byte| from.byte_token(byte)));
        let special = [from.bos(), from.eos(), from.end_of_turn(), from.unknown(), from.padding()];
        kept.extend(special.into_iter().flatten());
        for character in ('\u{20}'..='\u{7E}').chain(['\t', '\n']) {
            kept.extend(from.encode(character.encode_utf8(&mut [0; 4])));
        }
        let passed: Vec<u32> = kept.iter().flat_map(|&id| passed_through(from, id)).collect();
        kept.extend(passed);
        Shortlist { ids: kept.into_iter().collect() }
    }
}

/// The pieces that merging passes through on the way to one.
fn passed_through(from: &TextTokenizer, id: u32) -> Vec<u32> {
    let Some((_, merged)) = from.derivation(id) else { return Vec::new() };
    let merges = merged.merges.iter().flat_map(|merge| [merge.left, merge.right]);
    merges.chain(merged.parts.iter().copied()).filter_map(|part| part.id).collect()
}
