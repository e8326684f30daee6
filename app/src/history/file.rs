//! The database file: made, checked, brought to the newest version.

use super::HistoryError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Marks a database as ours ("PART"), at byte 68 of the file.
const APPLICATION: u32 = 0x5041_5254;
/// How long a connection waits for another to finish writing.
const PATIENCE: Duration = Duration::from_secs(5);

/// From no database to the first version, from that to the second, and so on.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE sessions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        started INTEGER NOT NULL, -- milliseconds since 1970, UTC
        title TEXT NOT NULL,
        sources TEXT NOT NULL, -- one a line
        engine TEXT NOT NULL,
        audio TEXT,
        seconds REAL -- none until it ended as it should
    ) STRICT;
    CREATE INDEX sessions_by_time ON sessions (started);
    CREATE TABLE lines (
        id INTEGER PRIMARY KEY,
        session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
        utterance INTEGER NOT NULL,
        start REAL NOT NULL,
        \"end\" REAL NOT NULL,
        lang TEXT NOT NULL,
        text TEXT NOT NULL,
        target TEXT,
        translation TEXT,
        UNIQUE (session, utterance)
    ) STRICT;
    CREATE VIRTUAL TABLE words USING fts5 (
        text, translation,
        content = 'lines', content_rowid = 'id', tokenize = 'trigram remove_diacritics 1'
    );
    INSERT INTO words (words, rank) VALUES ('secure-delete', 1);
    CREATE TRIGGER line_added AFTER INSERT ON lines BEGIN
        INSERT INTO words (rowid, text, translation) VALUES (new.id, new.text, new.translation);
    END;
    CREATE TRIGGER line_removed AFTER DELETE ON lines BEGIN
        INSERT INTO words (words, rowid, text, translation)
            VALUES ('delete', old.id, old.text, old.translation);
    END;
    CREATE TRIGGER line_changed AFTER UPDATE ON lines BEGIN
        INSERT INTO words (words, rowid, text, translation)
            VALUES ('delete', old.id, old.text, old.translation);
        INSERT INTO words (rowid, text, translation) VALUES (new.id, new.text, new.translation);
    END;
"];

/// An open history.
#[derive(Debug)]
pub struct History {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
}

impl History {
    /// Opens a history, making it (and its folder) when there is none. One of an earlier version is
    /// brought to this one.
    ///
    /// # Errors
    /// [`HistoryError::Foreign`], [`HistoryError::Newer`], [`HistoryError::Database`] when the file
    /// is not a history, or one that cannot be used: then it is left as it is.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        Self::open_with(path, &MIGRATIONS)
    }

    fn open_with(path: &Path, migrations: &[&str]) -> Result<Self, HistoryError> {
        let io = |cause| HistoryError::Io { path: path.to_owned(), cause };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(io)?;
        }
        let is_new = check_header(path, migrations.len())?;
        let connection = Connection::open(path).map_err(|cause| error(path, cause))?;
        let mut history = Self { connection, path: path.to_owned() };
        history.prepare(is_new, migrations).map_err(|cause| error(path, cause))?;
        let found = history.version().map_err(|cause| error(path, cause))?;
        if found > migrations.len() as i64 {
            let known = migrations.len();
            return Err(HistoryError::Newer { path: path.to_owned(), found, known });
        }
        history.migrate(migrations).map_err(|cause| error(path, cause))?;
        match history.has_our_shape(migrations).map_err(|cause| error(path, cause))? {
            true => Ok(history),
            false => Err(HistoryError::Foreign { path: path.to_owned() }),
        }
    }

    /// What a connection must know. The schema of a file is not trusted: it may be anybody's.
    fn prepare(&mut self, is_new: bool, migrations: &[&str]) -> rusqlite::Result<()> {
        let connection = &mut self.connection;
        connection.busy_timeout(PATIENCE)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        // What was said and deleted is gone from the disk.
        connection.pragma_update(None, "secure_delete", true)?;
        if is_new {
            self.migrate(migrations)?;
        }
        // Readers do not wait for the writer; on folders that cannot share memory it stays as it is.
        self.connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        self.connection.pragma_update(None, "synchronous", "FULL")
    }

    fn version(&self) -> rusqlite::Result<i64> {
        self.connection.query_row("PRAGMA user_version", [], |row| row.get(0))
    }

    /// Applies, all or nothing, what is ahead of the version that is there.
    fn migrate(&mut self, migrations: &[&str]) -> rusqlite::Result<()> {
        if self.version()? == migrations.len() as i64 {
            return Ok(());
        }
        let work = rusqlite::TransactionBehavior::Exclusive;
        let work = self.connection.transaction_with_behavior(work)?;
        // Asked again: another process may have been at it.
        let version: i64 = work.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        for migration in migrations.iter().skip(usize::try_from(version).unwrap_or(0)) {
            work.execute_batch(migration)?;
        }
        work.pragma_update(None, "application_id", APPLICATION)?;
        work.pragma_update(None, "user_version", migrations.len() as i64)?;
        work.commit()
    }

    /// Whether tables and triggers are those that the migrations make, and there are no others.
    fn has_our_shape(&self, migrations: &[&str]) -> rusqlite::Result<bool> {
        let ours = Connection::open_in_memory()?;
        for migration in migrations {
            ours.execute_batch(migration)?;
        }
        Ok(shape(&ours)? == shape(&self.connection)?)
    }

    /// An error of SQLite, told with the file's name.
    pub(super) fn error(&self, cause: rusqlite::Error) -> HistoryError {
        error(&self.path, cause)
    }
}

fn shape(connection: &Connection) -> rusqlite::Result<Vec<(String, Option<String>)>> {
    let query = "SELECT name, sql FROM sqlite_schema ORDER BY name LIMIT 100";
    let mut query = connection.prepare(query)?;
    // Statistics of the planner may come and go.
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.filter(|row: &rusqlite::Result<(String, _)>| {
        !row.as_ref().is_ok_and(|(name, _)| name.starts_with("sqlite_stat"))
    })
    .collect()
}

/// Looks at the first bytes before SQLite does; whether there is nothing yet.
fn check_header(path: &Path, known: usize) -> Result<bool, HistoryError> {
    let io = |cause| HistoryError::Io { path: path.to_owned(), cause };
    let mut header = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(100).read_to_end(&mut header).map_err(io)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(io(error)),
    };
    if header.is_empty() {
        return Ok(true);
    }
    let number = |at: usize| {
        let bytes = header.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    let is_database = header.len() == 100 && header.starts_with(b"SQLite format 3\0");
    match (is_database, number(60), number(68)) {
        (true, Some(version), Some(APPLICATION)) if version as usize > known => {
            Err(HistoryError::Newer { path: path.to_owned(), found: version.into(), known })
        }
        (true, _, Some(APPLICATION)) => Ok(false),
        _ => Err(HistoryError::Foreign { path: path.to_owned() }),
    }
}

fn error(path: &Path, cause: rusqlite::Error) -> HistoryError {
    let path = path.to_owned();
    match cause.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => HistoryError::Full { path },
        Some(ErrorCode::NotADatabase) => HistoryError::Foreign { path },
        _ => HistoryError::Database { path, cause },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Heading, Line};

    fn line() -> Line {
        let text = "Guten Tag".to_owned();
        Line { utterance: 1, start: 0.0, end: 1.0, lang: "de".into(), text, translation: None }
    }

    #[test]
    fn earlier_versions_are_brought_to_this_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.sqlite");
        let session = History::open(&path).unwrap().begin(&Heading::default(), &line()).unwrap();
        let later = [MIGRATIONS[0], "ALTER TABLE sessions ADD COLUMN place TEXT;"];
        let history = History::open_with(&path, &later).unwrap();
        assert_eq!(history.version().unwrap(), 2);
        assert_eq!(history.lines(session).unwrap(), [line()]);
        drop(history);
        let before = fs::read(&path).unwrap();
        let refused = History::open(&path).unwrap_err();
        assert!(matches!(refused, HistoryError::Newer { found: 2, known: 1, .. }), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_migration_that_fails_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.sqlite");
        drop(History::open(&path).unwrap());
        let wrong = [MIGRATIONS[0], "CREATE TABLE place (id) STRICT; CREATE TABLE sessions (id);"];
        assert!(History::open_with(&path, &wrong).is_err());
        assert_eq!(History::open(&path).unwrap().version().unwrap(), 1);
    }

    #[test]
    fn a_full_disk_is_an_error_with_a_name_and_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.sqlite");
        let mut history = History::open(&path).unwrap();
        let session = history.begin(&Heading::default(), &line()).unwrap();
        let pages: i64 =
            history.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        let limit = format!("PRAGMA max_page_count = {pages}");
        history.connection.query_row(&limit, [], |_| Ok(())).unwrap();
        let long = Line { utterance: 2, text: "viel Text ".repeat(10_000), ..line() };
        let refused = history.write_line(session, &long).unwrap_err();
        assert!(matches!(refused, HistoryError::Full { .. }), "{refused}");
        assert_eq!(history.lines(session).unwrap(), [line()]);
        history.connection.query_row("PRAGMA max_page_count = 100000", [], |_| Ok(())).unwrap();
        history.write_line(session, &long).unwrap();
        assert_eq!(history.lines(session).unwrap().len(), 2);
    }
}
