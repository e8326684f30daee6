//! A tokenizer's keys for a part of its tokens, or for more of them.

use std::collections::HashMap;

use anyhow::{Result, bail};
use partita_model::files::{Array, Value, WeightFile};
use partita_model::tokens::Mark;

const PREFIX: &str = "tokenizer.";
const CONTROL: i32 = 3;

/// The tokens that a file gets, by their ids in the base; ids beyond the base's vocabulary are
/// those of appended marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    ids: Vec<u32>,
    base: usize,
    appended: usize,
}

impl Tokens {
    /// All of a vocabulary and `appended` marks behind it.
    pub fn all(base: usize, appended: usize) -> Self {
        Self { ids: (0..(base + appended) as u32).collect(), base, appended }
    }

    /// How many the base has.
    pub fn before(&self) -> usize {
        self.base
    }

    /// Only these (ascending).
    pub fn only(self, ids: Vec<u32>) -> Self {
        Self { ids, ..self }
    }

    /// Ids in the base, in the file's order.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The id in the file of a token of the base.
    pub fn new_id(&self, id: u32) -> Option<u32> {
        self.ids.binary_search(&id).ok().map(|place| place as u32)
    }

    /// Whether the file has the base's tokens and no others.
    pub fn is_whole(&self) -> bool {
        self.appended == 0 && self.ids.len() == self.base
    }

    /// The base's tokenizer keys for these tokens. A whole `tokenizer.json`, which speaks of all
    /// tokens, is left out where some are gone or new.
    ///
    /// # Errors
    /// When a token that a key names is not among them.
    pub fn keys(&self, base: &WeightFile) -> Result<Vec<(String, Value)>> {
        let keys = base.metadata().iter().filter(|(key, _)| key.starts_with(PREFIX));
        if self.is_whole() {
            return Ok(keys.map(|(key, value)| (key.clone(), value.clone())).collect());
        }
        let mut mapped = Vec::new();
        for (key, value) in keys {
            let value = match value {
                _ if key == "tokenizer.huggingface.json" => continue,
                Value::Array(Array::String(lines)) if key.ends_with(".merges") => {
                    self.merges(base, lines)?.into()
                }
                Value::Array(array) if array.len() == self.base => self.picked(array),
                value if key.ends_with("_token_id") => match value.as_u64() {
                    Some(id) => match u32::try_from(id).ok().and_then(|id| self.new_id(id)) {
                        Some(id) => Value::U32(id),
                        None => bail!("`{key}`: token {id} is not among those that are kept"),
                    },
                    None => value.clone(),
                },
                value => value.clone(),
            };
            mapped.push((key.clone(), value));
        }
        Ok(mapped)
    }

    /// An array with an element a token.
    fn picked(&self, array: &Array) -> Value {
        fn pick<T: Clone>(ids: &[u32], items: &[T], beyond: impl Fn(usize) -> T) -> Vec<T> {
            let item = |&id: &u32| {
                let id = id as usize;
                items.get(id).cloned().unwrap_or_else(|| beyond(id - items.len()))
            };
            ids.iter().map(item).collect()
        }
        let ids = &self.ids;
        match array {
            Array::String(items) => pick(ids, items, |row| format!("<unused{row}>")).into(),
            Array::I32(items) => pick(ids, items, |_| CONTROL).into(),
            Array::F32(items) => pick(ids, items, |_| 0.0).into(),
            other => Value::Array(other.clone()),
        }
    }

    /// Merges of tokens that are all kept.
    fn merges(&self, base: &WeightFile, lines: &[String]) -> Result<Vec<String>> {
        let tokens = base.metadata().get("tokenizer.ggml.tokens").and_then(Value::as_array);
        let Some(tokens) = tokens.and_then(Array::as_strings) else { bail!("no tokens") };
        let ids: HashMap<&str, u32> = tokens.iter().map(String::as_str).zip(0..).collect();
        let kept = |piece: &str| ids.get(piece).is_some_and(|&id| self.new_id(id).is_some());
        Ok(kept_merges(lines, kept))
    }
}

/// Those merges whose pieces are all kept, and what they make.
pub fn kept_merges(lines: &[String], kept: impl Fn(&str) -> bool) -> Vec<String> {
    let is_kept = |line: &&String| {
        // The first letter belongs to the left piece, even if it is a space.
        let cut = line.char_indices().skip(1).find(|&(_, letter)| letter == ' ');
        cut.and_then(|(at, _)| Some((line.get(..at)?, line.get(at + 1..)?)))
            .is_some_and(|(left, right)| kept(left) && kept(right) && kept(&[left, right].concat()))
    };
    lines.iter().filter(is_kept).cloned().collect()
}

/// Names of the rows that are kept for marks, also for marks to come.
pub fn reserved() -> impl Iterator<Item = String> {
    (0..Mark::rows()).map(|row| format!("<unused{row}>"))
}
