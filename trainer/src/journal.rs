//! What a run writes while it goes on: its log and the same for TensorBoard.

use anyhow::Result;

use crate::drawn::Drawn;
use crate::metrics::{EvaluationRecord, Log, Record, Speed, StepRecord};
use crate::run_folder::RunFolder;
use crate::tensorboard::Events;

/// Log and event files of the first process; the others write nothing.
#[derive(Debug)]
pub(crate) struct Journal(Option<(Log, Events)>);

impl Journal {
    /// Goes on after the first `bytes` of the log and after a step.
    pub fn open(run: &RunFolder, bytes: u64, step: u64) -> Result<Self> {
        let log = Log::open(&run.metrics(), bytes)?;
        Ok(Self(Some((log, Events::create(&run.events(), step)?))))
    }

    /// One that writes nothing.
    pub fn silent() -> Self {
        Self(None)
    }

    /// Adds a line to the log, and its numbers to the curves.
    pub fn add(&mut self, record: &Record) -> Result<()> {
        let Some((log, events)) = &mut self.0 else { return Ok(()) };
        match record {
            Record::Step(record) => events.scalars(record.step, of_step(record))?,
            Record::Evaluation(record) => events.scalars(record.step, of_evaluation(record))?,
            Record::Stage { .. } => {}
        }
        log.append(record)
    }

    /// Makes sure that all is on the disk, and returns the length of the log in bytes.
    pub fn sync(&mut self) -> Result<u64> {
        let Some((log, events)) = &mut self.0 else { return Ok(0) };
        events.flush()?;
        log.sync()
    }
}

/// The curves of a step.
fn of_step(record: &StepRecord) -> Vec<(String, f64)> {
    let named = |name: &str, value: f64| (format!("train/{name}"), value);
    let mut all = vec![named("loss", record.loss), named("norm", record.norm)];
    all.extend(record.accuracy.map(|accuracy| named("accuracy", accuracy)));
    all.extend(record.parts.iter().map(|(name, value)| named(name, *value)));
    all.extend(record.rates.iter().map(|(name, rate)| (format!("rate/{name}"), *rate)));
    let Drawn { clips, .. } = &record.drawn;
    all.extend(clips.iter().map(|(lang, count)| (format!("drawn/{lang}"), *count as f64)));
    if !record.drawn.is_empty() {
        all.push(("drawn/padded_share".to_owned(), record.drawn.padded_share()));
        all.push(("drawn/noise_share".to_owned(), record.drawn.noise_share()));
    }
    let Speed { seconds, tokens, audio, waiting, memory } = record.speed;
    let speed = [("seconds", seconds), ("tokens", tokens), ("audio", audio), ("waiting", waiting)];
    all.extend(speed.map(|(name, value)| (format!("speed/{name}"), value)));
    all.push(("speed/memory".to_owned(), memory as f64));
    all
}

fn of_evaluation(record: &EvaluationRecord) -> Vec<(String, f64)> {
    record.values.iter().map(|(name, value)| (format!("dev/{name}"), *value)).collect()
}
