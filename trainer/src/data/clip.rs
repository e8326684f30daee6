//! The samples of a clip.

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use partita_audio::{AudioError, AudioReader, SAMPLE_RATE};

use super::set::{Clip, Source};
use crate::audio::look;

/// A clip may end this many seconds before its declared end: a frame or two of encoder delay, and
/// rounding.
const TOLERANCE_SECONDS: f64 = 0.15;
/// … or this part of the clip.
const TOLERANCE_PART: f64 = 0.02;

/// Samples of a clip at 16 kHz, from `offset` seconds after its beginning, at most `seconds`.
///
/// # Errors
/// As [`read_from`].
pub(super) fn read(clip: &Clip, offset: f64, seconds: f64) -> Result<Vec<f32>, String> {
    let seconds = seconds.min(clip.seconds - offset).max(0.0);
    read_from(&clip.source, clip.offset + offset, seconds)
}

/// Samples at 16 kHz from `offset`, for `seconds`.
///
/// What comes before is decoded too, so clips deep inside long recordings are slow to reach;
/// shards hold them cut out.
///
/// # Errors
/// Says in words why the audio cannot be used: missing, empty, undecodable, samples that are no
/// numbers, or shorter than asked for. The file's name is left out.
pub(super) fn read_from(source: &Source, offset: f64, seconds: f64) -> Result<Vec<f32>, String> {
    let name = match source {
        Source::File(path) => path.display().to_string(),
        Source::Shard { begin, .. } => format!("byte {begin}"),
    };
    let reason = |error: AudioError| {
        let text = error.to_string();
        let name = format!("{name}: ");
        format!("unreadable audio: {}", text.strip_prefix(&name).unwrap_or(&text))
    };
    let mut reader = match source {
        Source::File(path) => {
            look(path)?;
            AudioReader::open(path).map_err(reason)?
        }
        Source::Shard { tar, begin, bytes } => {
            let bytes = stretch(tar, *begin, *bytes).map_err(|error| error.to_string())?;
            AudioReader::from_stream(Box::new(Cursor::new(bytes)), &name).map_err(reason)?
        }
    };
    let heard = reader.stretch(offset, seconds).map_err(reason)?;
    let broken = reader.repaired_samples();
    if broken > 0 {
        return Err(format!("{broken} samples are no numbers"));
    }
    let there = heard.len() as f64 / f64::from(SAMPLE_RATE);
    if heard.is_empty() || seconds - there > TOLERANCE_SECONDS.max(seconds * TOLERANCE_PART) {
        let (end, there) = (offset + seconds, offset + there);
        return Err(format!("declared to end at {end:.2} s, has {there:.2} s"));
    }
    Ok(heard)
}

/// A stretch of a file, which must be there in full.
fn stretch(path: &Path, begin: u64, bytes: u64) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(begin))?;
    let mut data = Vec::new();
    file.take(bytes).read_to_end(&mut data)?;
    if data.len() as u64 == bytes {
        Ok(data)
    } else {
        Err(std::io::ErrorKind::UnexpectedEof.into())
    }
}
