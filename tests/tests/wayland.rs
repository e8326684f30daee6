//! The window and dictation on a Wayland desktop. Needs sway, grim, foot and wtype; dictation the
//! models, too.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]
#![cfg(target_os = "linux")]

use partita_tests::{Compositor, Run, Running, Sample, Wav, models_installed, program};
use std::collections::HashSet;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

fn wait(what: &str, done: impl Fn() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_window_opens_without_x() {
    let Some(desktop) = Compositor::start() else { return };
    let mut command = desktop.command(program("partita"));
    command.env("PARTITA_HOME", desktop.folder().join("home")).stderr(Stdio::null());
    let _window = Running(command.spawn().unwrap());
    // An empty desktop has a colour or two; letters are grey in many.
    wait("no window came", || {
        let picture = desktop.folder().join("picture.ppm");
        Run::of(desktop.command("grim").args(["-t", "ppm"]).arg(&picture), &[]).success();
        let picture = fs::read(picture).unwrap();
        picture[16..].chunks_exact(3).collect::<HashSet<_>>().len() > 100
    });
}

#[test]
fn a_missing_library_is_named() {
    let Some(desktop) = Compositor::start() else { return };
    // Found first, and no libraries.
    for name in ["libwayland-egl.so.1", "libwayland-egl.so"] {
        fs::write(desktop.folder().join(name), "none").unwrap();
    }
    let mut command = desktop.command(program("partita"));
    command.env("PARTITA_HOME", desktop.folder().join("home"));
    let run = Run::of(command.env("LD_LIBRARY_PATH", desktop.folder()), &[]);
    run.assert_orderly();
    assert_eq!(run.status, Some(1));
    assert!(!run.complaints("error:", "libwayland-egl.so.1 is missing").is_empty(), "{run:?}");
}

#[test]
fn a_terminal_gets_every_letter_that_was_committed() {
    if !models_installed() {
        return;
    }
    let Some(desktop) = Compositor::start() else { return };
    let arrived = desktop.folder().join("arrived");
    let script = "stty -icanon -echo; touch ready; exec cat > arrived";
    let mut terminal = desktop.command("foot");
    terminal.args(["sh", "-c", script]).current_dir(desktop.folder()).stderr(Stdio::null());
    let _terminal = Running(terminal.spawn().unwrap());
    wait("no terminal came", || desktop.folder().join("ready").exists());

    let mut samples = Sample::of("en").samples();
    samples.extend(vec![0.0; 24_000]);
    samples.extend(Sample::of("es").samples());
    samples.extend(vec![0.0; 24_000]);
    let recording = desktop.folder().join("spoken.wav");
    fs::write(&recording, Wav { rate: 16_000, channels: 1, bits: 16 }.file(&samples)).unwrap();
    let mut command = desktop.command(program("partita"));
    command.args(["dictate", "--now", "--json", "--source"]);
    let run = Run::of(command.arg(format!("file:{}", recording.display())), &[]);
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    let finals = run.json_lines().into_iter().filter(|event| event["event"] == "final");
    let texts: Vec<String> =
        finals.map(|event| event["text"].as_str().unwrap().trim().to_owned()).collect();
    let expected = texts.join(" ");
    assert!(expected.split_whitespace().count() > 20, "{expected}");
    let read = || fs::read_to_string(&arrived).unwrap_or_default();
    wait("not all of it arrived", || read().len() >= expected.len());
    assert_eq!(read(), expected);
}
