//! Writing a session down while it runs, on a thread of its own.

use super::{Heading, History, HistoryError, Line};
use crate::live::Event;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Events that wait while the disk is slow: an hour of quick talk.
const WAITING: usize = 4096;
/// How often a write that failed is tried again, if nothing happens in between.
const AGAIN: Duration = Duration::from_secs(5);

/// Takes the events of one session and writes its text down.
///
/// It never holds up whoever hands it events. What cannot be written (the disk is full) waits and
/// is tried again; [`Self::failure`] says so meanwhile.
#[derive(Debug)]
pub struct HistoryWriter {
    events: Option<Sender<Event>>,
    thread: Option<JoinHandle<Option<i64>>>,
    trouble: Arc<Trouble>,
}

#[derive(Debug, Default)]
struct Trouble {
    failure: Mutex<Option<String>>,
    lost: AtomicU64,
}

impl HistoryWriter {
    /// Begins to write. Sources and engine are taken from [`Event::Listening`]; a session in which
    /// nothing is said leaves no trace.
    ///
    /// # Errors
    /// [`HistoryError::Io`] when the system has no thread to give.
    pub fn start(history: History, heading: Heading) -> Result<Self, HistoryError> {
        let path = history.path.clone();
        let (events, received) = bounded(WAITING);
        let trouble = Arc::new(Trouble::default());
        let log = Log {
            history,
            heading,
            session: None,
            ahead: VecDeque::new(),
            trouble: trouble.clone(),
        };
        let thread = thread::Builder::new()
            .name("history".to_owned())
            .spawn(move || log.run(&received))
            .map_err(|cause| HistoryError::Io { path, cause })?;
        Ok(Self { events: Some(events), thread: Some(thread), trouble })
    }

    /// Takes an event; those that leave nothing to write down cost nothing. Never waits.
    pub fn take(&self, event: &Event) {
        let kept = matches!(
            event,
            Event::Listening { .. }
                | Event::Final { .. }
                | Event::Translation { .. }
                | Event::Finished { .. }
        );
        let Some(events) = self.events.as_ref().filter(|_| kept) else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            events.try_send(event.clone())
        {
            self.trouble.lost.fetch_add(1, Ordering::Relaxed);
            self.trouble.say("the disk is too slow: lines are lost".to_owned());
        }
    }

    /// Why text is not being written at the moment; one line for the user.
    pub fn failure(&self) -> Option<String> {
        self.trouble.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lines and other events that are lost for good.
    pub fn lost(&self) -> u64 {
        self.trouble.lost.load(Ordering::Relaxed)
    }

    /// Waits until all is written and returns the session's number, if anything was said.
    ///
    /// # Errors
    /// One line for the user when some of it could not be written.
    pub fn finish(mut self) -> Result<Option<i64>, String> {
        let session = self.stop();
        match (self.lost(), self.failure()) {
            (0, _) => Ok(session),
            (lost, reason) => {
                let reason = reason.unwrap_or_default();
                Err(format!("{lost} lines of the history could not be written: {reason}"))
            }
        }
    }

    fn stop(&mut self) -> Option<i64> {
        drop(self.events.take());
        self.thread.take()?.join().ok().flatten()
    }
}

impl Drop for HistoryWriter {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Trouble {
    fn say(&self, reason: String) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.as_ref() != Some(&reason) {
            tracing::warn!("history: {reason}");
        }
        *failure = Some(reason);
    }

    fn clear(&self) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The thread's side.
struct Log {
    history: History,
    heading: Heading,
    session: Option<i64>,
    /// What is not written yet, in order.
    ahead: VecDeque<Event>,
    trouble: Arc<Trouble>,
}

impl Log {
    fn run(mut self, events: &Receiver<Event>) -> Option<i64> {
        loop {
            match events.recv_timeout(AGAIN) {
                Ok(event) => self.ahead.push_back(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.write_ahead();
            while self.ahead.len() > WAITING {
                self.ahead.pop_front();
                self.trouble.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.write_ahead();
        self.trouble.lost.fetch_add(self.ahead.len() as u64, Ordering::Relaxed);
        self.session
    }

    /// Writes what can be written.
    fn write_ahead(&mut self) {
        while let Some(event) = self.ahead.pop_front() {
            if let Err(error) = self.write(&event) {
                self.ahead.push_front(event);
                self.trouble.say(error.to_string());
                return;
            }
            if self.ahead.is_empty() && self.trouble.lost.load(Ordering::Relaxed) == 0 {
                self.trouble.clear();
            }
        }
    }

    fn write(&mut self, event: &Event) -> Result<(), HistoryError> {
        match (event, self.session) {
            (Event::Listening { sources, engine, .. }, _) => {
                self.heading.sources.clone_from(sources);
                self.heading.engine.clone_from(engine);
            }
            (Event::Final { utterance, start, end, lang, text, .. }, session) => {
                if text.trim().is_empty() {
                    return Ok(());
                }
                let (utterance, start, end) = (*utterance, *start, *end);
                let (lang, text) = (lang.clone(), text.clone());
                let line = Line { utterance, start, end, lang, text, translation: None };
                match session {
                    Some(session) if self.exists(session)? => {
                        self.history.write_line(session, &line)?;
                    }
                    _ => self.session = Some(self.history.begin(&self.heading, &line)?),
                }
            }
            (Event::Translation { utterance, lang, text, .. }, Some(session)) => {
                self.history.write_translation(session, *utterance, lang, text)?;
            }
            (Event::Finished { seconds, .. }, Some(session)) => {
                match self.history.end(session, *seconds) {
                    Err(HistoryError::NoSession { .. }) => {}
                    done => done?,
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The user may delete a session that still runs: what is said then begins another.
    fn exists(&self, session: i64) -> Result<bool, HistoryError> {
        match self.history.session(session) {
            Ok(_) => Ok(true),
            Err(HistoryError::NoSession { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
