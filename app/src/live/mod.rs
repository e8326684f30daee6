//! Live text: audio in, events out. No user interface in it.

mod agreement;
mod captions;
mod ear;
mod event;
mod joining;
mod listening;
mod measure;
mod options;
mod queue;
mod repeats;
mod scribe;
mod session;
mod writing;

pub use captions::{Captions, Line};
pub use event::{Event, Status, Timing};
pub use options::LiveOptions;
pub use session::{Opener, Session, Setup, channel};
