//! How loud sources are, for a window that looks whenever it draws.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// A peak falls to a third in so many seconds.
const PEAK_FALL: f32 = 0.3;
/// The time over which loudness is averaged, in seconds.
const RMS_TIME: f32 = 0.15;

/// Levels and losses of an opened [`Capture`](super::Capture) or [`Watch`](super::Watch).
///
/// Written by the threads of the sources, read by anyone; nothing waits for anything.
#[derive(Debug, Default)]
pub struct Meter {
    gauges: Vec<Gauge>,
    lost: AtomicU64,
    overflowed: AtomicU64,
}

#[derive(Debug, Default)]
struct Gauge {
    peak: AtomicU32,
    mean_square: AtomicU32,
    present: AtomicBool,
}

/// How loud a source is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Level {
    /// Greatest sample of late, 0 to 1; falls by itself.
    pub peak: f32,
    /// Root mean square over about the last 0.15 s, 0 to 1.
    pub rms: f32,
    /// Whether the source is there and gives audio.
    pub present: bool,
}

impl Meter {
    pub(super) fn new(sources: usize) -> Self {
        let gauges = (0..sources).map(|_| Gauge::default()).collect();
        Self { gauges, ..Self::default() }
    }

    /// How many sources there are; as many as were asked for, in that order.
    pub fn sources(&self) -> usize {
        self.gauges.len()
    }

    /// How loud one source is; silent for a number that is too high.
    pub fn level(&self, source: usize) -> Level {
        self.gauges.get(source).map_or_else(Level::default, Gauge::level)
    }

    /// The loudest of all sources.
    pub fn loudest(&self) -> Level {
        let levels = self.gauges.iter().map(Gauge::level);
        levels.fold(Level::default(), |a, b| Level {
            peak: a.peak.max(b.peak),
            rms: a.rms.max(b.rms),
            present: a.present || b.present,
        })
    }

    /// Samples at 16 kHz that were lost so far and that silence stands for.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Samples, at the rate of their device, for which there was no room when they came: their
    /// reader was too slow. They are among the lost ones once they were read past.
    pub fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    pub(super) fn lose(&self, samples: u64) {
        self.lost.fetch_add(samples, Ordering::Relaxed);
    }

    pub(super) fn overflow(&self, frames: u64) {
        self.overflowed.fetch_add(frames, Ordering::Relaxed);
    }

    /// Takes account of samples that came from a source; they last `seconds`.
    pub(super) fn hear(&self, source: usize, samples: &[f32], seconds: f32) {
        let Some(gauge) = self.gauges.get(source).filter(|_| !samples.is_empty()) else { return };
        let peak = samples.iter().fold(0_f32, |peak, sample| peak.max(sample.abs()));
        let square = samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32;
        let before = gauge.level();
        let kept = (-seconds / RMS_TIME).exp();
        let square = before.rms * before.rms * kept + square * (1.0 - kept);
        let peak = peak.max(before.peak * (-seconds / PEAK_FALL).exp());
        gauge.set(peak, square, true);
    }

    /// A source is away.
    pub(super) fn silence(&self, source: usize) {
        if let Some(gauge) = self.gauges.get(source) {
            gauge.set(0.0, 0.0, false);
        }
    }
}

impl Gauge {
    fn level(&self) -> Level {
        let number = |bits: &AtomicU32| f32::from_bits(bits.load(Ordering::Relaxed));
        Level {
            peak: number(&self.peak).min(1.0),
            rms: number(&self.mean_square).sqrt().min(1.0),
            present: self.present.load(Ordering::Relaxed),
        }
    }

    fn set(&self, peak: f32, mean_square: f32, present: bool) {
        self.peak.store(peak.to_bits(), Ordering::Relaxed);
        self.mean_square.store(mean_square.to_bits(), Ordering::Relaxed);
        self.present.store(present, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Meter;

    #[test]
    fn a_level_follows_what_is_heard_and_falls_to_nothing() {
        let meter = Meter::new(2);
        for _ in 0..50 {
            meter.hear(0, &[0.5, -0.5], 0.02);
        }
        let level = meter.level(0);
        assert!((level.rms - 0.5).abs() < 0.01 && level.peak == 0.5 && level.present);
        assert_eq!(meter.loudest(), level);
        assert!(!meter.level(1).present);
        for _ in 0..100 {
            meter.hear(0, &[0.0, 0.0], 0.02);
        }
        assert!(meter.level(0).peak < 0.001 && meter.level(0).rms < 0.001);
        meter.silence(0);
        assert!(!meter.level(0).present);
        assert_eq!(meter.level(7), super::Level::default());
    }
}
