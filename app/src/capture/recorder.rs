//! Keeping the audio of a session.

use super::CaptureError;
use hound::{SampleFormat, WavSpec, WavWriter};
use partita_audio::SAMPLE_RATE;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

/// Most that a WAV file can say of its length, less what its header takes.
const LARGEST_MIB: u32 = 4095;
/// Samples after which the header is made to agree with the file: one second. A process that dies
/// leaves all but the last second.
const SETTLE: u64 = SAMPLE_RATE as u64;

/// Writes 16 kHz mono audio as 16-bit WAV, up to a limit.
///
/// The file can be read at any time, also when the process was killed: its header is brought up to
/// date every second. Recording never ends a session: when the file has reached its limit or the
/// disk is full, recording stops, and [`write`](Self::write) says so once.
///
/// ```
/// use partita::capture::Recorder;
/// let path = std::env::temp_dir().join(format!("partita-{}.wav", std::process::id()));
/// let mut recorder = Recorder::create(&path, 10)?;
/// assert_eq!(recorder.write(&[0.0; 16_000]), None);
/// assert_eq!(recorder.finish(), None);
/// assert_eq!(partita_audio::read_all(&path)?.len(), 16_000);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Recorder {
    path: PathBuf,
    /// None once recording has stopped.
    file: Option<WavWriter<BufWriter<File>>>,
    limit: u64,
    limit_mib: u32,
    written: u64,
    settled: u64,
}

impl Recorder {
    /// Begins a file of at most `limit_mib` MiB; one that is there already is replaced.
    ///
    /// # Errors
    /// [`CaptureError::Device`] naming the file, when it cannot be created.
    pub fn create(path: &Path, limit_mib: u32) -> Result<Self, CaptureError> {
        let spec = WavSpec {
            channels: 1,
            sample_rate: SAMPLE_RATE,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let file = WavWriter::create(path, spec)
            .and_then(|mut file| file.flush().map(|()| file))
            .map_err(|error| CaptureError::Device {
                source_name: path.display().to_string(),
                reason: error.to_string(),
            })?;
        let limit_mib = limit_mib.min(LARGEST_MIB);
        let limit = (u64::from(limit_mib) << 20).saturating_sub(64) / 2;
        let path = path.to_owned();
        Ok(Self { path, file: Some(file), limit, limit_mib, written: 0, settled: 0 })
    }

    /// Adds samples, within -1 to 1. Once recording has stopped, nothing happens any more.
    ///
    /// Returns a line for the user when recording stops with this call.
    pub fn write(&mut self, samples: &[f32]) -> Option<String> {
        let left = usize::try_from(self.limit - self.written).unwrap_or(usize::MAX);
        let taken = samples.get(..left).unwrap_or(samples);
        if let Err(error) = self.add(taken) {
            // Its destructor would try to bring the header up to date, and may: what was settled
            // before stands in any case.
            self.file = None;
            return Some(format!("{}: recording stopped: {error}", self.path.display()));
        }
        if taken.len() < samples.len() && self.file.is_some() {
            let stopped = self.finish();
            return stopped.or_else(|| {
                let (path, limit) = (self.path.display(), self.limit_mib);
                Some(format!("{path}: recording stopped: it has reached {limit} MiB"))
            });
        }
        None
    }

    /// Seconds that were recorded.
    pub fn seconds(&self) -> f64 {
        self.written as f64 / f64::from(SAMPLE_RATE)
    }

    /// Ends the file. Returns a line for the user if that failed. Dropping does the same, silently.
    pub fn finish(&mut self) -> Option<String> {
        let error = self.file.take()?.finalize().err()?;
        Some(format!("{}: the end of the recording is missing: {error}", self.path.display()))
    }

    fn add(&mut self, samples: &[f32]) -> Result<(), hound::Error> {
        let Some(file) = &mut self.file else { return Ok(()) };
        for sample in samples {
            file.write_sample((sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)).round() as i16)?;
        }
        self.written += samples.len() as u64;
        if self.written - self.settled >= SETTLE {
            file.flush()?;
            self.settled = self.written;
        }
        Ok(())
    }
}
