//! Exports that are killed at any moment: what is seen of one is whole.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(unix)]

mod small;

use partita_model::files::WeightFile;
use small::{Made, World};
use std::fs;
use std::path::Path;
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
        // What was killed is not in the way of the next.
        if round % 8 == 0 {
            assert!(export(&out).wait().unwrap().success());
            assert!(seen(&out) == whole, "round {round}");
        }
    }
    println!("no file, one, both: {counts:?}");
    assert!(counts[0] > 0, "killed too late each time");
}
