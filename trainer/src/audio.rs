//! What a clip's file really holds.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use partita_audio::AudioReader;
use sha2::{Digest, Sha256};

/// Below this peak (−66 dBFS) a clip is silent.
const SILENT_PEAK: f32 = 5e-4;

/// An audio file, decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Audio {
    /// SHA-256 of the file's bytes.
    pub digest: [u8; 32],
    /// Length of what could be decoded.
    pub seconds: f64,
    /// Whether nothing in it is louder than silence.
    pub silent: bool,
    /// Samples that were NaN or infinite.
    pub broken_samples: u64,
    /// Whether less could be decoded than the container declares.
    pub truncated: bool,
}

/// Says why a path is no readable file with something in it, without opening it.
pub fn look(path: &Path) -> Result<(), String> {
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err("missing audio file".into()),
        Err(error) => Err(format!("audio: {error}")),
        Ok(metadata) if !metadata.is_file() => Err("audio: not a file".into()),
        Ok(metadata) if metadata.len() == 0 => Err("empty audio file (0 bytes)".into()),
        Ok(_) => Ok(()),
    }
}

/// Reads and decodes a file. The error leaves the file's name out.
pub fn decode(path: &Path) -> Result<Audio, String> {
    look(path)?;
    let digest = digest(path).map_err(|error| format!("audio: {error}"))?;
    let reason = |error: partita_audio::AudioError| {
        let text = error.to_string();
        let name = format!("{}: ", path.display());
        format!("unreadable audio: {}", text.strip_prefix(&name).unwrap_or(&text))
    };
    let mut reader = AudioReader::open(path).map_err(reason)?;
    let (mut samples, mut peak) = (0_u64, 0_f32);
    while let Some(block) = reader.next_block().map_err(reason)? {
        samples = samples.saturating_add(block.len() as u64);
        peak = block.iter().fold(peak, |peak, sample| peak.max(sample.abs()));
    }
    Ok(Audio {
        digest,
        seconds: samples as f64 / 16_000.0,
        silent: peak < SILENT_PEAK,
        broken_samples: reader.repaired_samples(),
        truncated: reader.truncated(),
    })
}

/// The length of a file in seconds, by decoding it.
pub fn seconds(path: &Path) -> Result<f64, String> {
    decode(path).map(|audio| audio.seconds)
}

fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hasher.finalize().into()),
            n => hasher.update(block.get(..n).unwrap_or_default()),
        }
    }
}

/// A progress bar on standard error, if that is a terminal and not quiet.
pub fn progress(length: u64, what: &'static str, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length).with_message(what);
    let template = "{msg} {wide_bar} {pos}/{len} {per_sec} {eta}";
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
