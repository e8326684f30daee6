//! What may happen while somebody speaks: the model's files are deleted, the disk is full.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]
#![cfg(unix)]

use partita_tests::{Desk, Run, Sample, Wav, models_installed, program, stored};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Seconds in which nobody speaks.
fn quiet(seconds: f64) -> Vec<f32> {
    vec![0.0; (seconds * 16_000.0) as usize]
}

/// Audio as a file in a folder.
fn audio(folder: &Path, parts: &[Vec<f32>]) -> PathBuf {
    let path = folder.join("spoken.wav");
    fs::write(&path, Wav { rate: 16_000, channels: 1, bits: 16 }.file(&parts.concat())).unwrap();
    path
}

#[test]
fn a_model_that_is_deleted_while_it_listens_is_heard_to_the_end() {
    if !models_installed() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let models = home.path().join("models");
    fs::create_dir(&models).unwrap();
    let store = stored("whisper-base", ".gguf").unwrap().parent().unwrap().to_owned();
    for other in ["silero-vad", "onnxruntime"] {
        symlink(store.with_file_name(other), models.join(other)).unwrap();
    }
    let own = models.join("whisper-base");
    fs::create_dir(&own).unwrap();
    for file in store.read_dir().unwrap().flatten() {
        // What is fetched and what is made of it; links to the same data where the disk lets us.
        let to = own.join(file.file_name());
        fs::hard_link(file.path(), &to).or_else(|_| fs::copy(file.path(), &to).map(drop)).unwrap();
    }
    let clip = Sample::of("en");
    let spoken = audio(home.path(), &[quiet(1.0), clip.samples(), quiet(1.5)]);
    let mut command = Command::new(program("partita"));
    command.args(["listen", "--json", "--lang", "en", "--source"]);
    command.arg(format!("file:{}", spoken.display())).env("PARTITA_HOME", home.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut texts = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        match event["event"].as_str().unwrap() {
            "listening" => fs::remove_dir_all(&own).unwrap(),
            "final" => texts.push(event["text"].as_str().unwrap().to_owned()),
            "warning" | "failed" => panic!("{event}"),
            _ => {}
        }
    }
    let run = Run::from(child.wait_with_output().unwrap());
    run.assert_orderly();
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    assert!(!own.exists() && clip.error_rate(&texts.join(" ")) <= 0.2, "{texts:?}");
    // The next session says what is missing, and how it comes back.
    let again = Run::of(&mut command, &[]);
    again.assert_orderly();
    assert_ne!(again.status, Some(0));
    assert!(!again.complaints("error:", "whisper-base").is_empty(), "{}", again.stderr);
    assert!(again.stderr.contains("partita models pull whisper-base"), "{}", again.stderr);
}

/// A small disk in a folder, for as long as this lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(folder: PathBuf) -> Option<Self> {
        fs::create_dir_all(&folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(&folder);
        if !mount.output().is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: a small disk cannot be mounted here (needs root on Linux)");
            return None;
        }
        Some(Self(folder))
    }

    /// Leaves room for nothing.
    fn fill(&self) {
        let full = fs::write(self.0.join("filler"), vec![7; 4 << 20]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn what_is_said_while_the_disk_is_full_is_kept_once_there_is_room() {
    let Some(mut desk) = Desk::start() else { return };
    if !models_installed() {
        return;
    }
    let Some(disk) = SmallDisk::new(desk.folder().join("home")) else { return };
    desk.lend_models();
    let [first, second] = ["en", "es"].map(Sample::of);
    let parts = [quiet(1.0), first.samples(), quiet(10.0), second.samples(), quiet(60.0)];
    let spoken = audio(desk.folder(), &parts);
    let settings = format!(
        "version = 1\n[audio]\nsources = [\"file:{}\"]\n[speech]\nlanguages = [\"en\", \"es\"]\n",
        spoken.display()
    );
    fs::write(desk.folder().join("settings.toml"), settings).unwrap();
    desk.open(&[], "Partita");
    desk.key("F5");
    desk.wait("the text", |desk| first.error_rate(&desk.said()) <= 0.2);
    disk.fill();
    let before = desk.said();
    let seconds = 12.0 + second.samples().len() as f64 / 16_000.0;
    std::thread::sleep(Duration::from_secs_f64(seconds + 4.0));
    desk.picture("full");
    assert!(desk.runs());
    assert_eq!(desk.said(), before, "written to a full disk");
    disk.make_room();
    desk.wait("what was said meanwhile", |desk| {
        let said = desk.said();
        let later = said.strip_prefix(&before);
        later.is_some_and(|later| second.error_rate(later) <= 0.3)
    });
    desk.picture("room");
    desk.quit();
}
