//! The small speech model, with everything in it that is drawn, killed at any moment.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod killed;
mod recordings;
mod small_speech;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use candle_core::Device;
use killed::{assert_same_end, child, kill_often};
use partita_train::run_folder::RunFolder;
use partita_train::train;

/// The test that trains in a process of its own.
const TRAINS: &str = "child_trains";

/// Trains the run that `RUN` names; started by tests in a process of its own.
#[test]
#[ignore = "run by other tests in a process of its own"]
fn child_trains() {
    let run = PathBuf::from(std::env::var_os("RUN").unwrap());
    println!("outcome: {:?}", train::resume(&run, &Device::Cpu, true).unwrap());
}

/// An empty run of so many steps: low-rank changes with dropout, dropped frames, masks, speed, gain,
/// noise, padding, text, and a mix of tasks in every stage.
fn begin(folder: &Path, name: &str, steps: u64) -> PathBuf {
    let path = small_speech::recipe(folder);
    let mut text = fs::read_to_string(&path).unwrap();
    for (from, to) in [
        ("alpha = 16.0", "alpha = 16.0\ndropout = 0.1".to_owned()),
        ("steps = 90", format!("steps = {steps}")),
        ("padded_share = 0.0", "padded_share = 0.02".to_owned()),
        ("speed = [1.0, 1.0]", "speed = [0.9, 1.1]\nframe_dropout = 0.1".to_owned()),
        ("noise_share = 0.0", "noise_share = 0.5".to_owned()),
        ("frequency_masks = 0", "frequency_masks = 1".to_owned()),
        ("time_masks = 0", "time_masks = 1".to_owned()),
        ("every = 30", "every = 12".to_owned()),
        ("steps = 20\n", "steps = 2\n".to_owned()),
        ("tasks = { asr = 1.0 }", "tasks = { asr = 1.0, ctc = 0.5 }".to_owned()),
        ("tasks = { asr = 1.0, st = 1.0 }", "tasks = { asr = 1.0, st = 1.0, lm = 0.5 }".to_owned()),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, &to, 1);
    }
    fs::write(&path, text).unwrap();
    let run = folder.join(name);
    let options = train::Options {
        recipe: path,
        out: None,
        speech: Vec::new(),
        text: Vec::new(),
        seed: None,
    };
    drop(RunFolder::create(&run, &train::resolve(&options).unwrap()).unwrap());
    run
}

fn ends_the_same_after(kills: u32, steps: u64) {
    let folder = tempfile::tempdir().unwrap();
    let (calm, run) = (begin(folder.path(), "calm", steps), begin(folder.path(), "run", steps));
    let finish = |run: &Path| {
        let output = child(TRAINS, run).wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("outcome: Finished"), "{output:?}");
    };
    finish(&calm);
    let unfinished = kill_often(TRAINS, &run, kills, 3, Duration::from_millis(200));
    finish(&run);
    println!("{kills} kills, {unfinished} of them while a checkpoint was written or removed");
    assert_same_end(&run, &calm);
    let [one, other] = [&run, &calm].map(|run| fs::read(run.join("weights.safetensors")).unwrap());
    assert!(one == other, "the trained weights differ");
}

#[test]
fn a_speech_model_that_is_killed_ends_as_one_that_was_not() {
    ends_the_same_after(4, 30);
}

#[test]
#[ignore = "takes minutes; the same with fewer kills is run always"]
fn a_speech_model_that_is_killed_twenty_times_ends_as_one_that_was_not() {
    ends_the_same_after(20, 90);
}
