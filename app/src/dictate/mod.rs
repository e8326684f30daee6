//! Typing what is said into other programs.
//!
//! ```text
//! live::Event ─ Typist (thread) ─ Dictation ─ Composer ─ Desk ─ keys or clipboard ─ the other program
//!                                    │           ├ Commands (assets/dictation.toml), if they are on
//!                                 Choice         └ Vocabulary
//!                       (settings and profile of the window that has the focus)
//! ```
//!
//! Only text that stays is typed, so nothing is ever deleted in the other program. Words go to the
//! window that has the focus when they are typed, and never while somebody holds Ctrl or the like.
//! Spaces and capital letters follow from what was typed last in that window.

mod clipboard;
mod compose;
mod desk;
mod dictation;
mod error;
mod hotkey;
mod import;
#[cfg(not(target_os = "linux"))]
mod native;
mod profile;
mod spoken;
mod typist;
mod vocabulary;
#[cfg(target_os = "linux")]
mod wayland;
mod words;
#[cfg(target_os = "linux")]
mod x11;

pub use compose::{Composer, Cursor, Style};
pub use desk::{Desk, Window, open_desk};
pub use dictation::Dictation;
pub use error::DictateError;
pub use hotkey::{Hotkey, Press, listening};
pub use import::import_words;
#[cfg(not(target_os = "linux"))]
pub use native::NativeDesk;
pub use profile::Choice;
pub use spoken::{Command, Commands, Join};
pub use typist::Typist;
pub use vocabulary::Vocabulary;
#[cfg(target_os = "linux")]
pub use wayland::WaylandDesk;
#[cfg(target_os = "linux")]
pub use x11::X11Desk;
