//! Live text: audio in, events out. No user interface in it.

mod captions;
mod event;
mod options;

pub use captions::{Captions, Line};
pub use event::{Event, Status, Timing};
pub use options::LiveOptions;
