//! What was said before, looked up where it may take its time.

use crate::desktop;
use crate::gui::worker::{Answers, Wake, Worker};
use crate::history::{History, Line, Session, Untold};
use crate::output::Format;
use crate::settings::Shown;
use partita_model::files::whole;
use std::path::PathBuf;

/// Sessions that are listed at first, and by which the list grows.
pub const PAGE: usize = 200;

/// What the thread is asked.
#[derive(Debug)]
pub enum Ask {
    /// Sessions with all words of a query, the newest first: so many at most; and recordings without
    /// text, but for the one that is going on.
    List(String, usize, Option<PathBuf>),
    /// The lines of a session.
    Open(i64),
    /// To write a session into a file.
    Export(i64, Format, PathBuf),
    /// To give a session a name.
    Rename(i64, String),
    /// To open the audio of a session in the program that the desktop has for it.
    Play(i64),
    /// To open the folder of recordings.
    ShowRecordings,
    /// To delete recordings without text, but for the one that is going on.
    DeleteUntold(Option<PathBuf>),
    /// To delete a session.
    Delete(i64),
    /// To delete everything.
    DeleteAll,
}

/// What the thread says.
#[derive(Debug)]
pub enum Say {
    /// Sessions found for a query, and recordings without text.
    Listed(String, Vec<Session>, Vec<Untold>),
    /// The lines of a session.
    Opened(i64, Vec<Line>),
    /// A session is in that file.
    Exported(PathBuf),
    /// The desktop opens it.
    Shown,
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
                Ask::List(query, most, running) => {
                    let sessions = history.sessions(&query, most, 0)?;
                    let untold = history.untold_recordings(&recordings, running.as_deref())?;
                    Say::Listed(query, sessions, untold)
                }
                Ask::Open(id) => Say::Opened(id, history.lines(id)?),
                Ask::Export(id, format, path) => {
                    let text = history.export(id, format, Shown::Both)?;
                    whole::write(&path, text.as_bytes())?;
                    Say::Exported(path)
                }
                Ask::Rename(id, name) => {
                    history.rename(id, &name)?;
                    Say::Changed
                }
                Ask::Play(id) => {
                    desktop::open(&history.audio(id, &recordings)?)?;
                    Say::Shown
                }
                Ask::ShowRecordings => {
                    desktop::open(&recordings)?;
                    Say::Shown
                }
                Ask::DeleteUntold(running) => {
                    history.delete_untold(&recordings, running.as_deref())?;
                    Say::Changed
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
