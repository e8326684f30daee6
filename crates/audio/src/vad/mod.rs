//! Voice activity: when somebody speaks.
//!
//! A [`VoiceActivity`] detector gives the probability of speech for each frame of 32 ms;
//! [`Segmenter`] turns these into [`Segment`]s that are fit to be transcribed.

mod energy;
mod segment;
mod silero;

pub use energy::EnergyGate;
pub use segment::{SHORTEST_PAUSE, Segment, Segmenter, Speaking, VadOptions};
pub use silero::SileroVad;

use crate::AudioError;

/// Samples of one frame: 32 ms at 16 kHz.
pub const FRAME: usize = 512;

/// Tells speech from everything else, frame after frame of one stream.
pub trait VoiceActivity {
    /// The probability (0 ‥ 1) that the next 512 samples (16 kHz, mono) hold speech.
    ///
    /// # Errors
    /// [`AudioError::VoiceModel`] if a network cannot be run.
    fn probability(&mut self, frame: &[f32; FRAME]) -> Result<f32, AudioError>;

    /// Forgets what came before: the next frame begins another stream.
    fn reset(&mut self);
}

impl<V: VoiceActivity + ?Sized> VoiceActivity for Box<V> {
    fn probability(&mut self, frame: &[f32; FRAME]) -> Result<f32, AudioError> {
        (**self).probability(frame)
    }

    fn reset(&mut self) {
        (**self).reset();
    }
}
