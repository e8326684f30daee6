//! What was measured on this machine, kept in the store's folder.

use crate::machine;
use partita_model::files::whole;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Larger files are not ours.
const LARGEST: u64 = 1 << 20;

/// A row of measurements of one kind.
pub trait Row: Serialize + DeserializeOwned {
    /// The file that they are kept in.
    const FILE: &'static str;
}

/// Rows of one kind, of one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurements<R> {
    /// The processor they were measured on.
    pub processor: String,
    /// The rows, oldest first.
    pub rows: Vec<R>,
}

impl<R> Default for Measurements<R> {
    fn default() -> Self {
        Self { processor: String::new(), rows: Vec::new() }
    }
}

impl<R: Row> Measurements<R> {
    /// What was measured before on this machine; nothing if it never was, or on another, or the file
    /// is damaged.
    pub fn load(root: &Path) -> Self {
        let path = root.join(R::FILE);
        let small = std::fs::metadata(&path).is_ok_and(|about| about.len() <= LARGEST);
        let read = || serde_json::from_slice::<Self>(&std::fs::read(&path).ok()?).ok();
        let here = machine::processor().0;
        match small.then(read).flatten() {
            Some(known) if known.processor == here => known,
            _ => Self { processor: here, rows: Vec::new() },
        }
    }

    /// Keeps it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&self, root: &Path) -> std::io::Result<()> {
        whole::write(&root.join(R::FILE), &serde_json::to_vec_pretty(self)?)
    }
}
