//! Kept audio: the files of sessions, and those that no session names.

use super::{History, HistoryError};
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A recording that changed within this time may be going on, in another program too.
const GOING_ON: Duration = Duration::from_secs(60);

/// A recording that no session of the history names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untold {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

impl History {
    /// The file in the folder `recordings` that a session's audio is kept in.
    ///
    /// # Errors
    /// [`HistoryError::NoSession`], [`HistoryError::Database`]; [`HistoryError::NoAudio`] when there
    /// is no such recording (any more).
    pub fn audio(&self, session: i64, recordings: &Path) -> Result<PathBuf, HistoryError> {
        let audio = self.session(session)?.heading.audio;
        // The name comes out of a file that may be anybody's, and what it names will be opened.
        let name = audio.as_deref().and_then(Path::file_name).unwrap_or_default();
        let path = recordings.join(name);
        match is_recording(&path) && path.is_file() {
            true => Ok(path),
            false => Err(HistoryError::NoAudio { path }),
        }
    }

    /// Recordings in the folder `recordings` that no session names: nothing was understood in them,
    /// or their text was not kept. Without `running`, and without those that may be going on.
    ///
    /// # Errors
    /// [`HistoryError::Database`].
    pub fn untold_recordings(
        &self,
        recordings: &Path,
        running: Option<&Path>,
    ) -> Result<Vec<Untold>, HistoryError> {
        // By their names alone: the folder may have been moved since.
        let named: HashSet<OsString> = self
            .named_audio()?
            .iter()
            .chain(running.map(Path::to_owned).as_ref())
            .filter_map(|path| path.file_name().map(ToOwned::to_owned))
            .collect();
        let now = SystemTime::now();
        let untold = |path: PathBuf| {
            let about = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file)?;
            let age = now.duration_since(about.modified().ok()?).unwrap_or_default();
            let known = path.file_name().is_some_and(|name| named.contains(name));
            (!known && age >= GOING_ON).then_some(Untold { path, bytes: about.len() })
        };
        let mut found: Vec<_> = all_recordings(recordings).filter_map(untold).collect();
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }

    /// Deletes the recordings that [`Self::untold_recordings`] lists.
    ///
    /// # Errors
    /// [`HistoryError::Database`]; [`HistoryError::Io`] when one could not be deleted.
    pub fn delete_untold(
        &self,
        recordings: &Path,
        running: Option<&Path>,
    ) -> Result<(), HistoryError> {
        let untold = self.untold_recordings(recordings, running)?;
        untold.iter().try_for_each(|one| remove_audio(Some(&one.path), recordings))
    }

    /// The files that sessions name.
    pub(super) fn named_audio(&self) -> Result<Vec<PathBuf>, HistoryError> {
        let all = || -> rusqlite::Result<Vec<String>> {
            let query = "SELECT audio FROM sessions WHERE audio IS NOT NULL";
            self.connection.prepare(query)?.query_map([], |row| row.get(0))?.collect()
        };
        let all = all().map_err(|cause| self.error(cause))?;
        Ok(all.into_iter().map(PathBuf::from).collect())
    }
}

/// The recordings in a folder; none if it is not there.
pub(super) fn all_recordings(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| is_recording(path))
}

fn is_recording(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wav")
}

/// Deletes a session's audio. The name comes out of a file that may be anybody's, so nothing
/// outside `recordings` is touched.
pub(super) fn remove_audio(audio: Option<&Path>, recordings: &Path) -> Result<(), HistoryError> {
    let Some(name) = audio.and_then(Path::file_name) else { return Ok(()) };
    if audio.and_then(Path::parent) != Some(recordings) {
        return Ok(());
    }
    let path: PathBuf = recordings.join(name);
    match fs::remove_file(&path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            Err(HistoryError::Io { path, cause })
        }
        _ => Ok(()),
    }
}
