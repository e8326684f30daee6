//! The thread of a source: keeps its device open, and sends what it gives as 16 kHz audio.

use super::devices::still;
use super::ring::Taken;
use super::stream::Tap;
use super::{CaptureError, Meter, Source};
use crossbeam_channel::{SendTimeoutError, Sender};
use partita_audio::SAMPLE_RATE;
use partita_audio::resample::Resampler;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often a feed looks up when nothing wakes it.
const TICK: Duration = Duration::from_millis(100);
/// How often a lost device is tried again, and whether the default is still the same is asked.
const RETRY: Duration = Duration::from_secs(1);
/// A device that gives nothing for so long is opened anew.
const STALL: Duration = Duration::from_secs(3);
/// How long a feed that was told to stop is waited for.
const GOODBYE: Duration = Duration::from_millis(500);

/// What a feed sends.
#[derive(Debug)]
pub(super) enum News {
    /// Samples at 16 kHz; `lost` are missing before them.
    Block { samples: Vec<f32>, lost: u64, at: Instant },
    /// The source went away.
    Gone { source: String, reason: String },
    /// It, or another one, is there again; blocks follow.
    Back { source: String },
    /// The file is at its end.
    Ended,
    /// The source is over for good.
    Failed(CaptureError),
}

/// News of one source.
#[derive(Debug)]
pub(super) struct Message {
    pub lane: usize,
    pub news: News,
}

/// Where a feed's news go; nowhere if only its levels are looked at.
pub(super) struct Post {
    pub lane: usize,
    pub sender: Option<Sender<Message>>,
    pub meter: Arc<Meter>,
    pub stop: Arc<AtomicBool>,
}

impl Post {
    /// Sends, waiting for room; what the device gives meanwhile stays in its ring. False when it
    /// is time to stop.
    pub(super) fn send(&self, news: News) -> bool {
        let Some(sender) = &self.sender else { return !self.stopped() };
        let mut message = Message { lane: self.lane, news };
        while !self.stopped() {
            match sender.send_timeout(message, TICK) {
                Ok(()) => return true,
                Err(SendTimeoutError::Timeout(back)) => message = back,
                Err(SendTimeoutError::Disconnected(_)) => return false,
            }
        }
        false
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// The running threads of some sources; they end when this goes.
#[derive(Default)]
pub(super) struct Feeds {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Feeds {
    /// What tells the threads to stop.
    pub(super) fn stop(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// Starts a thread.
    pub(super) fn start(
        &mut self,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), CaptureError> {
        let name = format!("capture-{}", self.threads.len());
        let thread = thread::Builder::new().name(name).spawn(work).map_err(|error| {
            let source_name = "capture".to_owned();
            CaptureError::Device { source_name, reason: format!("no thread: {error}") }
        })?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Feeds {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.iter().for_each(|thread| thread.thread().unpark());
        let end = Instant::now() + GOODBYE;
        for thread in self.threads.drain(..) {
            // One that waits for a sound server that hangs is left behind.
            while !thread.is_finished() && Instant::now() < end {
                thread::sleep(Duration::from_millis(2));
            }
            if thread.is_finished() {
                thread.join().ok();
            }
        }
    }
}

/// What is still to be told.
#[derive(Default)]
struct Told {
    /// That the source is gone was told.
    gone: bool,
    /// That it is back is to be told, as soon as it gives audio.
    back: bool,
}

/// Why a device is listened to no more.
enum Over {
    Stopped,
    /// The system took it away.
    Gone(String),
    /// The source means another device now.
    Elsewhere,
}

/// Listens to `source` until it is told to stop. With `opened`, tells there whether the device
/// could be opened, and gives up if not; without, keeps trying.
pub(super) fn run(
    source: &Source,
    post: &Post,
    opened: Option<Sender<Result<(String, bool), CaptureError>>>,
) {
    let mut tap = match (Tap::open(source, &post.meter), opened) {
        (Ok(tap), Some(opened)) => {
            opened.send(Ok((tap.name.clone(), tap.quiet))).ok();
            Some(tap)
        }
        (Err(error), Some(opened)) => {
            opened.send(Err(error)).ok();
            return;
        }
        (tap, None) => tap.ok(),
    };
    let mut told = Told::default();
    while !post.stopped() {
        let Some(mut open) = tap.take() else {
            thread::park_timeout(RETRY);
            if !post.stopped() {
                tap = Tap::open(source, &post.meter).ok();
            }
            continue;
        };
        let over = listen(source, &mut open, post, &mut told);
        post.meter.silence(post.lane);
        match over {
            Over::Stopped => return,
            // Before the stream is closed, which takes its time when a server hangs.
            Over::Gone(reason) if !told.gone => {
                told.gone = true;
                if !post.send(News::Gone { source: open.name.clone(), reason }) {
                    return;
                }
            }
            Over::Gone(_) | Over::Elsewhere => {}
        }
        told.back = true;
        drop(open);
        tap = Tap::open(source, &post.meter).ok();
    }
}

/// Passes on what the device gives, until it gives no more.
fn listen(source: &Source, tap: &mut Tap, post: &Post, told: &mut Told) -> Over {
    let mut resampler = match Resampler::new(tap.rate, &tap.name) {
        Ok(resampler) => resampler,
        Err(error) => return Over::Gone(error.to_string()),
    };
    let (mut looked, mut asked) = (Instant::now(), Instant::now());
    let mut idle = Duration::ZERO;
    while !post.stopped() {
        thread::park_timeout(TICK);
        // Steps much longer than a tick are time during which this process did not run.
        idle += looked.elapsed().min(2 * TICK);
        looked = Instant::now();
        while let Some(taken) = tap.outlet.take() {
            idle = Duration::ZERO;
            let seconds = taken.samples.len() as f32 / tap.rate as f32;
            post.meter.hear(post.lane, &taken.samples, seconds);
            if post.sender.is_none() {
                continue;
            }
            if std::mem::take(&mut told.back) {
                told.gone = false;
                if !post.send(News::Back { source: tap.name.clone() }) {
                    return Over::Stopped;
                }
            }
            match forward(&taken, &mut resampler, post) {
                Ok(true) => {}
                Ok(false) => return Over::Stopped,
                Err(error) => return Over::Gone(error.to_string()),
            }
        }
        if let Some(error) = tap.fault() {
            return Over::Gone(super::devices::failure(&tap.name, &error).reason());
        }
        if idle > STALL && !tap.quiet {
            return Over::Gone("it gives no audio".to_owned());
        }
        if asked.elapsed() > RETRY {
            asked = Instant::now();
            match still(source, &tap.id) {
                Ok(true) => {}
                Ok(false) => return Over::Elsewhere,
                Err(error) => return Over::Gone(error.reason()),
            }
        }
    }
    Over::Stopped
}

/// Converts to 16 kHz and sends. False when it is time to stop.
fn forward(
    taken: &Taken,
    resampler: &mut Resampler,
    post: &Post,
) -> Result<bool, partita_audio::AudioError> {
    let at = Instant::now();
    let mut samples = Vec::new();
    if taken.lost > 0 {
        // What stood before the loss, to its last sample.
        resampler.finish(&mut samples)?;
        if !post.send(News::Block { samples: std::mem::take(&mut samples), lost: 0, at }) {
            return Ok(false);
        }
    }
    resampler.push(&taken.samples, &mut samples)?;
    let lost = taken.lost * u64::from(SAMPLE_RATE) / u64::from(resampler.rate());
    if samples.is_empty() && lost == 0 {
        return Ok(true);
    }
    Ok(post.send(News::Block { samples, lost, at }))
}
