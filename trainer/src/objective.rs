//! What can be trained, and who is told about it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use candle_core::{Tensor, Var};

use crate::drawn::Drawn;
use crate::metrics::{EvaluationRecord, StepRecord};
use crate::recipe::Tasks;
use crate::stages::{Move, Trained};

/// Where training is when a loss is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Position {
    /// The step, from 1.
    pub step: u64,
    /// The micro-batch of the step, from 0.
    pub micro_batch: usize,
    /// The stage.
    pub stage: String,
    /// The mix that the micro-batch's task is drawn from.
    pub tasks: Tasks,
}

/// The loss of a micro-batch.
#[derive(Debug, Clone)]
pub struct Loss {
    /// One f32 number, summed over the target tokens.
    pub sum: Tensor,
    /// Target tokens.
    pub tokens: u64,
    /// Those that were the likeliest, where that was counted.
    pub correct: Option<u64>,
    /// Seconds of audio, without padding.
    pub audio_seconds: f64,
    /// The clips that it is of, where it is of any.
    pub drawn: Drawn,
    /// Time spent waiting for data.
    pub waited: Duration,
    /// What the batch was, to name it when something is wrong with it.
    pub batch: String,
    /// Sums and counts of further measures, such as the loss of each task; logged as means.
    pub parts: BTreeMap<String, (f64, u64)>,
}

impl Loss {
    /// A loss and nothing besides.
    pub fn new(sum: Tensor, tokens: u64) -> Self {
        Self {
            sum,
            tokens,
            correct: None,
            audio_seconds: 0.0,
            drawn: Drawn::default(),
            waited: Duration::ZERO,
            batch: String::new(),
            parts: BTreeMap::new(),
        }
    }
}

/// Something that can be trained.
pub trait Objective {
    /// All parameters that some stage trains, by name; f32 ([`crate::recipe::ModuleName`] says
    /// which module a name belongs to). The same ones throughout.
    fn parameters(&self) -> Vec<(String, Var)>;

    /// Told before the first step of a stage, and when a run goes on inside one. Losses from now
    /// on need gradients for these parameters only; others should enter the networks detached.
    ///
    /// # Errors
    /// When the objective cannot train these.
    fn enter_stage(&mut self, stage: &str, trained: &[Trained]) -> Result<()>;

    /// The loss of the next micro-batch.
    ///
    /// # Errors
    /// When there are no data, or a device fails.
    fn loss(&mut self, at: &Position) -> Result<Loss>;

    /// Which of several processes takes each of the `count` micro-batches of a step: one from 0
    /// for each, the same answer in every process. `at` is the first of them.
    ///
    /// # Errors
    /// When there are no tasks.
    fn shares(&self, _at: &Position, count: usize, processes: usize) -> Result<Vec<usize>> {
        Ok((0..count).map(|micro_batch| micro_batch % processes).collect())
    }

    /// Moves on in the data as [`Objective::loss`] would, past a micro-batch that another process
    /// takes.
    ///
    /// # Errors
    /// As [`Objective::loss`]; when several processes cannot train this.
    fn pass(&mut self, _at: &Position) -> Result<()> {
        bail!("several processes cannot train this together")
    }

    /// What people should know since the last time, such as rows that cannot be used; a line each.
    fn notes(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Measures on development data, by name; among them the recipe's metric. Training goes on
    /// as if it had not been called.
    ///
    /// # Errors
    /// When there are no data, or a device fails.
    fn evaluate(&mut self, stage: &str) -> Result<BTreeMap<String, f64>>;

    /// What makes the coming losses the same again: the position in the data, counted by what
    /// [`Objective::loss`] has used and not by what was loaded ahead, and random numbers.
    ///
    /// # Errors
    /// When it has no JSON form.
    fn state(&self) -> Result<serde_json::Value>;

    /// Takes up a [`Objective::state`]; parameters have their values and the stage is entered.
    ///
    /// # Errors
    /// When it is not a state of this objective and data.
    fn restore(&mut self, state: &serde_json::Value) -> Result<()>;
}

/// Is told what happens, to show it.
pub trait Watcher {
    /// A step was done. `share` of the stage is over.
    fn step(&mut self, _record: &StepRecord, _share: f64) {}
    /// An evaluation was done.
    fn evaluation(&mut self, _record: &EvaluationRecord) {}
    /// A stage ended.
    fn stage(&mut self, _change: &Move) {}
    /// A checkpoint was written.
    fn checkpoint(&mut self, _path: &Path) {}
    /// Something that people should know, in one line.
    fn note(&mut self, _line: &str) {}
}

/// Shows nothing.
impl Watcher for () {}
