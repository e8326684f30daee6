//! Captions, dictation, transcription and translation on your own machine.
//!
//! The library half of the `partita` program: what its window and its command line share.

pub mod cli;
pub mod store;
