//! Hidden folders for what is being made, which disappear however a process ends: what one left that
//! was killed is taken away by the next.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// A hidden folder, which disappears when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    /// Held while the folder is in use; the system lets it go however a process ends.
    _lock: Option<File>,
}

/// What names of hidden folders begin with; behind it is which start of which machine made it.
const PREFIX: &str = ".partita-export-";
/// What another machine made, or this one before it was started anew, may be in use where locks are
/// not seen, unless nothing has changed in it for so long.
const YOUNG: Duration = Duration::from_secs(6 * 3600);
/// How often, and how long each time, others who are making a folder are waited for.
const WAITS: usize = 20;
const WAIT: Duration = Duration::from_millis(50);

impl Scratch {
    /// Makes a hidden folder inside `parent`. Those that killed processes left there are handed to
    /// `rescue` and taken away.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn inside(parent: &Path, rescue: impl Fn(&Path)) -> Result<Self> {
        // One at a time: a folder that nobody has locked is never one that was made just now.
        let making = waited(parent);
        sweep(parent, making.is_some(), rescue);
        let prefix = format!("{PREFIX}{}-", here().unwrap_or_default());
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir_in(parent);
        let folder = folder.with_context(|| parent.display().to_string())?;
        let lock = locked(folder.path());
        Ok(Self { folder, _lock: lock })
    }

    /// Makes one where the system keeps what is for now.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn temporary() -> Result<Self> {
        Self::inside(&std::env::temp_dir(), |_| {})
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// This start of this machine, where the system numbers them: locks of what began since are seen here.
fn here() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.chars().filter(char::is_ascii_hexdigit).take(12).collect())
}

/// The lock of a folder in which others are making theirs, which takes them no time.
fn waited(folder: &Path) -> Option<File> {
    (0..WAITS).find_map(|wait| {
        if wait > 0 {
            std::thread::sleep(WAIT);
        }
        locked(folder)
    })
}

/// The lock of a folder, unless somebody holds it or there are no such locks here.
fn locked(folder: &Path) -> Option<File> {
    let folder = File::open(folder).ok()?;
    folder.try_lock().ok().map(|()| folder)
}

/// What is in a folder; nothing where it cannot be read.
pub fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Takes away hidden folders that nobody uses any more: those of this start of this machine that are
/// not locked, and others that are old.
fn sweep(parent: &Path, alone: bool, rescue: impl Fn(&Path)) {
    let here = here().filter(|_| alone).map(|here| format!("{PREFIX}{here}-"));
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str().map(str::to_owned));
    let is_old = |path: &Path| {
        let changed = fs::symlink_metadata(path).and_then(|data| data.modified()).ok();
        changed.and_then(|changed| changed.elapsed().ok()).is_some_and(|age| age > YOUNG)
    };
    for folder in entries(parent).filter(|path| path.is_dir()) {
        let Some(name) = name(&folder).filter(|name| name.starts_with(PREFIX)) else { continue };
        let is_from_here = here.as_ref().is_some_and(|here| name.starts_with(here));
        let is_left = || is_old(&folder) && entries(&folder).all(|path| is_old(&path));
        if (is_from_here || is_left()) && locked(&folder).is_some() {
            rescue(&folder);
            let _ = fs::remove_dir_all(&folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn what_a_killed_process_left_goes_and_what_one_is_using_stays() {
        let parent = tempfile::tempdir().unwrap();
        let left = |name: &str, age: Duration| {
            let folder = parent.path().join(format!("{PREFIX}{name}"));
            fs::create_dir(&folder).unwrap();
            let file = folder.join("half.gguf");
            fs::write(&file, "half").unwrap();
            for path in [&file, &folder] {
                let then = std::time::SystemTime::now() - age;
                File::open(path).unwrap().set_modified(then).unwrap();
            }
            folder
        };
        let here = here().unwrap_or_default();
        let (old, young) = (2 * YOUNG, Duration::ZERO);
        let [killed, used, strange] =
            [left("old-killed", old), left("old-used", old), left("elsewhere-young", young)];
        let [own, own_used] =
            [left(&format!("{here}-killed"), young), left(&format!("{here}-used"), young)];
        let locks = [&used, &own_used].map(|folder| locked(folder).unwrap());
        let rescued = RefCell::new(Vec::new());
        let make = || {
            Scratch::inside(parent.path(), |folder| rescued.borrow_mut().push(folder.to_owned()))
        };
        let first = make().unwrap();
        assert!(!killed.exists() && used.exists() && strange.exists() && own_used.exists());
        // Where starts are not numbered, only time tells.
        assert_eq!(own.exists(), here.is_empty());
        assert!(rescued.borrow().contains(&killed));
        drop(locks);
        let second = make().unwrap();
        assert!(!used.exists() && strange.exists() && first.path().exists());
        assert_eq!(own_used.exists(), here.is_empty());
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists() && second.path().exists());
    }
}
