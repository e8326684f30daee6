//! Tar shards: many clips in few files, which disks and networks read in large pieces.
//!
//! A shard is a plain tar file with, for each clip, its audio file `000000.mp3` and its manifest
//! row `000000.json`. Rows are in shuffled order, so each shard holds a bit of everything; parts of
//! long recordings are cut out. A sampler draws from a few shards at a time.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use partita_audio::SAMPLE_RATE;
use partita_corpus::BadRow;
use partita_corpus::manifest::{Reader, Row, SpeechRow, Split};
use partita_corpus::split::stable_hash;
use rayon::prelude::*;
use serde::Serialize;
use tar::{Archive, Builder, Header};
use tempfile::NamedTempFile;

use super::clip;
use super::set::Source;
use crate::audio;

/// Audio files of these kinds go into shards as they are; they can be read from front to back.
const KEPT: [&str; 5] = ["flac", "mp3", "ogg", "opus", "wav"];
/// Longest row.
const MAX_ROW_BYTES: u64 = 1 << 20;
/// Clips that are read at a time.
const CHUNK: usize = 256;

/// A row of a shard.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardRow {
    /// The row.
    pub row: SpeechRow,
    /// First byte of its audio in the tar file.
    pub begin: u64,
    /// Bytes of its audio.
    pub bytes: u64,
    /// Its number, from 1.
    pub number: u64,
}

/// What was written.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Written {
    /// The shards.
    pub shards: Vec<PathBuf>,
    /// Clips in them.
    pub clips: u64,
    /// Clips that could not be read.
    pub bad_rows: Vec<BadRow>,
}

/// Whether a path is called like a shard.
pub fn is_shard(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tar")
}

/// The shards of a folder, in order of their names; or a single one.
///
/// # Errors
/// When the folder cannot be listed or holds none.
pub fn find(source: &Path) -> Result<Vec<PathBuf>> {
    if is_shard(source) {
        return Ok(vec![source.to_path_buf()]);
    }
    let list = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(source)?.map(|entry| entry.map(|entry| entry.path())).collect()
    };
    let mut shards = list().with_context(|| format!("{}: cannot list", source.display()))?;
    shards.retain(|path| is_shard(path));
    shards.sort();
    if shards.is_empty() {
        bail!("{}: no *.tar in this folder", source.display());
    }
    Ok(shards)
}

/// The rows of a shard. Audio is not read, but that it lies within the file is made sure of.
///
/// # Errors
/// When the file cannot be opened. Entries that make no sense are bad rows, by number.
pub fn rows(path: &Path) -> Result<Vec<Result<ShardRow, BadRow>>> {
    let name = || path.display().to_string();
    let file = File::open(path).with_context(name)?;
    let length = file.metadata().with_context(name)?.len();
    let mut archive = Archive::new(file);
    let mut found: Vec<Result<ShardRow, BadRow>> = Vec::new();
    let mut audio: Option<(PathBuf, u64, u64)> = None;
    for entry in archive.entries_with_seek().with_context(name)? {
        let number = found.len() as u64 + 1;
        let bad = |reason: String| BadRow { file: path.to_path_buf(), line: number, reason };
        let mut entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                found.push(Err(bad(format!("damaged tar file: {error}"))));
                break;
            }
        };
        let Ok(member) = entry.path().map(|path| path.into_owned()) else { continue };
        let (begin, bytes) = (entry.raw_file_position(), entry.size());
        if begin.checked_add(bytes).is_none_or(|end| end > length) {
            found.push(Err(bad(format!("{}: ends behind the file's end", member.display()))));
            break;
        }
        if member.extension().is_none_or(|extension| extension != "json") {
            audio = Some((member, begin, bytes));
            continue;
        }
        let row = match audio.take() {
            Some((audio, begin, bytes)) if audio.file_stem() == member.file_stem() => {
                parse(&mut entry).map(|row| ShardRow { row, begin, bytes, number })
            }
            _ => Err("no audio file before it".to_owned()),
        };
        found.push(row.map_err(|reason| bad(format!("{}: {reason}", member.display()))));
    }
    Ok(found)
}

fn parse(entry: &mut tar::Entry<'_, File>) -> Result<SpeechRow, String> {
    let mut text = Vec::new();
    let size = entry.size();
    if size > MAX_ROW_BYTES {
        return Err(format!("a row of {size} bytes (the limit is {MAX_ROW_BYTES})"));
    }
    entry.read_to_end(&mut text).map_err(|error| error.to_string())?;
    let mut row: SpeechRow = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    row.offset = 0.0;
    row.check()?;
    Ok(row)
}

/// Writes the clips of a manifest into shards `train-00000.tar`, … of about `max_bytes` in a
/// folder. Each appears whole or not at all.
///
/// # Errors
/// When the manifest cannot be read, the folder holds shards already, or one cannot be written.
pub fn write(manifest: &Path, folder: &Path, max_bytes: u64, quiet: bool) -> Result<Written> {
    let unwritable = || format!("{}: cannot write shards", folder.display());
    fs::create_dir_all(folder).with_context(unwritable)?;
    if find(folder).is_ok() {
        bail!("{}: holds shards already; name another folder", folder.display());
    }
    let base = manifest.parent().unwrap_or(Path::new(""));
    let mut written = Written::default();
    let mut rows = Vec::new();
    let mut clips_of: HashMap<String, u32> = HashMap::new();
    for row in Reader::<SpeechRow>::open(manifest)? {
        match row {
            Ok((line, row)) => {
                *clips_of.entry(row.audio_filepath.clone()).or_default() += 1;
                rows.push((line, row));
            }
            Err(bad) => written.bad_rows.push(bad),
        }
    }
    rows.sort_by_cached_key(|(line, row)| {
        (row.split, stable_hash(&[row.id.as_bytes(), row.audio_filepath.as_bytes()]), *line)
    });
    let bar = audio::progress(rows.len() as u64, "Writing shards", quiet);
    let mut shard: Option<Shard> = None;
    for chunk in rows.chunks(CHUNK) {
        let files: Vec<Result<(String, Vec<u8>), String>> = chunk
            .par_iter()
            .map(|(_, row)| {
                let part = row.offset > 0.0 || clips_of.get(&row.audio_filepath) > Some(&1);
                bar.inc(1);
                contents(base, row, part)
            })
            .collect();
        for ((line, row), file) in chunk.iter().zip(files) {
            let (extension, bytes) = match file {
                Ok(file) => file,
                Err(reason) => {
                    let reason = format!("{reason} ({})", row.audio_filepath);
                    let file = manifest.to_path_buf();
                    written.bad_rows.push(BadRow { file, line: *line, reason });
                    continue;
                }
            };
            if shard.as_ref().is_none_or(|s| s.split != row.split || s.bytes >= max_bytes)
                && let Some(full) = shard.replace(Shard::create(folder, row.split)?)
            {
                full.finish(folder, &mut written)?;
            }
            if let Some(shard) = &mut shard {
                shard.add(row, &extension, &bytes).with_context(unwritable)?;
                written.clips += 1;
            }
        }
    }
    bar.finish_and_clear();
    if let Some(last) = shard {
        last.finish(folder, &mut written)?;
    }
    Ok(written)
}

/// A clip's file as it is, or cut out as WAV, with its extension.
fn contents(base: &Path, row: &SpeechRow, part: bool) -> Result<(String, Vec<u8>), String> {
    let path = base.join(&row.audio_filepath);
    audio::look(&path)?;
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if !part && KEPT.contains(&extension.as_str()) {
        let bytes = fs::read(&path).map_err(|error| format!("audio: {error}"))?;
        return Ok((extension, bytes));
    }
    let seconds = row.duration.ok_or("no duration")?;
    let samples = clip::read_from(&Source::File(path), row.offset, seconds)?;
    Ok(("wav".to_owned(), wav(&samples)))
}

/// A WAV file of 16-bit samples at 16 kHz.
pub(crate) fn wav(samples: &[f32]) -> Vec<u8> {
    let bytes = (samples.len() * 2) as u32;
    let mut file = Vec::from(*b"RIFF");
    file.extend((36 + bytes).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend([1, 0, 1, 0]); // integers, one channel
    file.extend(SAMPLE_RATE.to_le_bytes());
    file.extend((SAMPLE_RATE * 2).to_le_bytes());
    file.extend([2, 0, 16, 0]); // bytes and bits of a sample
    file.extend(b"data");
    file.extend(bytes.to_le_bytes());
    file.extend(samples.iter().flat_map(|s| ((s * 32767.0).round() as i16).to_le_bytes()));
    file
}

/// A shard while it is written.
struct Shard {
    split: Split,
    tar: Builder<BufWriter<NamedTempFile>>,
    clips: u64,
    bytes: u64,
}

impl Shard {
    fn create(folder: &Path, split: Split) -> Result<Self> {
        let file = NamedTempFile::new_in(folder)
            .with_context(|| format!("{}: cannot write", folder.display()))?;
        Ok(Self { split, tar: Builder::new(BufWriter::new(file)), clips: 0, bytes: 0 })
    }

    fn add(&mut self, row: &SpeechRow, extension: &str, audio: &[u8]) -> io::Result<()> {
        let stem = format!("{:06}", self.clips);
        let audio_filepath = format!("{stem}.{extension}");
        let row = SpeechRow { offset: 0.0, audio_filepath: audio_filepath.clone(), ..row.clone() };
        self.member(&audio_filepath, audio)?;
        self.member(&format!("{stem}.json"), &serde_json::to_vec(&row)?)?;
        self.clips += 1;
        Ok(())
    }

    fn member(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        self.bytes += bytes.len() as u64;
        self.tar.append_data(&mut header, name, bytes)
    }

    fn finish(self, folder: &Path, written: &mut Written) -> Result<()> {
        let same = format!("{}-", self.split.name());
        let number = written.shards.iter().filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&same))
        });
        let path = folder.join(format!("{same}{:05}.tar", number.count()));
        let finish = || -> io::Result<()> {
            let mut output = self.tar.into_inner()?;
            output.flush()?;
            let file = output.into_inner().map_err(|error| error.into_error())?;
            file.as_file().sync_all()?;
            // A temporary file is private to its owner; a shard is an ordinary file.
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
            }
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        finish().with_context(|| format!("{}: cannot write", path.display()))?;
        written.shards.push(path);
        Ok(())
    }
}
