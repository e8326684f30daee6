//! Captions, dictation, transcription and translation on your own machine.
//!
//! The library half of the `partita` program: what its window and its command line share.
//!
//! - [`gui`]: the windows;
//! - [`recording`]: one recording from beginning to end;
//! - [`measure`]: how engines do on this machine, and which is chosen; [`measurements`]: what is kept;
//! - [`samples`]: the clips that the program carries;
//! - [`store`]: the models that are here or can be fetched;
//! - [`bundled`]: weights that come with the program;
//! - [`engines`]: engines opened from the store; [`runtimes`]: what runs them;
//! - [`output`]: transcripts as text, subtitles, JSON;
//! - [`capture`]: microphones and other audio as it happens;
//! - [`live`]: audio in, captions out;
//! - [`settings`]: what the user chose;
//! - [`history`]: what was said, on disk;
//! - [`dictate`]: typing it into other programs;
//! - [`desktop`]: one instance, start at login;
//! - [`machine`]: what a run cost;
//! - [`cli`]: the command line.

pub mod bundled;
pub mod capture;
pub mod cli;
pub mod desktop;
pub mod dictate;
pub mod engines;
pub mod gui;
pub mod history;
pub mod live;
pub mod machine;
pub mod measure;
pub mod measurements;
pub mod output;
mod pooled;
pub mod recording;
pub mod runtimes;
pub mod samples;
pub mod settings;
pub mod store;
