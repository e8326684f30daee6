//! The log-mel front end of Whisper (Radford et al. 2022, §2.2; openai/whisper `audio.py`).
//!
//! In one formula: with `x` reflected by 200 samples at both ends and `w[n] = ½ − ½ cos(2πn/400)`,
//!
//! ```text
//! P[k, t] = | Σₙ w[n] · x[160 t + n] · e^(−2πi kn/400) |²        k = 0 ‥ 200
//! M[b, t] = log10(max(Σₖ F[b, k] · P[k, t], 1e-10))
//! out     = (max(M, max(M) − 8) + 4) / 4
//! ```
//!
//! `F` is Slaney's mel filter bank, normalised by area, over 0 ‥ 8000 Hz (librosa's default). The
//! frame that begins at the very end of the signal is dropped, so `160 n` samples give `n` frames.

use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};

use crate::{AudioError, SAMPLE_RATE};

/// Samples from one frame to the next: 10 ms.
pub const HOP: usize = 160;
/// Samples under one window: 25 ms.
const WINDOW: usize = 400;
const HALF: usize = WINDOW / 2;
/// Power of less than this counts as this.
const FLOOR: f64 = 1e-10;
/// Beyond Whisper's own 128, filters become narrower than one FFT bin and some would be empty.
const MOST_BINS: usize = 128;

/// How many frames [`LogMel::compute`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frames {
    /// As many as the audio needs: `samples / 160`, rounded up. The samples are followed by zeros
    /// up to a whole hop.
    Natural,
    /// Exactly this many: samples are cut, or followed by zeros. Whisper's 30 s are 3000.
    Padded(usize),
}

/// A log-mel spectrogram.
#[derive(Debug, Clone, PartialEq)]
pub struct Mel {
    /// Mel bands.
    pub bins: usize,
    /// Frames of 10 ms.
    pub frames: usize,
    /// `[bins, frames]`, row-major: the value of band `b` at frame `t` is `data[b * frames + t]`.
    pub data: Vec<f32>,
}

/// One triangular filter: the FFT bins that it covers and their weights.
struct Filter {
    first: usize,
    weights: Vec<f64>,
}

/// Computes log-mel spectrograms; holds the tables, may be shared between threads.
///
/// ```
/// use partita_audio::mel::{Frames, LogMel};
/// let mel = LogMel::new(80)?.compute(&[0.0; 16_000], Frames::Natural);
/// assert_eq!((mel.bins, mel.frames), (80, 100));
/// # Ok::<(), partita_audio::AudioError>(())
/// ```
pub struct LogMel {
    filters: Vec<Filter>,
    window: Vec<f64>,
    // In double precision, because bands 80 dB under the loudest still count.
    fft: Arc<dyn RealToComplex<f64>>,
}

impl LogMel {
    /// Tables for `bins` mel bands: 80 for every Whisper up to large-v2, 128 from large-v3 on.
    ///
    /// # Errors
    /// [`AudioError::MelBins`] unless `bins` is between 1 and 128.
    pub fn new(bins: usize) -> Result<Self, AudioError> {
        if bins == 0 || bins > MOST_BINS {
            return Err(AudioError::MelBins { bins, most: MOST_BINS });
        }
        let step = std::f64::consts::TAU / WINDOW as f64;
        let window = (0..WINDOW).map(|n| 0.5 - 0.5 * (step * n as f64).cos()).collect();
        let fft = RealFftPlanner::new().plan_fft_forward(WINDOW);
        Ok(Self { filters: slaney_filters(bins), window, fft })
    }

    /// Mel bands that [`compute`](Self::compute) gives.
    pub fn bins(&self) -> usize {
        self.filters.len()
    }

    /// The log-mel spectrogram of mono `samples` at 16 kHz.
    ///
    /// Any length will do, none at all included; samples that are not finite count as 0.
    pub fn compute(&self, samples: &[f32], frames: Frames) -> Mel {
        let frames = match frames {
            Frames::Natural => samples.len().div_ceil(HOP),
            Frames::Padded(frames) => frames,
        };
        let bins = self.bins();
        let signal = Signal { samples, length: frames.saturating_mul(HOP) };
        let lowest = FLOOR.log10() as f32;
        let mut data = vec![lowest; bins * frames];
        let mut loudest = lowest;

        let mut input = self.fft.make_input_vec();
        let mut spectrum = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        let mut power = vec![0.0; spectrum.len()];
        // Frames past the last sample see zeros only, and hold `lowest` already.
        let heard = samples.len().saturating_add(HALF).div_ceil(HOP).min(frames);
        for frame in 0..heard {
            signal.window(frame, &self.window, &mut input);
            if self.fft.process_with_scratch(&mut input, &mut spectrum, &mut scratch).is_err() {
                continue; // only wrong buffer lengths fail, and these come from the plan itself
            }
            for (power, value) in power.iter_mut().zip(&spectrum) {
                *power = value.norm_sqr();
            }
            for (filter, row) in self.filters.iter().zip(data.chunks_exact_mut(frames)) {
                let band = power.iter().skip(filter.first).zip(&filter.weights);
                let energy: f64 = band.map(|(power, weight)| power * weight).sum();
                let value = (energy.clamp(FLOOR, f32::MAX.into()) as f32).log10();
                loudest = loudest.max(value);
                if let Some(cell) = row.get_mut(frame) {
                    *cell = value;
                }
            }
        }
        for value in &mut data {
            *value = (value.max(loudest - 8.0) + 4.0) / 4.0;
        }
        Mel { bins, frames, data }
    }
}

/// Samples as the transform sees them: zeros behind the last one up to `length`, mirrored at both
/// ends (the end sample itself is not repeated).
struct Signal<'a> {
    samples: &'a [f32],
    length: usize,
}

impl Signal<'_> {
    /// Writes the windowed samples of `frame`, whose middle is sample `160 × frame`.
    fn window(&self, frame: usize, window: &[f64], out: &mut [f64]) {
        let begin = frame * HOP;
        let inside = begin
            .checked_sub(HALF)
            .filter(|first| first + WINDOW <= self.length)
            .and_then(|first| self.samples.get(first..first + WINDOW));
        if let Some(samples) = inside {
            for ((out, sample), weight) in out.iter_mut().zip(samples).zip(window) {
                *out = finite(*sample) * weight;
            }
        } else {
            for ((n, out), weight) in out.iter_mut().enumerate().zip(window) {
                *out = self.at(begin + n) * weight;
            }
        }
    }

    /// The sample at `position` of the signal with 200 mirrored samples in front.
    fn at(&self, position: usize) -> f64 {
        let period = 2 * (self.length - 1).max(1);
        // One more period keeps the difference positive; 200 may exceed a very short period.
        let offset = (position + period * HALF - HALF) % period;
        let index = offset.min(period - offset);
        self.samples.get(index).map_or(0.0, |sample| finite(*sample))
    }
}

fn finite(sample: f32) -> f64 {
    if sample.is_finite() { sample.into() } else { 0.0 }
}

/// Slaney's mel scale (Auditory Toolbox, 1998): linear to 1 kHz, logarithmic above.
fn mel_to_hertz(mel: f64) -> f64 {
    const LINEAR: f64 = 200.0 / 3.0;
    const KNEE: f64 = 1000.0 / LINEAR;
    if mel < KNEE { mel * LINEAR } else { 1000.0 * ((mel - KNEE) * 6.4_f64.ln() / 27.0).exp() }
}

fn hertz_to_mel(hertz: f64) -> f64 {
    const LINEAR: f64 = 200.0 / 3.0;
    if hertz < 1000.0 {
        hertz / LINEAR
    } else {
        1000.0 / LINEAR + (hertz / 1000.0).ln() * 27.0 / 6.4_f64.ln()
    }
}

/// Triangles between equally spaced mels, each of area 1 (in Hz).
fn slaney_filters(bins: usize) -> Vec<Filter> {
    let top = hertz_to_mel(f64::from(SAMPLE_RATE) / 2.0);
    let corner = |i: usize| mel_to_hertz(top * i as f64 / (bins + 1) as f64);
    let hertz = |k: usize| k as f64 * f64::from(SAMPLE_RATE) / WINDOW as f64;
    (0..bins)
        .map(|bin| {
            let (left, middle, right) = (corner(bin), corner(bin + 1), corner(bin + 2));
            let weight = |k: usize| {
                let rise = (hertz(k) - left) / (middle - left);
                let fall = (right - hertz(k)) / (right - middle);
                rise.min(fall).max(0.0) * 2.0 / (right - left)
            };
            let first = (0..=HALF).find(|k| weight(*k) > 0.0).unwrap_or(0);
            let weights = (first..=HALF).map(weight).take_while(|weight| *weight > 0.0).collect();
            Filter { first, weights }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_length_and_any_sample() {
        let front = LogMel::new(80).unwrap();
        for length in [0, 1, 2, 100, 159, 160, 161, 199, 200, 201, 399, 400, 401, 4000] {
            let mel = front.compute(&vec![0.1; length], Frames::Natural);
            assert_eq!(mel.frames, length.div_ceil(160));
            assert_eq!(mel.data.len(), 80 * mel.frames);
            for frames in [0, 1, 2, 7] {
                let mel = front.compute(&vec![0.1; length], Frames::Padded(frames));
                assert_eq!((mel.frames, mel.data.len()), (frames, 80 * frames));
                assert!(mel.data.iter().all(|v| v.is_finite()));
            }
        }
        let wild = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e-45];
        let mel = front.compute(&wild.repeat(100), Frames::Natural);
        assert!(mel.data.iter().all(|v| v.is_finite()));
    }

    #[test]
    fn natural_equals_padding_by_hand() {
        let front = LogMel::new(128).unwrap();
        let samples: Vec<f32> = (0..1000).map(|n| (n as f32 * 0.3).sin()).collect();
        let mut whole = samples.clone();
        whole.resize(1120, 0.0);
        let natural = front.compute(&samples, Frames::Natural);
        assert_eq!(natural, front.compute(&whole, Frames::Natural));
        assert_eq!(natural, front.compute(&samples, Frames::Padded(7)));
    }

    #[test]
    fn silence_is_constant() {
        let mel = LogMel::new(80).unwrap().compute(&[0.0; 16_000], Frames::Padded(3000));
        assert!(mel.data.iter().all(|v| *v == -1.5));
    }

    #[test]
    fn refuses_impossible_bins() {
        assert!(LogMel::new(0).is_err());
        assert!(LogMel::new(129).is_err());
        assert!(slaney_filters(MOST_BINS).iter().all(|filter| !filter.weights.is_empty()));
    }
}
