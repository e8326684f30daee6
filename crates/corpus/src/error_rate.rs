//! Word and character error rates with the counts behind them.
//!
//! A rate over a corpus is the sum of the errors by the sum of the reference lengths, not the mean
//! of the rates of its sentences: add the counts, then ask for the rate. Texts are compared as
//! they are: normalise both sides first ([`crate::normalize::normalize`]).

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

use crate::normalize::{counts_characters, normalize};
use crate::split::primary_language;

/// The edits that turn a reference into a hypothesis, and the reference's length.
///
/// ```
/// use partita_corpus::error_rate::{ErrorCounts, words};
/// let pairs = [("the cat sat", "the hat sat down"), ("yes", "yes")];
/// let counts: ErrorCounts = pairs.iter().map(|(said, heard)| words(said, heard)).sum();
/// assert_eq!((counts.substitutions, counts.deletions, counts.insertions), (1, 0, 1));
/// assert_eq!(counts.reference, 4);
/// assert_eq!(counts.rate(), Some(0.5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ErrorCounts {
    /// Units of the reference that another one stands for.
    pub substitutions: u64,
    /// Units of the reference that are missing.
    pub deletions: u64,
    /// Units of the hypothesis that nothing in the reference stands for.
    pub insertions: u64,
    /// Units of the reference.
    pub reference: u64,
}

impl ErrorCounts {
    /// All edits.
    pub fn errors(&self) -> u64 {
        self.substitutions.saturating_add(self.deletions).saturating_add(self.insertions)
    }

    /// Errors by reference length, 0 for a perfect hypothesis, above 1 where more is invented than
    /// was said; `None` where nothing was said.
    pub fn rate(&self) -> Option<f64> {
        (self.reference > 0).then(|| self.errors() as f64 / self.reference as f64)
    }
}

impl Add for ErrorCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            substitutions: self.substitutions.saturating_add(other.substitutions),
            deletions: self.deletions.saturating_add(other.deletions),
            insertions: self.insertions.saturating_add(other.insertions),
            reference: self.reference.saturating_add(other.reference),
        }
    }
}

impl AddAssign for ErrorCounts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for ErrorCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Self::add)
    }
}

/// Word errors: units are what white space separates.
///
/// ```
/// use partita_corpus::error_rate::words;
/// assert_eq!(words("guten tag", "guten").rate(), Some(0.5));
/// assert_eq!(words("", "thank you").rate(), None);
/// assert_eq!(words("", "thank you").insertions, 2);
/// ```
pub fn words(reference: &str, hypothesis: &str) -> ErrorCounts {
    let units = |text| str::split_whitespace(text).collect::<Vec<_>>();
    count(&units(reference), &units(hypothesis))
}

/// Character errors: units are grapheme clusters, a space between words included; white space at
/// the ends does not count.
///
/// ```
/// use partita_corpus::error_rate::characters;
/// let counts = characters("你好世界", "你好视界");
/// assert_eq!((counts.substitutions, counts.reference), (1, 4));
/// ```
pub fn characters(reference: &str, hypothesis: &str) -> ErrorCounts {
    let units = |text| str::graphemes(str::trim(text), true).collect::<Vec<_>>();
    count(&units(reference), &units(hypothesis))
}

/// What errors of a language are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Words: the rate is a word error rate (WER).
    Words,
    /// Characters without white space: the rate is a character error rate (CER).
    Characters,
}

impl Unit {
    /// Characters for languages without spaces, and for Korean, whose spaces are a matter of taste;
    /// else words.
    pub fn of(lang: &str) -> Self {
        let korean = primary_language(lang).eq_ignore_ascii_case("ko");
        if korean || counts_characters(lang) { Self::Characters } else { Self::Words }
    }

    /// The errors of a transcript in that language, both sides normalised by its
    /// [`normalize`].
    ///
    /// ```
    /// use partita_corpus::error_rate::Unit;
    /// let counts = Unit::Words.count("en", "He hasn't paid.", "he has not paid");
    /// assert_eq!((counts.errors(), counts.reference), (0, 4));
    /// let counts = Unit::Characters.count("ko", "문을 닫다.", "문을닫았다");
    /// assert_eq!((counts.insertions, counts.reference), (1, 4));
    /// ```
    pub fn count(self, lang: &str, reference: &str, hypothesis: &str) -> ErrorCounts {
        let (reference, hypothesis) = (normalize(lang, reference), normalize(lang, hypothesis));
        match self {
            Self::Words => words(&reference, &hypothesis),
            Self::Characters => {
                let joined = |text: &str| text.split_whitespace().collect::<String>();
                characters(&joined(&reference), &joined(&hypothesis))
            }
        }
    }
}

/// A cell of the edit table: the edits on the best way to it.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    edits: u32,
    substitutions: u32,
    deletions: u32,
    insertions: u32,
}

impl Cell {
    fn step(mut self, edit: fn(&mut Self) -> &mut u32) -> Self {
        self.edits = self.edits.saturating_add(1);
        let count = edit(&mut self);
        *count = count.saturating_add(1);
        self
    }
}

/// Counts the edits between any two sequences of units: the fewest possible (Levenshtein).
///
/// Where several ways are equally short, their number is fixed but not their kinds. The way taken
/// is that of the tools that jiwer and its readers use: seen from the end, deletions first, then
/// insertions. Memory is proportional to the shorter side, time to the product of both.
pub fn count<T: PartialEq>(reference: &[T], hypothesis: &[T]) -> ErrorCounts {
    let equal = |(a, b): &(&T, &T)| a == b;
    let prefix = reference.iter().zip(hypothesis).take_while(equal).count();
    let (said, heard) = (&reference[prefix..], &hypothesis[prefix..]);
    let suffix = said.iter().rev().zip(heard.iter().rev()).take_while(equal).count();
    let (said, heard) = (&said[..said.len() - suffix], &heard[..heard.len() - suffix]);

    // One column of the table: entry i is the way from `said[..i]` to `heard[..j]`.
    let mut column = vec![Cell::default()];
    for _ in said {
        let above = column.last().copied().unwrap_or_default();
        column.push(above.step(|cell| &mut cell.deletions));
    }
    for heard in heard {
        let mut diagonal = column.first().copied().unwrap_or_default();
        let mut above = diagonal.step(|cell| &mut cell.insertions);
        if let Some(first) = column.first_mut() {
            *first = above;
        }
        for (said, cell) in said.iter().zip(column.iter_mut().skip(1)) {
            let left = *cell;
            let matched = if said == heard {
                diagonal
            } else {
                diagonal.step(|cell| &mut cell.substitutions)
            };
            let fewest = matched.edits.min(above.edits.min(left.edits).saturating_add(1));
            *cell = if above.edits < fewest {
                above.step(|cell| &mut cell.deletions)
            } else if left.edits < diagonal.edits {
                left.step(|cell| &mut cell.insertions)
            } else {
                matched
            };
            (diagonal, above) = (left, *cell);
        }
    }
    let best = column.last().copied().unwrap_or_default();
    ErrorCounts {
        substitutions: u64::from(best.substitutions),
        deletions: u64::from(best.deletions),
        insertions: u64::from(best.insertions),
        reference: reference.len() as u64,
    }
}
