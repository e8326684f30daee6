//! End-to-end tests over the built programs, and what they share: finding and running programs,
//! sample clips, audio made for a test.
//!
//! The programs are those that `cargo build --release --workspace` left beside the tests.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

#[cfg(unix)]
mod compositor;
mod desk;
mod display;
mod microphone;

#[cfg(unix)]
pub use compositor::Compositor;
pub use desk::Desk;
pub use display::{Display, Running};
pub use microphone::VirtualMicrophone;

use partita_corpus::error_rate::words;
use partita_corpus::normalize::normalize;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where one of our programs lies: in the profile's folder, above that of the running test.
///
/// # Panics
/// When it is not built: a test must not pass because there was nothing to run.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the running test has a path");
    let folder = test.parent().and_then(Path::parent).expect("target/<profile>/deps/<test>");
    let path = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.is_file(),
        "{} is not built: run `cargo build --release --workspace` first",
        path.display()
    );
    path
}

/// What a program did.
#[derive(Debug)]
pub struct Run {
    /// Its exit code; `None` when a signal ended it.
    pub status: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Run {
    /// Runs one of our programs to its end, with nothing on standard input.
    pub fn new(name: &str, arguments: &[&str]) -> Self {
        Self::of(Command::new(program(name)).args(arguments), &[])
    }

    /// Runs a command to its end with `input` on its standard input.
    pub fn of(command: &mut Command, input: &[u8]) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("standard input is a pipe");
        let output = std::thread::scope(|scope| {
            // A program that ends early does not read the rest.
            scope.spawn(move || stdin.write_all(input).ok());
            child.wait_with_output().expect("the program ends")
        });
        output.into()
    }

    /// Its output, after making sure that it succeeded.
    pub fn success(self) -> String {
        assert_eq!(self.status, Some(0), "{}", self.stderr);
        self.stdout
    }

    /// The JSON objects it printed, one a line.
    pub fn json_lines(&self) -> Vec<Value> {
        let line =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.stdout.lines().map(line).collect()
    }

    /// The lines of standard error that begin with `start` and hold `part`.
    pub fn complaints(&self, start: &str, part: &str) -> Vec<&str> {
        self.stderr.lines().filter(|l| l.starts_with(start) && l.contains(part)).collect()
    }

    /// Fails unless it ended by itself, without a panic and without a dump of one.
    pub fn assert_orderly(&self) {
        assert!(self.status.is_some(), "ended by a signal: {}", self.stderr);
        for word in ["panicked", "RUST_BACKTRACE", "stack backtrace"] {
            assert!(!self.stderr.contains(word), "{}", self.stderr);
        }
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
        Self {
            status: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

/// Whether the models that transcribing takes are in the store; says so where they are not.
pub fn models_installed() -> bool {
    for name in ["whisper-base", "silero-vad", "onnxruntime"] {
        if Run::new("partita", &["models", "path", name]).status != Some(0) {
            // Not `println!`: the test harness hides that of tests that pass.
            writeln!(std::io::stderr(), "skipped: {name} is not in the store (make models)").ok();
            return false;
        }
    }
    true
}

/// The file of the store's `model` whose name holds `part`; `None` where the model is not there.
pub fn stored(model: &str, part: &str) -> Option<PathBuf> {
    let run = Run::new("partita", &["models", "path", model]);
    let path = PathBuf::from(Some(run.stdout.trim()).filter(|_| run.status == Some(0))?);
    if path.is_file() {
        return Some(path);
    }
    let mut files = path.read_dir().ok()?.flatten().map(|entry| entry.path());
    files.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(part)))
}

/// A sample clip of `assets/samples` with what is said in it.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The recording.
    pub path: String,
    /// Its language.
    pub lang: String,
    /// Its words.
    pub text: String,
}

impl Sample {
    /// The clip in that language.
    pub fn of(lang: &str) -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/samples");
        let list = std::fs::read_to_string(format!("{folder}/samples.json")).expect("the list");
        let list: Value = serde_json::from_str(&list).expect("the list is JSON");
        let rows = list.as_array().expect("the list is an array");
        let row = rows.iter().find(|row| row["lang"] == lang).expect("a clip in that language");
        let field = |name: &str| row[name].as_str().expect("a string").to_owned();
        let path = format!("{folder}/{}", field("file"));
        Self { path, lang: lang.to_owned(), text: field("text") }
    }

    /// Word error rate of a transcript of this clip, both sides normalised.
    pub fn error_rate(&self, heard: &str) -> f64 {
        let [said, heard] = [&self.text, heard].map(|text| normalize(&self.lang, text));
        words(&said, &heard).rate().expect("something was said")
    }

    /// Its samples at 16 kHz, mono.
    pub fn samples(&self) -> Vec<f32> {
        partita_audio::read_all(Path::new(&self.path)).expect("a sample clip can be read")
    }
}

/// The shape of a WAV file.
#[derive(Debug, Clone, Copy)]
pub struct Wav {
    /// Samples a second.
    pub rate: u32,
    /// Channels; all get the same samples.
    pub channels: u16,
    /// Bits a sample: 8 (unsigned), 16 (signed) or 32 (float).
    pub bits: u16,
}

impl Wav {
    /// The 44 bytes before the samples of a file of so many frames.
    pub fn header(self, frames: u32) -> Vec<u8> {
        let frame = self.channels * (self.bits / 8);
        let bytes = frames.saturating_mul(frame.into());
        let format: u16 = if self.bits == 32 { 3 } else { 1 };
        let mut header = b"RIFF".to_vec();
        header.extend(bytes.saturating_add(36).to_le_bytes());
        header.extend(b"WAVEfmt \x10\0\0\0");
        header.extend([format, self.channels].map(u16::to_le_bytes).concat());
        header.extend([self.rate, self.rate * u32::from(frame)].map(u32::to_le_bytes).concat());
        header.extend([frame, self.bits].map(u16::to_le_bytes).concat());
        header.extend(b"data");
        header.extend(bytes.to_le_bytes());
        header
    }

    /// A whole file of mono samples.
    pub fn file(self, samples: &[f32]) -> Vec<u8> {
        let mut file = self.header(u32::try_from(samples.len()).expect("a short file"));
        for &sample in samples {
            let bytes = match self.bits {
                8 => vec![(sample * 127.0 + 128.0) as u8],
                16 => ((sample * 32767.0) as i16).to_le_bytes().to_vec(),
                _ => sample.to_le_bytes().to_vec(),
            };
            (0..self.channels).for_each(|_| file.extend(&bytes));
        }
        file
    }
}
