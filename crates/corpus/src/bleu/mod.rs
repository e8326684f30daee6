//! BLEU of a corpus, with sacreBLEU's numbers.
//!
//! Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation", as Post
//! 2018, "A Call for Clarity in Reporting BLEU Scores", fixed it: one reference, up to four tokens,
//! case kept, exponential smoothing (Chen and Cherry 2014, method 3) of precisions that are zero,
//! all four precisions always. A score is that of a corpus, not the mean of its sentences: add the
//! [`BleuCounts`] of the sentences, then ask for the score.

mod tokenizer;

use std::collections::HashMap;
use std::iter::Sum;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

pub(crate) use tokenizer::is_space;
pub use tokenizer::{Tokenizer, tokenizer_for};

/// Longest run of tokens that is compared.
const ORDERS: usize = 4;

/// What a translation has in common with its reference.
///
/// ```
/// use partita_corpus::bleu::{BleuCounts, tokenizer_for};
/// let tokenizer = tokenizer_for("en");
/// let pairs = [("The cat sat on the mat.", "The cat sat on a mat."), ("Yes.", "Yes!")];
/// let counts: BleuCounts =
///     pairs.iter().map(|(said, written)| BleuCounts::of(said, written, tokenizer)).sum();
/// assert_eq!((counts.correct[0], counts.total[0]), (7, 9));
/// assert!((counts.score() - 45.914_976_933_228_66).abs() < 1e-9);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BleuCounts {
    /// Tokens of the translation.
    pub hypothesis: u64,
    /// Tokens of the reference.
    pub reference: u64,
    /// Runs of 1 to 4 tokens of the translation that the reference has, each at most as often as
    /// there.
    pub correct: [u64; ORDERS],
    /// Runs of 1 to 4 tokens of the translation.
    pub total: [u64; ORDERS],
}

impl BleuCounts {
    /// Compares a translation with its reference.
    pub fn of(reference: &str, hypothesis: &str, tokenizer: Tokenizer) -> Self {
        let (reference, hypothesis) = (tokenizer.tokens(reference), tokenizer.tokens(hypothesis));
        let mut counts = Self {
            hypothesis: hypothesis.len() as u64,
            reference: reference.len() as u64,
            ..Self::default()
        };
        let orders = counts.correct.iter_mut().zip(&mut counts.total);
        for (order, (correct, total)) in orders.enumerate() {
            let mut left: HashMap<&[String], u64> = HashMap::new();
            for run in reference.windows(order + 1) {
                *left.entry(run).or_default() += 1;
            }
            for run in hypothesis.windows(order + 1) {
                *total += 1;
                if let Some(left) = left.get_mut(run).filter(|left| **left > 0) {
                    *left -= 1;
                    *correct += 1;
                }
            }
        }
        counts
    }

    /// The score, 0 to 100; 0 where nothing is right or nothing was written.
    pub fn score(&self) -> f64 {
        if self.correct.iter().all(|&correct| correct == 0) {
            return 0.0;
        }
        let (written, wanted) = (self.hypothesis as f64, self.reference as f64);
        let brevity = if written < wanted { (1.0 - wanted / written).exp() } else { 1.0 };
        let mut smoothing = 1.0;
        let mut logs = 0.0;
        for (&correct, &total) in self.correct.iter().zip(&self.total) {
            logs += match (correct, total) {
                // A corpus without one run of this length has no score.
                (_, 0) => return 0.0,
                (0, total) => {
                    smoothing *= 2.0;
                    (100.0 / (smoothing * total as f64)).ln()
                }
                (correct, total) => (100.0 * correct as f64 / total as f64).ln(),
            };
        }
        brevity * (logs / ORDERS as f64).exp()
    }
}

/// How scores are computed, in sacreBLEU's words: `nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp`.
pub fn signature(tokenizer: Tokenizer) -> String {
    format!("nrefs:1|case:mixed|eff:no|tok:{}|smooth:exp", tokenizer.name())
}

impl AddAssign for BleuCounts {
    fn add_assign(&mut self, other: Self) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.hypothesis, other.hypothesis);
        add(&mut self.reference, other.reference);
        self.correct.iter_mut().zip(other.correct).for_each(|(sum, more)| add(sum, more));
        self.total.iter_mut().zip(other.total).for_each(|(sum, more)| add(sum, more));
    }
}

impl Sum for BleuCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |mut sum, counts| {
            sum += counts;
            sum
        })
    }
}
