//! Log-mel features on disk: each clip is decoded once, not once an epoch.
//!
//! A file for each clip, `ab/cdef….mel`, named by the SHA-256 of what the features depend on: the
//! audio file's path, size and time of change, the clip's place in it, bands and length asked for.
//! So a changed recording is a new file, and old ones never lie. Contents, little endian:
//!
//! | bytes | |
//! |---|---|
//! | 8 | `PARTMEL` and the kind of number: `h` (16 bits) or `f` (32 bits) |
//! | 4, 4 | bands, frames |
//! | 8 | hash of the numbers, as [`stable_hash`] |
//! | rest | the numbers, `[bands, frames]` |

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};
use half::f16;
use partita_audio::mel::Mel;
use partita_corpus::split::stable_hash;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::set::{Clip, Source};

/// How features are stored. 16 bits keep three digits, more than the features' own noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stored {
    /// Half precision: 16 kB a second of speech.
    #[default]
    F16,
    /// Single precision.
    F32,
}

/// Where features are kept, and how many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheOptions {
    /// The folder; created if need be.
    pub folder: PathBuf,
    /// Most bytes in it. When they are used up, the rest is computed each time.
    pub max_bytes: u64,
    /// How features are stored.
    #[serde(default)]
    pub stored: Stored,
}

/// A folder of features. May be shared between threads and between runs.
///
/// Features are rounded to what can be stored whether or not they are, so a run does not depend on
/// what the cache happened to hold.
#[derive(Debug)]
pub struct FeatureCache {
    options: CacheOptions,
    used: Mutex<u64>,
}

impl FeatureCache {
    /// Opens the folder.
    ///
    /// # Errors
    /// When the folder cannot be created or listed.
    pub fn open(options: CacheOptions) -> Result<Self> {
        let folder = &options.folder;
        let used = fs::create_dir_all(folder).and_then(|()| size_of(folder, 2));
        let used = used.with_context(|| format!("{}: feature cache", folder.display()))?;
        Ok(Self { options, used: Mutex::new(used) })
    }

    /// Bytes that its files have.
    pub fn used(&self) -> u64 {
        *self.lock()
    }

    /// The file for a clip's features; `None` if its audio file is not there.
    pub(super) fn path(&self, clip: &Clip, bands: usize, frames: Option<usize>) -> Option<PathBuf> {
        let (file, begin) = match &clip.source {
            Source::File(path) => (path, 0),
            Source::Shard { tar, begin, .. } => (tar, *begin),
        };
        let metadata = file.metadata().ok()?;
        let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        let file = file.canonicalize().ok()?;
        let mut hasher = Sha256::new();
        hasher.update(file.as_os_str().as_encoded_bytes());
        hasher.update([0, if self.options.stored == Stored::F16 { b'h' } else { b'f' }]);
        hasher.update(changed.as_nanos().to_le_bytes());
        let numbers = [begin, metadata.len(), bands as u64, frames.unwrap_or_default() as u64];
        let numbers = numbers.into_iter().chain([clip.offset, clip.seconds].map(f64::to_bits));
        numbers.for_each(|number| hasher.update(number.to_le_bytes()));
        let name: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let (first, rest) = name.split_at(2);
        Some(self.options.folder.join(first).join(format!("{rest}.mel")))
    }

    /// The features of a clip: from its file, or computed and, if there is room, stored.
    ///
    /// # Errors
    /// Those of `compute`. A damaged file is computed anew; a disk that is full is no error.
    pub(super) fn get(
        &self,
        path: Option<&Path>,
        compute: impl FnOnce() -> Result<Mel, String>,
    ) -> Result<Mel, String> {
        if let Some(mel) = path.and_then(|path| self.load(path)) {
            return Ok(mel);
        }
        let mut mel = compute()?;
        let bytes = self.encode(&mut mel);
        if let Some(path) = path {
            // What cannot be stored is computed again next time.
            let _ = self.store(path, &bytes);
        }
        Ok(mel)
    }

    fn magic(&self) -> &'static [u8; 8] {
        match self.options.stored {
            Stored::F16 => b"PARTMELh",
            Stored::F32 => b"PARTMELf",
        }
    }

    /// The file's bytes; the features are rounded to what they hold.
    fn encode(&self, mel: &mut Mel) -> Vec<u8> {
        let mut numbers = Vec::with_capacity(mel.data.len() * 4);
        for value in &mut mel.data {
            match self.options.stored {
                Stored::F16 => {
                    let half = f16::from_f32(*value);
                    *value = half.to_f32();
                    numbers.extend(half.to_le_bytes());
                }
                Stored::F32 => numbers.extend(value.to_le_bytes()),
            }
        }
        let sizes = [mel.bins as u32, mel.frames as u32].map(u32::to_le_bytes);
        let hash = stable_hash(&[&numbers]).to_le_bytes();
        [&self.magic()[..], &sizes.concat(), &hash, &numbers].concat()
    }

    /// Reads a file; `None` unless it is whole.
    fn load(&self, path: &Path) -> Option<Mel> {
        let bytes = fs::read(path).ok()?;
        let rest = bytes.strip_prefix(self.magic())?;
        let (bins, rest) = rest.split_first_chunk::<4>()?;
        let (frames, rest) = rest.split_first_chunk::<4>()?;
        let (hash, numbers) = rest.split_first_chunk::<8>()?;
        let [bins, frames] = [bins, frames].map(|n| u32::from_le_bytes(*n) as usize);
        let width = if self.options.stored == Stored::F16 { 2 } else { 4 };
        let whole = bins.checked_mul(frames)?.checked_mul(width)? == numbers.len()
            && stable_hash(&[numbers]).to_le_bytes() == *hash;
        let data = match self.options.stored {
            Stored::F16 => {
                numbers.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()
            }
            Stored::F32 => numbers.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        };
        whole.then_some(Mel { bins, frames, data })
    }

    /// Writes a file that appears whole or not at all, in place of a damaged one; nothing where
    /// there is no room, or where another thread was faster.
    fn store(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // One at a time: two threads that computed the same clip would count it twice.
        let mut used = self.lock();
        let damaged = path.metadata().map_or(0, |metadata| metadata.len());
        let after = used.saturating_sub(damaged).saturating_add(bytes.len() as u64);
        if after > self.options.max_bytes || (damaged > 0 && self.load(path).is_some()) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(&self.options.folder);
        fs::create_dir_all(folder)?;
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.persist(path).map_err(|error| error.error)?;
        *used = after;
        Ok(())
    }

    /// The count of bytes. It is a number, whole even if a thread ended while it had it.
    fn lock(&self) -> MutexGuard<'_, u64> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of the files in a folder, `depth` folders deep.
fn size_of(folder: &Path, depth: usize) -> io::Result<u64> {
    let mut size = 0_u64;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let inner = if metadata.is_dir() && depth > 0 {
            size_of(&entry.path(), depth - 1)?
        } else {
            metadata.len()
        };
        size = size.saturating_add(inner);
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mel(seed: f32) -> Mel {
        let data = (0..80 * 12).map(|n| (n as f32 * seed).sin()).collect();
        Mel { bins: 80, frames: 12, data }
    }

    fn cache(folder: &Path, max_bytes: u64, stored: Stored) -> FeatureCache {
        let options = CacheOptions { folder: folder.to_path_buf(), max_bytes, stored };
        FeatureCache::open(options).unwrap()
    }

    #[test]
    fn what_is_stored_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        for (stored, name) in [(Stored::F16, "a/h.mel"), (Stored::F32, "a/f.mel")] {
            let cache = cache(folder.path(), 1 << 20, stored);
            let path = folder.path().join(name);
            let first = cache.get(Some(&path), || Ok(mel(0.3))).unwrap();
            let again = cache.get(Some(&path), || panic!("it is there")).unwrap();
            assert_eq!(first, again, "rounded before it is stored too");
            let close = |(a, b): (&f32, &f32)| (a - b).abs() < 6e-4;
            assert!(first.data.iter().zip(&mel(0.3).data).all(close));
            assert_eq!(stored == Stored::F32, first == mel(0.3));
        }
    }

    #[test]
    fn damaged_files_are_computed_anew() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 1 << 20, Stored::F16);
        let path = folder.path().join("b/x.mel");
        let good = cache.get(Some(&path), || Ok(mel(0.3))).unwrap();
        let bytes = fs::read(&path).unwrap();
        let mut flipped = bytes.clone();
        flipped[100] ^= 1;
        let huge = [&bytes[..8], &[0xff; 8], &bytes[16..]].concat();
        for broken in [&bytes[..50], &bytes[..3], &[], &flipped, &huge] {
            fs::write(&path, broken).unwrap();
            assert_eq!(cache.get(Some(&path), || Ok(mel(0.3))).unwrap(), good);
        }
        assert_eq!(cache.get(Some(&path), || panic!("stored again")).unwrap(), good);
        assert_eq!(cache.get(None, || Err("no audio".into())), Err("no audio".into()));
    }

    #[test]
    fn a_clip_that_two_threads_compute_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 1 << 20, Stored::F16);
        let both = std::sync::Barrier::new(2);
        for round in 0..200 {
            let path = folder.path().join(format!("a/{round}.mel"));
            let get = |pause: u64| {
                both.wait();
                std::thread::sleep(std::time::Duration::from_micros(pause));
                cache.get(Some(&path), || Ok(mel(0.3))).unwrap()
            };
            std::thread::scope(|scope| {
                let other = scope.spawn(|| get(0));
                assert_eq!(get(round * 2), other.join().unwrap());
            });
        }
        assert_eq!(cache.used(), size_of(folder.path(), 2).unwrap());
    }

    #[test]
    fn it_does_not_outgrow_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let one = 24 + 80 * 12 * 2;
        let first = cache(folder.path(), 2 * one, Stored::F16);
        for name in ["a/1.mel", "a/2.mel", "a/3.mel"] {
            first.get(Some(&folder.path().join(name)), || Ok(mel(0.2))).unwrap();
        }
        assert_eq!(first.used(), 2 * one);
        assert!(!folder.path().join("a/3.mel").exists());
        assert_eq!(cache(folder.path(), 0, Stored::F16).used(), 2 * one, "what is there counts");
    }
}
