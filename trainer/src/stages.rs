//! Which stage of a recipe it is, what is trained in it, how fast, and when it is over.
//!
//! Pure bookkeeping: told how far training has come and what evaluations gave, it answers the
//! same for the same history.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::recipe::{Metric, ModuleName, Recipe, Stage, Tasks};

/// How far training has come.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Steps done.
    pub steps: u64,
    /// Seconds spent on them.
    pub seconds: f64,
}

/// What to keep of [`Stages`] in a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageState {
    /// Which stage of the recipe's order; their number when all are over.
    pub index: usize,
    /// Where it began.
    pub begun: Progress,
    /// Its length, in steps or seconds, whichever the budget is in.
    pub length: f64,
    /// The best evaluation of the stage that counted as a gain. Single precision survives a JSON
    /// file unchanged.
    pub best: Option<f32>,
    /// Evaluations since.
    pub stale: u32,
}

/// Why a stage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// Its budget was used up.
    Budget,
    /// It had stopped getting better.
    Plateau,
}

/// The end of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The stage that ended.
    pub from: String,
    /// The one that begins; `None`: training is over.
    pub to: Option<String>,
    /// Why.
    pub reason: Reason,
}

/// The stages of a recipe while it is carried out.
#[derive(Debug, Clone)]
pub struct Stages {
    stages: Vec<(String, Stage)>,
    budget: Amount,
    metric: Metric,
    recipe: Recipe,
    state: StageState,
}

/// What budgets count in.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Amount {
    Steps(f64),
    Seconds(f64),
}

impl Amount {
    fn total(self) -> f64 {
        match self {
            Self::Steps(total) | Self::Seconds(total) => total,
        }
    }

    fn of(self, progress: Progress) -> f64 {
        match self {
            Self::Steps(_) => progress.steps as f64,
            Self::Seconds(_) => progress.seconds,
        }
    }
}

/// Parameters of a module that a stage trains.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The module.
    pub module: ModuleName,
    /// Weight decay, where the module has its own.
    pub weight_decay: Option<f64>,
    /// Names of its parameters.
    pub names: Vec<String>,
}

impl Stages {
    /// At the beginning of a recipe.
    ///
    /// # Errors
    /// When the recipe cannot work ([`Recipe::check`]).
    pub fn new(recipe: &Recipe) -> Result<Self> {
        recipe.check()?;
        let budget = match (recipe.budget.steps, recipe.budget.minutes) {
            (Some(steps), _) => Amount::Steps(steps as f64),
            (None, minutes) => Amount::Seconds(minutes.unwrap_or(0.0) * 60.0),
        };
        let stages = recipe.order.iter().map(|name| {
            let stage = recipe.stage.get(name).context("a stage of the order is missing")?;
            Ok((name.clone(), *stage))
        });
        let state =
            StageState { index: 0, begun: Progress::default(), length: 0.0, best: None, stale: 0 };
        let mut stages = Self {
            stages: stages.collect::<Result<_>>()?,
            budget,
            metric: recipe.evaluation.metric,
            recipe: recipe.clone(),
            state,
        };
        stages.begin(0, Progress::default());
        Ok(stages)
    }

    /// Where a checkpoint left off.
    ///
    /// # Errors
    /// When the recipe cannot work or has no such stage.
    pub fn resume(recipe: &Recipe, state: StageState) -> Result<Self> {
        let mut stages = Self::new(recipe)?;
        if state.index > stages.stages.len() || !(state.length > 0.0 || stages.is_over(&state)) {
            bail!("the checkpoint is in stage {}, which the recipe does not have", state.index + 1);
        }
        stages.state = state;
        Ok(stages)
    }

    /// What to keep.
    pub fn state(&self) -> StageState {
        self.state
    }

    fn is_over(&self, state: &StageState) -> bool {
        state.index >= self.stages.len()
    }

    /// Name and settings of the stage; `None` when all are over.
    pub fn current(&self) -> Option<(&str, &Stage)> {
        self.stages.get(self.state.index).map(|(name, stage)| (name.as_str(), stage))
    }

    /// The share of the stage that is done, 0 to 1.
    pub fn share(&self, now: Progress) -> f64 {
        if self.state.length <= 0.0 {
            return 1.0;
        }
        let done = self.budget.of(now) - self.budget.of(self.state.begun);
        (done / self.state.length).clamp(0.0, 1.0)
    }

    /// Learning rates by module for the step after `now`.
    pub fn learning_rates(&self, now: Progress) -> BTreeMap<String, f64> {
        let Some((_, stage)) = self.current() else { return BTreeMap::new() };
        // With a budget of steps the coming one counts as done, so the first is not lost to a
        // rate of zero.
        let ahead = Progress { steps: now.steps + 1, ..now };
        let schedule = stage.schedule.unwrap_or(self.recipe.schedule);
        let factor = schedule.factor(self.share(ahead));
        let modules = stage.train.modules().into_iter();
        modules.map(|(name, m)| (name.name().to_owned(), m.learning_rate * factor)).collect()
    }

    /// The mix of tasks for the step after `now`.
    pub fn tasks(&self, now: Progress) -> Tasks {
        match self.current() {
            Some((_, stage)) if stage.late.exists() && self.share(now) >= stage.late.from => {
                stage.late.tasks
            }
            Some((_, stage)) => stage.tasks,
            None => Tasks::default(),
        }
    }

    /// The parameters that the stage trains, of those a model has.
    ///
    /// # Errors
    /// When the model has nothing of a module that is to be trained, or too few encoder layers.
    pub fn trained(&self, names: &[String]) -> Result<Vec<Trained>> {
        let Some((stage_name, stage)) = self.current() else { return Ok(Vec::new()) };
        let top = stage.train.encoder.and_then(|encoder| encoder.top);
        let layers = encoder_layers(names);
        if top.is_some() {
            self.recipe.check_encoder(layers)?;
        }
        let from = top.map(|top| layers.saturating_sub(top));
        let mut all = Vec::new();
        for (module, settings) in stage.train.modules() {
            let inside = |name: &&String| {
                name.split('.').next() == Some(module.name())
                    && (module != ModuleName::Encoder || in_top(name, from))
            };
            let names: Vec<String> = names.iter().filter(inside).cloned().collect();
            if names.is_empty() {
                let module = module.name();
                bail!("stage `{stage_name}` trains `{module}`, which this model does not have");
            }
            all.push(Trained { module, weight_decay: settings.weight_decay, names });
        }
        Ok(all)
    }

    /// To be told after every step: whether the stage's budget is used up.
    pub fn after_step(&mut self, now: Progress) -> Option<Move> {
        (self.current().is_some() && self.share(now) >= 1.0).then(|| self.end(now, Reason::Budget))
    }

    /// To be told after every evaluation, before [`Stages::after_step`]: whether the stage has
    /// stopped getting better.
    pub fn after_evaluation(&mut self, now: Progress, value: f64) -> Option<Move> {
        let plateau = self.current()?.1.plateau?;
        let value = value as f32;
        let gained = match self.state.best {
            None => true,
            Some(best) => {
                let gain = if self.metric.rises() { value - best } else { best - value };
                // A value that is not a number is no gain.
                gain > 0.0 && f64::from(gain) >= plateau.improvement * f64::from(best.abs())
            }
        };
        if gained {
            self.state.best = Some(value).filter(|value| value.is_finite());
            self.state.stale = 0;
        } else {
            self.state.stale = self.state.stale.saturating_add(1);
        }
        let over = self.state.stale >= plateau.patience && self.share(now) >= plateau.from;
        over.then(|| self.end(now, Reason::Plateau))
    }

    fn end(&mut self, now: Progress, reason: Reason) -> Move {
        let name = |stages: &Self| stages.current().map(|(name, _)| name.to_owned());
        let from = name(self).unwrap_or_default();
        self.begin(self.state.index + 1, now);
        Move { from, to: name(self), reason }
    }

    /// Gives a stage its part of what is left of the budget.
    fn begin(&mut self, index: usize, now: Progress) {
        let left = (self.budget.total() - self.budget.of(now)).max(0.0);
        let shares = || self.stages.iter().skip(index).map(|(_, stage)| stage.share);
        let mut length = shares().next().map_or(0.0, |share| left * share / shares().sum::<f64>());
        if let Amount::Steps(_) = self.budget {
            // At least one step, and one left for each stage that follows.
            let later = self.stages.len().saturating_sub(index + 1) as f64;
            length = length.round().min(left - later).max(1.0);
        }
        self.state = StageState { index, begun: now, length, best: None, stale: 0 };
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.reason {
            Reason::Budget => "budget used up",
            Reason::Plateau => "no more gain",
        };
        match &self.to {
            Some(to) => write!(f, "stage `{}` is over ({why}); `{to}` begins", self.from),
            None => write!(f, "stage `{}` is over ({why}); training is done", self.from),
        }
    }
}

/// The layer in a name such as `encoder.layers.3.attention.q.weight`.
fn layer(name: &str) -> Option<usize> {
    let mut parts = name.split('.');
    parts.find(|part| matches!(*part, "layers" | "blocks" | "blk"))?;
    parts.next()?.parse().ok()
}

fn encoder_layers(names: &[String]) -> usize {
    let inside = names.iter().filter(|name| name.starts_with("encoder."));
    inside.filter_map(|name| layer(name)).max().map_or(0, |last| last + 1)
}

/// Whether a parameter of the encoder belongs to the layers from `from` on; the norm behind the
/// last layer does, the convolutions before the first do not. `None`: all belong.
fn in_top(name: &str, from: Option<usize>) -> bool {
    let Some(from) = from else { return true };
    match layer(name) {
        Some(layer) => layer >= from,
        None => {
            matches!(name.split('.').nth(1), Some("post_ln" | "ln_post" | "layer_norm" | "norm"))
        }
    }
}
