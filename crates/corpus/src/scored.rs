//! Scores of counts: means over corpora in which each counts the same, with their intervals.

use std::iter::Sum;

use crate::bleu::BleuCounts;
use crate::bootstrap::{Bootstrap, Interval};
use crate::chrf::ChrfCounts;
use crate::error_rate::ErrorCounts;

/// Counts that add up and have a score.
pub trait Scored: Copy + Sum + Sync {
    /// In percent; NaN where there is nothing to score.
    fn scored(self) -> f64;
}

impl Scored for ErrorCounts {
    fn scored(self) -> f64 {
        self.rate().map_or(f64::NAN, |rate| 100.0 * rate)
    }
}

impl Scored for BleuCounts {
    fn scored(self) -> f64 {
        self.score()
    }
}

impl Scored for ChrfCounts {
    fn scored(self) -> f64 {
        self.score()
    }
}

/// The mean score of several corpora, of those that have one.
fn mean_of<T: Scored>(corpora: &[&Vec<T>], drawn: &[usize]) -> f64 {
    let (mut begin, mut sum, mut count) = (0, 0.0, 0.0);
    for corpus in corpora {
        let end = begin + corpus.len();
        let own = drawn.get(begin..end).unwrap_or_default();
        let counts: T = own.iter().filter_map(|&at| corpus.get(at - begin)).copied().sum();
        let score = counts.scored();
        if score.is_finite() {
            sum += score;
            count += 1.0;
        }
        begin = end;
    }
    sum / count
}

/// The mean score of corpora of sentences' counts, and its interval; `None` where none has a score.
///
/// ```
/// use partita_corpus::error_rate::words;
/// use partita_corpus::scored::interval;
/// let corpora = [vec![words("eins zwei", "eins drei")], vec![words("one", "one")]];
/// let found = interval(&corpora.iter().collect::<Vec<_>>()).unwrap();
/// assert_eq!(found.value, 25.0);
/// ```
pub fn interval<T: Scored>(corpora: &[&Vec<T>]) -> Option<Interval> {
    let sizes: Vec<usize> = corpora.iter().map(|corpus| corpus.len()).collect();
    Bootstrap::default().interval(&sizes, |drawn| mean_of(corpora, drawn))
}

/// `first` minus `second`, which are of the same sentences in the same order.
pub fn difference<T: Scored>(first: &[&Vec<T>], second: &[&Vec<T>]) -> Option<Interval> {
    let sizes: Vec<usize> = first.iter().map(|corpus| corpus.len()).collect();
    let (a, b) =
        (|drawn: &[usize]| mean_of(first, drawn), |drawn: &[usize]| mean_of(second, drawn));
    Bootstrap::default().difference(&sizes, a, b)
}
