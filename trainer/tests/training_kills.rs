//! Runs that are killed, interrupted, or meet a full disk.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod toy;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::Duration;

use partita_train::checkpoint::{MOMENTS, PARAMETERS};
use partita_train::run_folder::{self, RunFolder};
use partita_train::training_loop::{Outcome, stop_on_interrupt, train};
use toy::{Random, Toy};

const KILLS: u32 = 20;
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

fn child(run: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child_trains", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("RUN", run).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn lines(run: &Path) -> usize {
    fs::read(run.join("metrics.jsonl"))
        .map_or(0, |text| text.iter().filter(|b| **b == b'\n').count())
}

/// Waits until the log of a run that is trained has so many lines; whether it came so far.
fn wait_for_lines(child: &mut Child, run: &Path, wanted: usize) -> bool {
    while lines(run) < wanted {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        sleep(Duration::from_micros(300));
    }
    true
}

/// The log without speeds.
fn metrics(run: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let parse = |line: &str| {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("speed");
        value
    };
    text.lines().map(parse).collect()
}

fn assert_same_end(run: &Path, other: &Path) {
    for file in [PARAMETERS, MOMENTS] {
        let [a, b] = [run, other].map(|run| {
            let last = run_folder::checkpoints(run).unwrap().whole.pop().unwrap();
            (last.state.progress.steps, fs::read(last.path.join(file)).unwrap())
        });
        assert!(a == b, "{file} differs");
    }
    assert_eq!(metrics(run), metrics(other));
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
    let mut random = Random(u64::from(std::process::id()));
    let (mut kills, mut unfinished) = (0, 0);
    while kills < KILLS {
        let mut child = child(&run);
        // Some steps further, and then up to a few milliseconds: many fall into a checkpoint.
        let wanted = lines(&run) + 1 + (random.next() % 9) as usize;
        if !wait_for_lines(&mut child, &run, wanted) {
            let output = child.wait_with_output().unwrap();
            panic!("it ended after {kills} kills: {output:?}");
        }
        sleep(Duration::from_micros(random.next() % 4000));
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        unfinished += fs::read_dir(run.join("checkpoints"))
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'))
            .count();
        // Every checkpoint that has its name is whole, whenever the kill came.
        assert_eq!(run_folder::checkpoints(&run).unwrap().damaged.len(), 0);
    }
    let output = child(&run).wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("outcome: Finished"), "{output:?}");
    println!("{kills} kills, {unfinished} of them while a checkpoint was written or removed");
    assert_same_end(&run, &calm);
}

#[test]
#[cfg(unix)]
fn an_interrupted_run_writes_a_checkpoint_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (calm, run) = two_runs(folder.path());
    for (signal, after) in [("-TERM", 21), ("-INT", 90)] {
        let mut child = child(&run);
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
