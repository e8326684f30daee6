//! Corpora into manifests.
//!
//! A folder gets `speech.jsonl` (clips and noise), `text.jsonl` (sentence pairs) and
//! `sentences.jsonl` (sentences without a translation, the same row with an empty target), each
//! only where there is something for it. Rows are read twice: once to find what belongs together
//! ([`partita_corpus::split`]), once to write, so memory holds hashes and not the texts.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use partita_corpus::BadRow;
use partita_corpus::manifest::{NO_LANGUAGE, SpeechRow, Split, TextRow, Writer};
use partita_corpus::readers::{Entry, Layout};
use rayon::prelude::*;
use serde::Serialize;

use crate::audio;
use crate::data::shards::{self, Written};
use crate::output;
use crate::sources::{Kind, Skipped, Sources, assign_split};

/// Rows whose missing durations are measured at a time.
const CHUNK: usize = 4096;

/// What [`prepare`] is to do.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Files and folders to read.
    pub sources: Vec<PathBuf>,
    /// A folder for the manifests, or a single manifest (`*.jsonl`).
    pub out: PathBuf,
    /// What the sources are taken for.
    pub kind: Kind,
    /// Language of rows that state none.
    pub lang: String,
    /// Leave the length of clips unknown where the corpus does not state it.
    pub no_audio: bool,
    /// A folder that gets the clips as tar shards besides.
    pub shards: Option<PathBuf>,
    /// About how many bytes a shard has.
    pub shard_bytes: u64,
    /// Show no progress.
    pub quiet: bool,
}

/// What was written.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The manifests.
    pub manifests: Vec<PathBuf>,
    /// Clips by language.
    pub speech: BTreeMap<String, SpeechCount>,
    /// Sentence pairs (`en-de`) and sentences (`en`) by language.
    pub text: BTreeMap<String, SplitCount>,
    /// Rows that were left out, by line.
    pub bad_rows: Vec<BadRow>,
    /// Files that were passed over.
    pub skipped: Vec<Skipped>,
    /// Shards that were written.
    pub shards: Option<Written>,
}

/// Clips of a language.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct SpeechCount {
    /// Clips by split.
    #[serde(flatten)]
    pub rows: SplitCount,
    /// Hours of all splits, as far as lengths are known.
    pub hours: f64,
}

/// Rows by split.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SplitCount {
    /// For training.
    pub train: u64,
    /// For choices during development.
    pub dev: u64,
    /// For the reported figures.
    pub test: u64,
}

impl SplitCount {
    /// Counts a row.
    pub fn add(&mut self, split: Split) {
        match split {
            Split::Train => self.train += 1,
            Split::Dev => self.dev += 1,
            Split::Test => self.test += 1,
        }
    }

    /// Rows of all splits.
    pub fn total(&self) -> u64 {
        self.train + self.dev + self.test
    }
}

/// Reads the sources and writes the manifests; they appear whole or not at all.
///
/// # Errors
/// When a source cannot be read at all, or a manifest cannot be written. Rows that make no sense,
/// and clips whose audio is missing or empty, are left out and reported.
pub fn prepare(options: &Options) -> Result<Report> {
    let sources = Sources::find(&options.sources, options.kind, &options.lang)?;
    let plan = sources.split_plan()?;
    let mut output = Output::create(options, &sources)?;
    let mut waiting = Vec::new();
    sources.for_each(|table, row| {
        let file = sources.tables.get(table).map(|t| t.path.clone()).unwrap_or_default();
        let mut row = match row {
            Ok(row) => row,
            Err(bad) => {
                output.report.bad_rows.push(bad);
                return Ok(());
            }
        };
        assign_split(&mut row, &plan);
        match row.entry {
            Entry::Text(row) => output.write_text(&row)?,
            Entry::Speech(clip) => {
                let bad = BadRow { file, line: row.line, reason: String::new() };
                waiting.push((clip, bad));
            }
        }
        if waiting.len() >= CHUNK { output.write_speech(&mut waiting) } else { Ok(()) }
    })?;
    output.write_speech(&mut waiting)?;
    let mut report = output.finish(sources.skipped)?;
    if let Some(folder) = &options.shards {
        let manifest =
            report.manifests.first().filter(|_| sources.tables.iter().any(|t| !t.layout.is_text()));
        let manifest = manifest.context("the sources hold no speech that could go into shards")?;
        let mut written = shards::write(manifest, folder, options.shard_bytes, options.quiet)?;
        report.bad_rows.append(&mut written.bad_rows);
        report.shards = Some(written);
    }
    Ok(report)
}

/// The report as tables for people, without the bad rows.
pub fn render(report: &Report) -> String {
    let splits = |count: &SplitCount| [count.train, count.dev, count.test].map(|n| n.to_string());
    let mut text = String::new();
    let speech = report.speech.iter().map(|(lang, count)| {
        let clips = count.rows.total().to_string();
        let mut line = vec![lang.clone(), clips, format!("{:.3}", count.hours)];
        line.extend(splits(&count.rows));
        line
    });
    if !report.speech.is_empty() {
        let header = ["lang", "clips", "hours", "train", "dev", "test"];
        text.push_str(&output::table(&header, speech.collect(), 1..6));
    }
    let sentences = report.text.iter().map(|(lang, count)| {
        let mut line = vec![lang.clone(), count.total().to_string()];
        line.extend(splits(count));
        line
    });
    if !report.text.is_empty() {
        let header = ["lang", "sentences", "train", "dev", "test"];
        text.push_str(&output::table(&header, sentences.collect(), 1..5));
    }
    text.push_str(&format!("bad rows left out: {}\n", report.bad_rows.len()));
    for manifest in &report.manifests {
        text.push_str(&format!("wrote {}\n", manifest.display()));
    }
    if let Some(Written { shards, clips, .. }) = &report.shards {
        text.push_str(&format!("wrote {} shards with {clips} clips\n", shards.len()));
    }
    text
}

/// The manifests while they are written.
struct Output<'a> {
    options: &'a Options,
    speech: Option<Writer<SpeechRow>>,
    pairs: Option<Writer<TextRow>>,
    sentences: Option<Writer<TextRow>>,
    /// The folder from which audio paths count, without links.
    base: PathBuf,
    /// Audio folders, without links.
    folders: HashMap<PathBuf, PathBuf>,
    report: Report,
}

impl<'a> Output<'a> {
    fn create(options: &'a Options, sources: &Sources) -> Result<Self> {
        let single = options.out.extension().is_some_and(|ext| ext == "jsonl");
        let any_list = sources.tables.iter().any(|t| t.layout == Layout::Sentences);
        let any_text =
            sources.tables.iter().any(|t| t.layout.is_text() && t.layout != Layout::Sentences);
        let any_speech = sources.tables.iter().any(|t| !t.layout.is_text());
        if single && any_speech && (any_text || any_list) {
            bail!(
                "{}: the sources hold speech and text, which go into two manifests; \
                 name a folder instead",
                options.out.display()
            );
        }
        let folder =
            if single { options.out.parent().unwrap_or(Path::new("")) } else { &options.out };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        fs::create_dir_all(folder)
            .with_context(|| format!("{}: cannot create this folder", folder.display()))?;
        let base = folder
            .canonicalize()
            .with_context(|| format!("{}: cannot read this folder", folder.display()))?;
        let path = |name: &str| if single { options.out.clone() } else { folder.join(name) };
        let mut report = Report::default();
        let mut text = |wanted: bool, name: &str| -> Result<Option<Writer<TextRow>>> {
            if !wanted {
                return Ok(None);
            }
            report.manifests.push(path(name));
            Ok(Some(Writer::create(&path(name))?))
        };
        let pairs = text(any_text || (single && any_list), "text.jsonl")?;
        let sentences = text(any_list && !single, "sentences.jsonl")?;
        let speech = any_speech.then(|| Writer::create(&path("speech.jsonl"))).transpose()?;
        if any_speech {
            report.manifests.insert(0, path("speech.jsonl"));
        }
        Ok(Self { options, speech, pairs, sentences, base, folders: HashMap::new(), report })
    }

    fn write_text(&mut self, row: &TextRow) -> Result<()> {
        let alone = row.tgt_lang.is_empty();
        let name =
            if alone { row.src_lang.clone() } else { format!("{}-{}", row.src_lang, row.tgt_lang) };
        self.report.text.entry(name).or_default().add(row.split);
        let writer = match &mut self.sentences {
            Some(sentences) if alone => Some(sentences),
            _ => self.pairs.as_mut(),
        };
        writer.map_or(Ok(()), |writer| Ok(writer.write(row)?))
    }

    /// Checks the clips that wait, measures those of unknown length, and writes them.
    fn write_speech(&mut self, waiting: &mut Vec<(SpeechRow, BadRow)>) -> Result<()> {
        let unknown = |row: &SpeechRow| row.duration.is_none() && !self.options.no_audio;
        let to_measure = waiting.iter().filter(|(row, _)| unknown(row)).count() as u64;
        let bar =
            audio::progress(to_measure, "Measuring clips", self.options.quiet || to_measure == 0);
        waiting.par_iter_mut().for_each(|(row, bad)| {
            let path = Path::new(&row.audio_filepath);
            // Some corpora have translations and no transcript.
            let untold = row.text.trim().is_empty() && row.translations.is_empty();
            let checked = if untold && row.lang != NO_LANGUAGE {
                Err("empty transcript".to_owned())
            } else if unknown(row) {
                let seconds = audio::seconds(path);
                bar.inc(1);
                seconds.map(|seconds| row.duration = Some((seconds - row.offset).max(0.0)))
            } else {
                audio::look(path)
            };
            if let Err(reason) = checked {
                bad.reason = format!("{reason} ({})", row.audio_filepath);
            }
        });
        bar.finish_and_clear();
        for (mut row, bad) in waiting.drain(..) {
            if !bad.reason.is_empty() {
                self.report.bad_rows.push(bad);
                continue;
            }
            row.audio_filepath = self.relative(Path::new(&row.audio_filepath));
            let count = self.report.speech.entry(row.lang.clone()).or_default();
            count.rows.add(row.split);
            count.hours += row.duration.unwrap_or_default() / 3600.0;
            if let Some(writer) = &mut self.speech {
                writer.write(&row)?;
            }
        }
        Ok(())
    }

    /// The path of a clip from the manifest's folder, with forward slashes.
    fn relative(&mut self, path: &Path) -> String {
        let folder = path.parent().unwrap_or(Path::new("."));
        let folder = match self.folders.get(folder) {
            Some(known) => known,
            None => {
                let real = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
                self.folders.entry(folder.to_path_buf()).or_insert(real)
            }
        };
        let target = folder.join(path.file_name().unwrap_or_default());
        relative_path(&self.base, &target)
    }

    fn finish(mut self, skipped: Vec<Skipped>) -> Result<Report> {
        self.report.bad_rows.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        self.speech.map_or(Ok(()), Writer::finish)?;
        self.pairs.map_or(Ok(()), Writer::finish)?;
        self.sentences.map_or(Ok(()), Writer::finish)?;
        Ok(Report { skipped, ..self.report })
    }
}

/// `target` as seen from the folder `base`; both absolute and without links.
fn relative_path(base: &Path, target: &Path) -> String {
    let from: Vec<Component<'_>> = base.components().collect();
    let to: Vec<Component<'_>> = target.components().collect();
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    if common == 0 {
        return target.to_string_lossy().into_owned();
    }
    let up = from.iter().skip(common).map(|_| "..".into());
    let down = to.iter().skip(common).map(|part| part.as_os_str().to_string_lossy());
    up.chain(down).collect::<Vec<std::borrow::Cow<'_, str>>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_from_folder_to_clip() {
        let relative = |base: &str, target: &str| relative_path(Path::new(base), Path::new(target));
        assert_eq!(relative("/a/b", "/a/b/c.wav"), "c.wav");
        assert_eq!(relative("/a/b/out", "/a/data/c.wav"), "../../data/c.wav");
    }
}
