//! One model measured in a process of its own, so that loading, memory and speed are its own.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use partita_audio::SAMPLE_RATE;
use partita_model::engine::{Request, Text};
use partita_model::machine::{Threads, cpu_seconds, peak_memory_mib};
use serde::{Deserialize, Serialize};

use super::logits::{self, Agreement};
use super::subject::Subject;
use crate::clips::Clip;

/// Name of the hidden command that measures.
pub const COMMAND: &str = "measure";
/// Most bytes of a task that are read.
const LONGEST: u64 = 1 << 28;

/// What is to be measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Work {
    /// The model.
    pub subject: Subject,
    /// Whether it is the one that others are compared with: opened in floats, its logits kept.
    pub is_reference: bool,
    /// What it is to hear.
    pub clips: Vec<Clip>,
    /// Languages that may be spoken.
    pub languages: Vec<String>,
    /// Where the reference's logits are.
    pub logits: PathBuf,
}

/// What was found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Seconds from opening the files, which the system has in its cache, to the first clip.
    pub load_seconds: f64,
    /// Seconds that all clips took.
    pub seconds: f64,
    /// Seconds of processors, all threads together, that they took; absent where the system does not
    /// say.
    pub cpu_seconds: Option<f64>,
    /// Seconds of all clips.
    pub audio_seconds: f64,
    /// Largest memory of the process until all clips were heard, in MiB, mapped files included.
    pub peak_mib: Option<f64>,
    /// What was written for each clip.
    pub answers: Vec<Said>,
    /// How alike logits are, where they can be compared.
    pub agreement: Option<Agreement>,
}

/// What was written for a clip.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// The transcript.
    pub text: String,
    /// The translation, where one was asked for.
    pub translation: Option<String>,
}

/// Measures in a process of its own: `program` (this one) run again.
///
/// # Errors
/// When that process fails; the message is its own.
pub fn apart(program: &Path, work: &Work, threads: Threads) -> Result<Measured> {
    for file in work.subject.files()? {
        // What is measured is loading, not this machine's disk.
        let mut file = std::fs::File::open(&file).with_context(|| file.display().to_string())?;
        std::io::copy(&mut file, &mut std::io::sink())?;
    }
    let mut child = Command::new(program)
        .arg(COMMAND)
        .envs(threads.variables())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| program.display().to_string())?;
    // The process reads all of it before it writes anything.
    if let Some(mut input) = child.stdin.take() {
        input.write_all(&serde_json::to_vec(work)?)?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let last = words.lines().last().unwrap_or("it was ended").trim_start_matches("error: ");
        bail!("measuring: {last}");
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// What the hidden command does: reads [`Work`] from standard input, returns [`Measured`] as JSON.
///
/// # Errors
/// When the work makes no sense or cannot be done.
pub fn run() -> Result<String> {
    let mut text = Vec::new();
    std::io::stdin().lock().take(LONGEST).read_to_end(&mut text)?;
    let work: Work = serde_json::from_slice(&text).context("no description of work")?;
    Ok(format!("{}\n", serde_json::to_string(&measure(&work)?)?))
}

fn measure(work: &Work) -> Result<Measured> {
    let opened = Instant::now();
    let mut model = work.subject.open(work.is_reference)?;
    let mut found =
        Measured { load_seconds: opened.elapsed().as_secs_f64(), ..Measured::default() };
    let can = model.capabilities().clone();
    let knows = |codes: &[String], code: &str| codes.iter().any(|known| known == code);
    let request = |clip: &Clip| Request {
        among: work.languages.iter().filter(|code| knows(&can.languages, code)).cloned().collect(),
        translate: clip
            .translation
            .as_ref()
            .map(|(target, _)| target.clone())
            .filter(|target| knows(&can.translation_targets, target)),
        timestamps: false,
        ..Request::default()
    };
    for (number, clip) in work.clips.iter().enumerate() {
        let (samples, request) = (clip.samples()?, request(clip));
        let context = || format!("clip `{}`", clip.id);
        if number == 0 {
            // The first clip also pays for what is made when it is first needed.
            model.engine().transcribe(&samples, &request).with_context(context)?;
        }
        let (begun, cpu) = (Instant::now(), cpu_seconds());
        let said = model.engine().transcribe(&samples, &request).with_context(context)?;
        found.seconds += begun.elapsed().as_secs_f64();
        let spent = cpu_seconds().zip(cpu).map(|(now, then)| now - then);
        found.cpu_seconds = spent.map(|spent| spent + found.cpu_seconds.unwrap_or(0.0));
        found.audio_seconds += samples.len() as f64 / f64::from(SAMPLE_RATE);
        let translation = said.translation.as_ref().map(joined);
        found.answers.push(Said { text: joined(&said.text), translation });
    }
    found.peak_mib = peak_memory_mib();
    if work.is_reference {
        logits::keep(&model, &work.clips, &work.logits)?;
    } else {
        found.agreement = logits::compare(&model, &work.clips, &work.logits)?;
    }
    Ok(found)
}

fn joined(text: &Text) -> String {
    text.segments.iter().map(|segment| segment.text.as_str()).collect::<Vec<_>>().join(" ")
}
