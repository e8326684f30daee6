//! Trains any [`Objective`] by a recipe, in a run's folder.
//!
//! Speech, the warm start by CTC and other recipes differ in what a batch is and what its loss is;
//! accumulation, clipping, learning rates, stages, evaluation, checkpoints and the log are here.
//! A run that was killed goes on from its last checkpoint as if nothing had happened: the same
//! parameters and the same log, except for its speed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use candle_core::Var;

use crate::accumulation::Accumulator;
use crate::checkpoint::{self, MOMENTS, PARAMETERS, State};
use crate::metrics::{EvaluationRecord, Log, Record, Speed, StepRecord};
use crate::objective::{Loss, Objective, Position, Watcher};
use crate::optimizer::{AdamW, Group};
use crate::run_folder::RunFolder;
use crate::stages::{Progress, Stages};
use crate::tensorboard::Events;

/// How training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All stages are over.
    Finished,
    /// It was asked to stop; a checkpoint was written.
    Stopped,
}

/// A flag that the first interrupt (ctrl-c, SIGTERM) raises; the second ends the process.
///
/// # Errors
/// When the system refuses, or the process handles interrupts already.
pub fn stop_on_interrupt() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if raised.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .context("interrupts cannot be handled")?;
    Ok(stop)
}

/// Trains, from the run's newest checkpoint or from the beginning, until the recipe is carried out
/// or `stop` is raised (looked at after every step).
///
/// # Errors
/// When the objective fails, when the recipe does not fit it, when a checkpoint is of another
/// recipe or cannot be written, and after too many steps without a finite loss. Checkpoints that
/// were written stay.
pub fn train(
    objective: &mut dyn Objective,
    run: &RunFolder,
    stop: &AtomicBool,
    watcher: &mut dyn Watcher,
) -> Result<Outcome> {
    let mut session = Session::start(objective, run, watcher)?;
    while session.stages.current().is_some() {
        if stop.load(Ordering::Relaxed) {
            session.save(None, None)?;
            return Ok(Outcome::Stopped);
        }
        session.advance()?;
    }
    Ok(Outcome::Finished)
}

/// A run while it is trained.
struct Session<'a> {
    objective: &'a mut dyn Objective,
    run: &'a RunFolder,
    watcher: &'a mut dyn Watcher,
    parameters: Vec<(String, Var)>,
    stages: Stages,
    optimizer: AdamW,
    gradients: Accumulator,
    progress: Progress,
    log: Log,
    events: Events,
    memory: Memory,
    /// The best evaluation among the checkpoints that are there.
    best: Option<f32>,
    saved: (u64, Instant),
}

impl<'a> Session<'a> {
    fn start(
        objective: &'a mut dyn Objective,
        run: &'a RunFolder,
        watcher: &'a mut dyn Watcher,
    ) -> Result<Self> {
        let recipe = run.recipe();
        let mut found = run.checkpoints()?;
        for error in &found.damaged {
            watcher.note(&format!("{error:#}; it is passed over"));
        }
        let best = run.best(&found.whole).next().and_then(|best| best.state.evaluation);
        let last = found.whole.pop();
        let (stages, progress, bytes) = match &last {
            Some(checkpoint) => {
                checkpoint.expect_recipe(run.config())?;
                let State { stage, progress, metrics_bytes, .. } = checkpoint.state;
                let stages = Stages::resume(recipe, stage)
                    .with_context(|| checkpoint.path.display().to_string())?;
                (stages, progress, metrics_bytes)
            }
            None => (Stages::new(recipe)?, Progress::default(), 0),
        };
        let parameters = objective.parameters();
        let settings = recipe.optimizer;
        let mut session = Self {
            objective,
            run,
            watcher,
            parameters,
            stages,
            optimizer: AdamW::new(settings.clip_norm, settings.skip_limit),
            gradients: Accumulator::new(Vec::new()),
            progress,
            log: Log::open(&run.metrics(), bytes)?,
            events: Events::create(&run.events(), progress.steps)?,
            memory: Memory(sysinfo::System::new().ok()),
            best,
            saved: (progress.steps, Instant::now()),
        };
        if let Some(checkpoint) = &last {
            checkpoint.load(PARAMETERS, &session.parameters)?;
        }
        session.enter_stage()?;
        if let (Some(checkpoint), Some(_)) = (&last, session.stages.current()) {
            checkpoint.load(MOMENTS, &session.optimizer.moments())?;
            let state = &checkpoint.state;
            let restored = session
                .optimizer
                .restore(&state.optimizer)
                .and_then(|()| session.objective.restore(&state.objective));
            restored.with_context(|| checkpoint.path.display().to_string())?;
        }
        Ok(session)
    }

    /// Hands the optimiser and the objective what the stage trains.
    fn enter_stage(&mut self) -> Result<()> {
        let Some((name, _)) = self.stages.current() else { return Ok(()) };
        let name = name.to_owned();
        let names: Vec<String> = self.parameters.iter().map(|(name, _)| name.clone()).collect();
        let trained = self.stages.trained(&names)?;
        let variables: BTreeMap<&str, &Var> =
            self.parameters.iter().map(|(name, variable)| (name.as_str(), variable)).collect();
        let groups = trained.iter().map(|group| {
            let variable = |name: &String| {
                let variable = variables.get(name.as_str()).copied()?;
                Some((name.clone(), variable.clone()))
            };
            Group {
                name: group.module.name().to_owned(),
                hyperparameters: self.run.recipe().hyperparameters(group.weight_decay),
                parameters: group.names.iter().filter_map(variable).collect(),
            }
        });
        self.optimizer.set_groups(groups.collect())?;
        self.gradients = self.optimizer.accumulator();
        self.objective.enter_stage(&name, &trained).with_context(|| format!("stage `{name}`"))
    }

    /// A step, and all that is due after it.
    fn advance(&mut self) -> Result<()> {
        self.step()?;
        let settings = self.run.recipe().checkpoints;
        let ending = self.stages.share(self.progress) >= 1.0;
        let mut change = None;
        let mut evaluation = None;
        if ending || self.progress.steps.is_multiple_of(self.run.recipe().evaluation.every) {
            let value = self.evaluate()?;
            evaluation = Some(value as f32).filter(|value| value.is_finite());
            change = self.stages.after_evaluation(self.progress, value);
        }
        let change = match change {
            Some(change) => Some(change),
            None => self.stages.after_step(self.progress),
        };
        if let Some(change) = &change {
            let record = Record::Stage { step: self.progress.steps, change: change.clone() };
            self.log.append(&record)?;
            self.watcher.stage(change);
            self.enter_stage()?;
        }
        let rises = self.run.recipe().evaluation.metric.rises();
        let best = match (evaluation, self.best) {
            (Some(value), Some(best)) => {
                if rises {
                    value > best
                } else {
                    value < best
                }
            }
            (value, None) => value.is_some(),
            _ => false,
        };
        let (saved, at) = self.saved;
        let due = at.elapsed().as_secs_f64() >= settings.minutes * 60.0
            || (settings.steps > 0 && self.progress.steps - saved >= settings.steps);
        if change.is_some() || due || (best && settings.keep_best > 0) {
            self.save(evaluation, change.map(|change| change.from))?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<()> {
        let begun = Instant::now();
        let number = self.progress.steps + 1;
        let stage = self.stages.current().map(|(name, _)| name.to_owned()).unwrap_or_default();
        let tasks = self.stages.tasks(self.progress);
        let rates = self.stages.learning_rates(self.progress);
        let mut record = StepRecord { step: number, stage, ..StepRecord::default() };
        let mut counts = Counts::default();
        self.gradients.clear();
        for micro_batch in 0..self.run.recipe().batch.accumulate {
            let stage = record.stage.clone();
            let at = Position { step: number, micro_batch, stage, tasks };
            let loss = self.objective.loss(&at).with_context(|| format!("step {number}"))?;
            let value = self
                .gradients
                .add(&loss.sum, loss.tokens)
                .with_context(|| format!("step {number}, batch {}", loss.batch))?;
            if !value.is_finite() {
                record.bad.push(loss.batch.clone());
            }
            counts.add(loss);
        }
        let step = self.optimizer.step(&self.gradients, &rates).with_context(|| {
            let bad = if record.bad.is_empty() {
                counts.batches.join("; ")
            } else {
                record.bad.join("; ")
            };
            format!("step {number}, batches: {bad}")
        })?;
        (record.norm, record.clipped, record.skipped) = (step.norm, step.clipped, step.skipped);
        (record.rates, record.loss, record.tokens) =
            (rates, self.gradients.loss(), self.gradients.tokens());
        // Gradients are not needed any more, and evaluation may need the memory.
        self.gradients.clear();
        record.accuracy = counts.accuracy(record.tokens);
        record.parts = counts.means();
        let seconds = begun.elapsed().as_secs_f64();
        record.speed = Speed {
            seconds,
            tokens: record.tokens as f64 / seconds,
            audio: counts.audio_seconds / seconds,
            waiting: counts.waited.as_secs_f64() / seconds,
            memory: self.memory.mebibytes(),
        };
        self.progress = Progress { steps: number, seconds: self.progress.seconds + seconds };
        self.events.scalars(number, scalars(&record))?;
        if record.skipped {
            let bad = record.bad.join("; ");
            self.watcher.note(&format!("step {number} skipped, not finite; batches: {bad}"));
        }
        self.watcher.step(&record, self.stages.share(self.progress));
        self.log.append(&Record::Step(record))
    }

    /// Measures, and returns the value that counts.
    fn evaluate(&mut self) -> Result<f64> {
        let begun = Instant::now();
        let stage = self.stages.current().map(|(name, _)| name.to_owned()).unwrap_or_default();
        let step = self.progress.steps;
        let values = self
            .objective
            .evaluate(&stage)
            .with_context(|| format!("evaluation at step {step}"))?;
        let metric = self.run.recipe().evaluation.metric.name();
        let Some(value) = values.get(metric).copied() else {
            bail!("evaluation does not measure `{metric}`, which the recipe goes by");
        };
        self.events.scalars(step, values.iter().map(|(name, v)| (format!("dev/{name}"), *v)))?;
        let seconds = begun.elapsed().as_secs_f64();
        let record = EvaluationRecord::new(self.progress, &stage, values, seconds);
        self.watcher.evaluation(&record);
        self.log.append(&Record::Evaluation(record))?;
        Ok(value)
    }

    fn save(&mut self, evaluation: Option<f32>, ends: Option<String>) -> Result<()> {
        // A stop right after a checkpoint needs no other.
        let fresh = self.saved.0 == self.progress.steps && evaluation.is_none() && ends.is_none();
        if fresh && self.progress.steps > 0 {
            return Ok(());
        }
        self.events.flush()?;
        let state = State {
            progress: self.progress,
            stage: self.stages.state(),
            optimizer: self.optimizer.state(),
            objective: self.objective.state()?,
            metrics_bytes: self.log.sync()?,
            evaluation,
            ends,
            recipe: self.run.config().to_owned(),
        };
        let folder = self.run.checkpoint_folder();
        let path = checkpoint::write(&folder, state, &self.parameters, &self.optimizer.moments())?;
        self.saved = (self.progress.steps, Instant::now());
        let rises = self.run.recipe().evaluation.metric.rises();
        self.best = match (evaluation, self.best) {
            (Some(new), Some(old)) => Some(if rises { new.max(old) } else { new.min(old) }),
            (new, old) => new.or(old),
        };
        self.watcher.checkpoint(&path);
        self.run.prune()
    }
}

/// What the micro-batches of a step had.
#[derive(Default)]
struct Counts {
    correct: Option<u64>,
    audio_seconds: f64,
    waited: Duration,
    batches: Vec<String>,
    parts: BTreeMap<String, (f64, u64)>,
}

impl Counts {
    fn add(&mut self, loss: Loss) {
        if let Some(correct) = loss.correct {
            *self.correct.get_or_insert(0) += correct;
        }
        self.audio_seconds += loss.audio_seconds;
        self.waited += loss.waited;
        self.batches.push(loss.batch);
        for (name, (sum, count)) in loss.parts {
            let part = self.parts.entry(name).or_default();
            *part = (part.0 + sum, part.1 + count);
        }
    }

    fn accuracy(&self, tokens: u64) -> Option<f64> {
        self.correct.map(|correct| correct as f64 / tokens.max(1) as f64)
    }

    fn means(&self) -> BTreeMap<String, f64> {
        let mean = |(sum, count): (f64, u64)| sum / count.max(1) as f64;
        self.parts.iter().map(|(name, part)| (name.clone(), mean(*part))).collect()
    }
}

/// The curves of a step.
fn scalars(record: &StepRecord) -> Vec<(String, f64)> {
    let named = |name: &str, value: f64| (format!("train/{name}"), value);
    let mut all = vec![named("loss", record.loss), named("norm", record.norm)];
    all.extend(record.accuracy.map(|accuracy| named("accuracy", accuracy)));
    all.extend(record.parts.iter().map(|(name, value)| named(name, *value)));
    all.extend(record.rates.iter().map(|(name, rate)| (format!("rate/{name}"), *rate)));
    let Speed { seconds, tokens, audio, waiting, memory } = record.speed;
    let speed = [("seconds", seconds), ("tokens", tokens), ("audio", audio), ("waiting", waiting)];
    all.extend(speed.map(|(name, value)| (format!("speed/{name}"), value)));
    all.push(("speed/memory".to_owned(), memory as f64));
    all
}

/// The memory that this process has in use.
struct Memory(Option<sysinfo::System>);

impl Memory {
    fn mebibytes(&mut self) -> u64 {
        let (Some(system), Ok(process)) = (&mut self.0, sysinfo::get_current_pid()) else {
            return 0;
        };
        let only = sysinfo::ProcessesToUpdate::Some(&[process]);
        let what = sysinfo::ProcessRefreshKind::nothing().with_memory();
        system.refresh_processes_specifics(only, true, what);
        system.process(process).map_or(0, |process| process.memory() >> 20)
    }
}
