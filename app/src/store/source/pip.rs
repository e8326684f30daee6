//! Fetching a wheel by name with pip, which knows mirrors, proxies and certificates.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use super::shown;
use crate::store::catalogue::{Wheel, WheelTag};
use crate::store::error::Fetch;
use crate::store::{Progress, StoreError, create};

/// Names that Python goes by; the first that has pip is used.
const PYTHONS: [&str; 2] = ["python3", "python"];

/// What to tell `pip download` for a wheel, without where to put it.
pub(in crate::store) fn arguments(wheel: &Wheel, tag: Option<&WheelTag>) -> Vec<String> {
    let mut arguments = vec!["--only-binary=:all:".to_owned(), "--no-deps".to_owned()];
    if let Some(tag) = tag {
        arguments.extend([
            "--implementation=cp".to_owned(),
            format!("--python-version={}", tag.python),
            format!("--abi={}", tag.abi),
            format!("--platform={}", tag.platform),
        ]);
    }
    arguments.push(format!("{}=={}", wheel.package, wheel.version));
    arguments
}

/// Downloads a wheel into `work`, which is pip's alone; returns where it lies. Nothing is verified.
///
/// pip says nothing on a pipe, so the position shown is the size of what grows in `work`.
pub(super) fn download(
    wheel: &Wheel,
    tag: Option<&WheelTag>,
    work: &Path,
    progress: &mut dyn Progress,
) -> Result<PathBuf, Fetch> {
    let mut failure = "no Python on this machine (looked for python3 and python)".to_owned();
    for python in PYTHONS {
        crate::store::pull::remove(work)?;
        let (temporary, out) = (work.join("temporary"), work.join("out"));
        create(&temporary)?;
        create(&out)?;
        let log = work.join("log");
        let stream = || File::create(&log).map_err(|cause| StoreError::io("create", &log, cause));
        let both = stream()?;
        let errors = both.try_clone().map_err(|cause| StoreError::io("open", &log, cause))?;
        let mut command = Command::new(python);
        command.args(["-m", "pip", "download", "--quiet", "--no-input", "--no-cache-dir"]);
        command.args(["--disable-pip-version-check", "--progress-bar=off"]);
        command.arg("--dest").arg(&out).args(arguments(wheel, tag));
        // Where pip writes until it is done: on the store's own disk, and removed with it.
        command.envs(["TMPDIR", "TEMP", "TMP"].map(|name| (name, &temporary)));
        if std::env::var_os("PIP_RETRIES").is_none() {
            // pip's own five keep someone without a network waiting for no good.
            command.env("PIP_RETRIES", "2");
        }
        command.stdin(Stdio::null()).stdout(both).stderr(errors);
        apart(&mut command);
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                failure = format!("cannot run {python}: {error}");
                continue;
            }
        };
        let status = watch(Running(child), work, wheel.size, progress)?;
        if progress.cancelled() {
            return Err(StoreError::Cancelled.into());
        }
        if status.success() {
            return arrived(wheel, &out);
        }
        let said = fs::read(&log).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        if said.contains("No space left on device") || said.contains("Errno 28") {
            return Err(StoreError::full(work, wheel.size.saturating_mul(2)).into());
        }
        if !said.contains("No module named pip") {
            return Err(Fetch::Failed(reason(&said, status)));
        }
        failure = format!("{python} has no pip (a package often named python3-pip)");
    }
    Err(Fetch::Failed(failure))
}

/// Gives the child a process group of its own: `python3` may be a script that starts the real one,
/// and both must go when a pull is cancelled.
fn apart(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _ = command;
}

/// A child that does not outlive the wait for it, nor do its own on Unix.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            #[cfg(unix)]
            if let Ok(group) = i32::try_from(self.0.id()) {
                use nix::sys::signal::{Signal, killpg};
                let _ = killpg(nix::unistd::Pid::from_raw(group), Signal::SIGKILL);
            }
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Waits for pip, showing how much has arrived.
fn watch(
    mut child: Running,
    work: &Path,
    size: u64,
    progress: &mut dyn Progress,
) -> Result<ExitStatus, Fetch> {
    loop {
        match child.0.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => {}
            Err(error) => return Err(Fetch::Failed(format!("lost sight of pip: {error}"))),
        }
        if progress.cancelled() {
            return Err(StoreError::Cancelled.into());
        }
        progress.position(largest(work).min(size));
        thread::sleep(Duration::from_millis(100));
    }
}

/// Size of the largest file in a folder: pip copies the wheel at the end, so a sum would lie.
fn largest(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => largest(&entry.path()),
        Ok(_) => entry.metadata().map_or(0, |found| found.len()),
        Err(_) => 0,
    };
    entries.flatten().map(size).max().unwrap_or(0)
}

fn arrived(wheel: &Wheel, out: &Path) -> Result<PathBuf, Fetch> {
    let path = out.join(&wheel.file);
    if path.is_file() {
        return Ok(path);
    }
    let entries = fs::read_dir(out).into_iter().flatten().flatten();
    let found: Vec<_> = entries.map(|entry| shown(Path::new(&entry.file_name()))).collect();
    Err(Fetch::Failed(format!("pip fetched {:?} in place of {}", found.join(", "), wheel.file)))
}

/// Why pip failed: its own last word, and whether it got no answer at all.
fn reason(said: &str, status: ExitStatus) -> String {
    let line = |mark: &str| said.lines().rev().find(|line| line.contains(mark)).map(str::trim);
    let last = || said.lines().rev().find(|line| !line.trim().is_empty()).map(str::trim);
    let word = line("ERROR:").map(|line| line.trim_start_matches("ERROR:").trim()).or_else(last);
    let word =
        word.map_or_else(|| format!("pip ended with {status}"), |word| format!("pip: {word}"));
    if said.contains("Retrying (") || said.contains("ConnectionError") {
        format!("no connection to the package index ({word})")
    } else {
        word
    }
}
