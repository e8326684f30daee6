//! What is put into the history, and taken out of it.

use super::recordings::{all_recordings, remove_audio};
use super::{Heading, History, HistoryError, Line};
use rusqlite::{Connection, params};
use std::path::Path;

/// Characters of a title that was taken from what was said.
const TITLE: usize = 80;

impl History {
    /// Begins a session with its first line: one in which nothing was said is not kept. Returns its
    /// number.
    ///
    /// # Errors
    /// [`HistoryError::Full`], [`HistoryError::Database`].
    pub fn begin(&mut self, heading: &Heading, first: &Line) -> Result<i64, HistoryError> {
        let insert = |connection: &mut Connection| {
            let work = connection.transaction()?;
            work.execute(
                "INSERT INTO sessions (started, title, sources, engine, audio)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    heading.started.as_millisecond(),
                    first.text.chars().take(TITLE).collect::<String>(),
                    heading
                        .sources
                        .iter()
                        .map(|name| one_line(name))
                        .collect::<Vec<_>>()
                        .join("\n"),
                    heading.engine,
                    heading.audio.as_ref().map(|path| path.to_string_lossy()),
                ],
            )?;
            let session = work.last_insert_rowid();
            insert_line(&work, session, first)?;
            work.commit()?;
            Ok(session)
        };
        insert(&mut self.connection).map_err(|cause| self.error(cause))
    }

    /// Writes a line, or writes it again.
    ///
    /// # Errors
    /// [`HistoryError::Full`], [`HistoryError::Database`], also when the session was deleted.
    pub fn write_line(&self, session: i64, line: &Line) -> Result<(), HistoryError> {
        insert_line(&self.connection, session, line).map_err(|cause| self.error(cause))
    }

    /// Writes the translation of a line.
    ///
    /// # Errors
    /// [`HistoryError::Full`], [`HistoryError::Database`].
    pub fn write_translation(
        &self,
        session: i64,
        utterance: u64,
        target: &str,
        text: &str,
    ) -> Result<(), HistoryError> {
        let update = "UPDATE lines SET target = ?3, translation = ?4
                      WHERE session = ?1 AND utterance = ?2";
        let done =
            self.connection.execute(update, params![session, signed(utterance), target, text]);
        done.map(drop).map_err(|cause| self.error(cause))
    }

    /// Notes that a session ended after so many seconds.
    ///
    /// # Errors
    /// [`HistoryError::Full`], [`HistoryError::Database`].
    pub fn end(&self, session: i64, seconds: f64) -> Result<(), HistoryError> {
        self.change(session, "UPDATE sessions SET seconds = ?2 WHERE id = ?1", &seconds)
    }

    /// Notes the file that a session's audio is kept in.
    ///
    /// # Errors
    /// [`HistoryError::NoSession`], [`HistoryError::Full`], [`HistoryError::Database`].
    pub fn set_audio(&self, session: i64, file: &Path) -> Result<(), HistoryError> {
        let file = file.to_string_lossy();
        self.change(session, "UPDATE sessions SET audio = ?2 WHERE id = ?1", &file)
    }

    /// Gives a session a name.
    ///
    /// # Errors
    /// [`HistoryError::NoSession`], [`HistoryError::Full`], [`HistoryError::Database`].
    pub fn rename(&self, session: i64, title: &str) -> Result<(), HistoryError> {
        self.change(session, "UPDATE sessions SET title = ?2 WHERE id = ?1", &one_line(title))
    }

    fn change(
        &self,
        session: i64,
        update: &str,
        value: &dyn rusqlite::ToSql,
    ) -> Result<(), HistoryError> {
        let changed = self.connection.execute(update, params![session, value]);
        match changed.map_err(|cause| self.error(cause))? {
            0 => Err(HistoryError::NoSession { path: self.path.clone(), session }),
            _ => Ok(()),
        }
    }

    /// Deletes a session, its lines and, if it lies in `recordings`, its audio.
    ///
    /// # Errors
    /// [`HistoryError::NoSession`], [`HistoryError::Full`], [`HistoryError::Database`];
    /// [`HistoryError::Io`] when the audio could not be deleted: then the session is still there.
    pub fn delete(&mut self, session: i64, recordings: &Path) -> Result<(), HistoryError> {
        let audio = self.session(session)?.heading.audio;
        remove_audio(audio.as_deref(), recordings)?;
        let gone = self.connection.execute("DELETE FROM sessions WHERE id = ?1", [session]);
        gone.map_err(|cause| self.error(cause))?;
        self.forget();
        Ok(())
    }

    /// Deletes everything.
    ///
    /// # Errors
    /// As [`Self::delete`].
    pub fn delete_all(&mut self, recordings: &Path) -> Result<(), HistoryError> {
        for file in &self.named_audio()? {
            remove_audio(Some(file), recordings)?;
        }
        // And that of sessions in which nothing was said, or whose text was not kept.
        for path in all_recordings(recordings) {
            remove_audio(Some(&path), recordings)?;
        }
        let gone = self.connection.execute("DELETE FROM sessions", []);
        gone.map_err(|cause| self.error(cause))?;
        self.forget();
        Ok(())
    }

    /// What was deleted shall not linger in the journal; when somebody reads, it goes later.
    fn forget(&self) {
        let done = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = done {
            tracing::debug!(%error, "the journal stays for now");
        }
    }
}

fn insert_line(connection: &Connection, session: i64, line: &Line) -> rusqlite::Result<()> {
    let (target, translation) = line.translation.as_ref().map(|(a, b)| (a, b)).unzip();
    let insert = "INSERT INTO lines
            (session, utterance, start, \"end\", lang, text, target, translation)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        ON CONFLICT (session, utterance) DO UPDATE SET
            start = ?3, \"end\" = ?4, lang = ?5, text = ?6, target = ?7, translation = ?8";
    let (start, end) = (number(line.start), number(line.end));
    let (utterance, lang, text) = (signed(line.utterance), &line.lang, &line.text);
    let values = params![session, utterance, start, end, lang, text, target, translation];
    connection.prepare_cached(insert)?.execute(values).map(drop)
}

/// SQLite has no numbers that are none.
fn number(seconds: f64) -> f64 {
    if seconds.is_finite() { seconds } else { 0.0 }
}

fn signed(utterance: u64) -> i64 {
    i64::try_from(utterance).unwrap_or(i64::MAX)
}

fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join(" ")
}
