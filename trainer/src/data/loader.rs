//! Threads that make batches ahead of the one who trains.
//!
//! Of `n` threads, thread `k` makes batches `k, k + n, k + 2n, …` and sends them down a bounded
//! channel of its own; batches are taken from the channels in turn. So their order is the
//! sampler's, whatever the threads do, and memory is bounded by `threads × (ahead + 1)` batches.
//! Of several processes each makes only its own batches and passes over those of the others.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use partita_corpus::BadRow;
use serde::{Deserialize, Serialize};

use super::features::FeatureMaker;
use super::sampler::{Position, Sampler};
use super::{Batch, Example};

/// How batches are made ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoaderOptions {
    /// Threads.
    pub threads: usize,
    /// Finished batches that wait behind each thread.
    pub ahead: usize,
    /// Processes that train together; each takes its share of the batches.
    pub world: usize,
    /// Which of them this one is, from 0.
    pub rank: usize,
}

impl Default for LoaderOptions {
    fn default() -> Self {
        let threads = thread::available_parallelism().map_or(1, |n| n.get().min(8));
        Self { threads, ahead: 2, world: 1, rank: 0 }
    }
}

/// What a thread sends: the examples of a batch, and the clips that could not be read.
struct Made {
    examples: Vec<Example>,
    bad_rows: Vec<BadRow>,
}

/// Gives batches in the sampler's order. Dropping it ends its threads.
pub struct Loader {
    channels: Vec<Receiver<Made>>,
    turn: usize,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    /// Goes along with the batches that were taken or passed over.
    sampler: Sampler,
    /// Batches in a row that had no clip.
    empty: usize,
    seen: HashSet<(PathBuf, u64)>,
    bad_rows: Vec<BadRow>,
    begun: Option<Instant>,
    waited: Duration,
}

impl Loader {
    /// Starts at the sampler's position: the beginning, or what a [`Batch`] said. Counted from
    /// there, process `rank` has the batches `rank`, `rank + world`, ….
    ///
    /// # Errors
    /// When options are impossible or a thread cannot be started.
    pub fn start(
        maker: Arc<FeatureMaker>,
        sampler: Sampler,
        options: LoaderOptions,
    ) -> Result<Self> {
        let LoaderOptions { threads, world, rank, ahead } = options;
        if threads == 0 || world == 0 || rank >= world {
            bail!("loader: {threads} threads, process {rank} of {world}");
        }
        let mut loader = Self {
            channels: Vec::new(),
            turn: 0,
            threads: Vec::new(),
            stop: Arc::default(),
            sampler: sampler.clone(),
            empty: 0,
            seen: HashSet::new(),
            bad_rows: Vec::new(),
            begun: None,
            waited: Duration::ZERO,
        };
        for thread in 0..threads {
            let (sender, receiver) = sync_channel(ahead);
            let mut worker = Worker {
                maker: maker.clone(),
                sampler: sampler.clone(),
                stop: loader.stop.clone(),
                sender,
                world,
                rank,
            };
            let work = move || worker.run(thread, threads);
            let name = format!("loader-{thread}");
            let started = thread::Builder::new().name(name).spawn(work);
            loader.threads.push(started.context("loader: cannot start a thread")?);
            loader.channels.push(receiver);
        }
        Ok(loader)
    }

    /// The next batch, which is one of this process. It is empty if no clip of it can be read.
    ///
    /// # Errors
    /// When no clip of a whole epoch can be read, or a thread is gone.
    #[expect(clippy::should_implement_trait, reason = "without end, and it can fail")]
    pub fn next(&mut self) -> Result<Batch> {
        let begin = Instant::now();
        self.begun.get_or_insert(begin);
        let received = self.channels.get(self.turn).and_then(|channel| channel.recv().ok());
        let made = received.context("loader: a thread ended before its time")?;
        self.turn = (self.turn + 1) % self.channels.len();
        for bad in made.bad_rows {
            if self.seen.insert((bad.file.clone(), bad.line)) {
                self.bad_rows.push(bad);
            }
        }
        self.empty = if made.examples.is_empty() { self.empty + 1 } else { 0 };
        // Those at the end of an epoch and at the beginning of the next may be in a row.
        if self.empty >= 2 * self.sampler.batches_in_epoch() {
            let first = self.bad_rows.first().map(|bad| format!("; the first: {bad}"));
            bail!("no clip of a whole epoch can be read{}", first.unwrap_or_default())
        }
        self.sampler.skip();
        self.waited += begin.elapsed();
        Ok(Batch { examples: made.examples, next: self.sampler.position() })
    }

    /// Passes over the next batch, which is one of another process.
    pub fn pass(&mut self) {
        self.sampler.skip();
    }

    /// Where to go on after the batches that were taken and passed over.
    pub fn position(&self) -> Position {
        self.sampler.position()
    }

    /// Clips that could not be read so far, each once.
    pub fn bad_rows(&self) -> &[BadRow] {
        &self.bad_rows
    }

    /// Share of the time since the first [`Loader::next`] that was spent waiting in it: 0 when the
    /// threads keep up.
    pub fn wait_share(&self) -> f64 {
        let all = self.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
        if all.is_zero() { 0.0 } else { self.waited.as_secs_f64() / all.as_secs_f64() }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A thread that waits for room in its channel goes on, and finds nobody there.
        self.channels.clear();
        for thread in self.threads.drain(..) {
            // One that panicked has said so on standard error.
            thread.join().ok();
        }
    }
}

struct Worker {
    maker: Arc<FeatureMaker>,
    sampler: Sampler,
    stop: Arc<AtomicBool>,
    sender: SyncSender<Made>,
    world: usize,
    rank: usize,
}

impl Worker {
    fn run(&mut self, thread: usize, threads: usize) {
        self.pass(self.world * thread);
        while !self.stop.load(Ordering::Relaxed) {
            self.pass(self.rank);
            let plan = self.sampler.next_batch();
            self.pass(self.world - 1 - self.rank);
            let mut made = Made { examples: Vec::new(), bad_rows: Vec::new() };
            for pick in &plan.picks {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                match self.maker.make(plan.epoch, pick) {
                    Ok(example) => made.examples.push(example),
                    Err(bad) => made.bad_rows.push(bad),
                }
            }
            if self.sender.send(made).is_err() {
                return;
            }
            self.pass(self.world * (threads - 1));
        }
    }

    /// Passes over batches that others make.
    fn pass(&mut self, batches: usize) {
        for _ in 0..batches {
            self.sampler.skip();
        }
    }
}
