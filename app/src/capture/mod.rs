//! Audio as it happens: microphones, what the system plays, files played as if they were live.

mod error;
mod source;

pub use error::CaptureError;
pub use source::Source;

use std::time::Duration;

/// A running stream of 16 kHz mono audio.
///
/// Time stays right: what the system lost is counted, and silence stands in its place; so does the
/// time during which a source was away.
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
}

/// What [`Capture::read`] came back with.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// Samples were added, perhaps none; `lost` of them are silence for audio that was lost.
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
