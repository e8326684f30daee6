//! Exports that are killed at any moment, or interrupted while they read: what is seen of one is whole.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(unix)]

mod small;

use partita_model::files::WeightFile;
use small::{Made, World};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Files that are to be seen in a folder, by name, as they are.
fn seen(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    let named = named.filter(|(name, _)| !name.starts_with('.'));
    let mut files: Vec<_> = named.map(|(name, path)| (name, fs::read(path).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn what_is_seen_is_whole() {
    let world = World::make(Made::default());
    let (run, home) = (world.run(), world.out("home"));
    let export = |out: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_partita-export"));
        command.args(["gguf", run.to_str().unwrap(), "--quant", "q8_0", "--name", "small", "-o"]);
        command.arg(out).env("PARTITA_HOME", &home).stdout(Stdio::null());
        command.stderr(Stdio::null()).spawn().unwrap()
    };
    let out = world.out("whole");
    let begun = Instant::now();
    assert!(export(&out).wait().unwrap().success());
    let took = begun.elapsed();
    let whole = seen(&out);
    assert_eq!(whole.len(), 2);
    assert!(whole.iter().all(|(name, _)| WeightFile::open(&out.join(name)).is_ok()));

    let mut counts = [0; 3];
    for round in 0..40 {
        let out = world.out(&format!("killed-{round}"));
        let mut child = export(&out);
        // Up to a quarter longer than it takes.
        let share = f64::from(round) / 32.0;
        std::thread::sleep(Duration::from_secs_f64(took.as_secs_f64() * share));
        child.kill().unwrap();
        child.wait().unwrap();
        let left = seen(&out);
        assert!(left.iter().all(|file| whole.contains(file)), "round {round}");
        counts[left.len()] += 1;
        // What was killed is not in the way of the next, which takes away what it left.
        if round % 8 == 0 {
            assert!(export(&out).wait().unwrap().success());
            assert!(seen(&out) == whole, "round {round}");
            let all = fs::read_dir(&out).unwrap().count();
            assert!(!cfg!(target_os = "linux") || all == 2, "round {round}: {all} entries");
        }
    }
    println!("no file, one, both: {counts:?}");
    assert!(counts[0] > 0, "killed too late each time");
}

/// A manifest of more clips than can be heard in this test.
fn long_manifest(world: &World) -> PathBuf {
    let short = fs::read_to_string(world.manifest()).unwrap();
    let row = short.lines().find(|row| row.contains("\"train\"")).unwrap();
    let id = |number: usize| row.replace("clip", &format!("clip{number}-"));
    let rows: Vec<String> = (0..20_000).map(id).collect();
    let path = world.out("speech").join("long.jsonl");
    fs::write(&path, rows.join("\n")).unwrap();
    path
}

/// More sentences than can be counted in this test.
fn long_text(world: &World) -> PathBuf {
    let folder = world.out("sentences");
    fs::create_dir_all(&folder).unwrap();
    let mut lines = String::new();
    for number in 0..1_500_000 {
        writeln!(lines, "one two three four {number}").unwrap();
    }
    fs::write(folder.join("en.txt"), lines).unwrap();
    folder
}

#[test]
fn hearing_and_counting_stop_within_a_second() {
    let world = World::make(Made::default());
    let run = world.run();
    let (manifest, text) = (long_manifest(&world), long_text(&world));
    let calibration = ["--calibration", manifest.to_str().unwrap(), "--calibration-clips", "20000"];
    let counting = ["--vocab-for", "en", "--vocab-text", text.to_str().unwrap()];
    for (number, arguments) in [calibration, counting].into_iter().enumerate() {
        let out = world.out(&format!("interrupted-{number}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_partita-export"));
        command.args(["gguf", run.to_str().unwrap(), "--quant", "q4_k_m", "--name", "small", "-o"]);
        command.arg(&out).args(arguments).env("PARTITA_HOME", world.out("home"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_secs(2));
        assert!(
            child.try_wait().unwrap().is_none(),
            "{arguments:?}: done before it is interrupted"
        );
        let told = Instant::now();
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let took = told.elapsed();
        let error = String::from_utf8(output.stderr).unwrap();
        println!("{took:?}: {error}");
        assert!(error.contains("interrupted; nothing was written"), "{arguments:?}: {error}");
        assert_eq!(output.status.code(), Some(1));
        assert!(took < Duration::from_secs(1), "{arguments:?}: {took:?}");
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    }
}
