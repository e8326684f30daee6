//! SpecAugment: stretches of time and bands of frequency are masked (Park et al. 2019).

use rand::Rng;
use serde::{Deserialize, Serialize};

/// How log-mel features are masked. Masked values become the clip's mean, which is what zeros are
/// in the paper's normalised features.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpecAugment {
    /// Masks over time.
    pub time_masks: usize,
    /// Most frames of one time mask (10 ms each).
    pub time_frames: usize,
    /// Most of the clip that one time mask may cover.
    pub time_part: f64,
    /// Masks over frequency.
    pub frequency_masks: usize,
    /// Most mel bands of one frequency mask.
    pub frequency_bands: usize,
}

/// The paper's "LibriSpeech double" policy, with shorter time masks: with a small model and few
/// data, masked words teach it to guess.
impl Default for SpecAugment {
    fn default() -> Self {
        Self {
            time_masks: 2,
            time_frames: 50,
            time_part: 0.1,
            frequency_masks: 2,
            frequency_bands: 20,
        }
    }
}

impl SpecAugment {
    /// Masks `[bins, frames]` features, row-major. Only the first `spoken` frames get time masks.
    pub fn apply(&self, mel: &mut [f32], frames: usize, spoken: usize, rng: &mut impl Rng) {
        if frames == 0 || mel.len() < frames {
            return;
        }
        let bins = mel.len() / frames;
        let mean = (mel.iter().map(|v| f64::from(*v)).sum::<f64>() / mel.len() as f64) as f32;
        let spoken = spoken.min(frames);
        let longest = self.time_frames.min((spoken as f64 * self.time_part) as usize);
        for _ in 0..self.time_masks {
            let stretch = stretch(spoken, longest, rng);
            for row in mel.chunks_exact_mut(frames) {
                row.get_mut(stretch.clone()).unwrap_or_default().fill(mean);
            }
        }
        for _ in 0..self.frequency_masks {
            let bands = stretch(bins, self.frequency_bands.min(bins), rng);
            for row in mel.chunks_exact_mut(frames).skip(bands.start).take(bands.len()) {
                row.fill(mean);
            }
        }
    }
}

/// A stretch of up to `longest` within `0..length`.
fn stretch(length: usize, longest: usize, rng: &mut impl Rng) -> std::ops::Range<usize> {
    let longest = longest.min(length);
    let wide = rng.random_range(0..=longest);
    let begin = rng.random_range(0..=length - wide);
    begin..begin + wide
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn masks_are_bounded_and_drawn_again_alike() {
        let (bins, frames) = (80, 300);
        let clean: Vec<f32> = (0..bins * frames).map(|n| (n as f32 * 0.7).sin()).collect();
        let options = SpecAugment::default();
        let mut masked_any = 0;
        for seed in 0..50 {
            let masked = |spoken| {
                let mut mel = clean.clone();
                options.apply(&mut mel, frames, spoken, &mut StdRng::seed_from_u64(seed));
                mel
            };
            let mel = masked(frames);
            assert_eq!(mel, masked(frames));
            let changed = |f: usize, b: usize| mel[b * frames + f] != clean[b * frames + f];
            let columns = (0..frames).filter(|f| (0..bins).all(|b| changed(*f, b))).count();
            let rows = (0..bins).filter(|b| (0..frames).all(|f| changed(f, *b))).count();
            assert!(columns <= 2 * 30, "{columns} frames");
            assert!(rows <= 2 * 20, "{rows} bands");
            let outside = (0..frames).flat_map(|f| (0..bins).map(move |b| (f, b)));
            let free = outside.filter(|(f, b)| !changed(*f, *b)).count();
            assert!(free >= (frames - columns) * (bins - rows), "all else is as it was");
            masked_any += usize::from(columns + rows > 0);
            let short = masked(100);
            let late = |b: usize| {
                let (short, clean) = (&short, &clean);
                (100..frames).filter(move |f| short[b * frames + f] != clean[b * frames + f])
            };
            assert!((0..bins).all(|b| matches!(late(b).count(), 0 | 200)), "whole bands only");
        }
        assert!(masked_any > 40);
    }

    #[test]
    fn nothing_to_mask() {
        let mut rng = StdRng::seed_from_u64(1);
        SpecAugment::default().apply(&mut [], 0, 0, &mut rng);
        let mut one = vec![1.0; 80];
        SpecAugment::default().apply(&mut one, 1, 1, &mut rng);
        assert_eq!(one, vec![1.0; 80]);
    }
}
