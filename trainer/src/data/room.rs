//! A synthetic room: the direct sound, and behind it noise that decays exponentially.
//!
//! It is the classical model of late reverberation (Polack 1988): after the time `T` the tail has
//! lost 60 dB, so its envelope is `10^(−3 t / T)`.

use partita_audio::SAMPLE_RATE;
use rand::Rng;
use realfft::RealFftPlanner;

/// Direct over reverberant energy in dB: from a room that is just heard to a bare hall.
const DIRECT_DB: std::ops::RangeInclusive<f64> = 0.0..=15.0;
/// Seconds between the direct sound and the first reflection.
const GAP: std::ops::RangeInclusive<f64> = 0.002..=0.02;

/// An impulse response at 16 kHz, the direct sound first.
pub(super) struct Room(Vec<f32>);

impl Room {
    /// Draws a room with this reverberation time.
    pub fn draw(seconds: f64, rng: &mut impl Rng) -> Self {
        let rate = f64::from(SAMPLE_RATE);
        let length = (seconds * rate) as usize;
        let gap = (rng.random_range(GAP) * rate) as usize;
        let direct = rng.random_range(DIRECT_DB);
        let decay = |n: usize| 10_f64.powf(-3.0 * n as f64 / (seconds * rate));
        let tail: Vec<f64> = (0..length).map(|n| rng.random_range(-1.0..1.0) * decay(n)).collect();
        let energy: f64 = tail.iter().map(|v| v * v).sum();
        let factor = (10_f64.powf(-direct / 10.0) / energy.max(f64::MIN_POSITIVE)).sqrt();
        let mut response = vec![0.0; gap.max(1)];
        response.extend(tail.iter().map(|v| (v * factor) as f32));
        if let Some(first) = response.first_mut() {
            *first = 1.0;
        }
        Self(response)
    }

    /// The samples as heard in the room, of the same length and energy.
    pub fn apply(&self, samples: &[f32]) -> Vec<f32> {
        let Some(mut wet) = convolve(samples, &self.0) else { return samples.to_vec() };
        wet.truncate(samples.len());
        let energy = |samples: &[f32]| samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
        let factor = (energy(samples) / energy(&wet).max(f64::MIN_POSITIVE)).sqrt();
        if factor.is_finite() {
            wet.iter_mut().for_each(|sample| *sample *= factor as f32);
        }
        wet
    }
}

/// The convolution of two signals by Fourier transform; `None` if one is empty.
fn convolve(a: &[f32], b: &[f32]) -> Option<Vec<f32>> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let length = a.len() + b.len() - 1;
    let size = length.next_power_of_two().max(2);
    let mut planner = RealFftPlanner::<f32>::new();
    let forward = planner.plan_fft_forward(size);
    let spectrum = |signal: &[f32]| {
        let mut input = signal.to_vec();
        input.resize(size, 0.0);
        let mut output = forward.make_output_vec();
        forward.process(&mut input, &mut output).ok().map(|()| output)
    };
    let mut product = spectrum(a)?;
    for (a, b) in product.iter_mut().zip(spectrum(b)?) {
        *a *= b / size as f32;
    }
    // The bins at both ends of a real signal's spectrum are real; rounding may say otherwise.
    if let [first, .., last] = product.as_mut_slice() {
        (first.im, last.im) = (0.0, 0.0);
    }
    let inverse = planner.plan_fft_inverse(size);
    let mut output = inverse.make_output_vec();
    inverse.process(&mut product, &mut output).ok()?;
    output.truncate(length);
    Some(output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn convolution_is_that_of_the_definition() {
        let a: Vec<f32> = (0..37).map(|n| (n as f32).sin()).collect();
        let b: Vec<f32> = (0..11).map(|n| (n as f32 * 0.3).cos()).collect();
        let fast = convolve(&a, &b).unwrap();
        assert_eq!(fast.len(), 47);
        for (n, value) in fast.iter().enumerate() {
            let exact: f32 =
                (0..=n).filter(|k| *k < 37 && n - k < 11).map(|k| a[k] * b[n - k]).sum();
            assert!((value - exact).abs() < 1e-4, "{n}: {value} {exact}");
        }
        assert!(convolve(&[], &b).is_none());
    }

    #[test]
    fn the_tail_loses_60_db_in_its_time() {
        let room = Room::draw(0.4, &mut StdRng::seed_from_u64(5)).0;
        let rms = |from: f64, to: f64| {
            let part = &room[(from * 16_000.0) as usize..(to * 16_000.0) as usize];
            (part.iter().map(|s| s * s).sum::<f32>() / part.len() as f32).sqrt()
        };
        // 0.3 s apart: 45 dB.
        let fall = 20.0 * (rms(0.03, 0.08) / rms(0.33, 0.38)).log10();
        assert!((fall - 45.0).abs() < 2.0, "{fall} dB");
        assert_eq!(room[0], 1.0);
    }

    #[test]
    fn energy_and_length_stay_and_the_onset_too() {
        let mut click = vec![0.0; 8000];
        click[100] = 0.5;
        let wet = Room::draw(0.2, &mut StdRng::seed_from_u64(5)).apply(&click);
        assert_eq!(wet.len(), 8000);
        assert!(wet[..100].iter().all(|s| s.abs() < 1e-5), "nothing sounds before it sounds");
        let energy: f32 = wet.iter().map(|s| s * s).sum();
        assert!((energy - 0.25).abs() < 1e-3);
        assert!(wet[200..2000].iter().any(|s| s.abs() > 1e-3));
        assert!(Room::draw(0.2, &mut StdRng::seed_from_u64(5)).apply(&[]).is_empty());
    }
}
