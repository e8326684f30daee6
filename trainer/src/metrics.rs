//! The log of a run, `metrics.jsonl`: one JSON object a line, its kind in `kind`.
//!
//! Everything in a line follows from recipe and data, except the table `speed`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Deserializer, Serialize};

use crate::drawn::Drawn;
use crate::stages::{Move, Progress};

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StepRecord {
    /// Its number, from 1.
    pub step: u64,
    /// The stage it belongs to.
    pub stage: String,
    /// Mean loss of a target token.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// Share of target tokens that were the likeliest, where the objective counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Norm of the gradient before clipping.
    #[serde(deserialize_with = "number")]
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
    /// The clips that were drawn, where the objective hears any.
    #[serde(skip_serializing_if = "Drawn::is_empty")]
    pub drawn: Drawn,
    /// Means of the objective's own measures.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "numbers")]
    pub parts: BTreeMap<String, f64>,
    /// The micro-batches whose loss was not finite.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bad: Vec<String>,
    /// Speed; the only values that differ from run to run.
    pub speed: Speed,
}

/// How fast a step was.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Speed {
    /// Seconds of the step.
    #[serde(deserialize_with = "number")]
    pub seconds: f64,
    /// Target tokens per second.
    #[serde(deserialize_with = "number")]
    pub tokens: f64,
    /// Hours of audio per hour.
    #[serde(deserialize_with = "number")]
    pub audio: f64,
    /// Share of the time spent waiting for data.
    #[serde(deserialize_with = "number")]
    pub waiting: f64,
    /// Memory of the process, MiB.
    pub memory: u64,
}

/// A measurement on development data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRecord {
    /// Steps done.
    pub step: u64,
    /// The stage.
    pub stage: String,
    /// Values by name.
    #[serde(deserialize_with = "numbers")]
    pub values: BTreeMap<String, f64>,
    /// Seconds it took.
    pub speed: EvaluationSpeed,
}

/// How fast an evaluation was.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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

/// JSON has no word for what is not a number, so it is written as `null`.
fn number<'de, D: Deserializer<'de>>(value: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or(f64::NAN))
}

fn numbers<'de, D: Deserializer<'de>>(values: D) -> Result<BTreeMap<String, f64>, D::Error> {
    let values = BTreeMap::<String, Option<f64>>::deserialize(values)?;
    Ok(values.into_iter().map(|(name, value)| (name, value.unwrap_or(f64::NAN))).collect())
}

/// Reads a log; a last line that is still being written is left out.
///
/// # Errors
/// When there is none, or a line is no record.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
    let record = |(number, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("{}:{}", path.display(), number + 1))
    };
    whole.lines().enumerate().map(record).collect()
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

    #[test]
    fn a_log_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let step = StepRecord {
            step: 3,
            stage: "adapter".to_owned(),
            loss: f64::NAN,
            accuracy: Some(0.25),
            rates: [("adapter".to_owned(), 1e-3)].into(),
            parts: [("loss.asr".to_owned(), 0.5)].into(),
            bad: vec!["asr, one".to_owned()],
            ..StepRecord::default()
        };
        let now = Progress { steps: 3, seconds: 1.5 };
        let values = [("loss".to_owned(), 2.0)].into();
        let to = Some("top".to_owned());
        let change = Move { from: "adapter".to_owned(), to, reason: crate::stages::Reason::Budget };
        let records = [
            Record::Step(step.clone()),
            Record::Evaluation(EvaluationRecord::new(now, "adapter", values, 0.1)),
            Record::Stage { step: 3, change },
        ];
        let mut log = Log::open(&path, 0).unwrap();
        records.iter().for_each(|record| log.append(record).unwrap());
        drop(log);
        File::options().append(true).open(&path).unwrap().write_all(b"{\"kind\":").unwrap();
        let found = read(&path).unwrap();
        assert_eq!(found[1..], records[1..]);
        let Record::Step(found) = &found[0] else { panic!("{found:?}") };
        assert!(found.loss.is_nan());
        assert_eq!(StepRecord { loss: 0.0, ..found.clone() }, StepRecord { loss: 0.0, ..step });
        std::fs::write(&path, "{\"kind\":\"step\"}\nnothing\n").unwrap();
        let error = format!("{:#}", read(&path).unwrap_err());
        assert!(error.contains("metrics.jsonl:2"), "{error}");
    }
}
