//! Any sampling rate to 16 kHz.

use std::ops::RangeInclusive;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler as _, WindowFunction};

use crate::{AudioError, SAMPLE_RATE};

/// Rates that real recordings have (Hz); anything else is taken for a broken header.
pub const RATES: RangeInclusive<u32> = 4_000..=384_000;

/// Output samples of one transform block: 64 ms. Longer blocks give a steeper filter and more delay.
const BLOCK: usize = 1024;

/// A streaming converter of mono audio to 16 kHz.
///
/// Band-limited (what lies above the new Nyquist frequency does not fold back) and without shift:
/// the sample at time `t` of the input is at time `t` of the output, whose length is the input's
/// times `16000 / rate`, rounded.
///
/// ```
/// use partita_audio::resample::Resampler;
/// let mut resampler = Resampler::new(48_000, "microphone")?;
/// let mut out = Vec::new();
/// resampler.push(&vec![0.0; 48_000], &mut out)?;
/// resampler.finish(&mut out)?;
/// assert_eq!(out.len(), 16_000);
/// # Ok::<(), partita_audio::AudioError>(())
/// ```
pub struct Resampler {
    name: String,
    rate: u32,
    /// Absent when the rate is 16 kHz already.
    engine: Option<Engine>,
    taken: u64,
    given: u64,
}

struct Engine {
    fft: Fft<f32>,
    pending: Vec<f32>,
    block: Vec<f32>,
    /// Output samples still to be dropped, so that the filter's delay does not shift the audio.
    delay: usize,
}

impl Resampler {
    /// A converter from `rate` Hz; `name` is what errors call the source.
    ///
    /// # Errors
    /// [`AudioError::BadHeader`] for a rate outside [`RATES`].
    pub fn new(rate: u32, name: &str) -> Result<Self, AudioError> {
        if !RATES.contains(&rate) {
            let reason = format!("a sampling rate of {rate} Hz");
            return Err(AudioError::BadHeader { name: name.to_owned(), reason });
        }
        let engine = if rate == SAMPLE_RATE { None } else { Some(Engine::new(rate, name)?) };
        Ok(Self { name: name.to_owned(), rate, engine, taken: 0, given: 0 })
    }

    /// Input rate in Hz.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Takes input samples of any count; appends what is ready to `out`, within -1 ‥ 1.
    ///
    /// # Errors
    /// [`AudioError::Resample`]; not expected with any input.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<(), AudioError> {
        self.taken += samples.len() as u64;
        let before = out.len();
        match &mut self.engine {
            None => out.extend_from_slice(samples),
            Some(engine) => engine.push(samples, out).map_err(|e| failure(&self.name, &e))?,
        }
        self.given += (out.len() - before) as u64;
        Ok(())
    }

    /// Appends what the filter still holds, and makes ready for a new signal.
    ///
    /// # Errors
    /// [`AudioError::Resample`]; not expected with any input.
    pub fn finish(&mut self, out: &mut Vec<f32>) -> Result<(), AudioError> {
        let rate = u128::from(self.rate);
        let due = (u128::from(self.taken) * u128::from(SAMPLE_RATE) + rate / 2) / rate;
        let missing = usize::try_from(due.saturating_sub(self.given.into())).unwrap_or(0);
        if let Some(engine) = &mut self.engine {
            let end = out.len() + missing;
            let silence = vec![0.0; engine.fft.input_frames_next()];
            while out.len() < end {
                engine.push(&silence, out).map_err(|e| failure(&self.name, &e))?;
            }
            out.truncate(end);
            engine.reset();
        }
        (self.taken, self.given) = (0, 0);
        Ok(())
    }
}

impl Engine {
    fn new(rate: u32, name: &str) -> Result<Self, AudioError> {
        let (rate, target) = (rate as usize, SAMPLE_RATE as usize);
        // An even count of input samples: the middle of an odd block, which is the filter's delay,
        // would lie between two samples.
        let unit = 2 * rate / common_divisor(rate, target);
        let fft = Fft::new_custom(
            rate,
            target,
            (BLOCK * rate / target).next_multiple_of(unit),
            1,
            1,
            WindowFunction::BlackmanHarris2,
            FixedSync::Both,
        )
        .map_err(|reason| failure(name, &reason))?;
        let block = vec![0.0; fft.output_frames_max()];
        let delay = fft.output_delay();
        Ok(Self { fft, pending: Vec::new(), block, delay })
    }

    fn reset(&mut self) {
        self.fft.reset();
        self.pending.clear();
        self.delay = self.fft.output_delay();
    }

    fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<(), Error> {
        self.pending.extend_from_slice(samples);
        let mut used = 0;
        while self.pending.len() - used >= self.fft.input_frames_next() {
            let input = InterleavedSlice::new(&self.pending, 1, self.pending.len())?;
            let length = self.block.len();
            let mut output = InterleavedSlice::new_mut(&mut self.block, 1, length)?;
            let place = Indexing::new().input_offset(used);
            let (taken, given) = self.fft.process_into_buffer(&input, &mut output, Some(&place))?;
            used += taken;
            let dropped = self.delay.min(given);
            self.delay -= dropped;
            let ready = self.block.get(dropped..given).unwrap_or_default();
            out.extend(ready.iter().map(|sample| sample.clamp(-1.0, 1.0)));
        }
        self.pending.drain(..used);
        Ok(())
    }
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

fn failure(name: &str, reason: &dyn std::fmt::Display) -> AudioError {
    AudioError::Resample { name: name.to_owned(), reason: reason.to_string() }
}
