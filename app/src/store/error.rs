//! What can go wrong in the model store, told so that one line is enough.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An error of the model store. Each message names the model, file or folder at fault; causes are
/// part of the message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Neither `PARTITA_HOME` nor a home folder tells where models go.
    #[error("no folder for models: this user has no home folder; set PARTITA_HOME to one")]
    NoHome,
    /// A catalogue that cannot be read or contradicts itself.
    #[error("{}: {reason}", path.display())]
    Catalogue {
        /// The catalogue file.
        path: PathBuf,
        /// The line or entry at fault, and why.
        reason: String,
    },
    /// A name that the catalogue does not have.
    #[error("no model named {name:?}; the catalogue has: {}", known.join(", "))]
    UnknownModel {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A file that a model does not have.
    #[error("{model} has no file {file:?}; it has: {}", known.join(", "))]
    UnknownFile {
        /// The model.
        model: String,
        /// The file asked for.
        file: String,
        /// The files there are.
        known: Vec<String>,
    },
    /// The catalogue has this model, but for other systems.
    #[error("{name} is not available for this platform ({platform}); it is for: {}", known.join(", "))]
    NotForPlatform {
        /// The model.
        name: String,
        /// This system, as `os-architecture`.
        platform: String,
        /// The systems it is for.
        known: Vec<String>,
    },
    /// The model, or a part of it, is not there yet.
    #[error("{name} is not installed; get it with: partita models pull {name}")]
    NotInstalled {
        /// The model.
        name: String,
    },
    /// The system refused to read or write something.
    #[error("cannot {doing} {}: {cause}", path.display())]
    Io {
        /// What was tried, as in "cannot … PATH".
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },
    /// The disk is full, or would be.
    #[error("not enough room on the disk that holds {}: {needed} bytes needed, {available} free", path.display())]
    DiskFull {
        /// The folder written to.
        path: PathBuf,
        /// Bytes that the step needs at most.
        needed: u64,
        /// Bytes that the system would give.
        available: u64,
    },
    /// [`Progress::cancelled`](super::Progress::cancelled) said so.
    #[error("cancelled; nothing half-written was kept")]
    Cancelled,
    /// Every source failed; the message says what to put where by hand.
    #[error("{0}")]
    Unavailable(Box<super::Unavailable>),
    /// An import of pulled files failed.
    #[error("importing {model}: {cause}")]
    Import {
        /// The model.
        model: String,
        /// Why, causes included.
        cause: String,
    },
}

impl StoreError {
    /// An `Io` error, or `DiskFull` when that is what the system meant.
    pub(super) fn io(doing: &'static str, path: &Path, cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::full(path, 0),
            _ => Self::Io { doing, path: path.to_path_buf(), cause },
        }
    }

    /// `DiskFull` with what is free now on the disk of `path`.
    pub(super) fn full(path: &Path, needed: u64) -> Self {
        let standing = path.ancestors().find(|folder| folder.is_dir()).unwrap_or(path);
        let available = fs4::available_space(standing).unwrap_or(0);
        // The system may say "full" with a little left: then a byte more is the least that is needed.
        let needed = needed.max(available.saturating_add(1));
        Self::DiskFull { path: path.to_path_buf(), needed, available }
    }
}

/// Why a source did not deliver.
#[derive(Debug)]
pub(super) enum Fetch {
    /// Trying the next source makes no sense.
    Stop(StoreError),
    /// This source failed: the next one may do.
    Failed(String),
    /// Not to be had without a network; said only if nothing else works.
    Absent(String),
}

impl From<StoreError> for Fetch {
    fn from(error: StoreError) -> Self {
        Self::Stop(error)
    }
}

impl fmt::Display for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stop(error) => error.fmt(f),
            Self::Failed(reason) | Self::Absent(reason) => f.write_str(reason),
        }
    }
}

/// An error and its causes on one line, without what is already said.
pub(super) fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line.replace('\n', " ")
}
