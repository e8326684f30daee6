//! What can go wrong with the history.

use std::io;
use std::path::PathBuf;

/// Errors of the history; none of them changes a file that is not ours.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file or its folder could not be opened.
    #[error("{path}: {cause}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file is something else.
    #[error("{path}: not a history of this program; it is left as it is")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer program wrote the file.
    #[error(
        "{path}: written by a newer program (version {found}, this one knows {known}); it is left as it is"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that this program knows.
        known: usize,
    },
    /// There is no room.
    #[error("{path}: the disk is full")]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// SQLite failed: a damaged file, a lock that is never given up, a disk that cannot be read.
    #[error("{path}: {cause}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        cause: rusqlite::Error,
    },
    /// The audio of a session is not kept (any more).
    #[error("{path}: there is no such recording any more")]
    NoAudio {
        /// The recording.
        path: PathBuf,
    },
    /// There is no such session (any more).
    #[error("{path}: no session {session}")]
    NoSession {
        /// The file.
        path: PathBuf,
        /// The session asked for.
        session: i64,
    },
}
