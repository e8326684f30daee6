//! A session: one thread listens, another writes, and both tell what happens.

use super::event::Event;
use super::listening::{Opened, listen};
use super::options::LiveOptions;
use super::queue::Queue;
use super::writing::write_down;
use crate::capture::{Capture, Meter, Recorder};
use crossbeam_channel::{Receiver, TrySendError, bounded};
use partita_audio::vad::VoiceActivity;
use partita_model::engine::LiveEngine;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a session is made of. Each part is opened on the thread that uses it.
pub struct Setup {
    /// Opens the audio.
    pub capture: Opener<Box<dyn Capture>>,
    /// Loads the engine.
    pub engine: Opener<Box<dyn LiveEngine>>,
    /// Loads the voice-activity detector; if it is not the best one, why.
    pub detector: Opener<(Box<dyn VoiceActivity>, Option<String>)>,
    /// Opens the file that keeps the audio, if it is to be kept.
    pub record: Option<Opener<Recorder>>,
    /// How to listen and write.
    pub options: LiveOptions,
}

/// Opens something, once.
pub type Opener<T> = Box<dyn FnOnce() -> anyhow::Result<T> + Send>;

/// A running session. Dropping it ends it.
pub struct Session {
    control: Arc<Control>,
    threads: Vec<JoinHandle<()>>,
}

/// What the threads share.
pub(super) struct Control {
    pub queue: Queue,
    options: Mutex<LiveOptions>,
    /// Counts changes of the options.
    changes: AtomicU64,
    paused: AtomicBool,
    stopping: AtomicBool,
    hurrying: AtomicBool,
    /// Between which samples of the session an utterance is to be cut.
    cut: Mutex<Option<(u64, u64)>>,
    failed: AtomicBool,
    /// Nanoseconds that the engine was busy.
    busy: AtomicU64,
    pub meter: OnceLock<Arc<Meter>>,
    tell: Box<dyn Fn(Event) + Send + Sync>,
}

/// Events that wait for a consumer. A session waits for one that is slower for long, except with
/// partial texts, which are told no more then.
const CAPACITY: usize = 1024;

/// Somewhere for a session's events to go, and where they come out.
pub fn channel() -> (impl Fn(Event) + Send + Sync + 'static, Receiver<Event>) {
    let (sender, receiver) = bounded(CAPACITY);
    let tell = move |event: Event| {
        let dispensable = matches!(event, Event::Partial { .. } | Event::Status(_));
        if let Err(TrySendError::Full(event)) = sender.try_send(event)
            && !dispensable
        {
            // Whoever has gone away wants to know nothing.
            let _ = sender.send(event);
        }
    };
    (tell, receiver)
}

impl Session {
    /// Starts listening; returns at once. `tell` is called from the session's threads.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn start(
        setup: Setup,
        tell: impl Fn(Event) + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let control = Arc::new(Control {
            queue: Queue::default(),
            options: Mutex::new(setup.options.clone()),
            changes: AtomicU64::new(0),
            paused: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            hurrying: AtomicBool::new(false),
            cut: Mutex::default(),
            failed: AtomicBool::new(false),
            busy: AtomicU64::new(0),
            meter: OnceLock::new(),
            tell: Box::new(tell),
        });
        let (sources, opened) = bounded(1);
        let mut session = Self { control: control.clone(), threads: Vec::new() };
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(run)
        };
        let Setup { capture, engine, detector, record, .. } = setup;
        let shared = control.clone();
        let listening = move || listen(&shared, Opened { capture, detector, record }, &sources);
        session.threads.push(spawn("live listening", Box::new(listening))?);
        let writing = move || write_down(&control, engine, &opened);
        session.threads.push(spawn("live writing", Box::new(writing))?);
        Ok(session)
    }

    /// Stops listening for a while, or goes on. Audio that comes meanwhile is not heard; what is
    /// being spoken ends.
    pub fn pause(&self, paused: bool) {
        self.control.paused.store(paused, Ordering::Relaxed);
    }

    /// Whether it is pausing.
    pub fn is_paused(&self) -> bool {
        self.control.paused.load(Ordering::Relaxed)
    }

    /// Listens and writes in another way from the next utterance on.
    pub fn change(&self, options: LiveOptions) {
        *self.control.lock_options() = options;
        self.control.changes.fetch_add(1, Ordering::Release);
    }

    /// Asks it to end: what was spoken is still written, then [`Event::Finished`] comes.
    pub fn stop(&self) {
        self.control.stopping.store(true, Ordering::Relaxed);
    }

    /// After [`stop`](Self::stop): what is not yet written is closed with the text that was shown.
    pub fn hurry(&self) {
        self.control.hurrying.store(true, Ordering::Relaxed);
    }

    /// Levels of the audio that comes in, once it does.
    pub fn meter(&self) -> Option<Arc<Meter>> {
        self.control.meter.get().cloned()
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Ends it, and waits until it has ended. After `patience`, what is not yet written is closed
    /// with the text that was shown of it.
    pub fn finish(mut self, patience: Duration) {
        self.end(patience);
    }

    fn end(&mut self, patience: Duration) {
        self.stop();
        let until = Instant::now() + patience;
        while !self.has_ended() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.hurry();
        for thread in self.threads.drain(..) {
            // Its panic has been printed; there is nothing left to do for it.
            let _ = thread.join();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

impl Control {
    pub fn tell(&self, event: Event) {
        (self.tell)(event);
    }

    /// Tells why the session ends, and ends it.
    pub fn fail(&self, error: &anyhow::Error) {
        self.stopping.store(true, Ordering::Relaxed);
        if !self.failed.swap(true, Ordering::Relaxed) {
            self.tell(Event::Failed { message: format!("{error:#}") });
        }
    }

    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    fn lock_options(&self) -> std::sync::MutexGuard<'_, LiveOptions> {
        self.options.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn options(&self) -> LiveOptions {
        self.lock_options().clone()
    }

    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub fn is_hurrying(&self) -> bool {
        self.hurrying.load(Ordering::Relaxed)
    }

    /// Asks that the utterance that is being spoken be cut between two samples of the session.
    pub fn ask_for_cut(&self, from: u64, to: u64) {
        *self.cut.lock().unwrap_or_else(PoisonError::into_inner) = Some((from, to));
    }

    pub fn take_cut(&self) -> Option<(u64, u64)> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub fn was_busy(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.busy.fetch_add(nanos, Ordering::Relaxed);
    }

    pub fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy.load(Ordering::Relaxed))
    }
}
