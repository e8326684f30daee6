//! A gate on loudness: the fallback where no network can be run.

use std::collections::VecDeque;

use super::{FRAME, VoiceActivity};
use crate::AudioError;

/// Frames over which the quietest one gives the noise floor: 3 s.
const MEMORY: usize = 94;
/// Weight of the previous frames in the smoothed level.
const SMOOTHING: f32 = 0.6;
/// Floor taken for granted until a quieter frame is heard (dB under full scale).
const FIRST_FLOOR: f32 = -50.0;
/// Never speech below this (dB under full scale).
const SILENCE: f32 = -60.0;
/// Rise above the floor at which speech is as likely as not (dB), and how sharply it turns.
const RISE: f32 = 9.0;
const SLOPE: f32 = 1.5;

/// Takes for speech whatever is well above the noise floor, which is the quietest frame of the last
/// three seconds (minimum statistics, after Martin 2001).
///
/// Steady noise is therefore not speech, 3 s after it began at the latest. Its limits: it knows
/// loudness only, so music, a slammed door or a dog are speech to it; speech less than some 9 dB
/// above the noise is missed; a sound held without any pause for more than 3 s ends.
#[derive(Debug, Clone)]
pub struct EnergyGate {
    /// Smoothed levels of the last frames, in dB.
    levels: VecDeque<f32>,
    smoothed: f32,
}

impl Default for EnergyGate {
    fn default() -> Self {
        Self::new()
    }
}

impl EnergyGate {
    /// A gate that has heard nothing yet.
    pub fn new() -> Self {
        let mut levels = VecDeque::with_capacity(MEMORY + 1);
        levels.push_back(FIRST_FLOOR);
        Self { levels, smoothed: FIRST_FLOOR }
    }
}

impl VoiceActivity for EnergyGate {
    fn probability(&mut self, frame: &[f32; FRAME]) -> Result<f32, AudioError> {
        let level = level(frame);
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * level;
        self.levels.push_back(self.smoothed);
        if self.levels.len() > MEMORY {
            self.levels.pop_front();
        }
        if level < SILENCE {
            return Ok(0.0);
        }
        let floor = self.levels.iter().copied().fold(f32::INFINITY, f32::min).max(SILENCE);
        // Smoothing bridges the dips inside a word; the level itself opens the gate at once.
        let rise = level.max(self.smoothed) - floor;
        Ok(1.0 / (1.0 + ((RISE - rise) / SLOPE).exp()))
    }

    fn reset(&mut self) {
        *self = Self::new();
    }
}

/// RMS of a frame without its mean, in dB under full scale; not below -100.
fn level(frame: &[f32; FRAME]) -> f32 {
    let finite = || frame.iter().map(|s| if s.is_finite() { s.clamp(-1.0, 1.0) } else { 0.0 });
    let mean = finite().sum::<f32>() / FRAME as f32;
    let power = finite().map(|sample| (sample - mean).powi(2)).sum::<f32>() / FRAME as f32;
    10.0 * power.max(1e-10).log10()
}
