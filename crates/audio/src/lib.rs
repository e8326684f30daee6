//! Audio files to 16 kHz mono, log-mel features, voice activity.

pub mod error;
pub mod mel;

pub use error::AudioError;

/// Samples per second of everything behind [`AudioReader`](crate): 16 kHz, mono.
pub const SAMPLE_RATE: u32 = 16_000;
