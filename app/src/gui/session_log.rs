//! Writes a session into the history while it runs, without ever holding up the window.

use crate::history::{Heading, History, HistoryWriter};
use crate::live::Event;
use crossbeam_channel::{Receiver, bounded};
use std::path::PathBuf;
use std::thread;

/// Events that are kept until the history is open.
const EARLY: usize = 4096;

/// One session being written down.
#[derive(Debug)]
pub struct SessionLog {
    opening: Receiver<Result<HistoryWriter, String>>,
    writer: Option<HistoryWriter>,
    early: Vec<Event>,
    failure: Option<String>,
}

impl SessionLog {
    /// Opens the history on a thread of its own.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(file: PathBuf, audio: Option<PathBuf>) -> std::io::Result<Self> {
        let (sender, opening) = bounded(1);
        let heading = Heading { audio, ..Heading::default() };
        thread::Builder::new().name("history-open".to_owned()).spawn(move || {
            let opened =
                History::open(&file).and_then(|history| HistoryWriter::start(history, heading));
            // Nobody waits for it any more when the session has ended meanwhile.
            let _ = sender.send(opened.map_err(|error| error.to_string()));
        })?;
        Ok(Self { opening, writer: None, early: Vec::new(), failure: None })
    }

    /// Takes an event.
    pub fn take(&mut self, event: &Event) {
        self.opened();
        match &self.writer {
            Some(writer) => writer.take(event),
            None if self.failure.is_none() && self.early.len() < EARLY => {
                self.early.push(event.clone());
            }
            None => {}
        }
    }

    fn opened(&mut self) {
        if self.writer.is_some() {
            return;
        }
        match self.opening.try_recv() {
            Ok(Ok(writer)) => {
                self.early.drain(..).for_each(|event| writer.take(&event));
                self.writer = Some(writer);
            }
            Ok(Err(failure)) => self.failure = Some(failure),
            Err(_) => {}
        }
    }

    /// Why text is not being kept, if it is not; one line.
    pub fn failure(&self) -> Option<String> {
        let writing = self.writer.as_ref().and_then(HistoryWriter::failure);
        self.failure.clone().or(writing)
    }

    /// Waits until all is written; one line for the user when something is lost.
    pub fn finish(mut self) -> Option<String> {
        if self.writer.is_none()
            && let Ok(Ok(writer)) = self.opening.recv()
        {
            self.early.drain(..).for_each(|event| writer.take(&event));
            self.writer = Some(writer);
        }
        self.writer.take().and_then(|writer| writer.finish().err())
    }

    /// As [`Self::finish`], elsewhere: the window goes on.
    pub fn finish_elsewhere(self) {
        let finish = move || {
            if let Some(failure) = self.finish() {
                tracing::warn!("{failure}");
            }
        };
        // Where there is no thread, the value is dropped here, which waits for the writing too.
        if let Err(error) = thread::Builder::new().name("history-end".to_owned()).spawn(finish) {
            tracing::warn!(%error, "history ends on the window's thread");
        }
    }
}
