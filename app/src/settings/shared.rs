//! Settings that the whole program shares while it runs.

use super::{Settings, SettingsError};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Changes are written when there has been none for this long…
const QUIET: Duration = Duration::from_millis(500);
/// …and at the latest after this long.
const LATEST: Duration = Duration::from_secs(5);

/// A handle to the settings of the running program; clones share them.
///
/// Whoever reads takes a snapshot, which costs next to nothing, and asks [`Self::generation`] or
/// [`Self::watch`] when to take another. Changes are written a moment after the last of them, and
/// when the last handle goes.
///
/// ```
/// use partita::settings::SharedSettings;
/// let folder = tempfile::tempdir()?;
/// let (settings, notices) = SharedSettings::open(&folder.path().join("settings.toml"));
/// assert!(notices.is_empty());
/// let changes = settings.watch();
/// settings.change(|settings| settings.overlay.lines = 3);
/// assert!(changes.try_recv().is_ok());
/// assert_eq!(settings.get().overlay.lines, 3);
/// settings.save()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct SharedSettings(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    kept: Arc<Kept>,
    /// `None` only while it is dropped.
    changed: Option<Sender<()>>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Kept {
    path: PathBuf,
    state: Mutex<State>,
    /// Held while the file is written, so that an older state never follows a newer one.
    writing: Mutex<()>,
}

#[derive(Debug)]
struct State {
    settings: Arc<Settings>,
    generation: u64,
    /// The generation that is in the file.
    saved: u64,
    watchers: Vec<Sender<()>>,
    /// Why the last attempt to write failed.
    failure: Option<String>,
}

impl SharedSettings {
    /// Reads the file, as [`Settings::load`]; the notices are for the user.
    pub fn open(path: &Path) -> (Self, Vec<String>) {
        let (settings, notices) = Settings::load(path);
        (Self::new(settings, path), notices)
    }

    /// Settings that were read or made elsewhere, to be kept in that file.
    pub fn new(settings: Settings, path: &Path) -> Self {
        let state = State {
            settings: Arc::new(settings.into_range().0),
            generation: 0,
            saved: 0,
            watchers: Vec::new(),
            failure: None,
        };
        let kept = Arc::new(Kept {
            path: path.to_owned(),
            state: Mutex::new(state),
            writing: Mutex::new(()),
        });
        let (changed, changes) = bounded(1);
        let own = Arc::clone(&kept);
        let writer = thread::Builder::new().name("settings".to_owned());
        // Without the thread, changes are written when the handle goes or `save` is called.
        let writer = writer.spawn(move || write_changes(&own, &changes)).ok();
        Self(Arc::new(Handle { kept, changed: Some(changed), writer }))
    }

    /// The settings as they are now.
    pub fn get(&self) -> Arc<Settings> {
        Arc::clone(&self.0.kept.state().settings)
    }

    /// Grows with every change.
    pub fn generation(&self) -> u64 {
        self.0.kept.state().generation
    }

    /// Changes settings; values are moved into range. Whether anything is different now.
    pub fn change(&self, change: impl FnOnce(&mut Settings)) -> bool {
        let mut state = self.0.kept.state();
        let mut settings = Settings::clone(&state.settings);
        change(&mut settings);
        let (settings, _) = settings.into_range();
        if settings == *state.settings {
            return false;
        }
        state.settings = Arc::new(settings);
        state.generation += 1;
        state.watchers.retain(|watcher| match watcher.try_send(()) {
            Err(error) => error.is_full(),
            Ok(()) => true,
        });
        drop(state);
        if let Some(changed) = &self.0.changed {
            let _ = changed.try_send(());
        }
        true
    }

    /// A channel that has something in it when there were changes since it was last read.
    pub fn watch(&self) -> Receiver<()> {
        let (sender, receiver) = bounded(1);
        self.0.kept.state().watchers.push(sender);
        receiver
    }

    /// Writes now what is not written yet.
    ///
    /// # Errors
    /// As [`Settings::save`].
    pub fn save(&self) -> Result<(), SettingsError> {
        self.0.kept.save()
    }

    /// Why the last attempt to write failed, if it did; for the status bar.
    pub fn failure(&self) -> Option<String> {
        self.0.kept.state().failure.clone()
    }

    /// The file they are kept in.
    pub fn path(&self) -> &Path {
        &self.0.kept.path
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        drop(self.changed.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
        if let Err(error) = self.kept.save() {
            tracing::warn!("{error}");
        }
    }
}

impl Kept {
    fn state(&self) -> MutexGuard<'_, State> {
        // A state is replaced as a whole: it is right even if a thread died with the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self) -> Result<(), SettingsError> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (settings, generation) = {
            let state = self.state();
            if state.saved == state.generation {
                return Ok(());
            }
            (Arc::clone(&state.settings), state.generation)
        };
        let result = settings.save(&self.path);
        let mut state = self.state();
        match &result {
            Ok(()) => (state.saved, state.failure) = (generation, None),
            Err(error) => state.failure = Some(error.to_string()),
        }
        result
    }
}

/// Writes after each burst of changes, until the last handle goes.
fn write_changes(kept: &Kept, changes: &Receiver<()>) {
    while changes.recv().is_ok() {
        let since = Instant::now();
        let ended = loop {
            match changes.recv_timeout(QUIET) {
                Ok(()) if since.elapsed() < LATEST => {}
                Ok(()) | Err(RecvTimeoutError::Timeout) => break false,
                Err(RecvTimeoutError::Disconnected) => break true,
            }
        };
        if ended {
            return;
        }
        if let Err(error) = kept.save() {
            tracing::warn!("{error}");
        }
    }
}
