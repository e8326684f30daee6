//! The log of a run, `metrics.jsonl`: one JSON object a line, its kind in `kind`.
//!
//! Everything in a line follows from recipe and data, except the table `speed`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::stages::{Move, Progress};

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// An optimiser step.
    Step(StepRecord),
    /// A measurement on development data.
    Evaluation(EvaluationRecord),
    /// The end of a stage.
    Stage {
        /// Steps done.
        step: u64,
        /// What ended, and what comes.
        #[serde(flatten)]
        change: Move,
    },
}

/// An optimiser step.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct StepRecord {
    /// Its number, from 1.
    pub step: u64,
    /// The stage it belongs to.
    pub stage: String,
    /// Mean loss of a target token.
    pub loss: f64,
    /// Share of target tokens that were the likeliest, where the objective counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Norm of the gradient before clipping.
    pub norm: f64,
    /// Whether it was clipped.
    pub clipped: bool,
    /// Whether the step was skipped because something was not finite.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
    /// Learning rates by module.
    pub rates: BTreeMap<String, f64>,
    /// Target tokens.
    pub tokens: u64,
    /// Means of the objective's own measures.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, f64>,
    /// The micro-batches whose loss was not finite.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bad: Vec<String>,
    /// Speed; the only values that differ from run to run.
    pub speed: Speed,
}

/// How fast a step was.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Speed {
    /// Seconds of the step.
    pub seconds: f64,
    /// Target tokens per second.
    pub tokens: f64,
    /// Hours of audio per hour.
    pub audio: f64,
    /// Share of the time spent waiting for data.
    pub waiting: f64,
    /// Memory of the process, MiB.
    pub memory: u64,
}

/// A measurement on development data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvaluationRecord {
    /// Steps done.
    pub step: u64,
    /// The stage.
    pub stage: String,
    /// Values by name.
    pub values: BTreeMap<String, f64>,
    /// Seconds it took.
    pub speed: EvaluationSpeed,
}

/// How fast an evaluation was.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EvaluationSpeed {
    /// Seconds it took.
    pub seconds: f64,
    /// Seconds of training before it, all steps together.
    pub trained: f64,
}

impl EvaluationRecord {
    /// A record of values measured in so many seconds.
    pub fn new(now: Progress, stage: &str, values: BTreeMap<String, f64>, seconds: f64) -> Self {
        let speed = EvaluationSpeed { seconds, trained: now.seconds };
        Self { step: now.steps, stage: stage.to_owned(), values, speed }
    }
}

/// The log, open at its end.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Log {
    /// Opens the log, made if there is none, and cuts off what comes after the first `keep` bytes
    /// and after the last whole line among them.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(path: &Path, keep: u64) -> Result<Self> {
        let named = || path.display().to_string();
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .with_context(named)?;
        let mut bytes = file.metadata().with_context(named)?.len().min(keep);
        let mut last = [0; 1];
        while bytes > 0 {
            file.seek(SeekFrom::Start(bytes - 1)).with_context(named)?;
            file.read_exact(&mut last).with_context(named)?;
            if last == *b"\n" {
                break;
            }
            bytes -= 1;
        }
        file.set_len(bytes).with_context(named)?;
        file.seek(SeekFrom::Start(bytes)).with_context(named)?;
        Ok(Self { path: path.to_owned(), file, bytes })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&mut self, record: &Record) -> Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        let cannot = || format!("{}: cannot write", self.path.display());
        self.file.write_all(&line).with_context(cannot)?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Makes sure that what was added is on the disk, and returns its length in bytes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&mut self) -> Result<u64> {
        self.file.sync_data().with_context(|| format!("{}: cannot write", self.path.display()))?;
        Ok(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_goes_on_after_the_last_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let record = |step| Record::Step(StepRecord { step, ..StepRecord::default() });
        let mut log = Log::open(&path, 0).unwrap();
        log.append(&record(1)).unwrap();
        let kept = log.sync().unwrap();
        log.append(&record(2)).unwrap();
        let whole = log.sync().unwrap();
        drop(log);
        // A line that was cut off, and a line that the checkpoint does not know of.
        for keep in [whole - 1, kept + 3, kept] {
            let mut log = Log::open(&path, keep).unwrap();
            log.append(&record(3)).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            let steps: Vec<_> = text
                .lines()
                .map(|line| {
                    serde_json::from_str::<serde_json::Value>(line).unwrap()["step"].clone()
                })
                .collect();
            assert_eq!(steps, [1, 3]);
        }
    }

    #[test]
    fn records_are_flat_objects_with_a_kind() {
        let change =
            Move { from: "adapter".to_owned(), to: None, reason: crate::stages::Reason::Plateau };
        let text = serde_json::to_string(&Record::Stage { step: 7, change }).unwrap();
        let expected = r#"{"kind":"stage","step":7,"from":"adapter","to":null,"reason":"plateau"}"#;
        assert_eq!(text, expected);
    }
}
