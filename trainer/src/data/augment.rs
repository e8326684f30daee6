//! Speed, room, noise and gain, on samples.
//!
//! A small model with a frozen encoder wants mild changes: a signal-to-noise ratio of 5 dB at least,
//! speeds from 0.9 to 1.1. All of it is drawn from the generator that is handed in.

use anyhow::{Result, bail};
use partita_audio::SAMPLE_RATE;
use partita_audio::resample::Resampler;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::SpecAugment;
use super::clip;
use super::room::Room;
use super::set::SpeechSet;

/// Samples that a slower clip may have: nearly the 30 s of a window.
const LONGEST: usize = 299 * SAMPLE_RATE as usize / 10;
/// Speeds are drawn in steps of a hundredth: 16 kHz times such a speed shares a factor of 160 with
/// 16 kHz, which keeps the resampler's blocks short.
const SPEED_STEP: f64 = 0.01;
/// Most seconds of one noise clip that are held in memory.
const NOISE_SECONDS: f64 = 30.0;
/// Quieter noise than this (−60 dBFS) is not worth scaling up.
const QUIET: f32 = 1e-3;

/// What may happen to a clip. Probabilities are from 0 to 1; ranges are drawn from evenly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// Slowest and fastest speed (pitch changes with it); 1 for none.
    pub speed: [f64; 2],
    /// How often a room is added.
    pub room: f64,
    /// Shortest and longest reverberation time (to −60 dB) in seconds.
    pub room_seconds: [f64; 2],
    /// How often noise is added.
    pub noise: f64,
    /// Lowest and highest signal-to-noise ratio in dB.
    pub noise_db: [f64; 2],
    /// Lowest and highest gain in dB; never so much that samples are cut off.
    pub gain_db: [f64; 2],
    /// Noise that is held in memory, in minutes.
    pub noise_minutes: f64,
    /// Masks on the features; none without it.
    pub spec: Option<SpecAugment>,
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            speed: [0.9, 1.1],
            room: 0.2,
            room_seconds: [0.1, 0.5],
            noise: 0.4,
            noise_db: [5.0, 25.0],
            gain_db: [-12.0, 6.0],
            noise_minutes: 20.0,
            spec: Some(SpecAugment::default()),
        }
    }
}

impl Augment {
    /// Masks on the features only: what a cache of clean features allows.
    pub fn masks_only() -> Self {
        let (speed, gain_db) = ([1.0; 2], [0.0; 2]);
        Self { speed, room: 0.0, noise: 0.0, gain_db, ..Self::default() }
    }

    /// Whether samples are changed at all.
    pub fn changes_samples(&self) -> bool {
        self.speed != [1.0; 2] || self.room > 0.0 || self.noise > 0.0 || self.gain_db != [0.0; 2]
    }

    fn check(&self) -> Result<()> {
        let range = |[low, high]: [f64; 2], within: std::ops::RangeInclusive<f64>| {
            low <= high && within.contains(&low) && within.contains(&high)
        };
        let faults = [
            ("speed must be a range within 0.5 and 2", range(self.speed, 0.5..=2.0)),
            ("room must be from 0 to 1", (0.0..=1.0).contains(&self.room)),
            (
                "room_seconds must be a range within 0.01 and 2",
                range(self.room_seconds, 0.01..=2.0),
            ),
            ("noise must be from 0 to 1", (0.0..=1.0).contains(&self.noise)),
            ("noise_db must be a range within -20 and 100", range(self.noise_db, -20.0..=100.0)),
            ("gain_db must be a range within -60 and 60", range(self.gain_db, -60.0..=60.0)),
            ("noise_minutes must be from 0 to 1000", (0.0..=1000.0).contains(&self.noise_minutes)),
        ];
        match faults.into_iter().find(|(_, fits)| !fits) {
            Some((fault, _)) => bail!("augment: {fault}"),
            None => Ok(()),
        }
    }
}

/// Changes samples; holds the noise. May be shared between threads.
pub struct Augmenter {
    options: Augment,
    /// Clips of noise at 16 kHz, as 16-bit samples: 2 MB a minute.
    noises: Vec<Vec<i16>>,
}

impl Augmenter {
    /// With the noise of the set's clips without speech. Noise that cannot be read is passed over
    /// here; the loader reports it when its turn comes.
    ///
    /// # Errors
    /// When an option is impossible.
    pub fn new(options: Augment, set: &SpeechSet) -> Result<Self> {
        options.check()?;
        let mut noises = Vec::new();
        let mut left = options.noise_minutes * 60.0;
        let clips = set.clips().iter().filter(|clip| clip.lang.is_none() && options.noise > 0.0);
        for clip in clips {
            if left <= 0.0 {
                break;
            }
            if let Ok(samples) = clip::read(clip, 0.0, NOISE_SECONDS) {
                left -= samples.len() as f64 / f64::from(SAMPLE_RATE);
                noises.push(samples.iter().map(|s| (s * 32767.0) as i16).collect());
            }
        }
        Ok(Self { options, noises })
    }

    /// The options.
    pub fn options(&self) -> &Augment {
        &self.options
    }

    /// Seconds of noise that are held.
    pub fn noise_seconds(&self) -> f64 {
        self.noises.iter().map(Vec::len).sum::<usize>() as f64 / f64::from(SAMPLE_RATE)
    }

    /// Changes a clip. `speech`: noise and speed are for clips in which somebody speaks.
    pub fn apply(&self, mut samples: Vec<f32>, speech: bool, rng: &mut impl Rng) -> Vec<f32> {
        // Everything is drawn first, in a fixed order, whether it is used or not.
        let [slow, fast] = self.options.speed.map(|speed| (speed / SPEED_STEP).round() as i64);
        // Played slowly, a long clip would have more than the encoder's window.
        let least = (samples.len() * 100).div_ceil(LONGEST).min(100) as i64;
        let speed = rng.random_range(slow..=fast.max(slow)).max(least);
        let room = rng.random_bool(self.options.room);
        let noise = rng.random_bool(self.options.noise);
        let mut within = |[low, high]: [f64; 2]| rng.random_range(low..=high);
        let room_seconds = within(self.options.room_seconds);
        let db = within(self.options.noise_db);
        let gain = within(self.options.gain_db);
        if speech && speed != 100 {
            samples = at_speed(samples, speed);
        }
        if room {
            samples = Room::draw(room_seconds, rng).apply(&samples);
        }
        if speech && noise {
            self.add_noise(&mut samples, db, rng);
        }
        let peak = samples.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        let gain = (10_f64.powf(gain / 20.0) as f32).min(1.0 / peak.max(f32::MIN_POSITIVE));
        for sample in &mut samples {
            *sample *= gain;
        }
        samples
    }

    /// Adds a stretch of noise, over and over where it is short, `db` under the speech.
    fn add_noise(&self, samples: &mut [f32], db: f64, rng: &mut impl Rng) {
        if self.noises.is_empty() {
            return;
        }
        let noise = self.noises.get(rng.random_range(0..self.noises.len()));
        let Some(noise) = noise.filter(|noise| !noise.is_empty()) else { return };
        let begin = rng.random_range(0..noise.len());
        let stretch = noise.iter().cycle().skip(begin).take(samples.len());
        let stretch: Vec<f32> = stretch.map(|sample| f32::from(*sample) / 32767.0).collect();
        let (loud, hum) = (rms(samples), rms(&stretch));
        if hum < QUIET {
            return;
        }
        let factor = loud / hum * 10_f64.powf(-db / 20.0) as f32;
        for (sample, noise) in samples.iter_mut().zip(stretch) {
            *sample += noise * factor;
        }
    }
}

/// Samples played at `hundredths` of their speed.
fn at_speed(samples: Vec<f32>, hundredths: i64) -> Vec<f32> {
    let rate = i64::from(SAMPLE_RATE) / 100 * hundredths;
    let faster = || -> Result<Vec<f32>> {
        let mut resampler = Resampler::new(u32::try_from(rate)?, "speed")?;
        let mut out = Vec::new();
        resampler.push(&samples, &mut out)?;
        resampler.finish(&mut out)?;
        Ok(out)
    };
    // Rates were checked and no input can fail; should it happen, the clip stays as it is.
    faster().unwrap_or(samples)
}

fn rms(samples: &[f32]) -> f32 {
    let energy: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    (energy / samples.len().max(1) as f64).sqrt() as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn tone(hertz: f64, seconds: f64) -> Vec<f32> {
        let phase = |n| std::f64::consts::TAU * hertz * f64::from(n) / 16_000.0;
        (0..(seconds * 16_000.0) as u32).map(|n| (phase(n).sin() * 0.1) as f32).collect()
    }

    fn with(options: Augment) -> Augmenter {
        let noise = tone(3000.0, 0.3).iter().map(|s| (s * 32767.0) as i16).collect();
        Augmenter { options, noises: vec![noise] }
    }

    /// Energy at a frequency, by its Fourier coefficient.
    fn level(samples: &[f32], hertz: f64) -> f64 {
        let step = std::f64::consts::TAU * hertz / 16_000.0;
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let phase = step * n as f64;
            re += f64::from(*sample) * phase.cos();
            im += f64::from(*sample) * phase.sin();
        }
        2.0 * (re * re + im * im).sqrt() / samples.len() as f64
    }

    #[test]
    fn speed_changes_length_and_pitch() {
        let options = Augment { speed: [1.1, 1.1], ..Augment::masks_only() };
        let fast = with(options).apply(tone(440.0, 2.0), true, &mut StdRng::seed_from_u64(1));
        assert!((fast.len() as f64 - 32_000.0 / 1.1).abs() < 2.0, "{}", fast.len());
        assert!(level(&fast, 484.0) > 0.09 && level(&fast, 440.0) < 0.01);
        let options = Augment { speed: [0.9, 0.9], ..Augment::masks_only() };
        let noise = with(options).apply(tone(440.0, 2.0), false, &mut StdRng::seed_from_u64(1));
        assert_eq!(noise.len(), 32_000, "clips without speech keep their speed");
        let options = Augment { speed: [0.8, 0.8], ..Augment::masks_only() };
        for (seconds, most) in [(28.0, 30.0), (30.0, 30.0), (20.0, 25.0)] {
            let slow = with(options.clone()).apply(
                tone(440.0, seconds),
                true,
                &mut StdRng::seed_from_u64(1),
            );
            let length = slow.len() as f64 / f64::from(SAMPLE_RATE);
            assert!(length > most - 0.5 && length <= most + 1e-4, "{seconds}: {length}");
        }
    }

    #[test]
    fn noise_has_the_asked_ratio() {
        let options = Augment { noise: 1.0, noise_db: [10.0, 10.0], ..Augment::masks_only() };
        let noisy = with(options).apply(tone(440.0, 2.0), true, &mut StdRng::seed_from_u64(3));
        let ratio = level(&noisy, 440.0) / level(&noisy, 3000.0);
        assert!((20.0 * ratio.log10() - 10.0).abs() < 0.5, "{ratio}");
    }

    #[test]
    fn gain_never_cuts_off() {
        let options = Augment { gain_db: [30.0, 30.0], ..Augment::masks_only() };
        let loud = with(options).apply(tone(440.0, 0.5), true, &mut StdRng::seed_from_u64(3));
        let peak = loud.iter().fold(0.0_f32, |peak, s| peak.max(s.abs()));
        assert!((peak - 1.0).abs() < 1e-4, "{peak}");
        let options = Augment { gain_db: [-6.0206, -6.0206], ..Augment::masks_only() };
        let soft = with(options).apply(tone(440.0, 0.5), true, &mut StdRng::seed_from_u64(3));
        assert!((level(&soft, 440.0) - 0.05).abs() < 1e-4);
    }

    #[test]
    fn the_same_seed_gives_the_same_clip() {
        let augmenter = with(Augment { room: 0.5, noise: 0.5, ..Augment::default() });
        let clip = tone(300.0, 1.0);
        let of = |seed| augmenter.apply(clip.clone(), true, &mut StdRng::seed_from_u64(seed));
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
        assert!((0..20).all(|seed| of(seed).iter().all(|s| s.abs() <= 1.0001)));
        let silence = augmenter.apply(vec![0.0; 1600], true, &mut StdRng::seed_from_u64(7));
        assert!(silence.iter().all(|s| s.is_finite()));
        assert!(augmenter.apply(Vec::new(), true, &mut StdRng::seed_from_u64(7)).is_empty());
    }

    #[test]
    fn impossible_options_are_named() {
        let set = SpeechSet::default();
        let options = Augment { speed: [1.1, 0.9], ..Augment::default() };
        let error = Augmenter::new(options, &set).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("augment: speed must be a range within 0.5 and 2"));
    }
}
