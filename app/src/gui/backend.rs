//! What the windows ask of the rest of the program.
//!
//! Pages know no threads, no models and no sound server: they know this. Nothing here may wait; what
//! takes time answers later and wakes the window.

use super::dictating::OpenDesk;
use super::languages::Offer;
use super::worker::Wake;
use crate::capture::Source;
use crate::live::{Event, LiveOptions};
use crate::settings::{self, Settings, SharedSettings};
use crate::store::Store;
use crossbeam_channel::Receiver;
use std::path::PathBuf;

/// A session that runs.
pub trait Live {
    /// What it says, in order. The channel closes when the session is gone.
    fn events(&self) -> &Receiver<Event>;
    /// Stops and goes on listening; time goes on meanwhile.
    fn pause(&self, paused: bool);
    /// Other languages, another pause: from the next utterance on.
    fn change(&self, options: LiveOptions);
    /// How loud it is: root mean square of what was last heard, 0 to 1.
    fn level(&self) -> f32;
    /// The file in which its audio is kept, if it is.
    fn recording(&self) -> Option<PathBuf> {
        None
    }
    /// Asks it to finish: what was said is written down, and its last event tells so.
    fn stop(&self);
    /// After [`stop`](Self::stop): what is not yet written is closed with the text that was shown.
    fn hurry(&self) {}
}

/// Begins a session. Loading takes place elsewhere: `Event::Listening` or `Event::Failed` follow.
pub type Listen = Box<dyn FnMut(&Settings, Wake) -> anyhow::Result<Box<dyn Live>>>;

/// A source, and how loud it is there.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceLevel {
    /// The source.
    pub source: Source,
    /// Its name for people.
    pub name: String,
    /// Root mean square, 0 to 1; `None` when it cannot be listened to.
    pub level: Option<f32>,
}

/// Sources there are. While this lives, their levels are watched.
pub trait Ears {
    /// The sources as they are known now, and what the system has against listening.
    fn sources(&self) -> (Vec<SourceLevel>, Option<String>);
}

/// Begins to watch the sources.
pub type Watch = Box<dyn FnMut(Wake) -> Box<dyn Ears>>;

/// What the engine of these settings has, if its model is there; takes a moment.
pub type Offers = Box<dyn FnMut(&settings::Engine) -> Option<Offer> + Send>;

/// The rest of the program.
pub struct Backend {
    /// What the user chose.
    pub settings: SharedSettings,
    /// Begins sessions.
    pub listen: Listen,
    /// Knows what engines have before they listen.
    pub offers: Offers,
    /// Shows sources.
    pub watch: Watch,
    /// The way to other programs; none where nothing is to be typed.
    pub desk: Option<OpenDesk>,
    /// The file of what was said before.
    pub history: PathBuf,
    /// The folder of kept audio.
    pub recordings: PathBuf,
    /// Models.
    pub store: Store,
    /// Things the user should know at the start, a line each.
    pub notices: Vec<String>,
}
