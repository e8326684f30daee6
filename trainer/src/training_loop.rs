//! Trains any [`Objective`] by a recipe, in a run's folder.
//!
//! Speech, the warm start by CTC and other recipes differ in what a batch is and what its loss is;
//! accumulation, clipping, learning rates, stages, evaluation, checkpoints and the log are here.
//! A run that was killed goes on from its last checkpoint as if nothing had happened: the same
//! parameters and the same log, except for its speed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use candle_core::Var;
use serde::{Deserialize, Serialize};

use crate::accumulation::{Accumulated, Accumulator};
use crate::best::Best;
use crate::checkpoint::{self, MOMENTS, PARAMETERS, State};
use crate::counts::Counts;
use crate::journal::Journal;
use crate::memory::Memory;
use crate::metrics::{EvaluationRecord, Record, Speed, StepRecord};
use crate::objective::{Objective, Position, Watcher};
use crate::optimizer::{AdamW, Group};
use crate::parallel::{Alone, Exact, Processes, exchange, together};
use crate::run_folder::RunFolder;
use crate::stages::{Progress, Stages};

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
    train_together(&Alone, objective, run, stop, watcher)
}

/// The same in one of several processes, each of which has opened the run
/// ([`RunFolder::open_together`]) and an objective of its own. The first one writes and is told
/// what happens; it is enough that `stop` is raised in one.
///
/// # Errors
/// As [`train`], in all of them when one fails; when another one cannot be reached.
pub fn train_together(
    processes: &dyn Processes,
    objective: &mut dyn Objective,
    run: &RunFolder,
    stop: &AtomicBool,
    watcher: &mut dyn Watcher,
) -> Result<Outcome> {
    let session = Session::start(processes, objective, run, watcher);
    let steps = session.as_ref().map_or(0, |session| session.progress.steps);
    let mut session = together(processes, session)?;
    if exchange(processes, Ok(steps))?.iter().any(|others| *others != steps) {
        bail!("{}: not all processes see the same checkpoints", run.path().display());
    }
    // What one process does alone fails in all of them at the next exchange.
    let mut done = Ok(());
    loop {
        let stopped = exchange(processes, done.map(|()| stop.load(Ordering::Relaxed)))?;
        if session.stages.current().is_none() {
            return Ok(Outcome::Finished);
        }
        if stopped.contains(&true) {
            session.save(None, None)?;
            return Ok(Outcome::Stopped);
        }
        let begun = Instant::now();
        let shares = exchange(processes, session.losses())?;
        let told = exchange(processes, session.step(shares, begun))?;
        done = session.conclude(told.first().copied().unwrap_or_default());
    }
}

/// What the first process tells the others after a step.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Told {
    /// Seconds of the step.
    seconds: Exact,
    /// The evaluation, if one was due.
    evaluation: Option<Exact>,
}

/// A run while it is trained.
struct Session<'a> {
    processes: &'a dyn Processes,
    objective: &'a mut dyn Objective,
    run: &'a RunFolder,
    watcher: &'a mut dyn Watcher,
    parameters: Vec<(String, Var)>,
    stages: Stages,
    optimizer: AdamW,
    gradients: Accumulator,
    progress: Progress,
    journal: Journal,
    memory: Memory,
    best: Best,
    saved: (u64, Instant),
}

impl<'a> Session<'a> {
    fn start(
        processes: &'a dyn Processes,
        objective: &'a mut dyn Objective,
        run: &'a RunFolder,
        watcher: &'a mut dyn Watcher,
    ) -> Result<Self> {
        let recipe = run.recipe();
        let mut found = run.checkpoints()?;
        for error in &found.damaged {
            watcher.note(&format!("{error:#}; it is passed over"));
        }
        let mut best = Best::new(recipe);
        // Stages measure other tasks: the first values of one are its best.
        let now = found.whole.last().map(|last| last.state.stage.index);
        let of_stage = |one: &&checkpoint::Checkpoint| {
            one.state.ends.is_none() && Some(one.state.stage.index) == now
        };
        let measured = found.whole.iter().filter(of_stage).filter_map(|one| one.state.evaluation);
        measured.for_each(|value| best.add(value));
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
        let journal = match processes.rank() {
            0 => Journal::open(run, bytes, progress.steps)?,
            _ => Journal::silent(),
        };
        let mut session = Self {
            processes,
            objective,
            run,
            watcher,
            parameters,
            stages,
            optimizer: AdamW::new(settings.clip_norm, settings.skip_limit),
            gradients: Accumulator::new(Vec::new()),
            progress,
            journal,
            memory: Memory::new(),
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

    /// The losses of this process's share of a step, with their gradients.
    fn losses(&mut self) -> Result<(Counts, Accumulated)> {
        let step = self.progress.steps + 1;
        let stage = self.stages.current().map(|(name, _)| name.to_owned()).unwrap_or_default();
        let tasks = self.stages.tasks(self.progress);
        let mut at = Position { step, micro_batch: 0, stage, tasks };
        let (rank, size) = (self.processes.rank(), self.processes.size());
        let count = self.run.recipe().batch.accumulate.saturating_mul(size);
        let mut counts = Counts::default();
        self.gradients.clear();
        for (micro_batch, process) in
            self.objective.shares(&at, count, size)?.into_iter().enumerate()
        {
            at.micro_batch = micro_batch;
            if process != rank {
                self.objective.pass(&at).with_context(|| format!("step {step}"))?;
                continue;
            }
            let loss = self.objective.loss(&at).with_context(|| format!("step {step}"))?;
            let value = self
                .gradients
                .add(&loss.sum, loss.tokens)
                .with_context(|| format!("step {step}, batch {}", loss.batch))?;
            counts.add(loss, value);
        }
        counts.notes = self.objective.notes();
        Ok((counts, self.gradients.accumulated()))
    }

    /// The optimiser's step, from the losses of all processes, and an evaluation when one is due.
    fn step(&mut self, shares: Vec<(Counts, Accumulated)>, begun: Instant) -> Result<Told> {
        let number = self.progress.steps + 1;
        let mut counts = Counts::default();
        let mut accumulated = Vec::with_capacity(shares.len());
        for (own_counts, own) in shares {
            counts.join(own_counts);
            accumulated.push(own);
        }
        self.gradients.join(&accumulated, self.processes)?;
        let rates = self.stages.learning_rates(self.progress);
        let step = self
            .optimizer
            .step(&self.gradients, &rates)
            .with_context(|| format!("step {number}, batches: {}", counts.suspects()))?;
        let (loss, tokens) = (self.gradients.loss(), self.gradients.tokens());
        // Gradients are not needed any more, and evaluation may need the memory.
        self.gradients.clear();
        if self.processes.rank() > 0 {
            return Ok(Told::default());
        }
        let seconds = begun.elapsed().as_secs_f64();
        let record = StepRecord {
            step: number,
            stage: self.stages.current().map(|(name, _)| name.to_owned()).unwrap_or_default(),
            // A step whose batches had nothing to learn from has no loss.
            loss: if tokens > 0 { loss } else { f64::NAN },
            accuracy: counts.accuracy(tokens),
            norm: step.norm,
            clipped: step.clipped,
            skipped: step.skipped,
            rates,
            tokens,
            drawn: std::mem::take(&mut counts.drawn),
            parts: counts.means(),
            speed: Speed {
                seconds,
                tokens: tokens as f64 / seconds,
                audio: counts.audio_seconds() / seconds,
                waiting: counts.waited() / self.processes.size() as f64 / seconds,
                memory: self.memory.mebibytes(),
            },
            bad: counts.bad.clone(),
        };
        for note in &counts.notes {
            self.watcher.note(note);
        }
        if record.skipped {
            let bad = counts.suspects();
            self.watcher.note(&format!("step {number} skipped, not finite; batches: {bad}"));
        }
        let now = Progress { steps: number, seconds: self.progress.seconds + seconds };
        self.watcher.step(&record, self.stages.share(now));
        self.journal.add(&Record::Step(record))?;
        let every = self.run.recipe().evaluation.every;
        let due = self.stages.share(now) >= 1.0 || number.is_multiple_of(every);
        let evaluation = if due { Some(self.evaluate(now)?.into()) } else { None };
        Ok(Told { seconds: seconds.into(), evaluation })
    }

    /// Measures, and returns the value that counts.
    fn evaluate(&mut self, now: Progress) -> Result<f64> {
        let begun = Instant::now();
        let stage = self.stages.current().map(|(name, _)| name.to_owned()).unwrap_or_default();
        let values = self
            .objective
            .evaluate(&stage)
            .with_context(|| format!("evaluation at step {}", now.steps))?;
        let metric = self.run.recipe().evaluation.metric.name();
        let Some(value) = values.get(metric).copied() else {
            bail!("evaluation does not measure `{metric}`, which the recipe goes by");
        };
        let seconds = begun.elapsed().as_secs_f64();
        let record = EvaluationRecord::new(now, &stage, values, seconds);
        self.watcher.evaluation(&record);
        self.journal.add(&Record::Evaluation(record))?;
        Ok(value)
    }

    /// All that is due after a step.
    fn conclude(&mut self, told: Told) -> Result<()> {
        let seconds = self.progress.seconds + f64::from(told.seconds);
        self.progress = Progress { steps: self.progress.steps + 1, seconds };
        let value = told.evaluation.map(f64::from);
        let change = value
            .and_then(|value| self.stages.after_evaluation(self.progress, value))
            .or_else(|| self.stages.after_step(self.progress));
        if let Some(change) = &change {
            let record = Record::Stage { step: self.progress.steps, change: change.clone() };
            self.journal.add(&record)?;
            self.watcher.stage(change);
            self.enter_stage()?;
        }
        let settings = self.run.recipe().checkpoints;
        let evaluation = value.map(|value| value as f32).filter(|value| value.is_finite());
        let best = evaluation.is_some_and(|value| self.best.takes(value));
        let (saved, at) = self.saved;
        let due = at.elapsed().as_secs_f64() >= settings.minutes * 60.0
            || (settings.steps > 0 && self.progress.steps - saved >= settings.steps);
        if change.is_some() || due || best {
            let enters = change.is_some();
            self.save(evaluation, change.map(|change| change.from))?;
            if enters {
                self.best = Best::new(self.run.recipe());
            }
        }
        Ok(())
    }

    /// Writes a checkpoint, in the first process.
    fn save(&mut self, evaluation: Option<f32>, ends: Option<String>) -> Result<()> {
        if self.processes.rank() > 0 {
            return Ok(());
        }
        // A stop right after a checkpoint needs no other.
        let fresh = self.saved.0 == self.progress.steps && evaluation.is_none() && ends.is_none();
        if fresh && self.progress.steps > 0 {
            return Ok(());
        }
        let state = State {
            progress: self.progress,
            stage: self.stages.state(),
            optimizer: self.optimizer.state(),
            objective: self.objective.state()?,
            metrics_bytes: self.journal.sync()?,
            evaluation,
            ends,
            recipe: self.run.config().to_owned(),
        };
        let folder = self.run.checkpoint_folder();
        let path = checkpoint::write(&folder, state, &self.parameters, &self.optimizer.moments())?;
        self.saved = (self.progress.steps, Instant::now());
        evaluation.into_iter().for_each(|value| self.best.add(value));
        self.watcher.checkpoint(&path);
        self.run.prune()
    }
}
