//! Keeping what was pulled: verify, remove, and files made by imports.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::in_one_line;
use super::record::{Entry, Record};
use super::{
    Import, Progress, Silent, State, Store, StoreError, catalogue, create, hash, length, lists,
};

/// A file that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The file.
    pub path: PathBuf,
    /// The SHA-256 it should have.
    pub expected: String,
    /// The one it has; `None` when it is missing.
    pub found: Option<String>,
}

/// What [`Store::remove`] took away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// Bytes given back to the disk.
    pub bytes: u64,
}

impl Store {
    /// Reads every file of an installed model, derived ones too, and returns those whose SHA-256 is
    /// wrong.
    ///
    /// # Errors
    /// [`StoreError::UnknownModel`], [`StoreError::NotForPlatform`], [`StoreError::NotInstalled`]
    /// when nothing of it is there, [`StoreError::Io`] when a file cannot be read.
    pub fn verify(
        &self,
        name: &str,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Mismatch>, StoreError> {
        let model = self.catalogue().model(name)?;
        if self.state(name)? == State::Absent
            && !self.folder_of(model).join(super::record::NAME).exists()
        {
            return Err(StoreError::NotInstalled { name: name.to_owned() });
        }
        let folder = self.folder_of(model);
        let mut expected: Vec<(String, String)> = model
            .files_here()?
            .iter()
            .map(|file| (file.name.clone(), file.sha256.clone()))
            .collect();
        if let Some(record) = Record::read(&folder) {
            expected.extend(record.derived().map(|made| (made.name.clone(), made.sha256.clone())));
        }
        let mut wrong = Vec::new();
        for (file, expected) in expected {
            let path = folder.join(file);
            let found = match length(&path) {
                Some(bytes) => {
                    progress.begin(&format!("checking {}", path.display()), bytes);
                    let sum = hash::of_file(&path, progress);
                    progress.end();
                    Some(sum?)
                }
                None => None,
            };
            if found.as_ref() != Some(&expected) {
                wrong.push(Mismatch { path, expected, found });
            }
        }
        Ok(wrong)
    }

    /// Removes a model and whatever was fetched for it. Wheels that a person put into `downloads`
    /// stay. Removing what is not there is no error.
    ///
    /// # Errors
    /// [`StoreError::UnknownModel`] for a name neither in the catalogue nor in the store,
    /// [`StoreError::Io`].
    pub fn remove(&self, name: &str) -> Result<Removed, StoreError> {
        // A model of a catalogue since changed can still be removed.
        let own =
            catalogue::plain_name(name).is_ok() && self.root().join("models").join(name).is_dir();
        if !own {
            self.catalogue().model(name)?;
        }
        let folders = [self.root().join("models").join(name), self.workplace(name)];
        if !folders.iter().any(|folder| folder.exists()) {
            return Ok(Removed { bytes: 0 });
        }
        let _lock = self.lock(name, &mut Silent)?;
        let bytes = folders.iter().map(|folder| weight(folder)).fold(0, u64::saturating_add);
        for folder in folders.iter().filter(|folder| folder.exists()) {
            fs::remove_dir_all(folder).map_err(|cause| StoreError::io("remove", folder, cause))?;
        }
        Ok(Removed { bytes })
    }

    /// Makes the files that `import` produces for an installed model, unless they are there, and
    /// records them. Returns where they lie; of a model that is GGUF already, its own files.
    ///
    /// # Errors
    /// [`StoreError::NotInstalled`], [`StoreError::Import`] when the import fails or leaves out a
    /// file that it promised, [`StoreError::Io`].
    pub fn import(
        &self,
        name: &str,
        import: &dyn Import,
        progress: &mut dyn Progress,
    ) -> Result<Vec<PathBuf>, StoreError> {
        // One file of ours already: nothing is to be made of it.
        let main = self.catalogue().model(name)?.files_here()?.into_iter().next();
        if main.is_some_and(|file| file.name.ends_with(".gguf")) {
            return self.files(name);
        }
        let produced = import.produces(name);
        let folder = self.folder(name)?;
        if produced.is_empty() {
            return Ok(Vec::new());
        }
        let failed = |cause| StoreError::Import { model: name.to_owned(), cause };
        produced.iter().try_for_each(|file| catalogue::plain_name(file)).map_err(failed)?;
        let paths = produced.iter().map(|file| folder.join(file)).collect();
        if produced.iter().all(|file| self.path(name, file).is_ok()) {
            return Ok(paths);
        }
        let _lock = self.lock(name, progress)?;
        self.files(name)?;
        if produced.iter().all(|file| self.path(name, file).is_ok()) {
            return Ok(paths);
        }
        import.import(name, &folder, progress).map_err(|error| failed(in_one_line(&*error)))?;
        for file in &produced {
            if length(&folder.join(file)).is_none() {
                return Err(failed(format!("{} was not written", folder.join(file).display())));
            }
            record_made(&folder, file, progress)?;
        }
        Ok(paths)
    }

    /// Records a file that was made from a model's own and lies in its folder, so that `verify`,
    /// `path` and `remove` know it. [`Store::import`] does this itself.
    ///
    /// # Errors
    /// [`StoreError::NotInstalled`], [`StoreError::Import`] for a name with a path in it or one of
    /// the model's own files, [`StoreError::Io`].
    pub fn record_derived(&self, name: &str, file: &str) -> Result<PathBuf, StoreError> {
        let failed = |cause| StoreError::Import { model: name.to_owned(), cause };
        catalogue::plain_name(file).map_err(failed)?;
        let model = self.catalogue().model(name)?;
        if model.files.iter().any(|own| own.name == file) || super::bring::is_taken(file) {
            return Err(failed(format!("{file:?} is a file of the model itself")));
        }
        let _lock = self.lock(name, &mut Silent)?;
        self.files(name)?;
        let folder = self.folder_of(model);
        record_made(&folder, file, &mut Silent)?;
        Ok(folder.join(file))
    }

    /// Whether every byte of a model is right, derived files too.
    pub(super) fn sound(
        &self,
        model: &catalogue::Model,
        progress: &mut dyn Progress,
    ) -> Result<bool, StoreError> {
        let folder = self.folder_of(model);
        let files = model.files_here()?;
        let Some(record) = Record::read(&folder).filter(|record| lists(record, &files)) else {
            return Ok(false);
        };
        for entry in &record.files {
            if !hash::is(&folder.join(&entry.name), entry.size, &entry.sha256, progress)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Adds a derived file to the folder's record. The caller holds the model's lock.
fn record_made(folder: &Path, file: &str, progress: &mut dyn Progress) -> Result<(), StoreError> {
    create(folder)?;
    let path = folder.join(file);
    let sha256 = hash::of_file(&path, progress)?;
    let mut record = Record::read(folder).unwrap_or_default();
    record.files.retain(|entry| entry.name != file);
    let size = length(&path).unwrap_or_default();
    record.files.push(Entry { name: file.to_owned(), size, sha256, derived: true });
    record.write(folder)
}

/// Bytes of everything in a folder; what cannot be read counts nothing.
pub(super) fn weight(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let weigh = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => weight(&entry.path()),
        Ok(_) => entry.metadata().map_or(0, |found| found.len()),
        Err(_) => 0,
    };
    entries.flatten().map(weigh).fold(0, u64::saturating_add)
}
