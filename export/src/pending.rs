//! Several files that appear together or not at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// Files that are being made in a folder of their own inside the target's.
pub struct Pending {
    folder: TempDir,
    target: PathBuf,
    names: Vec<String>,
    /// Files of the target that the new ones take the place of under other names.
    outdated: Vec<String>,
    /// Held while the folder is in use; the system lets it go however a process ends.
    _lock: Option<File>,
}

/// What names of hidden folders begin with.
const PREFIX: &str = ".partita-export-";
/// What names of files end with that are replaced.
const BEFORE: &str = ".before";
/// A folder in which something changed since may still be in use: by one that has not locked it yet, or
/// on another machine whose locks are not seen here.
const YOUNG: Duration = Duration::from_secs(6 * 3600);

impl Pending {
    /// Makes the target folder, if need be, and a hidden one inside, which disappears when this is
    /// dropped. One that a killed process left there is taken away once it is old enough that nobody
    /// can be at work in it.
    ///
    /// # Errors
    /// When a folder cannot be made.
    pub fn inside(target: &Path) -> Result<Self> {
        let shown = || target.display().to_string();
        fs::create_dir_all(target).with_context(shown)?;
        sweep(target);
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(target);
        let folder = folder.with_context(shown)?;
        let _lock = locked(folder.path());
        Ok(Self {
            folder,
            target: target.to_owned(),
            names: Vec::new(),
            outdated: Vec::new(),
            _lock,
        })
    }

    /// The folder that the files appear in.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The hidden folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where to write the file that shall have this name, which may be in a folder of its own.
    ///
    /// # Errors
    /// When that folder cannot be made.
    pub fn path(&mut self, name: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
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
        let aside = |name: &str| self.folder.path().join(format!("{name}{BEFORE}"));
        let mut sizes = Vec::new();
        let mut placed: Vec<(PathBuf, Option<PathBuf>)> = Vec::new();
        let mut place = |name: &str| -> std::io::Result<()> {
            let target = self.target.join(name);
            let made = File::open(self.folder.path().join(name))?;
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
            fs::rename(self.folder.path().join(name), &target)
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

/// The lock of a hidden folder, unless somebody holds it or there are no such locks here.
fn locked(folder: &Path) -> Option<File> {
    let folder = File::open(folder).ok()?;
    folder.try_lock().ok().map(|()| folder)
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Takes away hidden folders that nobody uses any more. What one had put aside and not replaced goes
/// back to its place.
fn sweep(target: &Path) {
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        path.is_dir() && name.is_some_and(|name| name.starts_with(PREFIX))
    };
    let is_old = |path: &Path| {
        let changed = fs::symlink_metadata(path).and_then(|data| data.modified()).ok();
        changed.and_then(|changed| changed.elapsed().ok()).is_some_and(|age| age > YOUNG)
    };
    for folder in entries(target).filter(is_ours) {
        if is_old(&folder)
            && entries(&folder).all(|path| is_old(&path))
            && locked(&folder).is_some()
        {
            restore(&folder, target);
            let _ = fs::remove_dir_all(&folder);
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
    fn what_a_killed_process_left_goes_and_what_one_is_using_stays() {
        let target = tempfile::tempdir().unwrap();
        let left = |name: &str| {
            let folder = target.path().join(format!("{PREFIX}{name}"));
            fs::create_dir(&folder).unwrap();
            let old = std::time::SystemTime::now() - 2 * YOUNG;
            for (file, content) in [("half.gguf", "half"), ("whole.gguf.before", name)] {
                fs::write(folder.join(file), content).unwrap();
                File::open(folder.join(file)).unwrap().set_modified(old).unwrap();
            }
            File::open(&folder).unwrap().set_modified(old).unwrap();
            folder
        };
        let (killed, used) = (left("killed"), left("used"));
        let other = locked(&used).unwrap();
        let pending = Pending::inside(target.path()).unwrap();
        assert!(!killed.exists() && used.exists() && pending.folder().exists());
        let whole = target.path().join("whole.gguf");
        assert_eq!(fs::read_to_string(&whole).unwrap(), "killed", "put back");
        drop(other);
        let next = Pending::inside(target.path()).unwrap();
        assert!(!used.exists() && pending.folder().exists() && next.folder().exists());
        assert_eq!(fs::read_to_string(&whole).unwrap(), "killed", "something is in its place");
    }
}
