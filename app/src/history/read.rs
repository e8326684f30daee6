//! What is read of the history.

use super::search::Wanted;
use super::{Found, Heading, History, HistoryError, Line, Session};
use jiff::Timestamp;
use rusqlite::{Row, params_from_iter};

/// The columns of a session; the last ones are made of its lines.
const SESSION: &str = "sessions.id, started, title, sources, engine, audio,
    coalesce(seconds, (SELECT max(\"end\") FROM lines WHERE session = sessions.id), 0.0),
    (SELECT group_concat(DISTINCT lang) FROM lines WHERE session = sessions.id),
    (SELECT count(*) FROM lines WHERE session = sessions.id)";
const LINE: &str = "utterance, start, \"end\", lang, text, target, translation, session";

impl History {
    /// Sessions, the newest first: `most` of them behind the first `skip`. With a `query`, those
    /// whose title or any line has all of its words.
    ///
    /// # Errors
    /// [`HistoryError::Database`].
    pub fn sessions(
        &self,
        query: &str,
        most: usize,
        skip: usize,
    ) -> Result<Vec<Session>, HistoryError> {
        let wanted = Wanted::new(query);
        let order = format!("ORDER BY started DESC, id DESC LIMIT {most} OFFSET {skip}");
        let (condition, values) = match wanted.is_empty() {
            true => (String::new(), Vec::new()),
            false => {
                let (lines, mut values) = wanted.in_lines();
                let (titles, more) = wanted.in_columns(&["title"], values.len());
                values.extend(more);
                let lines = format!("id IN (SELECT session FROM lines WHERE {lines})");
                (format!("WHERE {lines} OR ({titles})"), values)
            }
        };
        let query = format!("SELECT {SESSION} FROM sessions {condition} {order}");
        let read = || -> rusqlite::Result<Vec<Session>> {
            let mut query = self.connection.prepare_cached(&query)?;
            query.query_map(params_from_iter(values), session)?.collect()
        };
        read().map_err(|cause| self.error(cause))
    }

    /// One session.
    ///
    /// # Errors
    /// [`HistoryError::NoSession`], [`HistoryError::Database`].
    pub fn session(&self, id: i64) -> Result<Session, HistoryError> {
        let query = format!("SELECT {SESSION} FROM sessions WHERE id = ?1");
        self.connection.query_row(&query, [id], session).map_err(|cause| match cause {
            rusqlite::Error::QueryReturnedNoRows => {
                HistoryError::NoSession { path: self.path.clone(), session: id }
            }
            cause => self.error(cause),
        })
    }

    /// The lines of a session, in order; none if there is no such session.
    ///
    /// # Errors
    /// [`HistoryError::Database`].
    pub fn lines(&self, session: i64) -> Result<Vec<Line>, HistoryError> {
        let query = format!("SELECT {LINE} FROM lines WHERE session = ?1 ORDER BY utterance");
        let read = || -> rusqlite::Result<Vec<Line>> {
            let mut query = self.connection.prepare_cached(&query)?;
            query.query_map([session], line)?.collect()
        };
        read().map_err(|cause| self.error(cause))
    }

    /// Lines that have all words of a query, wherever in a word they begin or end, the newest
    /// first; at most `most`. None for a query without words.
    ///
    /// # Errors
    /// [`HistoryError::Database`].
    pub fn find(&self, query: &str, most: usize) -> Result<Vec<Found>, HistoryError> {
        let wanted = Wanted::new(query);
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let (condition, values) = wanted.in_lines();
        let query =
            format!("SELECT {LINE} FROM lines WHERE {condition} ORDER BY id DESC LIMIT {most}");
        let read = || -> rusqlite::Result<Vec<Found>> {
            let mut query = self.connection.prepare_cached(&query)?;
            let found = |row: &Row| Ok(Found { session: row.get(7)?, line: line(row)? });
            query.query_map(params_from_iter(values), found)?.collect()
        };
        read().map_err(|cause| self.error(cause))
    }
}

fn session(row: &Row) -> rusqlite::Result<Session> {
    let sources: String = row.get(3)?;
    let audio: Option<String> = row.get(5)?;
    let languages: Option<String> = row.get(7)?;
    let mut languages: Vec<String> =
        languages.iter().flat_map(|all| all.split(',')).map(str::to_owned).collect();
    languages.retain(|code| !code.is_empty());
    languages.sort();
    let heading = Heading {
        started: Timestamp::from_millisecond(row.get(1)?).unwrap_or(Timestamp::UNIX_EPOCH),
        sources: sources.lines().map(str::to_owned).collect(),
        engine: row.get(4)?,
        audio: audio.map(Into::into),
    };
    Ok(Session {
        id: row.get(0)?,
        title: row.get(2)?,
        heading,
        seconds: row.get(6)?,
        languages,
        lines: unsigned(row.get(8)?),
    })
}

fn line(row: &Row) -> rusqlite::Result<Line> {
    let target: Option<String> = row.get(5)?;
    Ok(Line {
        utterance: unsigned(row.get(0)?),
        start: row.get(1)?,
        end: row.get(2)?,
        lang: row.get(3)?,
        text: row.get(4)?,
        translation: target.zip(row.get(6)?),
    })
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
