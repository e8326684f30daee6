//! What was said, on disk: sessions and their lines in one SQLite file.
//!
//! ```text
//! $PARTITA_HOME/history.sqlite     (and `-wal`, `-shm` while it is open)
//! ```
//!
//! A line is committed when its utterance is final: a process that is killed loses the open
//! utterance at most. [`History`] reads, searches, deletes and exports; [`HistoryWriter`] writes
//! down the events of a session on a thread of its own. Both may be open at once, in one process
//! or several.
//!
//! Every line is found by any part of its words, in any script, by an index of trigrams; parts of
//! one or two characters (many Chinese words) are looked for without it.
//!
//! ```
//! use partita::history::{Heading, History, Line};
//! let folder = tempfile::tempdir()?;
//! let mut history = History::open(&folder.path().join("history.sqlite"))?;
//! let line = Line { utterance: 1, start: 0.5, end: 2.0, lang: "zh".into(),
//!     text: "你好，世界".into(), translation: None };
//! let session = history.begin(&Heading::default(), &line)?;
//! assert_eq!(history.find("世界", 10)?[0].line, line);
//! assert_eq!(history.sessions("", 10, 0)?[0].id, session);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod export;
mod file;
mod read;
mod recordings;
mod search;
mod write;
mod writer;

pub use error::HistoryError;
pub use file::History;
pub use recordings::Untold;
pub use writer::HistoryWriter;

use crate::store::{Store, StoreError};
use jiff::Timestamp;
use std::path::PathBuf;

/// What is known when a session begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Heading {
    /// When it began.
    pub started: Timestamp,
    /// Names of its sources.
    pub sources: Vec<String>,
    /// The engine.
    pub engine: String,
    /// The file that its audio is kept in.
    pub audio: Option<PathBuf>,
}

/// One session.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// Its number, which no other session ever gets.
    pub id: i64,
    /// What it is called: the beginning of what was said first, until it is given a name.
    pub title: String,
    /// What was known at its beginning.
    pub heading: Heading,
    /// How long it was, in seconds; up to its last line if it did not end as it should.
    pub seconds: f64,
    /// Languages spoken, in alphabetical order.
    pub languages: Vec<String>,
    /// How many lines it has.
    pub lines: u64,
}

/// One utterance of a session.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Number of the utterance.
    pub utterance: u64,
    /// Seconds since the session began.
    pub start: f64,
    /// Seconds since the session began.
    pub end: f64,
    /// Language spoken.
    pub lang: String,
    /// What was said.
    pub text: String,
    /// Language and text of its translation.
    pub translation: Option<(String, String)>,
}

/// A line that was looked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The session it belongs to.
    pub session: i64,
    /// The line.
    pub line: Line,
}

impl Default for Heading {
    /// A session that begins now.
    fn default() -> Self {
        Self { started: Timestamp::now(), sources: Vec::new(), engine: String::new(), audio: None }
    }
}

/// Where this user's history is: `history.sqlite` beside the models.
///
/// # Errors
/// As [`Store::open`].
pub fn path() -> Result<PathBuf, StoreError> {
    Ok(Store::open()?.root().join("history.sqlite"))
}

/// The folder for kept audio: what is deleted in the history is deleted there, and nowhere else.
///
/// # Errors
/// As [`Store::open`].
pub fn recordings() -> Result<PathBuf, StoreError> {
    Ok(Store::open()?.root().join("recordings"))
}
