//! Audio as it happens: microphones, what the system plays, files played as if they were live.
//!
//! ```text
//! device --callback--> ring --feed thread: 16 kHz--> channel --lane: true time--> mix --> read
//! ```
//!
//! - [`devices`] lists what can be listened to, [`Watch`] shows how loud it is there;
//! - [`open`] listens to one source or to several, mixed; what comes of it is a [`Capture`];
//! - [`Meter`] tells levels and losses of an opened capture to windows, without locks;
//! - [`Recorder`] keeps the audio of a session in a bounded file.
//!
//! The callback of a device copies into a ring that was allocated before and does nothing else. A
//! thread per source empties the ring, converts to 16 kHz, opens the device again when it was
//! unplugged, and follows the system's default. Whether time is still right is decided by whoever
//! reads, in `lane`, where the clock is an argument and so can be tested.

mod devices;
mod error;
mod feed;
mod file;
mod lane;
mod meter;
mod mixer;
mod opened;
mod recorder;
mod ring;
mod source;
mod stream;
mod watch;

pub use devices::{DeviceInfo, devices};
pub use error::CaptureError;
pub use lane::Lane;
pub use meter::{Level, Meter};
pub use mixer::Mixer;
pub use opened::{OpenOptions, open};
pub use recorder::Recorder;
pub use source::Source;
pub use watch::Watch;

use std::sync::Arc;
use std::time::Duration;

/// A running stream of 16 kHz mono audio.
///
/// Time stays right: what the system lost is counted, and silence stands in its place; so does the
/// time during which a source was away, which is not counted as lost.
pub trait Capture: Send {
    /// Waits at most `patience` for something to happen. Samples are added behind those in `into`.
    ///
    /// # Errors
    /// When the stream is over for good because something failed.
    fn read(&mut self, patience: Duration, into: &mut Vec<f32>) -> Result<Heard, CaptureError>;

    /// Whether nothing is lost by reading later: a recording that is not played at true speed.
    fn can_wait(&self) -> bool {
        false
    }

    /// Names of the devices that are listened to, for people.
    fn names(&self) -> Vec<String>;

    /// Levels and losses; for other threads to look at while this one reads.
    fn meter(&self) -> Arc<Meter> {
        Arc::default()
    }
}

/// What [`Capture::read`] came back with.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// Samples were added, perhaps none; `lost` of them are silence for audio that was lost (where
    /// sources are mixed: lost by any of them).
    Samples {
        /// Samples at 16 kHz.
        lost: u64,
    },
    /// A source went away; it is looked for, and meanwhile silence is given at true speed.
    Gone {
        /// Its name.
        source: String,
        /// What the system said.
        reason: String,
    },
    /// A source came back, or another took its place.
    Back {
        /// Its name.
        source: String,
    },
    /// The source has come to its end; there is nothing more.
    Ended,
}
