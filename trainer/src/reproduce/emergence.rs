//! Whether a run's alignment of speech and text emerged.

use serde::{Deserialize, Serialize};

use crate::report::history::History;

/// Highest mean error rate on the test split, in percent, with which a model can be said to hear.
const HIGHEST_ERROR_RATE: f64 = 60.0;
/// Least rise of token accuracy, in points.
const LEAST_RISE: f64 = 15.0;

/// The rule, as pages state it.
pub fn rule() -> String {
    format!(
        "Alignment counts as emerged where the mean error rate of transcripts on the test split is \
         below {HIGHEST_ERROR_RATE} % and token accuracy of transcripts on development data rose by \
         at least {LEAST_RISE} points above that of the first hundredth of the steps, in which the \
         language model goes by the text alone. A model that has not heard anything writes fluent \
         sentences that nobody said."
    )
}

/// What the rule was applied to, and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emergence {
    /// Whether it emerged.
    pub emerged: bool,
    /// Accuracy of the first hundredth of the steps, in percent of tokens.
    pub first_accuracy: Option<f64>,
    /// Best accuracy on development data, in percent of tokens.
    pub best_accuracy: Option<f64>,
}

impl Emergence {
    /// Applies the rule to a log and the mean error rate in percent.
    pub fn of(history: &History, error_rate: Option<f64>) -> Self {
        let first_accuracy = history.first_accuracy().map(|accuracy| 100.0 * accuracy);
        let best = history.heard().iter().map(|(_, accuracy)| 100.0 * accuracy).reduce(f64::max);
        let rose = match (first_accuracy, best) {
            (Some(first), Some(best)) => best - first >= LEAST_RISE,
            _ => false,
        };
        let hears = error_rate.is_some_and(|rate| rate < HIGHEST_ERROR_RATE);
        Self { emerged: hears && rose, first_accuracy, best_accuracy: best }
    }

    /// In a word.
    pub fn word(&self) -> &'static str {
        if self.emerged { "yes" } else { "no" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{EvaluationRecord, StepRecord};
    use crate::stages::Progress;

    #[test]
    fn hearing_takes_both_a_low_error_rate_and_a_jump() {
        let step = |accuracy| StepRecord { accuracy: Some(accuracy), ..StepRecord::default() };
        let now = Progress { steps: 100, seconds: 1.0 };
        let history = |last: f64| History {
            steps: vec![step(0.4), step(0.9)],
            evaluations: vec![EvaluationRecord::new(
                now,
                "joint",
                [("accuracy.asr".to_owned(), last)].into(),
                0.0,
            )],
            ..History::default()
        };
        assert!(Emergence::of(&history(0.8), Some(30.0)).emerged);
        assert!(!Emergence::of(&history(0.8), Some(70.0)).emerged);
        assert!(!Emergence::of(&history(0.5), Some(30.0)).emerged);
        assert!(!Emergence::of(&history(0.8), None).emerged);
        assert!(!Emergence::of(&History::default(), Some(30.0)).emerged);
    }
}
