//! What can be wrong with a weight file, always with the file's name.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// An error of reading or writing a weight file. Each message is one line that names the file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused to open, map, read or write the file.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        cause: io::Error,
    },
    /// The content is none of the formats that are read here.
    #[error("{}: {reason}", path.display())]
    Unrecognized {
        /// The file or folder.
        path: PathBuf,
        /// What was looked for.
        reason: String,
    },
    /// The file contradicts itself, its format or its own size.
    #[error("{}: at byte {at}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where in the file the offending field begins.
        at: u64,
        /// Which field, tensor or key, with declared and available lengths.
        reason: String,
    },
    /// No tensor of this name.
    #[error("{}: no tensor `{name}`", path.display())]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The name that was asked for.
        name: String,
    },
    /// A tensor cannot be decoded, or must not be written as given.
    #[error("{}: tensor `{name}`: {reason}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its type, shape or length at fault.
        reason: String,
    },
    /// A metadata key is absent, of another type than needed, or must not be written as given.
    #[error("{}: metadata `{key}`: {reason}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl FileError {
    pub(crate) fn io(path: &Path, cause: io::Error) -> Self {
        Self::Io { path: path.to_owned(), cause }
    }

    pub(crate) fn tensor(path: &Path, name: &str, reason: impl Into<String>) -> Self {
        Self::Tensor { path: path.to_owned(), name: shown(name), reason: reason.into() }
    }

    pub(crate) fn metadata(path: &Path, key: &str, reason: impl Into<String>) -> Self {
        Self::Metadata { path: path.to_owned(), key: shown(key), reason: reason.into() }
    }
}

/// A fault found while parsing bytes, before it is known which file they came from.
#[derive(Debug)]
pub(super) struct Fault {
    pub at: u64,
    pub reason: String,
}

impl Fault {
    pub fn new(at: u64, reason: impl Into<String>) -> Self {
        Self { at, reason: reason.into() }
    }

    /// Puts the enclosing thing (a key, a tensor) in front of the reason.
    pub fn within(mut self, place: impl std::fmt::Display) -> Self {
        self.reason.insert_str(0, &format!("{place}: "));
        self
    }

    pub fn in_file(self, path: &Path) -> FileError {
        FileError::Malformed { path: path.to_owned(), at: self.at, reason: self.reason }
    }
}

/// A name from a hostile file, fit for one line on a terminal: control characters escaped, long
/// names cut.
pub(super) fn shown(name: &str) -> String {
    const LONGEST: usize = 100;
    let mut text = String::new();
    for (i, c) in name.chars().enumerate() {
        if i == LONGEST {
            text.push('…');
            break;
        }
        if c.is_control() {
            let _ = write!(text, "{}", c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}
