//! What a corpus holds, and what is wrong with it.
//!
//! Two kinds of faults are told apart. A *bad row* cannot be used: it cannot be read, or its audio
//! is missing, empty or undecodable. A *finding* is a usable row that deserves a look: an empty
//! transcript, the wrong script, a wrong length, a duplicate, the same in two splits.

mod clips;
mod findings;
mod report;
mod statistics;

use std::path::PathBuf;

use anyhow::Result;
use partita_corpus::BadRow;
use partita_corpus::manifest::{NO_LANGUAGE, SpeechRow, TextRow};
use partita_corpus::readers::{Entry, Layout};
use partita_corpus::script;
use partita_corpus::split::LeakCheck;
use serde::Serialize;

use crate::audio;
use crate::sources::{Kind, Skipped, Sources, assign_split, keys_of, split_of};
use clips::Clip;
pub use findings::{Finding, Findings};
use findings::{Place, Sentinel};
pub use report::render;
pub use statistics::{ClipStatistics, LicenceCount, SentenceCount, Statistics};

/// What [`check`] is to do.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Files and folders to read.
    pub sources: Vec<PathBuf>,
    /// What the sources are taken for.
    pub kind: Kind,
    /// Language of rows that state none.
    pub lang: String,
    /// Look at rows only: audio is not decoded, only its files are looked for.
    pub no_audio: bool,
    /// Keep every example of a finding, not the first few.
    pub all: bool,
    /// Show no progress.
    pub quiet: bool,
}

/// A table and its rows.
#[derive(Debug, Clone, Serialize)]
pub struct TableReport {
    /// The file.
    pub file: PathBuf,
    /// Its layout.
    pub layout: Layout,
    /// Good rows.
    pub rows: u64,
    /// Lines that gave no row.
    pub bad_rows: u64,
}

/// Everything that was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The tables that were read.
    pub tables: Vec<TableReport>,
    /// Files that were passed over.
    pub skipped: Vec<Skipped>,
    /// Clips, sentences, licences.
    #[serde(flatten)]
    pub statistics: Statistics,
    /// Whether audio was decoded.
    pub audio_decoded: bool,
    /// Whether all splits are those that the corpora state; else some are those that
    /// `partita-train prepare` would give, which never part a sentence.
    pub splits_stated: bool,
    /// Usable rows that deserve a look.
    pub findings: Findings,
    /// Rows that cannot be used, by file and line.
    pub bad_rows: Vec<BadRow>,
}

/// Reads the sources and reports on them.
///
/// # Errors
/// When a source cannot be read at all. All else is part of the report.
pub fn check(options: &Options) -> Result<Report> {
    let sources = Sources::find(&options.sources, options.kind, &options.lang)?;
    let plan = sources.split_plan()?;
    let files: Vec<PathBuf> = sources.tables.iter().map(|table| table.path.clone()).collect();
    let mut tables: Vec<TableReport> = sources
        .tables
        .iter()
        .map(|t| TableReport { file: t.path.clone(), layout: t.layout, rows: 0, bad_rows: 0 })
        .collect();
    let mut checker = Checker {
        statistics: Statistics::default(),
        findings: Findings::new(if options.all { usize::MAX } else { findings::EXAMPLES }),
        sentinel: Sentinel::new(files.clone()),
        leaks: LeakCheck::default(),
        clips: Vec::new(),
        splits_stated: true,
    };
    let mut bad_rows = Vec::new();
    let rows = audio::progress(0, "Reading rows", options.quiet);
    sources.for_each(|table, row| {
        rows.inc(1);
        let counts = tables.get_mut(table);
        match row {
            Ok(mut row) => {
                if let Some(counts) = counts {
                    counts.rows += 1;
                }
                assign_split(&mut row, &plan);
                checker.splits_stated &= row.split_stated;
                checker.row(Place { table, line: row.line }, row.entry);
            }
            Err(bad) => {
                if let Some(counts) = counts {
                    counts.bad_rows += 1;
                }
                bad_rows.push(bad);
            }
        }
        Ok(())
    })?;
    rows.finish_and_clear();
    drop(plan);
    let Checker { mut statistics, mut findings, sentinel, leaks, clips, splits_stated } = checker;
    if let Err(leaks) = leaks.finish(&files) {
        leaks.0.iter().for_each(|leak| findings.leaks.add("", leak.to_string()));
    }
    bad_rows.extend(clips::check(&clips, &sentinel, &mut findings, options));
    bad_rows.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    statistics.finish();
    Ok(Report {
        tables,
        skipped: sources.skipped,
        statistics,
        audio_decoded: !options.no_audio,
        splits_stated,
        findings,
        bad_rows,
    })
}

/// Takes in row after row.
struct Checker {
    statistics: Statistics,
    findings: Findings,
    sentinel: Sentinel,
    leaks: LeakCheck,
    clips: Vec<Clip>,
    splits_stated: bool,
}

impl Checker {
    fn row(&mut self, place: Place, entry: Entry) {
        self.leaks.add(&keys_of(&entry), split_of(&entry), (place.table, place.line));
        match entry {
            Entry::Speech(row) => self.speech(place, row),
            Entry::Text(row) => self.text(place, &row),
        }
    }

    fn speech(&mut self, place: Place, row: SpeechRow) {
        self.statistics.clip(&row);
        let at = self.sentinel.at(place);
        if row.lang != NO_LANGUAGE {
            if row.text.trim().is_empty() {
                self.findings.empty_text.add(&row.lang, format!("{at}: empty transcript"));
            } else if let Some(first) = self.sentinel.repeated_transcript(&row, place) {
                let example = format!("{at}: {:?}, as {first}", row.text);
                self.findings.duplicate_transcripts.add(&row.lang, example);
            }
        }
        let texts = std::iter::once((&row.lang, &row.text)).chain(&row.translations);
        for (lang, text) in texts {
            self.script(&at, lang, text);
        }
        self.clips.push(Clip {
            place,
            path: row.audio_filepath.into(),
            offset: row.offset,
            duration: row.duration,
            lang: row.lang,
        });
    }

    fn text(&mut self, place: Place, row: &TextRow) {
        self.statistics.sentence(row);
        let at = self.sentinel.at(place);
        self.script(&at, &row.src_lang, &row.src_text);
        self.script(&at, &row.tgt_lang, &row.tgt_text);
        if let Some(first) = self.sentinel.repeated_text(row, place) {
            let pair = format!("{}-{}", row.src_lang, row.tgt_lang);
            let name = if row.tgt_lang.is_empty() { &row.src_lang } else { &pair };
            self.findings
                .duplicate_texts
                .add(name, format!("{at}: {:?}, as {first}", row.src_text));
        }
    }

    fn script(&mut self, at: &str, lang: &str, text: &str) {
        if !script::fits(lang, text) {
            self.findings.wrong_script.add(lang, format!("{at}: {lang}: {text:?}"));
        }
    }
}
