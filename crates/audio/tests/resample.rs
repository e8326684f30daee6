//! Resampling: length, time, pass band and aliases, measured.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::f64::consts::TAU;

use partita_audio::resample::Resampler;

const RATES: [u32; 13] = [
    8_000, 11_025, 12_000, 15_999, 16_000, 22_050, 24_000, 32_000, 44_100, 44_101, 48_000, 96_000,
    192_000,
];

fn resample(samples: &[f32], rate: u32, block: usize) -> Vec<f32> {
    let mut resampler = Resampler::new(rate, "test").unwrap();
    let mut out = Vec::new();
    for block in samples.chunks(block) {
        resampler.push(block, &mut out).unwrap();
    }
    resampler.finish(&mut out).unwrap();
    out
}

fn tone(rate: u32, hertz: f64, seconds: f64) -> Vec<f32> {
    let count = (f64::from(rate) * seconds) as u64;
    let sample = |n: u64| (TAU * hertz * n as f64 / f64::from(rate)).sin() * 0.5;
    (0..count).map(|n| sample(n) as f32).collect()
}

/// Level in dB of what is left in the middle half, relative to the tone that went in.
fn level(samples: &[f32]) -> f64 {
    let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
    let power: f64 = middle.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
    10.0 * (power / middle.len() as f64 / 0.125).max(1e-20).log10()
}

/// A chirp from 200 to 3000 Hz under a bell, in the middle of one second.
fn chirp(t: f64) -> f64 {
    let u = t - 0.5;
    (-(u / 0.1).powi(2)).exp() * (TAU * (1600.0 * u + 3500.0 * u * u)).sin() * 0.7
}

#[test]
fn length_is_exact() {
    for rate in RATES {
        for count in [1, 2, 100, 441, 1000, 7919, 50_000] {
            for block in [1000, 4096, 1_000_000] {
                let out = resample(&vec![0.25; count], rate, block);
                let due = (count as f64 * 16_000.0 / f64::from(rate)).round() as usize;
                assert!(out.len().abs_diff(due) <= 1, "{count} at {rate}: {} {due}", out.len());
            }
        }
    }
}

#[test]
fn time_does_not_shift() {
    for rate in RATES {
        let input: Vec<f32> =
            (0..rate).map(|n| chirp(f64::from(n) / f64::from(rate)) as f32).collect();
        let out = resample(&input, rate, 1152);
        // Cross-correlation with the chirp itself, shifted in steps of a tenth of a sample.
        let likeness = |shift: f64| -> f64 {
            let value = |n: usize| chirp((n as f64 - shift) / 16_000.0);
            out.iter().enumerate().map(|(n, sample)| f64::from(*sample) * value(n)).sum()
        };
        let best = (-300..=300)
            .map(|step| f64::from(step) / 10.0)
            .max_by(|a, b| likeness(*a).total_cmp(&likeness(*b)))
            .unwrap();
        assert!(best.abs() <= 0.1, "{rate} Hz: shifted by {best} samples");
        let worst = out.iter().enumerate().fold(0.0_f64, |worst, (n, sample)| {
            worst.max((f64::from(*sample) - chirp(n as f64 / 16_000.0)).abs())
        });
        println!("{rate} Hz: shift {best}, largest error {worst:.1e}");
        assert!(worst < 1e-3, "{rate} Hz: {worst}");
    }
}

#[test]
fn passes_speech_and_no_aliases() {
    for rate in RATES {
        let top = f64::from(rate.min(16_000)) / 2.0;
        for hertz in [100.0, 1000.0, top * 0.85, top * 0.93] {
            let level = level(&resample(&tone(rate, hertz, 1.0), rate, 4096));
            println!("{rate} Hz: {hertz:.0} Hz passes at {level:.2} dB");
            assert!(level.abs() < 0.2, "{rate} Hz: {hertz} Hz at {level} dB");
        }
        for hertz in [8_050.0, 9_000.0, 12_000.0, 20_000.0, 40_000.0, 90_000.0] {
            if hertz < f64::from(rate) / 2.0 - 50.0 {
                let level = level(&resample(&tone(rate, hertz, 1.0), rate, 4096));
                println!("{rate} Hz: {hertz:.0} Hz is stopped to {level:.0} dB");
                // Coprime rates need filters longer than the tone, whose ends then show.
                assert!(level < -65.0, "{rate} Hz: {hertz} Hz leaks at {level} dB");
            }
        }
    }
}

#[test]
fn refuses_absurd_rates() {
    for rate in [0, 1, 3_999, 400_000, u32::MAX] {
        assert!(Resampler::new(rate, "test").is_err());
    }
}
