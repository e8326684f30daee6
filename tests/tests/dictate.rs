//! `partita dictate` into another program: what a terminal gets is what was committed, byte for
//! byte. Needs the models, Xvfb and xterm.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]
#![cfg(target_os = "linux")]

use partita_tests::{Display, Run, Running, Sample, Wav, models_installed, program};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal that fills the screen, so that the pointer is in it and it has the focus, and writes
/// down what arrives.
fn terminal(folder: &Path, display: &str) -> Running {
    let xterm = Command::new("xterm")
        .args(["-u8", "-geometry", "170x55+0+0", "-e", "sh", "-c"])
        .arg("stty -icanon -echo; touch ready; exec cat > arrived")
        .current_dir(folder)
        .envs([("LC_ALL", "C.UTF-8"), ("XMODIFIERS", "@im=none"), ("DISPLAY", display)])
        .stderr(Stdio::null())
        .spawn()
        .map(Running)
        .unwrap();
    let since = Instant::now();
    while !folder.join("ready").exists() {
        assert!(since.elapsed() < PATIENCE, "no terminal came");
        std::thread::sleep(Duration::from_millis(50));
    }
    xterm
}

fn dictate(folder: &Path, display: &str, arguments: &[&str]) -> Run {
    let mut command = Command::new(program("partita"));
    command.arg("dictate").args(arguments).env("DISPLAY", display);
    command.env_remove("WAYLAND_DISPLAY");
    command.env("PARTITA_CONFIG", folder.join("settings.toml")).env("XDG_RUNTIME_DIR", folder);
    Run::of(&mut command, &[])
}

#[test]
fn a_terminal_gets_what_was_committed() {
    if !models_installed() {
        return;
    }
    let Some(display) = Display::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let _terminal = terminal(folder.path(), &display.name);
    let mut samples = vec![0.0; 8_000];
    let clips = ["en", "de", "zh"].map(Sample::of);
    for clip in &clips {
        samples.extend(clip.samples());
        samples.extend(vec![0.0; 24_000]);
    }
    let recording = folder.path().join("spoken.wav");
    fs::write(&recording, Wav { rate: 16_000, channels: 1, bits: 16 }.file(&samples)).unwrap();
    let source = format!("file:{}", recording.display());
    let run = dictate(folder.path(), &display.name, &["--now", "--json", "--source", &source]);
    run.assert_orderly();
    assert_eq!(run.status, Some(0), "{}", run.stderr);

    let mut expected = String::new();
    for event in run.json_lines().iter().filter(|event| event["event"] == "final") {
        let text = event["text"].as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        let wide = |c: Option<char>| c.is_some_and(|c| c >= '\u{2E80}');
        let apart = !wide(text.chars().next()) && !wide(expected.chars().last());
        if apart && !expected.is_empty() && !text.is_empty() {
            expected.push(' ');
        }
        expected.push_str(&text);
    }
    let arrived = || fs::read(folder.path().join("arrived")).unwrap_or_default();
    let since = Instant::now();
    while arrived().len() < expected.len() && since.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(String::from_utf8_lossy(&arrived()), expected);
    println!("{expected}");
    let words: Vec<&str> = clips[0].text.split_whitespace().collect();
    let found = words.iter().filter(|word| expected.contains(**word)).count();
    assert!(found * 2 > words.len(), "{found} of {} words: {expected}", words.len());
    assert!(expected.chars().any(|c| c >= '\u{4E00}'), "no Chinese: {expected}");
}

#[test]
fn what_is_wrong_is_said_in_a_line() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, part) in [
        (&["--toggle"][..], "no instance of partita is running"),
        (&["--now", "--source", "file:/nowhere.wav"], "no desktop to type into"),
        (&["--key", "Ctrl+Nothing"], "no desktop to type into"),
    ] {
        let run = dictate(folder.path(), ":4711", arguments);
        run.assert_orderly();
        assert_eq!(run.status, Some(1));
        assert_eq!(run.complaints("error:", part).len(), 1, "{}", run.stderr);
    }
}
