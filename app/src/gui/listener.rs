//! The session that the window shows: its state, its text, its numbers.

mod ending;

use super::backend::{Listen, Live};
use super::languages::Offer;
use super::session_log::SessionLog;
use super::worker::Wake;
use crate::dictate::Typist;
use crate::live::{Captions, Event, LiveOptions, Status, Timing};
use crate::settings::{Engine, Settings};
use std::path::PathBuf;

use ending::drop_elsewhere;

/// Lines that are kept for the page; older ones are in the history.
const LINES: usize = 2000;
/// Events that are taken in one frame, at most.
const EVENTS: usize = 2000;

/// Where a session is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// None runs.
    Idle,
    /// Models are being loaded.
    Starting,
    /// Audio is heard.
    Listening,
    /// It writes down what was said last.
    Stopping,
    /// It ended because of this.
    Failed(String),
}

/// What the user should know, and whether it is bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// One line.
    pub text: String,
    /// Whether something failed.
    pub bad: bool,
}

/// The session that the window shows, if there is one.
pub struct Listener {
    listen: Listen,
    wake: Wake,
    live: Option<Box<dyn Live>>,
    /// What it was begun with.
    begun_with: Option<Settings>,
    /// How it listens and writes, where that is not as the settings say: for dictation.
    otherwise: Option<LiveOptions>,
    /// Whether to begin again with other settings once it has stopped.
    again: bool,
    history: PathBuf,
    log: Option<SessionLog>,
    /// Types what is said, and whether it goes on behind the utterance at hand.
    typist: Option<(Typist, bool)>,
    /// What was last said about the history.
    trouble: Option<String>,
    /// Whether the history has changed.
    pub written: bool,
    /// Where it is.
    pub phase: Phase,
    /// Whether it pauses.
    pub paused: bool,
    /// What was said.
    pub captions: Captions,
    /// Names of the sources, once it listens.
    pub sources: Vec<String>,
    /// Sources that are away.
    pub away: Vec<String>,
    /// The engine, once it listens.
    pub engine: String,
    /// What the engine of these settings has, once it is known.
    offer: Option<(Engine, Offer)>,
    /// How it is doing.
    pub status: Option<Status>,
    /// What the last utterance took.
    pub timing: Option<Timing>,
    /// Seconds from the end of speech to the last translation.
    pub to_translation: Option<f64>,
    notices: Vec<Notice>,
}

impl Listener {
    /// None runs yet.
    pub fn new(listen: Listen, history: PathBuf, wake: Wake) -> Self {
        Self {
            listen,
            wake,
            live: None,
            begun_with: None,
            otherwise: None,
            again: false,
            history,
            log: None,
            typist: None,
            trouble: None,
            written: false,
            phase: Phase::Idle,
            paused: false,
            captions: Captions::new(LINES),
            sources: Vec::new(),
            away: Vec::new(),
            engine: String::new(),
            offer: None,
            status: None,
            timing: None,
            to_translation: None,
            notices: Vec::new(),
        }
    }

    /// Whether a session runs, or is about to.
    pub fn runs(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Listening | Phase::Stopping)
    }

    /// Begins, at once or behind a session that is just ending. Text of the session before stays until
    /// it is cleared.
    pub fn start(&mut self, settings: &Settings) {
        if self.runs() {
            if self.phase == Phase::Stopping {
                self.begun_with = Some(settings.clone());
                self.again = true;
            }
            return;
        }
        (self.paused, self.status, self.timing) = (false, None, None);
        self.to_translation = None;
        self.away.clear();
        match (self.listen)(settings, self.wake.clone()) {
            Ok(live) => {
                self.log = match settings.storage.history {
                    true => SessionLog::start(self.history.clone(), live.recording()).ok(),
                    false => None,
                };
                if let Some(options) = &self.otherwise {
                    live.change(options.clone());
                }
                self.live = Some(live);
                self.begun_with = Some(settings.clone());
                self.phase = Phase::Starting;
            }
            Err(error) => self.fail(format!("{error:#}")),
        }
    }

    /// Ends, unless it has ended.
    pub fn stop(&mut self) {
        self.again = false;
        if let Some(live) = &self.live {
            live.stop();
            self.phase = Phase::Stopping;
        }
    }

    /// Begins or ends.
    pub fn toggle(&mut self, settings: &Settings) {
        match self.phase {
            Phase::Starting | Phase::Listening => self.stop(),
            Phase::Stopping => {}
            Phase::Idle | Phase::Failed(_) => self.start(settings),
        }
    }

    /// Pauses or goes on.
    pub fn pause(&mut self, paused: bool) {
        if let Some(live) = &self.live {
            live.pause(paused);
            self.paused = paused;
        }
    }

    /// Takes new settings over: at once where a session can, else by beginning anew.
    pub fn change(&mut self, settings: &Settings) {
        let (Some(live), Some(before)) = (&self.live, &self.begun_with) else { return };
        // Whether text is kept, and how much audio, counts from the next session on.
        let same = before.audio == settings.audio
            && before.engine == settings.engine
            && before.storage.audio == settings.storage.audio;
        if before.live() != settings.live() && self.otherwise.is_none() {
            live.change(settings.live());
        }
        self.begun_with = Some(settings.clone());
        if !same && !self.again && matches!(self.phase, Phase::Starting | Phase::Listening) {
            self.stop();
            self.again = true;
        }
    }

    /// Listens and writes in another way than the settings say from the next utterance on, or as they
    /// say again.
    pub fn listen_as(&mut self, options: Option<LiveOptions>) {
        if self.otherwise == options {
            return;
        }
        self.otherwise = options;
        let usual = || self.begun_with.as_ref().map(Settings::live);
        if let Some(live) = &self.live
            && let Some(options) = self.otherwise.clone().or_else(usual)
        {
            live.change(options);
        }
    }

    /// Has what is said from now on typed.
    pub fn begin_typing(&mut self, typist: Typist) {
        drop_elsewhere(self.typist.replace((typist, true)));
    }

    /// Goes on typing behind the utterance at hand, whose typist knows what it has typed of it; whether
    /// there is one.
    pub fn go_on_typing(&mut self) -> bool {
        match &mut self.typist {
            Some((typist, goes_on)) if typist.failure().is_none() => {
                *goes_on = true;
                true
            }
            _ => false,
        }
    }

    /// Types what is being spoken, and then nothing more.
    pub fn end_typing(&mut self) {
        if let Some((_, goes_on)) = &mut self.typist {
            *goes_on = false;
        }
    }

    /// Who types what is said, if it is typed.
    pub fn typist(&self) -> Option<&Typist> {
        self.typist.as_ref().map(|(typist, _)| typist)
    }

    /// Learns what the engine of these settings has; one that has listened has said it itself.
    pub fn learn(&mut self, engine: &Engine, offer: Offer) {
        if self.offer.as_ref().is_none_or(|(own, _)| own != engine) {
            self.offer = Some((engine.clone(), offer));
        }
    }

    /// Languages that the engine of these settings has, as far as that is known.
    pub fn offer(&self, engine: &Engine) -> Offer {
        let known = self.offer.as_ref().filter(|(own, _)| own == engine);
        known.map(|(_, offer)| offer.clone()).unwrap_or_default()
    }

    /// The file in which the audio of the session that runs is kept, if it is.
    pub fn recording(&self) -> Option<PathBuf> {
        self.live.as_ref().and_then(|live| live.recording())
    }

    /// How loud it is, while it listens.
    pub fn level(&self) -> Option<f32> {
        let live = self.live.as_ref()?;
        (self.phase == Phase::Listening && !self.paused).then(|| live.level())
    }

    /// Takes what the session has said. To be called once a frame.
    pub fn hear(&mut self) {
        let Some(live) = &self.live else { return };
        let events = live.events();
        let mut heard: Vec<Event> = events.try_iter().take(EVENTS).collect();
        // A session that is gone without a word: its thread died.
        let gone = heard.is_empty() && events.is_empty() && disconnected(events, &mut heard);
        heard.iter().for_each(|event| self.take(event));
        if gone && self.runs() {
            self.fail("the session ended by itself".to_owned());
        }
    }

    fn take(&mut self, event: &Event) {
        self.captions.take(event);
        if let Some((typist, goes_on)) = &self.typist {
            match event {
                Event::Started { .. } if !goes_on => drop_elsewhere(self.typist.take()),
                event => typist.take(event),
            }
        }
        if let Some(log) = &mut self.log {
            log.take(event);
            let trouble = log.failure();
            if trouble != self.trouble {
                self.trouble.clone_from(&trouble);
                if let Some(trouble) = trouble {
                    self.notice(format!("What is said is not being kept: {trouble}"), true);
                }
            }
        }
        match event {
            Event::Listening { sources, engine, languages, targets } => {
                self.sources.clone_from(sources);
                self.engine.clone_from(engine);
                let (spoken, written) = (Some(languages.clone()), Some(targets.clone()));
                let begun_with = self.begun_with.as_ref().map(|settings| settings.engine.clone());
                self.offer = begun_with.map(|engine| (engine, Offer { spoken, written }));
                if self.phase == Phase::Starting {
                    self.phase = Phase::Listening;
                }
            }
            Event::Final { timing, .. } => self.timing = Some(*timing),
            Event::Translation { to_translation, .. } => {
                self.to_translation = Some(*to_translation);
            }
            Event::Status(status) => self.status = Some(*status),
            Event::SourceLost { source, reason } => {
                self.away.push(source.clone());
                self.notice(format!("{source} is gone ({reason}). Waiting for it."), true);
            }
            Event::SourceBack { source } => {
                // Another may have taken its place.
                self.away.clear();
                self.notice(format!("{source} is heard again."), false);
            }
            Event::Warning { message } => self.notice(message.clone(), true),
            Event::Failed { message } => self.fail(message.clone()),
            Event::Finished { .. } => {
                self.end(Phase::Idle);
                if std::mem::take(&mut self.again)
                    && let Some(settings) = self.begun_with.take()
                {
                    self.start(&settings);
                }
            }
            _ => {}
        }
    }

    fn notice(&mut self, text: String, bad: bool) {
        const MOST: usize = 20;
        if self.notices.len() < MOST {
            self.notices.push(Notice { text, bad });
        }
    }

    /// What the user should know that was not asked for yet.
    pub fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }
}

/// Whether nobody will ever say anything more; an event that came just now is put into `heard`.
fn disconnected(events: &crossbeam_channel::Receiver<Event>, heard: &mut Vec<Event>) -> bool {
    match events.try_recv() {
        Ok(event) => {
            heard.push(event);
            false
        }
        Err(error) => error.is_disconnected(),
    }
}

#[cfg(test)]
mod tests;
