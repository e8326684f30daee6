//! Networks, tokens, decoding, engines and weight files of Partita.
//!
//! - [`files`]: weight files, read with suspicion and written whole;
//! - [`nn`]: the layers, one definition for training and inference;
//! - [`speech`]: what joins a speech encoder to a language model: adapters and CTC;
//! - [`whisper`]: Whisper's encoder and decoder, their import and decoding;
//! - [`engine`]: what every engine can be asked; [`longform`]: audio of any length through one.

pub mod engine;
pub mod error;
pub mod files;
pub mod longform;
pub mod nn;
pub mod speech;
pub mod whisper;

pub use error::ModelError;
