//! Runs that are killed, interrupted, or meet a full disk.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod killed;
mod toy;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use killed::{assert_same_end, child, kill_often, metrics, wait_for_lines};
use partita_train::checkpoint::PARAMETERS;
use partita_train::run_folder::{self, RunFolder};
use partita_train::training_loop::{Outcome, stop_on_interrupt, train};
use toy::Toy;

const KILLS: u32 = 20;
/// The test that trains in a process of its own.
const TRAINS: &str = "child_trains";
static NEVER: AtomicBool = AtomicBool::new(false);

/// Trains the run that `RUN` names; started by tests in a process of its own.
#[test]
#[ignore = "run by other tests in a process of its own"]
fn child_trains() {
    let run = PathBuf::from(std::env::var_os("RUN").unwrap());
    let stop = stop_on_interrupt().unwrap();
    let run = RunFolder::open(&run).unwrap();
    println!("outcome: {:?}", train(&mut Toy::new(1), &run, &stop, &mut ()).unwrap());
}

const LONGER: (&str, &str) = ("steps = 120 }", "steps = 240 }");

/// A run that nothing happened to, and an empty one.
fn two_runs(folder: &Path) -> (PathBuf, PathBuf) {
    let recipe = toy::recipe(folder, &[LONGER]);
    let (calm, troubled) = (folder.join("calm"), folder.join("troubled"));
    let run = RunFolder::create(&calm, &recipe).unwrap();
    assert_eq!(train(&mut Toy::new(1), &run, &NEVER, &mut ()).unwrap(), Outcome::Finished);
    drop(RunFolder::create(&troubled, &recipe).unwrap());
    (calm, troubled)
}

#[test]
fn killed_at_any_moment_a_run_ends_as_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let (calm, run) = two_runs(folder.path());
    // Some steps further, and then up to a few milliseconds: many fall into a checkpoint.
    let unfinished = kill_often(TRAINS, &run, KILLS, 9, Duration::from_millis(4));
    let output = child(TRAINS, &run).wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("outcome: Finished"), "{output:?}");
    println!("{KILLS} kills, {unfinished} of them while a checkpoint was written or removed");
    assert_same_end(&run, &calm);
}

#[test]
#[cfg(unix)]
fn an_interrupted_run_writes_a_checkpoint_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (calm, run) = two_runs(folder.path());
    for (signal, after) in [("-TERM", 21), ("-INT", 90)] {
        let mut child = child(TRAINS, &run);
        assert!(wait_for_lines(&mut child, &run, after));
        let killed = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let output = child.wait_with_output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("outcome: Stopped"), "{output:?}");
        let last = run_folder::checkpoints(&run).unwrap().whole.pop().unwrap();
        let steps = metrics(&run).iter().filter(|line| line["kind"] == "step").count();
        assert_eq!(last.state.progress.steps, steps as u64);
    }
    train(&mut Toy::new(1), &RunFolder::open(&run).unwrap(), &NEVER, &mut ()).unwrap();
    assert_same_end(&run, &calm);
}

/// A disk of a few pages; `None` without the right to mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]).arg(folder.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        if !mounted {
            println!("skipped: a small disk cannot be mounted here (needs root on Linux)");
        }
        mounted.then_some(Self(folder))
    }

    /// Fills all but so many pages.
    fn fill(&self, pages: u64) -> PathBuf {
        let path = self.0.path().join("filler");
        let mut file = File::create(&path).unwrap();
        let mut written = 0;
        while file.write_all(&[1; 4096]).is_ok() {
            written += 1;
        }
        file.set_len((written - pages) * 4096).unwrap();
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_disk_leaves_the_last_checkpoint_and_the_run_can_go_on() {
    let Some(disk) = SmallDisk::new(1 << 20) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (calm, _) = two_runs(folder.path());
    let recipe = toy::recipe(folder.path(), &[LONGER]);
    let run = disk.0.path().join("run");
    let mut files = Vec::new();
    for pages in [3, 6, 9] {
        let opened = match run.exists() {
            true => RunFolder::open(&run).unwrap(),
            false => RunFolder::create(&run, &recipe).unwrap(),
        };
        if pages > 3 {
            let last = opened.checkpoints().unwrap().whole.pop().unwrap();
            assert_eq!(
                fs::read(last.path.join(PARAMETERS)).unwrap(),
                files,
                "the last one is intact"
            );
        }
        // Some steps with room, then without.
        let mut toy = Toy::new(1);
        let stop = AtomicBool::new(true);
        train(&mut toy, &opened, &stop, &mut ()).unwrap();
        let filler = disk.fill(pages);
        let error = format!("{:#}", train(&mut Toy::new(1), &opened, &NEVER, &mut ()).unwrap_err());
        println!("{error}");
        assert!(error.contains("No space left") && error.contains("cannot write"), "{error}");
        let found = opened.checkpoints().unwrap();
        assert_eq!(found.damaged.len(), 0);
        let left = fs::read_dir(run.join("checkpoints")).unwrap();
        assert!(left.flatten().all(|entry| !entry.file_name().to_string_lossy().starts_with('.')));
        files = fs::read(found.whole.last().unwrap().path.join(PARAMETERS)).unwrap();
        fs::remove_file(filler).unwrap();
    }
    train(&mut Toy::new(1), &RunFolder::open(&run).unwrap(), &NEVER, &mut ()).unwrap();
    assert_same_end(&run, &calm);
}
