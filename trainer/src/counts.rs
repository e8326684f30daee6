//! What the micro-batches of a step had, besides gradients.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::drawn::Drawn;
use crate::objective::Loss;
use crate::parallel::Exact;

/// Sums over micro-batches, of one process or of all.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    correct: Option<u64>,
    audio_seconds: Exact,
    /// The clips.
    pub drawn: Drawn,
    waited: Exact,
    batches: Vec<String>,
    /// The batches whose loss was not finite.
    pub bad: Vec<String>,
    parts: BTreeMap<String, (Exact, u64)>,
    /// What people should know.
    pub notes: Vec<String>,
}

impl Counts {
    /// Adds a micro-batch whose loss is `value`.
    pub fn add(&mut self, loss: Loss, value: f64) {
        if !value.is_finite() {
            self.bad.push(loss.batch.clone());
        }
        let parts = loss.parts.into_iter();
        self.join(Self {
            correct: loss.correct,
            audio_seconds: loss.audio_seconds.into(),
            drawn: loss.drawn,
            waited: loss.waited.as_secs_f64().into(),
            batches: vec![loss.batch],
            parts: parts.map(|(name, (sum, count))| (name, (sum.into(), count))).collect(),
            ..Self::default()
        });
    }

    /// Adds those of another process.
    pub fn join(&mut self, other: Self) {
        let sum = |a: Exact, b: Exact| Exact::from(f64::from(a) + f64::from(b));
        if let Some(correct) = other.correct {
            *self.correct.get_or_insert(0) += correct;
        }
        self.audio_seconds = sum(self.audio_seconds, other.audio_seconds);
        self.drawn.join(&other.drawn);
        self.waited = sum(self.waited, other.waited);
        self.batches.extend(other.batches);
        self.bad.extend(other.bad);
        self.notes.extend(other.notes);
        for (name, (value, count)) in other.parts {
            let part = self.parts.entry(name).or_default();
            *part = (sum(part.0, value), part.1 + count);
        }
    }

    /// Share of so many target tokens that were the likeliest, where that was counted.
    pub fn accuracy(&self, tokens: u64) -> Option<f64> {
        self.correct.map(|correct| correct as f64 / tokens.max(1) as f64)
    }

    /// Seconds of audio.
    pub fn audio_seconds(&self) -> f64 {
        self.audio_seconds.into()
    }

    /// Seconds spent waiting for data, those of all processes together.
    pub fn waited(&self) -> f64 {
        self.waited.into()
    }

    /// Means of the objective's own measures.
    pub fn means(&self) -> BTreeMap<String, f64> {
        let mean = |(sum, count): (Exact, u64)| f64::from(sum) / count.max(1) as f64;
        self.parts.iter().map(|(name, part)| (name.clone(), mean(*part))).collect()
    }

    /// The batches that something is wrong with: those whose loss was not finite, or any.
    pub fn suspects(&self) -> String {
        if self.bad.is_empty() { self.batches.join("; ") } else { self.bad.join("; ") }
    }
}
