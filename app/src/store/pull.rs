//! Getting a model: what is there already, then source after source.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::catalogue::{Model, ModelFile, Source};
use super::error::Fetch;
use super::record::{Entry, Record};
use super::source::{self, Job};
use super::{Progress, Store, StoreError, Unavailable, create, hash};

/// A model that is in the store, whole and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Its folder.
    pub folder: PathBuf,
    /// Its files, the main one first.
    pub files: Vec<PathBuf>,
    /// Where the files came from; `None` when all was there already.
    pub fetched_from: Option<String>,
}

impl Store {
    /// Sees to it that a model is in the store, whole: every byte of what is there is checked, and
    /// what is missing or wrong is fetched. Sources are tried in the catalogue's order, those that
    /// need no network first. Safe to call from several threads and processes at once: the second
    /// waits and then finds it done.
    ///
    /// Terms are the caller's to show: see [`Licence::accept`](super::Licence::accept).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no source delivered, with what to put where by hand;
    /// [`StoreError::DiskFull`]; [`StoreError::Cancelled`]; [`StoreError::Io`] when the store cannot
    /// be written; [`StoreError::UnknownModel`] and [`StoreError::NotForPlatform`].
    pub fn pull(&self, name: &str, progress: &mut dyn Progress) -> Result<Installed, StoreError> {
        let model = self.catalogue().model(name)?;
        let files = model.files_here()?;
        // Without a lock first: a store that is whole may be read-only.
        if self.sound(model, progress)? {
            return self.installed(name, None);
        }
        let _lock = self.lock(name, progress)?;
        if self.sound(model, progress)? {
            return self.installed(name, None);
        }
        let folder = self.folder_of(model);
        create(&folder)?;
        let (old, derived) = keep_derived(&folder, progress)?;
        let mut missing = Vec::new();
        for file in files.iter().copied() {
            if !hash::is(&folder.join(&file.name), file.size, &file.sha256, progress)? {
                missing.push(file);
            }
        }
        let fetched_from = match missing.is_empty() {
            true => None,
            false => {
                let fetched = self.fetch(model, missing, &folder, progress);
                if fetched.is_err() {
                    // An empty folder would only look like something.
                    let _ = fs::remove_dir(&folder);
                }
                Some(fetched?)
            }
        };
        let source = fetched_from.clone().or(old).unwrap_or_else(|| "put by hand".to_owned());
        let pulled = files.iter().map(|file| Entry {
            name: file.name.clone(),
            size: file.size,
            sha256: file.sha256.clone(),
            derived: false,
        });
        Record { source, files: pulled.chain(derived).collect() }.write(&folder)?;
        self.installed(name, fetched_from)
    }

    fn installed(&self, name: &str, from: Option<String>) -> Result<Installed, StoreError> {
        Ok(Installed { folder: self.folder(name)?, files: self.files(name)?, fetched_from: from })
    }

    /// Fetches files into the model's folder; returns the sources that delivered.
    fn fetch(
        &self,
        model: &Model,
        missing: Vec<&ModelFile>,
        folder: &Path,
        progress: &mut dyn Progress,
    ) -> Result<String, StoreError> {
        let work = self.workplace(&model.name);
        let mut job = Job {
            name: &model.name,
            files: missing,
            by_hand: self.downloads(),
            staged: work.join("staged"),
            work,
            network: false,
        };
        job.clean()?;
        create(&job.staged)?;
        let result = deliver(model, &mut job, folder, progress);
        let tidied = if job.files.is_empty() { remove(&job.work) } else { job.clean() };
        let (from, tried) = result?;
        tidied?;
        if job.files.is_empty() {
            return Ok(from.join(", "));
        }
        let downloads = self.downloads();
        let by_hand = Unavailable::new(model, &job.files, tried, folder.to_owned(), downloads);
        Err(StoreError::Unavailable(Box::new(by_hand)))
    }
}

type Delivered = (Vec<String>, Vec<(String, String)>);

/// Tries the sources, without and then with the network, until no file is missing. Returns those
/// that delivered, and those that failed with their reasons.
fn deliver(
    model: &Model,
    job: &mut Job<'_>,
    folder: &Path,
    progress: &mut dyn Progress,
) -> Result<Delivered, StoreError> {
    let (mut from, mut tried) = (Vec::new(), Vec::new());
    for network in [false, true] {
        job.network = network;
        for source in &model.sources {
            let local = matches!(source, Source::Path { .. });
            if job.files.is_empty() || (local && network) || !source::is_for_here(source) {
                continue;
            }
            let outcome = source::fetch(source, job, progress);
            let before = job.files.len();
            place(job, folder)?;
            if job.files.len() < before {
                from.push(source::title(source));
            }
            match outcome {
                Ok(()) => {}
                Err(Fetch::Stop(error)) => return Err(error),
                Err(Fetch::Absent(_)) if !network && !local => {}
                Err(failure) => {
                    let title = source::title(source);
                    if matches!(failure, Fetch::Failed(_)) {
                        progress.note(&format!("{title}: {failure}"));
                    }
                    tried.push((title, failure.to_string()));
                }
            }
        }
    }
    tried.dedup();
    Ok((from, tried))
}

/// Moves verified files from the work folder to where they belong.
fn place(job: &mut Job<'_>, folder: &Path) -> Result<(), StoreError> {
    let mut failure = None;
    job.files.retain(|file| {
        let staged = job.staged.join(&file.name);
        if failure.is_some() || !staged.is_file() {
            return true;
        }
        let placed = move_file(&staged, &folder.join(&file.name));
        failure = placed.err();
        failure.is_some()
    });
    failure.map_or(Ok(()), Err)
}

/// Renames; where the two lie on different disks, copies beside the target and renames there.
fn move_file(from: &Path, to: &Path) -> Result<(), StoreError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            let beside = to.with_extension("part");
            let copied = fs::copy(from, &beside).and_then(|_| fs::rename(&beside, to));
            if copied.is_err() {
                let _ = fs::remove_file(&beside);
            }
            copied
        }
        other => other,
    }
    .map_err(|cause| StoreError::io("write", to, cause))
}

/// The old record's source, and the derived files that are still what they were. Others are deleted:
/// the next import makes them anew.
fn keep_derived(
    folder: &Path,
    progress: &mut dyn Progress,
) -> Result<(Option<String>, Vec<Entry>), StoreError> {
    let Some(record) = Record::read(folder) else { return Ok((None, Vec::new())) };
    let mut kept = Vec::new();
    for entry in record.derived() {
        let path = folder.join(&entry.name);
        if hash::is(&path, entry.size, &entry.sha256, progress)? {
            kept.push(entry.clone());
        } else if path.exists() {
            fs::remove_file(&path).map_err(|cause| StoreError::io("remove", &path, cause))?;
            progress.note(&format!(
                "{}: wrong sha256, deleted; an import makes it anew",
                path.display()
            ));
        }
    }
    Ok((Some(record.source), kept))
}

/// Removes a folder and all in it, if it is there.
pub(super) fn remove(folder: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|cause| StoreError::io("remove", folder, cause)),
    }
}
