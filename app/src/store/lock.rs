//! One writer of a model at a time, across threads and processes.

use std::fs::{File, TryLockError};
use std::thread;
use std::time::Duration;

use super::{Progress, Store, StoreError, create};

/// Held while a model's folder is written; let go when dropped, or by the system when the process
/// ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Store {
    /// Takes the lock of a model, waiting for whoever holds it. The lock file itself stays: deleting
    /// it would let two in.
    pub(super) fn lock(&self, name: &str, progress: &mut dyn Progress) -> Result<Lock, StoreError> {
        let folder = self.root.join("locks");
        create(&folder)?;
        let path = folder.join(format!("{name}.lock"));
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|cause| StoreError::io("create", &path, cause))?;
        let mut said = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::Error(cause)) => {
                    return Err(StoreError::io("lock", &path, cause));
                }
                Err(TryLockError::WouldBlock) => {}
            }
            if !said {
                progress
                    .note(&format!("{name}: another process is at it; waiting for it to finish"));
                said = true;
            }
            if progress.cancelled() {
                return Err(StoreError::Cancelled);
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}
