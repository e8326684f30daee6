//! Reading and copying with SHA-256 on the way.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{Progress, StoreError};

const CHUNK: usize = 1 << 20;

/// The sum as the catalogue writes it.
pub(super) fn hex(hasher: Sha256) -> String {
    format!("{:x}", hasher.finalize())
}

/// SHA-256 of a whole file.
pub(super) fn of_file(path: &Path, progress: &mut dyn Progress) -> Result<String, StoreError> {
    let file = File::open(path).map_err(|cause| StoreError::io("open", path, cause))?;
    let mut hasher = Sha256::new();
    pour(file, path, &mut [&mut hasher], None, &mut 0, progress)?;
    Ok(hex(hasher))
}

/// Whether `path` is a file of exactly that size and sum. A missing file is simply not.
pub(super) fn is(
    path: &Path,
    size: u64,
    sha256: &str,
    progress: &mut dyn Progress,
) -> Result<bool, StoreError> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() && found.len() == size => {
            Ok(of_file(path, progress)? == sha256)
        }
        _ => Ok(false),
    }
}

/// Pours `from` into the hashers and, if there is one, the file `to`; returns the bytes poured.
///
/// `done` is the position shown, carried on. The caller bounds `from`.
pub(super) fn pour(
    mut from: impl Read,
    from_path: &Path,
    hashers: &mut [&mut Sha256],
    mut to: Option<(&mut File, &Path)>,
    done: &mut u64,
    progress: &mut dyn Progress,
) -> Result<u64, StoreError> {
    let mut buffer = vec![0_u8; CHUNK];
    let mut poured = 0_u64;
    loop {
        if progress.cancelled() {
            return Err(StoreError::Cancelled);
        }
        let chunk = match from.read(&mut buffer) {
            Ok(0) => return Ok(poured),
            Ok(read) => buffer.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(cause) => return Err(StoreError::io("read", from_path, cause)),
        };
        hashers.iter_mut().for_each(|hasher| hasher.update(chunk));
        if let Some((file, path)) = &mut to {
            file.write_all(chunk).map_err(|cause| StoreError::io("write", path, cause))?;
        }
        poured = poured.saturating_add(chunk.len() as u64);
        *done = done.saturating_add(chunk.len() as u64);
        progress.position(*done);
    }
}
