//! Several files that appear together or not at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::scratch::{Scratch, entries};

/// Files that are being made in a folder of their own inside the target's.
pub struct Pending {
    scratch: Scratch,
    target: PathBuf,
    names: Vec<String>,
    /// Files of the target that the new ones take the place of under other names.
    outdated: Vec<String>,
}

/// What names of files end with that are replaced.
const BEFORE: &str = ".before";

impl Pending {
    /// Makes the target folder, if need be, and a hidden one inside, which disappears when this is
    /// dropped. What a killed process had put aside and not replaced goes back to its place.
    ///
    /// # Errors
    /// When a folder cannot be made.
    pub fn inside(target: &Path) -> Result<Self> {
        fs::create_dir_all(target).with_context(|| target.display().to_string())?;
        let scratch = Scratch::inside(target, |left| restore(left, target))?;
        let (names, outdated) = (Vec::new(), Vec::new());
        Ok(Self { scratch, target: target.to_owned(), names, outdated })
    }

    /// The folder that the files appear in.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The hidden folder.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Where to write the file that shall have this name, which may be in a folder of its own.
    ///
    /// # Errors
    /// When that folder cannot be made.
    pub fn path(&mut self, name: &str) -> Result<PathBuf> {
        let path = self.scratch.path().join(name);
        if let Some(inside) = path.parent() {
            fs::create_dir_all(inside).with_context(|| inside.display().to_string())?;
        }
        self.names.push(name.to_owned());
        Ok(path)
    }

    /// Takes a file of the target away when the others appear, if it is there and none of them.
    pub fn outdate(&mut self, name: String) {
        self.outdated.push(name);
    }

    /// Writes a small file of this name.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.path(name)?;
        fs::write(&path, content).with_context(|| self.target.join(name).display().to_string())
    }

    /// Moves all files to their places and returns these with their sizes. Where one cannot be,
    /// those before it are taken away again and what was there before comes back.
    ///
    /// # Errors
    /// When a file cannot be moved.
    pub fn place(self) -> Result<Vec<(PathBuf, u64)>> {
        let aside = |name: &str| self.scratch.path().join(format!("{name}{BEFORE}"));
        let mut sizes = Vec::new();
        let mut placed: Vec<(PathBuf, Option<PathBuf>)> = Vec::new();
        let mut place = |name: &str| -> std::io::Result<()> {
            let target = self.target.join(name);
            let made = File::open(self.scratch.path().join(name))?;
            made.sync_all()?;
            sizes.push((target.clone(), made.metadata()?.len()));
            target.parent().map_or(Ok(()), fs::create_dir_all)?;
            let before = match fs::symlink_metadata(&target).is_ok() {
                true => {
                    // Where there are links, the old file stays until the new one takes its place.
                    fs::hard_link(&target, aside(name))
                        .or_else(|_| fs::rename(&target, aside(name)))?;
                    Some(aside(name))
                }
                false => None,
            };
            // Noted before the file is there: undoing takes away nothing that is not.
            placed.push((target.clone(), before));
            fs::rename(self.scratch.path().join(name), &target)
        };
        let shown = |name: &str| self.target.join(name).display().to_string();
        let found = self.names.iter().try_for_each(|name| place(name).with_context(|| shown(name)));
        let gone = self.outdated.iter().filter(|name| !self.names.contains(name));
        let found = found.and_then(|()| {
            for name in gone.filter(|name| self.target.join(name).is_file()) {
                let target = self.target.join(name);
                fs::rename(&target, aside(name)).with_context(|| shown(name))?;
                placed.push((target, Some(aside(name))));
            }
            Ok(())
        });
        match found {
            Ok(()) => Ok(sizes),
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

/// Puts back what was put aside, where nothing has taken its place.
fn restore(folder: &Path, target: &Path) {
    for path in entries(folder) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if path.is_dir() {
            restore(&path, &target.join(name));
        } else if let Some(name) = name.strip_suffix(BEFORE)
            && fs::symlink_metadata(target.join(name)).is_err()
        {
            let _ = fs::rename(&path, target.join(name));
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
            pending.add(name, format!("new {name}").as_bytes()).unwrap();
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
        pending.path("three").unwrap();
        assert!(pending.place().is_err());
        assert_eq!(listing(target.path()), ["one", "two"]);
        assert_eq!(fs::read_to_string(target.path().join("one")).unwrap(), "old");

        // What is outdated goes with the new files, or stays with the old ones.
        for fails in [true, false] {
            let mut pending = Pending::inside(target.path()).unwrap();
            write(&mut pending, "one");
            for name in ["one", "two", "never there"] {
                pending.outdate(name.to_owned());
            }
            if fails {
                pending.path("three").unwrap();
            }
            assert_eq!(pending.place().is_err(), fails);
            let left = if fails { &["one", "two"][..] } else { &["one"] };
            assert_eq!(listing(target.path()), left);
        }
        fs::write(target.path().join("two"), "two").unwrap();

        let mut dropped = Pending::inside(target.path()).unwrap();
        write(&mut dropped, "four");
        drop(dropped);
        assert_eq!(listing(target.path()), ["one", "two"]);
    }

    #[test]
    fn what_was_put_aside_goes_back_unless_something_is_in_its_place() {
        let target = tempfile::tempdir().unwrap();
        let left = target.path().join("left");
        fs::create_dir_all(left.join("onnx")).unwrap();
        fs::create_dir(target.path().join("onnx")).unwrap();
        for (name, content) in [("one.before", "old"), ("onnx/two.before", "old"), ("half", "half")]
        {
            fs::write(left.join(name), content).unwrap();
        }
        fs::write(target.path().join("one"), "new").unwrap();
        restore(&left, target.path());
        let read = |name: &str| fs::read_to_string(target.path().join(name)).unwrap();
        assert_eq!((read("one"), read("onnx/two")), ("new".to_owned(), "old".to_owned()));
        assert!(!target.path().join("half").exists());
    }
}
