//! The model store: catalogue, download, verification, import.
//!
//! ```text
//! $PARTITA_HOME                    or the user's data folder
//! ├── models.toml                  entries added to the built-in catalogue (optional)
//! ├── models/NAME/                 a model's files and `installed.json`; of one that a person
//! │                                brought along, its entry `model.toml` too
//! ├── downloads/                   wheels put here by hand are used without a network
//! │   └── fetched/NAME/            what a pull is at; emptied when it is done
//! └── locks/NAME.lock              one pull of a model at a time, across processes
//! ```
//!
//! A file gets its name in `models/NAME/` only after its SHA-256 was found right, and
//! `installed.json` is written last: a pull that stops anywhere leaves nothing half-written. A model
//! pulled is looked up without a network, ever.
//!
//! `PARTITA_MODELS_DIR` may name a folder laid out like `models/`: files are copied from it.
//!
//! ```
//! use partita::store::{State, Store};
//! let folder = tempfile::tempdir()?;
//! let store = Store::at(folder.path())?;
//! assert!(store.catalogue().models.iter().any(|model| model.name == "whisper-base"));
//! assert_eq!(store.state("whisper-base")?, State::Absent);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bring;
mod catalogue;
mod error;
mod hash;
mod keep;
mod lock;
mod offline;
mod progress;
mod pull;
mod record;
mod source;

use partita_model::installed;
use std::fs;
use std::path::{Path, PathBuf};

pub use catalogue::{
    Catalogue, Licence, Model, ModelFile, Part, Source, Wheel, WheelTag, this_platform,
};
pub use error::StoreError;
pub use keep::{Mismatch, Removed};
pub use offline::Unavailable;
pub use progress::{Import, Progress, Silent};
pub use pull::Installed;

use record::Record;

/// A folder of models, shared by everything that runs for this user.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    catalogue: Catalogue,
}

/// How much of a model is in the store. Judged by sizes, which is quick;
/// [`Store::verify`] reads every byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Absent,
    /// Some of it; the next pull completes it.
    Partial {
        /// Bytes of whole files that are there.
        bytes: u64,
        /// Bytes there should be.
        total: u64,
    },
    /// All of it.
    Installed {
        /// Bytes of the pulled files.
        bytes: u64,
        /// Bytes of files made from them by an import.
        derived: u64,
    },
}

impl Store {
    /// The store of this user: `$PARTITA_HOME`, or the folder for application data that the system
    /// names (Linux: `~/.local/share/partita`). Nothing is created before the first pull.
    ///
    /// # Errors
    /// [`StoreError::NoHome`], or [`StoreError::Catalogue`] when `models.toml` there is wrong.
    pub fn open() -> Result<Self, StoreError> {
        Self::at(installed::home().map_err(|_| StoreError::NoHome)?)
    }

    /// The store in that folder.
    ///
    /// # Errors
    /// [`StoreError::Catalogue`] when the folder's `models.toml` is wrong.
    pub fn at(root: impl AsRef<Path>) -> Result<Self, StoreError> {
        let root = root.as_ref();
        let root = std::path::absolute(root)
            .map_err(|cause| StoreError::io("find the folder", root, cause))?;
        let mut catalogue = Catalogue::built_in()?;
        let own = root.join("models.toml");
        if own.is_file() {
            let text =
                fs::read_to_string(&own).map_err(|cause| StoreError::io("read", &own, cause))?;
            catalogue.extend(Catalogue::parse(&text, &own)?);
        }
        catalogue.extend(bring::brought(&root.join("models")));
        Ok(Self { root, catalogue })
    }

    /// The folder that everything is in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The models there are to fetch.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Where wheels may be put by hand.
    pub fn downloads(&self) -> PathBuf {
        self.root.join("downloads")
    }

    /// The folder of a model, whether it exists or not.
    ///
    /// # Errors
    /// [`StoreError::UnknownModel`].
    pub fn folder(&self, name: &str) -> Result<PathBuf, StoreError> {
        Ok(self.folder_of(self.catalogue.model(name)?))
    }

    /// How much of a model is there.
    ///
    /// # Errors
    /// [`StoreError::UnknownModel`], [`StoreError::NotForPlatform`].
    pub fn state(&self, name: &str) -> Result<State, StoreError> {
        let model = self.catalogue.model(name)?;
        let files = model.files_here()?;
        let folder = self.folder_of(model);
        let there = |file: &&&ModelFile| length(&folder.join(&file.name)) == Some(file.size);
        let bytes = files.iter().filter(there).map(|file| file.size).sum();
        let total = files.iter().map(|file| file.size).sum();
        let record = Record::read(&folder);
        let recorded = record.as_ref().is_some_and(|record| lists(record, &files));
        Ok(match record {
            Some(record) if recorded && bytes == total => {
                State::Installed { bytes, derived: record.derived().map(|entry| entry.size).sum() }
            }
            _ if bytes == 0 => State::Absent,
            _ => State::Partial { bytes, total },
        })
    }

    /// Where a file of an installed model lies: one of the catalogue, or one that an import made.
    ///
    /// # Errors
    /// [`StoreError::UnknownModel`], [`StoreError::NotForPlatform`], [`StoreError::NotInstalled`],
    /// [`StoreError::UnknownFile`].
    pub fn path(&self, name: &str, file: &str) -> Result<PathBuf, StoreError> {
        let known = self.files(name)?;
        known
            .iter()
            .find(|path| path.file_name().is_some_and(|own| own == file))
            .cloned()
            .ok_or_else(|| StoreError::UnknownFile {
                model: name.to_owned(),
                file: file.to_owned(),
                known: known
                    .iter()
                    .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
                    .collect(),
            })
    }

    /// The files of an installed model: those of the catalogue, the main one first (the shared
    /// library, whatever it is called here; the weights), then those that an import made.
    ///
    /// # Errors
    /// [`StoreError::UnknownModel`], [`StoreError::NotForPlatform`], [`StoreError::NotInstalled`].
    pub fn files(&self, name: &str) -> Result<Vec<PathBuf>, StoreError> {
        let missing = || StoreError::NotInstalled { name: name.to_owned() };
        if !matches!(self.state(name)?, State::Installed { .. }) {
            return Err(missing());
        }
        let model = self.catalogue.model(name)?;
        let folder = self.folder_of(model);
        let mut files: Vec<_> =
            model.files_here()?.iter().map(|file| folder.join(&file.name)).collect();
        let record = Record::read(&folder).ok_or_else(missing)?;
        let whole = |entry: &&record::Entry| length(&folder.join(&entry.name)) == Some(entry.size);
        files.extend(record.derived().filter(whole).map(|entry| folder.join(&entry.name)));
        Ok(files)
    }

    fn folder_of(&self, model: &Model) -> PathBuf {
        self.root.join("models").join(&model.name)
    }

    /// Where a pull of that model works.
    fn workplace(&self, name: &str) -> PathBuf {
        self.downloads().join("fetched").join(name)
    }
}

/// Whether the record holds exactly what the catalogue asks for now.
fn lists(record: &Record, files: &[&ModelFile]) -> bool {
    files.iter().all(|file| {
        record.files.iter().any(|entry| {
            !entry.derived
                && (&entry.name, entry.size, &entry.sha256) == (&file.name, file.size, &file.sha256)
        })
    })
}

/// Length of a regular file.
fn length(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|found| found.len())
}

fn create(folder: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(folder).map_err(|cause| StoreError::io("create the folder", folder, cause))
}
