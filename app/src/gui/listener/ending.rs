//! How a session of the window ends: as asked, by itself, or with the program.

use super::{Listener, Phase};
use crate::dictate::Typist;
use crate::gui::session_log::SessionLog;
use crate::live::{Event, Timing};
use std::time::{Duration, Instant};

impl Listener {
    /// Ends the session and waits for its last words, but not longer than `most`: the program is
    /// about to go. What is not written after half of that is kept as it was shown.
    pub fn quit(&mut self, most: Duration) {
        let begun = Instant::now();
        self.stop();
        while begun.elapsed() < most {
            let Some(live) = &self.live else { break };
            if begun.elapsed() > most / 2 {
                live.hurry();
            }
            self.hear();
            std::thread::sleep(Duration::from_millis(5));
        }
        // The engine is still at it: what is on the screen is what there is.
        if self.live.is_some()
            && let Some(line) = self.captions.lines().last().filter(|line| !line.complete)
            && let Some(log) = &mut self.log
        {
            let (utterance, lang) = (line.utterance, line.lang.clone());
            let text = format!("{}{}", line.committed, line.tail).trim().to_owned();
            let (start, end, timing) = (line.start, line.end, Timing::default());
            if !text.is_empty() {
                log.take(&Event::Final { utterance, start, end, lang, text, timing });
            }
        }
        if let Some(failure) = self.log.take().and_then(SessionLog::finish) {
            tracing::warn!("{failure}");
        }
    }

    pub(super) fn end(&mut self, phase: Phase) {
        self.live = None;
        if !self.again {
            drop_elsewhere(self.typist.take());
            self.otherwise = None;
        }
        if let Some(log) = self.log.take() {
            log.finish_elsewhere();
            self.written = true;
        }
        if let Some(status) = &mut self.status {
            // Nothing is waited for any more.
            (status.backlog, status.load, status.speaking) = (0.0, 0.0, false);
        }
        self.paused = false;
        self.phase = phase;
    }

    pub(super) fn fail(&mut self, message: String) {
        self.again = false;
        self.end(Phase::Failed(message));
    }
}

/// Typing the last words takes a moment.
pub(super) fn drop_elsewhere(typist: Option<(Typist, bool)>) {
    if let Some(typist) = typist
        && let Err(error) =
            std::thread::Builder::new().name("typist-end".to_owned()).spawn(move || drop(typist))
    {
        tracing::warn!(%error, "the last words are typed on the window's thread");
    }
}
