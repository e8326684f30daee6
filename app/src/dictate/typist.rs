//! Dictation on a thread of its own: pressing keys takes time.

use super::{Choice, DictateError, Dictation};
use crate::live::Event;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Events that wait while keys are pressed.
const WAITING: usize = 1024;
/// With more than this waiting, partial texts are left out: the next ones hold them.
const BUSY: usize = 64;
/// How often borrowed things are looked after.
const TICK: Duration = Duration::from_millis(100);
/// How long the last words wait, at the end, for a key that is held.
const PATIENCE: Duration = Duration::from_millis(500);

/// Hands events to a [`Dictation`]; the last handle to go waits until all is typed.
#[derive(Debug)]
pub struct Typist {
    events: Option<Sender<Event>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    failure: Mutex<Option<String>>,
    choice: Mutex<Option<Choice>>,
}

impl Typist {
    /// Begins to type.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(dictation: Dictation) -> io::Result<Self> {
        let (events, received) = bounded(WAITING);
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("typist".to_owned())
            .spawn(move || run(dictation, &received, &own))?;
        Ok(Self { events: Some(events), thread: Some(thread), shared })
    }

    /// Takes an event. Never waits.
    pub fn take(&self, event: &Event) {
        let Some(events) = &self.events else { return };
        let kept = match event {
            Event::Partial { .. } => events.len() < BUSY,
            Event::Listening { .. } | Event::Final { .. } | Event::Translation { .. } => true,
            _ => false,
        };
        if kept && events.try_send(event.clone()).is_err() {
            self.shared.say("typing is far behind: text was left out".to_owned());
        }
    }

    /// What went wrong since this was last asked; one line for the user.
    pub fn failure(&self) -> Option<String> {
        self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What counts for the window that has the focus, a moment ago at most: whoever holds the
    /// session makes it listen accordingly.
    pub fn choice(&self) -> Option<Choice> {
        self.shared.choice.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    fn say(&self, reason: String) {
        tracing::debug!("dictation: {reason}");
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    fn check(&self, result: Result<(), DictateError>) {
        if let Err(error) = result {
            self.say(error.to_string());
        }
    }
}

impl Drop for Typist {
    fn drop(&mut self) {
        drop(self.events.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(mut dictation: Dictation, events: &Receiver<Event>, shared: &Shared) {
    loop {
        let choice = Some(dictation.choice());
        *shared.choice.lock().unwrap_or_else(PoisonError::into_inner) = choice;
        match events.recv_timeout(TICK) {
            Ok(event) => shared.check(dictation.take(&event)),
            Err(RecvTimeoutError::Timeout) => shared.check(dictation.tick()),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let since = Instant::now();
    while dictation.is_waiting() && since.elapsed() < PATIENCE {
        shared.check(dictation.tick());
        thread::sleep(Duration::from_millis(20));
    }
}
