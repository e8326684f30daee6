//! The course of the learning rate over a stage.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// How the learning rate goes down after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// It stays.
    Constant,
    /// In a straight line to the floor.
    Linear,
    /// Along half a cosine to the floor (Loshchilov and Hutter 2017).
    Cosine,
    /// With one over the root of the progress, not below the floor (Vaswani et al. 2017).
    InverseSqrt,
}

/// A course from the start of a stage to its end. It counts in shares of the stage, so that one
/// recipe serves budgets of any size, in steps or in minutes.
///
/// ```
/// use partita_train::schedule::{Schedule, Shape};
/// let schedule = Schedule { shape: Shape::Linear, warmup: 0.1, floor: 0.0 };
/// assert_eq!(schedule.factor(0.05), 0.5);
/// assert_eq!(schedule.factor(0.1), 1.0);
/// assert_eq!(schedule.factor(1.0), 0.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// The way down.
    pub shape: Shape,
    /// Share of the stage over which the rate rises from zero in a straight line.
    pub warmup: f64,
    /// Where the way down ends, as a share of the peak.
    pub floor: f64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { shape: Shape::Cosine, warmup: 0.05, floor: 0.1 }
    }
}

impl Schedule {
    /// What the peak rate is multiplied with when `progress` (0 to 1) of the stage is done. Each
    /// step counts as done: the first of `n` steps has progress `1/n`, the last one 1.
    pub fn factor(&self, progress: f64) -> f64 {
        let progress = progress.clamp(0.0, 1.0);
        if progress < self.warmup {
            return progress / self.warmup;
        }
        let rest =
            if self.warmup < 1.0 { (progress - self.warmup) / (1.0 - self.warmup) } else { 0.0 };
        let above = 1.0 - self.floor;
        match self.shape {
            Shape::Constant => 1.0,
            Shape::Linear => 1.0 - above * rest,
            Shape::Cosine => self.floor + above * (1.0 + (PI * rest).cos()) / 2.0,
            Shape::InverseSqrt if progress > 0.0 => (self.warmup / progress).sqrt().max(self.floor),
            Shape::InverseSqrt => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_along_the_way() {
        let at =
            |shape, warmup, floor, progress| Schedule { shape, warmup, floor }.factor(progress);
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} is not {b}");
        near(at(Shape::Constant, 0.2, 0.5, 0.1), 0.5);
        near(at(Shape::Constant, 0.2, 0.5, 0.9), 1.0);
        near(at(Shape::Cosine, 0.0, 0.1, 0.0), 1.0);
        near(at(Shape::Cosine, 0.0, 0.1, 0.5), 0.55);
        near(at(Shape::Cosine, 0.2, 0.1, 0.6), 0.55);
        near(at(Shape::Cosine, 0.2, 0.1, 1.0), 0.1);
        near(at(Shape::Linear, 0.5, 0.2, 0.75), 0.6);
        near(at(Shape::InverseSqrt, 0.01, 0.0, 0.04), 0.5);
        near(at(Shape::InverseSqrt, 0.01, 0.3, 1.0), 0.3);
        // Progress beyond the end, as a budget in minutes may have it.
        near(at(Shape::Cosine, 0.2, 0.1, 1.7), 0.1);
    }

    #[test]
    fn the_way_is_without_jumps() {
        for shape in [Shape::Constant, Shape::Linear, Shape::Cosine, Shape::InverseSqrt] {
            let schedule = Schedule { shape, warmup: 0.05, floor: 0.1 };
            for k in 0..1000 {
                let (a, b) =
                    (schedule.factor(k as f64 / 1e3), schedule.factor((k + 1) as f64 / 1e3));
                assert!((a - b).abs() < 0.021 && (0.0..=1.0).contains(&a), "{shape:?} at {k}");
            }
        }
    }
}
