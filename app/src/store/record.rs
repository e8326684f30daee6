//! `installed.json`: what a model's folder holds. Written last, so it is the mark of a whole model.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::StoreError;

pub(super) const NAME: &str = "installed.json";
/// A record of thousands of files stays below this; anything larger is not ours.
const LARGEST: u64 = 1 << 20;

/// What is in a model's folder.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Record {
    /// Where the pulled files came from.
    pub source: String,
    pub files: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub name: String,
    pub size: u64,
    pub sha256: String,
    /// Made here by an import, not pulled.
    #[serde(default)]
    pub derived: bool,
}

impl Record {
    /// The record of a folder; `None` when there is none, or none that can be understood: then the
    /// model counts as not installed and the next pull puts it right.
    pub fn read(folder: &Path) -> Option<Self> {
        let mut text = String::new();
        File::open(folder.join(NAME)).ok()?.take(LARGEST).read_to_string(&mut text).ok()?;
        let mut record: Self = serde_json::from_str(&text).ok()?;
        record.files.retain(|entry| super::catalogue::plain_name(&entry.name).is_ok());
        Some(record)
    }

    /// Writes the record whole or not at all. The caller holds the model's lock.
    pub fn write(&self, folder: &Path) -> Result<(), StoreError> {
        let path = folder.join(NAME);
        let unfinished = folder.join(".installed.json.part");
        let io = |cause| StoreError::io("write", &path, cause);
        let text = serde_json::to_vec_pretty(self).map_err(|error| io(error.into()))?;
        let written = File::create(&unfinished)
            .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&unfinished, &path));
        written.map_err(|cause| {
            let _ = fs::remove_file(&unfinished);
            io(cause)
        })
    }

    pub fn derived(&self) -> impl Iterator<Item = &Entry> {
        self.files.iter().filter(|entry| entry.derived)
    }
}
