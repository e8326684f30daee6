//! Several files that appear together or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// Files that are being made in a folder of their own inside the target's.
pub struct Pending {
    folder: TempDir,
    target: PathBuf,
    names: Vec<String>,
}

impl Pending {
    /// Makes the target folder, if need be, and a hidden one inside, which disappears when this is
    /// dropped.
    ///
    /// # Errors
    /// When a folder cannot be made.
    pub fn inside(target: &Path) -> Result<Self> {
        let shown = || target.display().to_string();
        fs::create_dir_all(target).with_context(shown)?;
        let folder = tempfile::Builder::new().prefix(".partita-export-").tempdir_in(target);
        let folder = folder.with_context(shown)?;
        Ok(Self { folder, target: target.to_owned(), names: Vec::new() })
    }

    /// The hidden folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where to write the file that shall have this name.
    pub fn path(&mut self, name: &str) -> PathBuf {
        self.names.push(name.to_owned());
        self.folder.path().join(name)
    }

    /// Moves all files to their places. Where one cannot be, those before it are taken away again
    /// and what was there before comes back.
    ///
    /// # Errors
    /// When a file cannot be moved.
    pub fn place(self) -> Result<()> {
        let aside = |name: &str| self.folder.path().join(format!("{name}.before"));
        let mut placed: Vec<(PathBuf, Option<PathBuf>)> = Vec::new();
        let mut place = |name: &str| -> std::io::Result<()> {
            let target = self.target.join(name);
            let before = match fs::symlink_metadata(&target).is_ok() {
                true => {
                    fs::rename(&target, aside(name))?;
                    Some(aside(name))
                }
                false => None,
            };
            // Noted before the file is there: undoing takes away nothing that is not.
            placed.push((target.clone(), before));
            fs::rename(self.folder.path().join(name), &target)
        };
        let found = self.names.iter().try_for_each(|name| {
            place(name).with_context(|| self.target.join(name).display().to_string())
        });
        match found {
            Ok(()) => Ok(()),
            Err(error) => {
                for (target, before) in placed.into_iter().rev() {
                    let _ = fs::remove_file(&target);
                    if let Some(before) = before {
                        let _ = fs::rename(before, &target);
                    }
                }
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn both_files_appear_or_neither() {
        let target = tempfile::tempdir().unwrap();
        let write = |pending: &mut Pending, name: &str| {
            let path = pending.path(name);
            fs::write(path, format!("new {name}")).unwrap();
        };
        let mut pending = Pending::inside(target.path()).unwrap();
        write(&mut pending, "one");
        write(&mut pending, "two");
        assert_eq!(listing(target.path()).len(), 1, "nothing but the hidden folder");
        pending.place().unwrap();
        assert_eq!(listing(target.path()), ["one", "two"]);

        // The second file was never written: the first is as it was before.
        fs::write(target.path().join("one"), "old").unwrap();
        let mut pending = Pending::inside(target.path()).unwrap();
        write(&mut pending, "one");
        pending.path("three");
        assert!(pending.place().is_err());
        assert_eq!(listing(target.path()), ["one", "two"]);
        assert_eq!(fs::read_to_string(target.path().join("one")).unwrap(), "old");

        let mut dropped = Pending::inside(target.path()).unwrap();
        write(&mut dropped, "four");
        drop(dropped);
        assert_eq!(listing(target.path()), ["one", "two"]);
    }
}
