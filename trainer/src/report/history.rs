//! The log of a run as curves and totals.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};
use partita_chart::{Chart, Curve};
use serde::{Deserialize, Serialize};

use crate::drawn::Drawn;
use crate::metrics::{self, EvaluationRecord, Record, StepRecord};
use crate::stages::Reason;

/// Points of a training curve: each is the mean of as many steps as it takes.
const POINTS: usize = 200;

/// What a log tells.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// Steps that were done.
    pub steps: Vec<StepRecord>,
    /// Evaluations on development data.
    pub evaluations: Vec<EvaluationRecord>,
    /// Stages, as far as they were begun.
    pub stages: Vec<StageSpan>,
}

/// The steps of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageSpan {
    /// Its name.
    pub name: String,
    /// Its first step.
    pub first: u64,
    /// Its last so far.
    pub last: u64,
    /// Why it ended, if it did.
    pub end: Option<Reason>,
}

/// Totals of all steps.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Hours of training, without evaluations and checkpoints.
    pub hours: f64,
    /// Hours of audio that were heard.
    pub audio_hours: f64,
    /// Target tokens.
    pub tokens: u64,
    /// Part of the time spent waiting for data.
    pub waiting: f64,
    /// Most memory of the process, MiB.
    pub memory: u64,
    /// Steps left out because something was not finite.
    pub skipped: usize,
}

/// The evaluations between which accuracy rose most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jump {
    /// Steps before and after.
    pub steps: (u64, u64),
    /// Accuracy before and after, 0 to 1.
    pub accuracy: (f64, f64),
}

impl History {
    /// Reads the log in a run's folder.
    ///
    /// # Errors
    /// When there is none, it is damaged, or no step was done.
    pub fn read(run: &Path) -> Result<Self> {
        let path = run.join("metrics.jsonl");
        let mut history = Self::default();
        for record in metrics::read(&path)? {
            match record {
                Record::Step(step) => {
                    match history.stages.last_mut().filter(|stage| stage.name == step.stage) {
                        Some(stage) => stage.last = step.step,
                        None => history.stages.push(StageSpan {
                            name: step.stage.clone(),
                            first: step.step,
                            last: step.step,
                            end: None,
                        }),
                    }
                    history.steps.push(step);
                }
                Record::Evaluation(evaluation) => history.evaluations.push(evaluation),
                Record::Stage { change, .. } => {
                    if let Some(stage) = history.stages.last_mut() {
                        stage.end = Some(change.reason);
                    }
                }
            }
        }
        if history.steps.is_empty() {
            bail!("{}: no step was done yet", path.display());
        }
        Ok(history)
    }

    /// Totals of all steps.
    pub fn totals(&self) -> Totals {
        let sum = |of: fn(&StepRecord) -> f64| {
            self.steps.iter().map(of).filter(|value| value.is_finite()).sum::<f64>()
        };
        let seconds = sum(|step| step.speed.seconds);
        Totals {
            hours: seconds / 3600.0,
            audio_hours: sum(|step| step.speed.audio * step.speed.seconds) / 3600.0,
            tokens: self.steps.iter().map(|step| step.tokens).sum(),
            waiting: sum(|step| step.speed.waiting * step.speed.seconds) / seconds.max(1e-9),
            memory: self.steps.iter().map(|step| step.speed.memory).max().unwrap_or(0),
            skipped: self.steps.iter().filter(|step| step.skipped).count(),
        }
    }

    /// The clips that were drawn, of all steps together.
    pub fn drawn(&self) -> Drawn {
        let mut drawn = Drawn::default();
        self.steps.iter().for_each(|step| drawn.join(&step.drawn));
        drawn
    }

    /// Where stages begin.
    pub fn borders(&self) -> Vec<(f64, String)> {
        let border = |stage: &StageSpan| ((stage.first - 1) as f64, stage.name.clone());
        self.stages.iter().map(border).collect()
    }

    /// Loss of a target token: of training by task, and on development data.
    pub fn losses(&self) -> Chart {
        self.both("Loss", "nats a token", "loss.", 1.0)
    }

    /// Share of tokens that were the likeliest: of training by task, and on development data.
    pub fn accuracies(&self) -> Chart {
        let chart = self.both("Token accuracy", "percent", "accuracy.", 100.0);
        Chart { most: Some(100.0), ..chart }
    }

    /// Learning rates by module.
    pub fn rates(&self) -> Chart {
        let mut curves: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
        for step in &self.steps {
            for (module, rate) in step.rates.iter().filter(|(_, rate)| **rate > 0.0) {
                curves.entry(module).or_default().push((step.step as f64, *rate));
            }
        }
        let curve = |(name, points): (&str, Vec<(f64, f64)>)| Curve {
            name: name.to_owned(),
            points,
            dots: false,
            ..Curve::default()
        };
        Chart {
            title: "Learning rates".to_owned(),
            y: "rate".to_owned(),
            logarithmic: true,
            curves: curves.into_iter().map(curve).collect(),
            borders: self.borders(),
            ..Chart::default()
        }
    }

    /// A measure on development data over steps.
    pub fn development(&self, name: &str) -> Vec<(f64, f64)> {
        let value = |record: &EvaluationRecord| {
            Some((record.step as f64, record.values.get(name).copied()?))
        };
        self.evaluations.iter().filter_map(value).collect()
    }

    /// The accuracy of transcripts on development data over steps.
    pub fn heard(&self) -> Vec<(f64, f64)> {
        self.development("accuracy.asr")
    }

    /// The mean accuracy of the first hundredth of the steps: what the language model knows of the
    /// text without having heard anything.
    pub fn first_accuracy(&self) -> Option<f64> {
        let first = self.steps.iter().take(self.steps.len().div_ceil(100));
        let known: Vec<f64> = first.filter_map(|step| step.accuracy).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    }

    /// Where the accuracy of transcripts rose most.
    pub fn jump(&self) -> Option<Jump> {
        let heard = self.heard();
        let jumps = heard.iter().zip(heard.iter().skip(1)).map(|(before, after)| Jump {
            steps: (before.0 as u64, after.0 as u64),
            accuracy: (before.1, after.1),
        });
        jumps.max_by(|a, b| {
            let rise = |jump: &Jump| jump.accuracy.1 - jump.accuracy.0;
            rise(a).total_cmp(&rise(b))
        })
    }

    /// What training and evaluations measured under names with a prefix.
    fn both(&self, title: &str, y: &str, prefix: &str, scale: f64) -> Chart {
        let mut trained: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
        for step in &self.steps {
            for (name, value) in &step.parts {
                if let Some(task) = name.strip_prefix(prefix) {
                    trained.entry(task).or_default().push((step.step as f64, value * scale));
                }
            }
        }
        let mut measured: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
        for record in &self.evaluations {
            for (name, value) in &record.values {
                if let Some(task) = name.strip_prefix(prefix) {
                    measured.entry(task).or_default().push((record.step as f64, value * scale));
                }
            }
        }
        let trained = trained.into_iter().map(|(task, points)| Curve {
            name: format!("{task}, training"),
            points: means(&points),
            dots: false,
            ..Curve::default()
        });
        let measured = measured.into_iter().map(|(task, points)| Curve {
            name: format!("{task}, development"),
            points,
            dots: true,
            ..Curve::default()
        });
        Chart {
            title: title.to_owned(),
            y: y.to_owned(),
            curves: trained.chain(measured).collect(),
            borders: self.borders(),
            ..Chart::default()
        }
    }
}

/// At most [`POINTS`] points, means of neighbours.
fn means(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let finite: Vec<(f64, f64)> =
        points.iter().copied().filter(|(_, value)| value.is_finite()).collect();
    let mean = |part: &[(f64, f64)]| {
        let sum = part.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / part.len() as f64, sum.1 / part.len() as f64)
    };
    finite.chunks(finite.len().div_ceil(POINTS).max(1)).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::Progress;

    #[test]
    fn curves_keep_the_shape_of_many_steps() {
        let points: Vec<(f64, f64)> = (1..=1000).map(|i| (f64::from(i), f64::from(i))).collect();
        let found = means(&points);
        assert_eq!((found.len(), found[0]), (200, (3.0, 3.0)));
        assert_eq!(means(&[(1.0, f64::NAN), (2.0, 5.0)]), [(2.0, 5.0)]);
        assert!(means(&[]).is_empty());
    }

    #[test]
    fn the_jump_is_where_accuracy_rose_most() {
        let evaluation = |(steps, accuracy): (u64, f64)| {
            let now = Progress { steps, seconds: 0.0 };
            EvaluationRecord::new(
                now,
                "adapter",
                [("accuracy.asr".to_owned(), accuracy)].into(),
                0.0,
            )
        };
        let all = [(10, 0.30), (20, 0.35), (30, 0.80), (40, 0.78)];
        let history = History { evaluations: all.map(evaluation).to_vec(), ..History::default() };
        let jump = history.jump().unwrap();
        assert_eq!((jump.steps, jump.accuracy), ((20, 30), (0.35, 0.80)));
        assert_eq!(History::default().jump(), None);
    }
}
