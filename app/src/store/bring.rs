//! Models that a person brings along: each is a folder of the store like any other, with its own
//! entry of the catalogue in it.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde::Serialize;
use tempfile::TempDir;

use super::record::{self, Entry, Record};
use super::{Catalogue, Model, ModelFile, Progress, Store, StoreError, create, hash, length};
use super::{catalogue::plain_name, error::in_one_line};

/// The catalogue of one model, in its folder.
pub(super) const ENTRY: &str = "model.toml";

#[derive(Serialize)]
struct One<'a> {
    model: [&'a Model; 1],
}

impl Store {
    /// Adds a model of others: `make` writes its files into the folder that it is given and returns
    /// their names, the main one first; `model` is its entry, whose files are filled in here. It is
    /// in the store whole or not at all, and [`Store::remove`] takes its entry away too.
    ///
    /// # Errors
    /// [`StoreError::Import`] when there is a model of that name, the name is no plain file name, or
    /// `make` fails; [`StoreError::Io`], [`StoreError::DiskFull`], [`StoreError::Cancelled`].
    pub fn bring(
        &mut self,
        mut model: Model,
        make: impl FnOnce(&Path) -> Result<Vec<String>, Box<dyn Error + Send + Sync>>,
        progress: &mut dyn Progress,
    ) -> Result<(), StoreError> {
        let name = model.name.clone();
        let failed = |cause| StoreError::Import { model: name.clone(), cause };
        plain_name(&name).map_err(failed)?;
        let folder = self.folder_of(&model);
        let _lock = self.lock(&name, progress)?;
        if self.catalogue.model(&name).is_ok() || folder.exists() {
            return Err(failed("there is a model of this name; choose another".to_owned()));
        }
        let models = self.root.join("models");
        create(&models)?;
        let work = tempfile::Builder::new().prefix(".bring-").tempdir_in(&models);
        let work = work.map_err(|cause| StoreError::io("create a folder in", &models, cause))?;
        let names = make(work.path()).map_err(|error| failed(in_one_line(&*error)))?;
        let mut record = Record { source: model.about.clone(), files: Vec::new() };
        for file in names {
            let path = work.path().join(&file);
            let size = length(&path)
                .ok_or_else(|| failed(format!("{} was not written", path.display())))?;
            let sha256 = hash::of_file(&path, progress)?;
            let entry = (file.clone(), sha256.clone());
            model.files.push(ModelFile { name: file, platform: None, size, sha256 });
            let (name, sha256) = entry;
            record.files.push(Entry { name, size, sha256, derived: false });
        }
        model.check().map_err(failed)?;
        let text = toml::to_string(&One { model: [&model] });
        let text = text.map_err(|error| failed(error.to_string()))?;
        let entry = work.path().join(ENTRY);
        fs::write(&entry, text).map_err(|cause| StoreError::io("write", &entry, cause))?;
        record.write(work.path())?;
        settle(work, &folder)?;
        self.catalogue.models.push(model);
        Ok(())
    }
}

/// Gives the finished folder its name.
fn settle(work: TempDir, folder: &Path) -> Result<(), StoreError> {
    fs::rename(work.path(), folder).map_err(|cause| StoreError::io("create", folder, cause))?;
    // What is dropped now has gone from where it was.
    drop(work);
    Ok(())
}

/// Entries of the models that were brought along. One that cannot be read is left out with a
/// warning: it must not keep all others from being used.
pub(super) fn brought(models: &Path) -> Catalogue {
    let mut all = Catalogue { models: Vec::new() };
    let folders = fs::read_dir(models).into_iter().flatten().flatten();
    let mut entries: Vec<_> = folders
        .filter(|folder| !folder.file_name().to_string_lossy().starts_with('.'))
        .map(|folder| folder.path().join(ENTRY))
        .filter(|entry| entry.is_file())
        .collect();
    entries.sort();
    for entry in entries {
        let read = || -> Result<Catalogue, StoreError> {
            let text = fs::read_to_string(&entry)
                .map_err(|cause| StoreError::io("read", &entry, cause))?;
            let found = Catalogue::parse(&text, &entry)?;
            let folder = entry.parent().and_then(Path::file_name).unwrap_or_default();
            match found.models.as_slice() {
                [model] if folder == model.name.as_str() => Ok(found),
                _ => Err(StoreError::Catalogue {
                    path: entry.clone(),
                    reason: "is not about the one model of its folder".to_owned(),
                }),
            }
        };
        match read() {
            Ok(found) => all.extend(found),
            Err(error) => tracing::warn!("{error}"),
        }
    }
    all
}

/// Whether a file of that name cannot be a model's, since the store keeps its own there.
pub(super) fn is_taken(name: &str) -> bool {
    name == record::NAME || name == ENTRY
}

#[cfg(test)]
mod tests {
    use super::super::{Licence, Silent, State};
    use super::*;

    fn model(name: &str) -> Model {
        Model {
            name: name.to_owned(),
            title: name.to_owned(),
            about: "brought from a test".to_owned(),
            languages: "any".to_owned(),
            licence: Licence {
                name: "unknown".to_owned(),
                summary: String::new(),
                terms: String::new(),
                accept: false,
            },
            files: Vec::new(),
            sources: Vec::new(),
        }
    }

    fn written(folder: &Path) -> Result<Vec<String>, Box<dyn Error + Send + Sync>> {
        fs::write(folder.join("mine.gguf"), "weights")?;
        Ok(vec!["mine.gguf".to_owned()])
    }

    #[test]
    fn a_model_of_others_is_like_any_other_until_it_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let mut store = Store::at(root.path()).unwrap();
        store.bring(model("mine"), written, &mut Silent).unwrap();
        // For whoever comes later, too.
        for store in [store, Store::at(root.path()).unwrap()] {
            let whole = State::Installed { bytes: 7, derived: 0 };
            assert_eq!(store.state("mine").unwrap(), whole);
            assert_eq!(store.files("mine").unwrap(), [root.path().join("models/mine/mine.gguf")]);
            assert!(store.verify("mine", &mut Silent).unwrap().is_empty());
        }
        let mut store = Store::at(root.path()).unwrap();
        let error = store.bring(model("mine"), written, &mut Silent).unwrap_err().to_string();
        assert_eq!(error, "importing mine: there is a model of this name; choose another");
        store.remove("mine").unwrap();
        assert!(Store::at(root.path()).unwrap().state("mine").is_err());
    }

    #[test]
    fn what_fails_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let mut store = Store::at(root.path()).unwrap();
        for name in ["whisper-base", "../up", ""] {
            assert!(store.bring(model(name), written, &mut Silent).is_err(), "{name}");
        }
        let empty = |_: &Path| Ok(vec!["nothing.gguf".to_owned()]);
        assert!(store.bring(model("mine"), empty, &mut Silent).is_err());
        let full = |_: &Path| Err("no room".into());
        let error = store.bring(model("mine"), full, &mut Silent).unwrap_err().to_string();
        assert_eq!(error, "importing mine: no room");
        assert_eq!(fs::read_dir(root.path().join("models")).unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_entry_harms_its_own_model_alone() {
        let root = tempfile::tempdir().unwrap();
        let mut store = Store::at(root.path()).unwrap();
        store.bring(model("mine"), written, &mut Silent).unwrap();
        store.bring(model("yours"), written, &mut Silent).unwrap();
        fs::write(root.path().join("models/mine").join(ENTRY), "[[model").unwrap();
        let store = Store::at(root.path()).unwrap();
        assert!(store.state("mine").is_err() && store.files("yours").is_ok());
        // Nor does one that claims another's name.
        let other = root.path().join("models/mine").join(ENTRY);
        fs::copy(root.path().join("models/yours").join(ENTRY), other).unwrap();
        assert!(Store::at(root.path()).unwrap().state("mine").is_err());
    }
}
