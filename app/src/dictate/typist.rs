//! Dictation on a thread of its own: pressing keys takes time.

use super::Dictation;
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
    failure: Arc<Mutex<Option<String>>>,
}

impl Typist {
    /// Begins to type.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(dictation: Dictation) -> io::Result<Self> {
        let (events, received) = bounded(WAITING);
        let failure = Arc::new(Mutex::new(None));
        let own = Arc::clone(&failure);
        let thread = thread::Builder::new()
            .name("typist".to_owned())
            .spawn(move || run(dictation, &received, &own))?;
        Ok(Self { events: Some(events), thread: Some(thread), failure })
    }

    /// Takes an event. Never waits.
    pub fn take(&self, event: &Event) {
        let Some(events) = &self.events else { return };
        let kept = match event {
            Event::Partial { .. } => events.len() < BUSY,
            Event::Final { .. } | Event::Translation { .. } => true,
            _ => false,
        };
        if kept && events.try_send(event.clone()).is_err() {
            say(&self.failure, "typing is far behind: text was left out".to_owned());
        }
    }

    /// What went wrong since this was last asked; one line for the user.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
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

fn run(mut dictation: Dictation, events: &Receiver<Event>, failure: &Mutex<Option<String>>) {
    let say = |result: Result<(), super::DictateError>| {
        if let Err(error) = result {
            say(failure, error.to_string());
        }
    };
    loop {
        match events.recv_timeout(TICK) {
            Ok(event) => say(dictation.take(&event)),
            Err(RecvTimeoutError::Timeout) => say(dictation.tick()),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let since = Instant::now();
    while dictation.is_waiting() && since.elapsed() < PATIENCE {
        say(dictation.tick());
        thread::sleep(Duration::from_millis(20));
    }
}

fn say(failure: &Mutex<Option<String>>, reason: String) {
    tracing::debug!("dictation: {reason}");
    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
}
