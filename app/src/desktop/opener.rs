//! Files and folders handed to whatever program the desktop opens them with.

use anyhow::{Context, Result, bail};
use crossbeam_channel::bounded;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// How long the desktop may take to say that it cannot.
const PATIENCE: Duration = Duration::from_secs(2);

/// What opens files.
const OPENER: &str = match () {
    () if cfg!(target_os = "macos") => "open",
    () if cfg!(windows) => "explorer",
    () => "xdg-open",
};

/// Opens a file or folder in the program that the desktop has for it. Waits for two seconds at most.
///
/// # Errors
/// When there is no such program, or it said within that time that it failed.
pub fn open(path: &Path) -> Result<()> {
    open_by(OPENER, path)
}

fn open_by(opener: &str, path: &Path) -> Result<()> {
    let mut command = Command::new(opener);
    command.arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let said = || format!("{}: not opened by {opener}", path.display());
    let mut child = command.spawn().with_context(said)?;
    let (ended, end) = bounded(1);
    thread::Builder::new().name("opener".to_owned()).spawn(move || ended.send(child.wait()))?;
    match end.recv_timeout(PATIENCE) {
        // Under Windows it says nothing by its status.
        Ok(status) => match status.with_context(said)? {
            status if status.success() || cfg!(windows) => Ok(()),
            status => bail!("{}: {status}", said()),
        },
        // It is the program itself, and runs.
        Err(_) => Ok(()),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Instant;

    #[test]
    fn a_file_is_handed_over_and_failures_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let program = |name: &str, script: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (file, told) = (folder.path().join("a b.wav"), folder.path().join("told"));
        open_by(&program("tells", &format!("printf %s \"$1\" > '{}'", told.display())), &file)
            .unwrap();
        assert_eq!(std::fs::read_to_string(told).unwrap(), file.to_str().unwrap());
        let failed = open_by(&program("fails", "exit 4"), &file).unwrap_err().to_string();
        assert!(failed.contains("a b.wav") && failed.contains('4'), "{failed}");
        let missing = open_by("no-such-opener", &file).unwrap_err().to_string();
        assert!(missing.contains("no-such-opener"), "{missing}");
        let begun = Instant::now();
        open_by(&program("stays", "exec sleep 5"), &file).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    }
}
