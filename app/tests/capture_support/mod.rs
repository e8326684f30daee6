//! What the tests of capture share: a signal, a way to find it again, a reader.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use partita::capture::{Capture, Heard};
use std::path::Path;
use std::time::{Duration, Instant};

pub const RATE: f64 = 16_000.0;
/// Coarse comparison is made at a quarter of the rate.
const COARSE: usize = 4;

/// Noise below about 1 kHz that swells and fades like speech; the same for the same seed.
pub fn signal(seconds: f64, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut filters = [0.0_f64; 4];
    let mut samples: Vec<f32> = (0..(seconds * RATE) as usize)
        .map(|n| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let mut value = (state >> 40) as f64 / (1_u64 << 23) as f64 - 1.0;
            for filter in &mut filters {
                *filter += 0.25 * (value - *filter);
                value = *filter;
            }
            (value * (1.2 + (n as f64 / RATE * 20.0).sin())) as f32
        })
        .collect();
    let peak = samples.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    samples.iter_mut().for_each(|sample| *sample *= 0.7 / peak);
    samples
}

pub fn write_wav(path: &Path, samples: &[f32]) {
    let (sample_rate, sample_format) = (RATE as u32, hound::SampleFormat::Int);
    let spec = hound::WavSpec { channels: 1, sample_rate, bits_per_sample: 16, sample_format };
    let mut file = hound::WavWriter::create(path, spec).unwrap();
    for sample in samples {
        file.write_sample((sample * 32767.0) as i16).unwrap();
    }
    file.finalize().unwrap();
}

/// Where in `heard` the signal is, in seconds, and how much it is like it there (1: the same).
pub fn find(signal: &[f32], heard: &[f32]) -> (f64, f64) {
    let thin = |samples: &[f32]| -> Vec<f32> { samples.iter().copied().step_by(COARSE).collect() };
    let (small, long) = (thin(signal), thin(heard));
    let coarse = best(&small, &long, 0..(long.len() + 1).saturating_sub(small.len())).0 * COARSE;
    let last = (heard.len() + 1).saturating_sub(signal.len());
    let (place, likeness) =
        best(signal, heard, coarse.saturating_sub(8).min(last)..(coarse + 9).min(last));
    (place as f64 / RATE, likeness)
}

fn best(signal: &[f32], heard: &[f32], places: std::ops::Range<usize>) -> (usize, f64) {
    let own: f32 = signal.iter().map(|s| s * s).sum();
    places.fold((0, 0.0), |best, place| {
        let there = &heard[place..place + signal.len()];
        let (mut product, mut power) = (0.0_f32, 0.0_f32);
        for (a, b) in signal.iter().zip(there) {
            product += a * b;
            power += b * b;
        }
        let likeness = f64::from(product / (own * power).sqrt().max(1e-6));
        if likeness > best.1 { (place, likeness) } else { best }
    })
}

/// What a capture gave.
#[derive(Default)]
pub struct Take {
    pub samples: Vec<f32>,
    pub lost: u64,
    /// Everything else that was told, and how many samples were there then.
    pub told: Vec<(Heard, usize)>,
}

impl Take {
    /// Reads for so long, or until `enough`.
    pub fn read(
        &mut self,
        capture: &mut dyn Capture,
        longest: f64,
        mut enough: impl FnMut(&Self) -> bool,
    ) {
        let end = Instant::now() + Duration::from_secs_f64(longest);
        while Instant::now() < end && !enough(self) {
            let patience = (end - Instant::now()).min(Duration::from_millis(50));
            match capture.read(patience, &mut self.samples).unwrap() {
                Heard::Samples { lost } => self.lost += lost,
                Heard::Ended => {
                    self.told.push((Heard::Ended, self.samples.len()));
                    return;
                }
                told => self.told.push((told, self.samples.len())),
            }
        }
    }

    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / RATE
    }

    pub fn gone(&self) -> bool {
        self.told.iter().any(|(told, _)| matches!(told, Heard::Gone { .. }))
    }

    pub fn back(&self) -> Option<&str> {
        self.told.iter().rev().find_map(|(told, _)| match told {
            Heard::Back { source } => Some(source.as_str()),
            _ => None,
        })
    }
}
