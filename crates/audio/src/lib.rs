//! Audio files to 16 kHz mono, log-mel features, voice activity.
//!
//! - [`AudioReader`]: any common audio file or stream to 16 kHz mono, a block at a time;
//! - [`mel::LogMel`]: Whisper's log-mel spectrogram;
//! - [`onnx_runtime`]: the library that runs ONNX graphs, once a process;
//! - [`vad::Segmenter`]: where somebody speaks, by [`vad::SileroVad`] or [`vad::EnergyGate`].

mod container;
pub mod decode;
pub mod error;
mod guard;
pub mod mel;
pub mod resample;
mod runtime;
pub mod vad;

pub use decode::{AudioReader, read_all};
pub use error::AudioError;
pub use guard::guarded;
pub use runtime::onnx_runtime;

/// Samples per second of all audio past [`AudioReader`]: 16 kHz, mono.
pub const SAMPLE_RATE: u32 = 16_000;
