//! `partita-export compare`: what each form of a model costs, and what it saves.
//!
//! ```text
//! Entry (run, pair, packed, Whisper) ─ measure, a process each ─ Measured ─┬─ Scores ─ Row ─ compare.json
//! Clip ────────────────────────────────────────────────────────────────────┘              compare.md, .png
//! ```
//!
//! Every model hears the same clips in a process of its own: loading, memory and speed are its own.
//! The first is the reference, in floats; its logits are kept in a folder for the others to compare
//! theirs with.

pub mod cli;
pub mod logits;
pub mod measure;
pub mod render;
pub mod scores;
pub mod subject;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use partita_corpus::manifest::Split;
use partita_model::files::whole;
use partita_model::machine::Threads;
use serde::{Deserialize, Serialize};

use crate::clips::{self, Clip, Wanted};
use crate::interrupt;
use crate::scratch::Scratch;
use logits::Agreement;
use measure::{Measured, Work};
use scores::Scores;
use subject::Entry;

/// What is to be compared, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// A trained model's folder, or a Whisper model: what others are compared with, in floats.
    pub reference: String,
    /// Its exports.
    pub others: Vec<String>,
    /// The manifest of the clips that all hear.
    pub manifest: PathBuf,
    /// Its split.
    pub split: Split,
    /// Most clips.
    pub clips: usize,
    /// Languages spoken; all of the reference's if there are none.
    pub languages: Vec<String>,
    /// A language to translate into; all of the reference's if there are none.
    pub to: Vec<String>,
    /// Threads, or one a core.
    pub threads: Option<u16>,
    /// This program, which is run again for each model.
    pub program: PathBuf,
    /// The folder that gets table, figures and plot.
    pub out: Option<PathBuf>,
}

/// A comparison.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Comparison {
    /// The reference first.
    pub rows: Vec<Row>,
    /// Clips that were heard.
    pub clips: usize,
    /// Their length in seconds.
    pub seconds: f64,
    /// Clips with a translation.
    pub translated: usize,
    /// Languages spoken.
    pub languages: Vec<String>,
    /// Clips that could not be read, and why.
    pub unheard: Vec<String>,
    /// The manifest's name.
    pub manifest: String,
    /// Its split.
    pub split: Split,
    /// Threads of float products, and of quantized ones.
    pub threads: [usize; 2],
}

/// One model.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// What it is called.
    pub name: String,
    /// Bytes of all files that it needs.
    pub bytes: u64,
    /// Whether its file was made in floats for the comparison.
    pub made: bool,
    /// Seconds that loading takes.
    pub load_seconds: f64,
    /// Seconds of computing for one of audio.
    pub real_time_factor: f64,
    /// Seconds of processors for one of audio, which hardly changes with what else runs.
    pub cpu_factor: Option<f64>,
    /// Largest memory in MiB.
    pub peak_mib: Option<f64>,
    /// How alike its logits are to the reference's; of the reference, absent.
    pub agreement: Option<Agreement>,
    /// How good its answers are.
    pub scores: Scores,
}

/// Compares models and, if a folder is named, writes `compare.md`, `compare.json` and `compare.png`
/// (where there is something to draw) into it. Calls `progress` with a line before each step.
///
/// # Errors
/// When a model or the manifest cannot be used, or the folder cannot be written.
pub fn compare(options: &Options, progress: &dyn Fn(&str)) -> Result<Comparison> {
    let reference = Entry::find(&options.reference, true)?;
    // `DIR/*.gguf` names both halves of pairs.
    let named = options.others.iter().filter(|name| !subject::is_projector(Path::new(name)));
    let others = named.map(|name| Entry::find(name, false)).collect::<Result<Vec<_>>>()?;
    if others.is_empty() {
        bail!("only files of encoder and adapter; the other half of the pair is to be named");
    }
    progress(&format!("{}: looking at what it can do", reference.name));
    let (spoken, written) = reference.subject.languages()?;
    let languages = known("languages", &options.languages, &spoken)?;
    let targets = known("to", &options.to, &written)?;
    let wanted = Wanted { split: options.split, languages, targets, most: options.clips };
    let mut unheard = Vec::new();
    let clips: Vec<Clip> = clips::choose(&options.manifest, &wanted)?
        .into_iter()
        .filter(|clip| match clip.samples() {
            Ok(_) => true,
            Err(error) => {
                unheard.push(format!("{error:#}"));
                false
            }
        })
        .collect();
    if clips.is_empty() {
        bail!("no clip can be read; the first: {}", unheard.first().map_or("", String::as_str));
    }
    let folder = Scratch::temporary()?;
    let threads = Threads::of(options.threads);
    let mut rows: Vec<Row> = Vec::new();
    let mut answers = Vec::new();
    for (number, entry) in std::iter::once(&reference).chain(&others).enumerate() {
        interrupt::check()?;
        progress(&format!("{}: {} clips", entry.name, clips.len()));
        let work = Work {
            subject: entry.subject.clone(),
            is_reference: number == 0,
            clips: clips.clone(),
            languages: languages.to_vec(),
            logits: folder.path().to_owned(),
        };
        let found = measure::apart(&options.program, &work, threads);
        let found = found.with_context(|| entry.name.clone())?;
        if number == 0 {
            answers.clone_from(&found.answers);
        }
        rows.push(Row::of(entry, &found, Scores::of(&clips, &found.answers, &answers))?);
    }
    let mut heard: Vec<String> = clips.iter().map(|clip| clip.lang.clone()).collect();
    heard.dedup();
    let comparison = Comparison {
        rows,
        clips: clips.len(),
        seconds: clips.iter().map(|clip| clip.seconds).sum(),
        translated: clips.iter().filter(|clip| clip.translation.is_some()).count(),
        languages: heard,
        unheard,
        manifest: options.manifest.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        split: options.split,
        threads: [threads.all, threads.spinning],
    };
    if let Some(out) = &options.out {
        write(&comparison, out)?;
    }
    Ok(comparison)
}

impl Row {
    fn of(entry: &Entry, found: &Measured, scores: Scores) -> Result<Self> {
        let audio = found.audio_seconds.max(f64::MIN_POSITIVE);
        Ok(Self {
            name: entry.name.clone(),
            bytes: entry.subject.bytes()?,
            made: entry.is_made(),
            load_seconds: found.load_seconds,
            real_time_factor: found.seconds / audio,
            cpu_factor: found.cpu_seconds.map(|seconds| seconds / audio),
            peak_mib: found.peak_mib,
            agreement: found.agreement,
            scores,
        })
    }
}

/// What was asked for, all of which must be known; everything where nothing was.
fn known<'a>(option: &str, wanted: &'a [String], all: &'a [String]) -> Result<&'a [String]> {
    if wanted.is_empty() {
        return Ok(all);
    }
    match wanted.iter().find(|code| !all.contains(code)) {
        Some(code) => bail!("--{option}: `{code}` is not among {}", all.join(", ")),
        None => Ok(wanted),
    }
}

fn write(comparison: &Comparison, folder: &Path) -> Result<()> {
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        whole::write(&path, bytes).with_context(|| path.display().to_string())
    };
    let plot = render::plot(comparison);
    write("compare.json", &serde_json::to_vec_pretty(comparison)?)?;
    write("compare.md", render::page(comparison, !plot.is_empty()).as_bytes())?;
    if !plot.is_empty() {
        write("compare.png", &plot.draw()?)?;
    }
    Ok(())
}
