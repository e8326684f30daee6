//! Audio files and streams to 16 kHz mono, a block at a time.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use symphonia::core::errors::Error;
use symphonia::core::formats::FormatReader;
use symphonia::core::io::{MediaSource, ReadOnlySource};

use crate::container::{Selected, probe, select};
use crate::guard::guarded;
use crate::resample::{RATES, Resampler};
use crate::{AudioError, SAMPLE_RATE};

/// Most samples that one block holds: a quarter of a second.
pub const BLOCK: usize = SAMPLE_RATE as usize / 4;
/// Packets without a single sample, one after the other, before the rest is given up.
const MOST_HOLLOW: u32 = 10_000;

/// Reads one audio track as 16 kHz mono samples within -1 ‥ 1.
///
/// Containers and codecs: WAV and AIFF (8 to 32 bits, float, A-law, µ-law, ADPCM), FLAC, MP1/2/3,
/// Ogg (Vorbis, Opus, FLAC), MP4/M4A (AAC-LC, ALAC, Opus), ADTS, CAF, Matroska/WebM. All channels
/// are averaged. Memory does not grow with the length of the file.
///
/// Damage inside the file is passed over: packets that cannot be decoded become silence, so that
/// times stay right; a file cut short gives what is there ([`truncated`](Self::truncated) tells).
///
/// ```no_run
/// # use partita_audio::{AudioReader, AudioError};
/// let mut reader = AudioReader::open("talk.mp3".as_ref())?;
/// while let Some(block) = reader.next_block()? {
///     println!("{} samples", block.len());
/// }
/// # Ok::<(), AudioError>(())
/// ```
pub struct AudioReader {
    name: String,
    format: Box<dyn FormatReader>,
    selected: Selected,
    resampler: Option<Resampler>,
    /// Decoded samples: all channels as they come, their mean, and the mean at 16 kHz.
    interleaved: Vec<f32>,
    mono: Vec<f32>,
    ready: Vec<f32>,
    /// Frames of undecodable packets since the last good one.
    lost: u64,
    decoded: u64,
    given: u64,
    repaired: u64,
    hollow: u32,
    ended: bool,
    reported: bool,
    /// Why reading stopped before the end of the file.
    fault: Option<String>,
}

impl AudioReader {
    /// Opens an audio file.
    ///
    /// # Errors
    /// Whatever [`AudioError`] names: unreadable, a directory, no bytes, not audio, no audio track,
    /// unsupported codec, a header that makes no sense.
    pub fn open(path: &Path) -> Result<Self, AudioError> {
        let name = path.display().to_string();
        let unreadable = |reason| AudioError::Unreadable { name: name.clone(), reason };
        let kind = std::fs::metadata(path).map_err(unreadable)?;
        if kind.is_dir() {
            return Err(AudioError::Directory { name });
        }
        if kind.is_file() && kind.len() == 0 {
            return Err(AudioError::NoBytes { name });
        }
        let file = File::open(path).map_err(unreadable)?;
        let extension = path.extension().and_then(|extension| extension.to_str());
        let mut reader = Self::new(Box::new(file), extension, &name)?;
        reader.fill()?;
        if reader.ready.is_empty() && reader.fault.is_some() {
            // An MP4 file that was cut short can still be read from front to back.
            let file = File::open(path).map_err(unreadable)?;
            if let Ok(mut again) = Self::from_stream(Box::new(file), &name)
                && again.fill().is_ok()
                && !again.ready.is_empty()
            {
                return Ok(again);
            }
        }
        Ok(reader)
    }

    /// Reads audio from something that cannot seek, such as standard input; errors call it `name`.
    ///
    /// MP4 files whose index stands at the end, and CAF files, cannot be read this way.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_stream(
        mut source: Box<dyn Read + Send + Sync>,
        name: &str,
    ) -> Result<Self, AudioError> {
        let mut first = [0];
        let length = loop {
            match source.read(&mut first) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(reason) => {
                    return Err(AudioError::Unreadable { name: name.to_owned(), reason });
                }
                Ok(length) => break length,
            }
        };
        if length == 0 {
            return Err(AudioError::NoBytes { name: name.to_owned() });
        }
        let source = ReadOnlySource::new(Cursor::new(first).chain(source));
        Self::new(Box::new(source), None, name)
    }

    fn new(
        source: Box<dyn MediaSource>,
        extension: Option<&str>,
        name: &str,
    ) -> Result<Self, AudioError> {
        let format = probe(source, extension, name)?;
        let selected = select(format.as_ref(), name)?;
        Ok(Self {
            name: name.to_owned(),
            format,
            selected,
            resampler: None,
            interleaved: Vec::new(),
            mono: Vec::new(),
            ready: Vec::new(),
            lost: 0,
            decoded: 0,
            given: 0,
            repaired: 0,
            hollow: 0,
            ended: false,
            reported: false,
            fault: None,
        })
    }

    /// Seconds that the container declares; `None` when it does not say. The file may hold less.
    pub fn duration(&self) -> Option<f64> {
        self.selected.duration
    }

    /// Samples (of any channel) that were NaN or infinite so far, and count as 0.
    pub fn repaired_samples(&self) -> u64 {
        self.repaired
    }

    /// Whether the audio stopped early: a tenth of a second or more of what the container declares
    /// is missing, or reading failed on the way. Meaningful after the last block.
    pub fn truncated(&self) -> bool {
        let rate = u64::from(self.selected.rate.unwrap_or(SAMPLE_RATE));
        let short = |declared| self.decoded + rate / 10 < declared;
        self.ended && (self.fault.is_some() || self.selected.frames.is_some_and(short))
    }

    /// The next samples, at most [`BLOCK`]; `None` after the last.
    ///
    /// # Errors
    /// [`AudioError::Empty`] once, at the end, if the file gave no sample at all.
    pub fn next_block(&mut self) -> Result<Option<Vec<f32>>, AudioError> {
        self.fill()?;
        if self.ready.is_empty() {
            if self.given == 0 && !self.reported {
                self.reported = true;
                let reason = self.fault.clone();
                return Err(AudioError::Empty { name: self.name.clone(), reason });
            }
            return Ok(None);
        }
        let count = self.ready.len().min(BLOCK);
        let block: Vec<f32> = self.ready.drain(..count).collect();
        self.given += block.len() as u64;
        Ok(Some(block))
    }

    /// What comes from `offset` seconds on, counted from the next block: at most `seconds` of it, less
    /// at the end. What lies before is decoded too.
    ///
    /// # Errors
    /// As [`AudioReader::next_block`].
    pub fn stretch(&mut self, offset: f64, seconds: f64) -> Result<Vec<f32>, AudioError> {
        let samples = |seconds: f64| (seconds * f64::from(SAMPLE_RATE)).round() as usize;
        let (mut skip, wanted) = (samples(offset), samples(seconds));
        let mut heard: Vec<f32> = Vec::new();
        while heard.len() < wanted {
            let Some(block) = self.next_block()? else { break };
            let dropped = skip.min(block.len());
            skip -= dropped;
            let kept = block.get(dropped..).unwrap_or_default();
            heard.extend_from_slice(kept.get(..wanted - heard.len()).unwrap_or(kept));
        }
        Ok(heard)
    }

    /// Decodes until a block is ready, or to the end.
    fn fill(&mut self) -> Result<(), AudioError> {
        while self.ready.len() < BLOCK && !self.ended {
            if let Err(error) = self.read_packet() {
                self.ended = true;
                self.reported = true;
                self.ready.clear();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Reads and decodes one packet; at the end, empties the resampler and sets `ended`.
    fn read_packet(&mut self) -> Result<(), AudioError> {
        let packet = match guarded(|| self.format.next_packet()) {
            Some(Ok(Some(packet))) => packet,
            Some(Ok(None)) => return self.end(None),
            // A chained stream begins anew, maybe with other parameters.
            Some(Err(Error::ResetRequired)) => {
                self.selected = select(self.format.as_ref(), &self.name)?;
                return self.count_hollow();
            }
            Some(Err(Error::IoError(error))) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return self.end(None);
            }
            Some(Err(error)) => return self.end(Some(error.to_string())),
            None => return self.end(Some("damaged data".to_owned())),
        };
        if packet.track_id != self.selected.track {
            return self.count_hollow();
        }
        let decoder = &mut self.selected.decoder;
        let interleaved = &mut self.interleaved;
        let outcome = guarded(|| {
            let audio = decoder.decode(&packet)?;
            let (rate, channels) = (audio.spec().rate(), audio.spec().channels().count());
            audio.copy_to_vec_interleaved(interleaved);
            Ok((rate, channels))
        });
        match outcome {
            Some(Ok((rate, channels))) => self.take(rate, channels),
            Some(Err(Error::ResetRequired)) => {
                self.selected.decoder.reset();
                self.count_hollow()
            }
            Some(Err(error)) => self.lose(packet.dur.get(), error.to_string()),
            None => {
                // The decoder panicked, so its state is void.
                self.selected = select(self.format.as_ref(), &self.name)?;
                self.lose(packet.dur.get(), "damaged data".to_owned())
            }
        }
    }

    /// Notes a packet that cannot be decoded, to be replaced by silence.
    fn lose(&mut self, frames: u64, reason: String) -> Result<(), AudioError> {
        // Durations count in the track's time base: one frame, in all formats but Matroska.
        self.lost += frames.min(u64::from(self.selected.rate.unwrap_or(SAMPLE_RATE)));
        if self.decoded == 0 {
            self.fault = Some(reason);
        }
        self.count_hollow()
    }

    /// Averages the channels of `interleaved` and passes them to the resampler.
    fn take(&mut self, rate: u32, channels: usize) -> Result<(), AudioError> {
        if self.interleaved.is_empty() || channels == 0 {
            return self.count_hollow();
        }
        self.hollow = 0;
        self.fault = None;
        if !RATES.contains(&rate) {
            return self.end(Some(format!("a sampling rate of {rate} Hz")));
        }
        self.mono.clear();
        if self.lost > 0 {
            tracing::debug!(file = %self.name, frames = self.lost, "undecodable audio silenced");
            let lost = usize::try_from(std::mem::take(&mut self.lost)).unwrap_or(0);
            self.mono.resize(lost.min(60 * rate as usize), 0.0);
        }
        for frame in self.interleaved.chunks_exact(channels) {
            let mut sum = 0.0;
            for sample in frame {
                if sample.is_finite() {
                    sum += sample.clamp(-1.0, 1.0);
                } else {
                    self.repaired += 1;
                }
            }
            self.mono.push(sum / channels as f32);
        }
        self.decoded += self.mono.len() as u64;
        if self.resampler.as_ref().is_none_or(|resampler| resampler.rate() != rate) {
            if let Some(mut old) = self.resampler.take() {
                old.finish(&mut self.ready)?;
            }
            self.resampler = Some(Resampler::new(rate, &self.name)?);
        }
        match &mut self.resampler {
            Some(resampler) => resampler.push(&self.mono, &mut self.ready),
            None => Ok(()),
        }
    }

    /// A hostile file may hold packets without audio without end.
    fn count_hollow(&mut self) -> Result<(), AudioError> {
        self.hollow += 1;
        if self.hollow < MOST_HOLLOW { Ok(()) } else { self.end(Some("no more audio".to_owned())) }
    }

    fn end(&mut self, fault: Option<String>) -> Result<(), AudioError> {
        self.ended = true;
        self.fault = fault.or_else(|| self.fault.take());
        if let Some(resampler) = &mut self.resampler {
            resampler.finish(&mut self.ready)?;
        }
        if self.decoded > 0 && self.truncated() {
            let reason = self.fault.as_deref().unwrap_or("shorter than its header says");
            tracing::warn!(file = %self.name, reason, "audio ends early");
        }
        Ok(())
    }
}

impl Iterator for AudioReader {
    type Item = Result<Vec<f32>, AudioError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_block().transpose()
    }
}

/// All samples of a file at once: 64 kB for each second.
///
/// # Errors
/// As [`AudioReader::open`] and [`AudioReader::next_block`].
pub fn read_all(path: &Path) -> Result<Vec<f32>, AudioError> {
    let mut samples = Vec::new();
    for block in AudioReader::open(path)? {
        samples.extend_from_slice(&block?);
    }
    Ok(samples)
}
