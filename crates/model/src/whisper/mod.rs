//! Whisper (Radford et al. 2022): speech to text in its language, or to English.
//!
//! The encoder reads only the audio that is there unless it is asked for the 30 s that the model
//! was trained with; the decoder keeps the keys and values of what it has written. Any size of
//! the model loads: all dimensions are read from the weights.

mod config;
mod decoder;
mod encoder;
mod engine;
mod follow;
mod foretell;
mod guards;
mod import;
mod language;
mod merges;
mod rules;
mod tokens;

pub use config::WhisperConfig;
pub use decoder::{Decoder, DecoderState};
pub use encoder::Encoder;
pub use engine::{Padding, Whisper};
pub use guards::{compression_ratio, stutters};
pub use import::{Quantization, import};
pub use merges::merges;
pub use tokens::WhisperTokens;
