//! How far a score would move had other sentences been measured: intervals by bootstrap.
//!
//! Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation": sentences are
//! drawn with replacement, as many as there are, and the score is computed of each draw; the
//! interval holds the middle 95 % of the scores. Two systems are compared on the same draws.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// A score and the interval that it is believed to lie in.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Interval {
    /// The score of the sentences as they are.
    pub value: f64,
    /// The lower bound.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
}

/// How intervals are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// How often sentences are drawn.
    pub resamples: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// Part of the scores that the interval holds, 0 to 1.
    pub confidence: f64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 1000, seed: 12345, confidence: 0.95 }
    }
}

impl Bootstrap {
    /// The interval of a statistic over sentences.
    ///
    /// Sentences are numbered from 0 and come in groups of these sizes (a language each, say; one
    /// group for a plain corpus). The statistic is given the numbers that were drawn, as many of
    /// each group as it has, group after group. `None` when it is no finite number for the
    /// sentences as they are; draws for which it is none are left out.
    ///
    /// ```
    /// use partita_corpus::bootstrap::Bootstrap;
    /// let lengths = [3.0, 5.0, 4.0, 8.0, 5.0];
    /// let mean = |drawn: &[usize]| {
    ///     drawn.iter().filter_map(|&i| lengths.get(i)).sum::<f64>() / drawn.len() as f64
    /// };
    /// let found = Bootstrap::default().interval(&[5], mean).unwrap();
    /// assert_eq!(found.value, 5.0);
    /// assert!(3.0 <= found.low && found.low < 5.0 && 5.0 < found.high && found.high <= 8.0);
    /// ```
    pub fn interval<F>(&self, groups: &[usize], statistic: F) -> Option<Interval>
    where
        F: Fn(&[usize]) -> f64 + Sync,
    {
        let all: Vec<usize> = (0..groups.iter().sum()).collect();
        let value = Some(statistic(&all)).filter(|value| value.is_finite())?;
        let score = |resample: usize| {
            // A generator for each draw: threads change nothing.
            let mut random = StdRng::seed_from_u64(self.seed.wrapping_add(resample as u64));
            let mut drawn = Vec::with_capacity(all.len());
            let mut begin = 0;
            for &size in groups {
                drawn.extend((0..size).map(|_| begin + random.random_range(0..size)));
                begin += size;
            }
            statistic(&drawn)
        };
        let mut scores: Vec<f64> = (0..self.resamples)
            .into_par_iter()
            .map(score)
            .filter(|score| score.is_finite())
            .collect();
        scores.sort_by(f64::total_cmp);
        let outside = (1.0 - self.confidence.clamp(0.0, 1.0)) / 2.0;
        let low = percentile(&scores, outside).unwrap_or(value);
        let high = percentile(&scores, 1.0 - outside).unwrap_or(value);
        Some(Interval { value, low, high })
    }

    /// The interval of `first` minus `second`, two statistics over the same sentences: where 0 lies
    /// outside, the difference is hardly by chance.
    ///
    /// ```
    /// use partita_corpus::bootstrap::Bootstrap;
    /// let (a, b) = ([3.0, 5.0, 4.0, 8.0], [2.0, 4.5, 3.0, 7.0]);
    /// let mean = |of: [f64; 4]| {
    ///     move |drawn: &[usize]| drawn.iter().filter_map(|&i| of.get(i)).sum::<f64>() / 4.0
    /// };
    /// let found = Bootstrap::default().difference(&[4], mean(a), mean(b)).unwrap();
    /// assert!(found.value == 0.875 && found.low > 0.0);
    /// ```
    pub fn difference<F, G>(&self, groups: &[usize], first: F, second: G) -> Option<Interval>
    where
        F: Fn(&[usize]) -> f64 + Sync,
        G: Fn(&[usize]) -> f64 + Sync,
    {
        self.interval(groups, |drawn| first(drawn) - second(drawn))
    }
}

/// The value below which a part of sorted numbers lies, between two of them by their distance.
fn percentile(sorted: &[f64], part: f64) -> Option<f64> {
    let place = part * sorted.len().saturating_sub(1) as f64;
    let (below, above) = (sorted.get(place.floor() as usize)?, sorted.get(place.ceil() as usize)?);
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_as_wide_as_theory_says_and_the_same_again() {
        // The mean of 400 numbers from 0 to 1: its standard error is 0.2893 / 20.
        let numbers: Vec<f64> = (0..400).map(|i| f64::from(i * 181 % 400) / 400.0).collect();
        let mean = |drawn: &[usize]| drawn.iter().map(|&i| numbers[i]).sum::<f64>() / 400.0;
        let found = Bootstrap::default().interval(&[400], mean).unwrap();
        let half = (found.high - found.low) / 2.0;
        assert!((half - 1.96 * 0.2887 / 20.0).abs() < 0.002, "{found:?}");
        assert!((found.value - 0.498_75).abs() < 1e-12);
        assert_eq!(Bootstrap::default().interval(&[400], mean), Some(found));
        let other = Bootstrap { seed: 5, ..Bootstrap::default() }.interval(&[400], mean);
        assert_ne!(other, Some(found));
    }

    #[test]
    fn each_group_is_drawn_from_by_itself() {
        let found = Bootstrap::default().interval(&[3, 2], |drawn| {
            assert!(drawn[..3].iter().all(|&i| i < 3) && drawn[3..].iter().all(|&i| i >= 3));
            assert_eq!(drawn.len(), 5);
            1.0
        });
        assert_eq!(found, Some(Interval { value: 1.0, low: 1.0, high: 1.0 }));
    }

    #[test]
    fn nothing_to_measure_has_no_interval() {
        assert_eq!(Bootstrap::default().interval(&[], |_| f64::NAN), None);
        let empty = Bootstrap::default().interval(&[0, 1], |drawn| drawn.len() as f64);
        assert_eq!(empty.map(|found| found.value), Some(1.0));
        // Of one sentence, some draws may be no number: they are left out.
        let half = |drawn: &[usize]| if drawn == [0, 0] { f64::NAN } else { 1.0 };
        assert!(Bootstrap::default().interval(&[2], half).is_some_and(|found| found.low == 1.0));
    }
}
