//! What was said before, looked up where it may take its time.

use crate::gui::worker::{Answers, Wake, Worker};
use crate::history::{History, Line, Session};
use crate::output::Format;
use crate::settings::Shown;
use partita_model::files::whole;
use std::path::PathBuf;

/// Sessions that are listed at first, and by which the list grows.
pub const PAGE: usize = 200;

/// What the thread is asked.
#[derive(Debug)]
pub enum Ask {
    /// Sessions with all words of a query, the newest first: so many at most.
    List(String, usize),
    /// The lines of a session.
    Open(i64),
    /// To write a session into a file.
    Export(i64, Format, PathBuf),
    /// To delete a session.
    Delete(i64),
    /// To delete everything.
    DeleteAll,
}

/// What the thread says.
#[derive(Debug)]
pub enum Say {
    /// Sessions found for a query.
    Listed(String, Vec<Session>),
    /// The lines of a session.
    Opened(i64, Vec<Line>),
    /// A session is in that file.
    Exported(PathBuf),
    /// What is on disk has changed: list again.
    Changed,
    /// It could not be done.
    Failed(String),
}

/// Starts the thread. The file is opened by the first question.
///
/// # Errors
/// When the system has no thread left.
pub fn start(file: PathBuf, recordings: PathBuf, wake: Wake) -> std::io::Result<Worker<Ask, Say>> {
    let mut opened: Option<History> = None;
    Worker::start("history-pages", wake, move |ask, out: &Answers<Say>| {
        let answer = || -> anyhow::Result<Say> {
            let history = match &mut opened {
                Some(history) => history,
                None => opened.insert(History::open(&file)?),
            };
            Ok(match ask {
                Ask::List(query, most) => {
                    let sessions = history.sessions(&query, most, 0)?;
                    Say::Listed(query, sessions)
                }
                Ask::Open(id) => Say::Opened(id, history.lines(id)?),
                Ask::Export(id, format, path) => {
                    let text = history.export(id, format, Shown::Both)?;
                    whole::write(&path, text.as_bytes())?;
                    Say::Exported(path)
                }
                Ask::Delete(id) => {
                    history.delete(id, &recordings)?;
                    Say::Changed
                }
                Ask::DeleteAll => {
                    history.delete_all(&recordings)?;
                    Say::Changed
                }
            })
        };
        let said = answer().unwrap_or_else(|error| Say::Failed(format!("{error:#}")));
        out.say(said);
    })
}
