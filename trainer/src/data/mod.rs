//! Training data: from manifests and shards to batches of features and of sentences.
//!
//! ```text
//! manifests, shards ─ SpeechSet ─ Sampler ─ Loader threads ─ Batch
//!                                              │ decode, augment, log-mel, SpecAugment
//! text manifests ──── TextSet ─── Sampler ─ TextStream ──── TextBatch
//! ```
//!
//! Everything that is drawn follows from one seed: the order of batches from (seed, epoch), what is
//! done to a clip from (seed, epoch, clip, how often it came before). Neither the number of threads
//! nor their timing changes anything, and a run goes on exactly where it stopped ([`Position`]).

pub mod augment;
mod cache;
mod clip;
mod features;
pub mod leaks;
mod loader;
mod random;
mod room;
pub mod sampler;
mod set;
pub mod shards;
mod spec_augment;
mod text;

use std::collections::BTreeMap;

pub use augment::Augment;
pub use cache::{CacheOptions, FeatureCache, Stored};
pub use features::FeatureMaker;
pub use loader::{Loader, LoaderOptions};
pub use sampler::{Position, Sampler, SamplerOptions};
pub use set::{Clip, SetOptions, SpeechSet};
pub use spec_augment::SpecAugment;
pub use text::{TextExample, TextSet, TextStream};

/// Frames of features in a second.
const FRAMES_A_SECOND: f64 = 100.0;
/// Silence of more than this is padding and no rounding to whole frames.
const PADDING_SECONDS: f64 = 0.05;

/// One clip, ready for the encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The row's id.
    pub id: String,
    /// Log-mel features as `partita_audio::mel::LogMel` gives them: `[bins, frames]`, row-major
    /// (band `b` at frame `t` is `mel[b * frames + t]`), not padded to the batch.
    pub mel: Vec<f32>,
    /// Frames of 10 ms. 3000 where the sampler chose the clip to be followed by silence up to 30 s.
    pub frames: usize,
    /// Length of the speech itself in seconds, as augmented, without added silence.
    pub seconds: f64,
    /// Language without its region (`pt`); `None` where nothing is said.
    pub lang: Option<String>,
    /// The transcript; empty where nothing is said, and where a corpus has only translations.
    pub text: String,
    /// Translations of the transcript by language (`en`, `pt`).
    pub translations: BTreeMap<String, String>,
}

impl Example {
    /// Whether silence was added behind it.
    pub fn is_padded(&self) -> bool {
        self.frames as f64 / FRAMES_A_SECOND > self.seconds + PADDING_SECONDS
    }
}

/// Clips for one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The clips. Those that could not be read are missing, which may be all.
    pub examples: Vec<Example>,
    /// Where to go on after this batch: what a checkpoint written after this step stores.
    pub next: Position,
}

impl Batch {
    /// Seconds of speech.
    pub fn seconds(&self) -> f64 {
        self.examples.iter().map(|example| example.seconds).sum()
    }
}

/// Sentences for one step.
#[derive(Debug, Clone, PartialEq)]
pub struct TextBatch {
    /// The sentences, never none.
    pub examples: Vec<TextExample>,
    /// Where to go on after this batch.
    pub next: Position,
}
