//! The pages of the window, a file each.

pub mod files;
pub mod history;
pub mod lines;
pub mod live;
pub mod models;
pub mod settings;

use super::icons::Icon;
use super::listener::{Listener, Notice};
use crate::settings::Settings;
use std::time::{Duration, Instant};

/// A page of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// What is being said.
    Live,
    /// Recordings.
    Files,
    /// What was said before.
    History,
    /// Models and what this machine does with them.
    Models,
    /// What the user chose.
    Settings,
}

impl Page {
    /// All, as they are listed.
    pub const ALL: [Self; 5] =
        [Self::Live, Self::Files, Self::History, Self::Models, Self::Settings];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "Live",
            Self::Files => "Files",
            Self::History => "History",
            Self::Models => "Models",
            Self::Settings => "Settings",
        }
    }

    /// Its sign.
    pub fn icon(self) -> Icon {
        match self {
            Self::Live => Icon::Microphone,
            Self::Files => Icon::File,
            Self::History => Icon::Clock,
            Self::Models => Icon::Cube,
            Self::Settings => Icon::Sliders,
        }
    }
}

/// What every page can see and change.
pub struct Shared<'a> {
    /// What the user chose; changes are taken over after the frame.
    pub settings: &'a mut Settings,
    /// The session.
    pub listener: &'a mut Listener,
    /// What the user is told.
    pub notices: &'a mut Notices,
    /// Another page to go to.
    pub go: &'a mut Option<Page>,
}

/// What the user is told, the newest last.
#[derive(Debug, Default)]
pub struct Notices {
    shown: Vec<(Notice, Instant)>,
}

impl Notices {
    /// More than this say nothing any more.
    const MOST: usize = 4;
    /// So long good news are shown; bad news stay until they are closed.
    const GOOD: Duration = Duration::from_secs(6);

    /// Says that something went well.
    pub fn good(&mut self, text: impl Into<String>) {
        self.add(Notice { text: text.into(), bad: false });
    }

    /// Says that something failed.
    pub fn bad(&mut self, text: impl Into<String>) {
        self.add(Notice { text: text.into(), bad: true });
    }

    /// Says something. What is being said already is not said twice.
    pub fn add(&mut self, notice: Notice) {
        self.shown.retain(|(old, _)| *old != notice);
        self.shown.push((notice, Instant::now()));
        let more = self.shown.len().saturating_sub(Self::MOST);
        self.shown.drain(..more);
    }

    /// What is to be shown now; how long until that changes by itself.
    pub fn shown(&mut self) -> (Vec<Notice>, Option<Duration>) {
        self.shown.retain(|(notice, since)| notice.bad || since.elapsed() < Self::GOOD);
        let soonest = self
            .shown
            .iter()
            .filter(|(notice, _)| !notice.bad)
            .map(|(_, since)| Self::GOOD.saturating_sub(since.elapsed()))
            .min();
        (self.shown.iter().map(|(notice, _)| notice.clone()).collect(), soonest)
    }

    /// Takes one away.
    pub fn close(&mut self, notice: &Notice) {
        self.shown.retain(|(shown, _)| shown != notice);
    }
}
