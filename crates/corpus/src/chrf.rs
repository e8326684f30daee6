//! chrF2 of a corpus, with sacreBLEU's numbers.
//!
//! Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation": precision and recall
//! of runs of 1 to 6 characters, white space left out, case kept, recall weighing twice as much
//! (`nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no`). Add the [`ChrfCounts`] of the sentences, then
//! ask for the score.

use std::collections::HashMap;
use std::iter::Sum;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::bleu::is_space;

/// Longest run of characters that is compared.
const ORDERS: usize = 6;
/// How much more recall weighs than precision.
const BETA: f64 = 2.0;

/// What a translation has in common with its reference.
///
/// ```
/// use partita_corpus::chrf::ChrfCounts;
/// let counts = ChrfCounts::of("Guten Morgen", "Guten Abend");
/// assert_eq!((counts.matches[0], counts.hypothesis[0], counts.reference[0]), (7, 10, 11));
/// assert_eq!(ChrfCounts::of("gleich", "gleich").score(), 100.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChrfCounts {
    /// Runs of 1 to 6 characters of the translation, of lengths that the reference has too.
    pub hypothesis: [u64; ORDERS],
    /// Runs of 1 to 6 characters of the reference.
    pub reference: [u64; ORDERS],
    /// Those that both have, each at most as often as either.
    pub matches: [u64; ORDERS],
}

impl ChrfCounts {
    /// Compares a translation with its reference.
    pub fn of(reference: &str, hypothesis: &str) -> Self {
        let characters = |text: &str| text.chars().filter(|&c| !is_space(c)).collect::<Vec<char>>();
        let (reference, hypothesis) = (characters(reference), characters(hypothesis));
        let mut counts = Self::default();
        for order in 0..ORDERS {
            let mut left: HashMap<&[char], u64> = HashMap::new();
            for run in reference.windows(order + 1) {
                *left.entry(run).or_default() += 1;
            }
            let mut matches = 0;
            for run in hypothesis.windows(order + 1) {
                if let Some(left) = left.get_mut(run).filter(|left| **left > 0) {
                    *left -= 1;
                    matches += 1;
                }
            }
            let runs = |characters: &[char]| characters.len().saturating_sub(order) as u64;
            let wanted = runs(&reference);
            let written = if wanted == 0 { 0 } else { runs(&hypothesis) };
            let fields = (
                counts.hypothesis.get_mut(order),
                counts.reference.get_mut(order),
                counts.matches.get_mut(order),
            );
            if let (Some(h), Some(r), Some(m)) = fields {
                (*h, *r, *m) = (written, wanted, matches);
            }
        }
        counts
    }

    /// The score, 0 to 100. Lengths of which either side has no run are left out.
    pub fn score(&self) -> f64 {
        let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
        let sides = self.hypothesis.iter().zip(&self.reference).zip(&self.matches);
        for ((&written, &wanted), &matches) in sides {
            if written > 0 && wanted > 0 {
                precision += matches as f64 / written as f64;
                recall += matches as f64 / wanted as f64;
                orders += 1.0;
            }
        }
        if precision + recall == 0.0 {
            return 0.0;
        }
        let (precision, recall): (f64, f64) = (precision / orders, recall / orders);
        let factor = BETA * BETA;
        100.0 * (1.0 + factor) * precision * recall / (factor * precision + recall)
    }
}

impl AddAssign for ChrfCounts {
    fn add_assign(&mut self, other: Self) {
        let sums = [
            (&mut self.hypothesis, other.hypothesis),
            (&mut self.reference, other.reference),
            (&mut self.matches, other.matches),
        ];
        for (sums, more) in sums {
            for (sum, more) in sums.iter_mut().zip(more) {
                *sum = sum.saturating_add(more);
            }
        }
    }
}

impl Sum for ChrfCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |mut sum, counts| {
            sum += counts;
            sum
        })
    }
}
