//! Errors that end a reading, and bad rows that do not.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Why a corpus file could not be read or written at all.
///
/// Every message is one line that names the file and the reason. A row that makes no sense is not
/// such an error: see [`BadRow`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CorpusError {
    /// The file or folder cannot be opened or listed.
    #[error("{}: cannot read: {reason}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system answered.
        reason: io::Error,
    },
    /// The file cannot be written.
    #[error("{}: cannot write: {reason}", path.display())]
    Unwritable {
        /// The file that was to be written.
        path: PathBuf,
        /// What the system answered.
        reason: io::Error,
    },
    /// No known layout fits the file or folder.
    #[error("{}: {reason}", path.display())]
    UnknownLayout {
        /// The file or folder.
        path: PathBuf,
        /// What was looked for.
        reason: String,
    },
}

impl CorpusError {
    pub(crate) fn unreadable(path: &Path, reason: io::Error) -> Self {
        Self::Unreadable { path: path.to_path_buf(), reason }
    }

    pub(crate) fn unwritable(path: &Path, reason: io::Error) -> Self {
        Self::Unwritable { path: path.to_path_buf(), reason }
    }
}

/// One line of a file that could not be turned into a row. The reading goes on after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadRow {
    /// The file that holds the line.
    pub file: PathBuf,
    /// Its number, from 1, a header line included.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.reason)
    }
}

impl std::error::Error for BadRow {}
