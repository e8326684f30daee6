//! Runs in processes of their own that are killed, and what must be the same at their ends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use partita_train::checkpoint::{MOMENTS, PARAMETERS};
use partita_train::run_folder;
use rand::{Rng, SeedableRng};

/// Starts an ignored test of this program, which trains the run that `RUN` names.
pub fn child(test: &str, run: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("RUN", run).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

pub fn lines(run: &Path) -> usize {
    fs::read(run.join("metrics.jsonl"))
        .map_or(0, |text| text.iter().filter(|b| **b == b'\n').count())
}

/// Waits until the log of a run that is trained has so many lines; whether it came so far.
pub fn wait_for_lines(child: &mut Child, run: &Path, wanted: usize) -> bool {
    while lines(run) < wanted {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        sleep(Duration::from_micros(300));
    }
    true
}

/// The log without speeds.
pub fn metrics(run: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let parse = |line: &str| {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("speed");
        value
    };
    text.lines().map(parse).collect()
}

/// Parameters, moments and log of two runs are the same to the bit.
pub fn assert_same_end(run: &Path, other: &Path) {
    for file in [PARAMETERS, MOMENTS] {
        let [a, b] = [run, other].map(|run| {
            let last = run_folder::checkpoints(run).unwrap().whole.pop().unwrap();
            (last.state.progress.steps, fs::read(last.path.join(file)).unwrap())
        });
        assert!(a == b, "{file} differs");
    }
    assert_eq!(metrics(run), metrics(other));
}

/// Kills a run so many times (`kill -9`): up to `steps` steps and then up to `longest` after it was
/// started. Returns how often a checkpoint was being written or removed.
pub fn kill_often(test: &str, run: &Path, kills: u32, steps: usize, longest: Duration) -> usize {
    let mut random = rand::rngs::StdRng::seed_from_u64(u64::from(std::process::id()));
    let mut unfinished = 0;
    for kill in 0..kills {
        let mut child = child(test, run);
        let wanted = lines(run) + random.random_range(1..=steps);
        if !wait_for_lines(&mut child, run, wanted) {
            let output = child.wait_with_output().unwrap();
            panic!("it ended after {kill} kills: {output:?}");
        }
        sleep(longest.mul_f64(random.random()));
        child.kill().unwrap();
        child.wait().unwrap();
        let names = fs::read_dir(run.join("checkpoints"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        unfinished += names.filter(|name| name.starts_with('.')).count();
        // Every checkpoint that has its name is whole, whenever the kill came.
        assert_eq!(run_folder::checkpoints(run).unwrap().damaged.len(), 0);
    }
    unfinished
}
