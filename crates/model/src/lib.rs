//! Networks, tokens, decoding, engines and weight files of Partita.
//!
//! - [`files`]: weight files, read with suspicion and written whole;
//! - [`nn`]: the layers, one definition for training and inference;
//! - [`onnx`]: networks as graphs, run by ONNX Runtime;
//! - [`speech`]: a language model that hears;
//! - [`llm`]: decoder-only language models;
//! - [`tokens`]: text to token ids and back, marks of tasks and languages, shortlists;
//! - [`whisper`]: Whisper's encoder and decoder, their import and decoding;
//! - [`search`]: the search for a text, shared by all decoders;
//! - [`installed`]: where models and runs lie;
//! - [`languages`]: their names, and which one a text is in;
//! - [`device`], [`machine`]: where networks run, and what they may use there;
//! - [`engine`]: what every engine can be asked; [`longform`]: audio of any length through one.

pub mod device;
pub mod engine;
pub mod error;
pub mod files;
pub mod installed;
pub mod languages;
pub mod llm;
pub mod longform;
pub mod machine;
pub mod nn;
pub mod onnx;
pub mod search;
pub mod speech;
pub mod tokens;
pub mod whisper;

pub use error::ModelError;
