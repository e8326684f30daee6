//! Findings with their examples, and the memory of sentences that finds duplicates.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use partita_corpus::manifest::{SpeechRow, TextRow};
use partita_corpus::split::Sentence;
use serde::Serialize;

/// Examples kept of each finding unless all are asked for.
pub const EXAMPLES: usize = 20;

/// One kind of finding.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Finding {
    /// How often it was found.
    pub count: u64,
    /// The same by language, where it has one.
    pub by_language: BTreeMap<String, u64>,
    /// The first of them: file, line and what was found there.
    pub examples: Vec<String>,
    #[serde(skip)]
    limit: usize,
}

impl Finding {
    /// Adds a finding; `lang` may be empty.
    pub fn add(&mut self, lang: &str, example: String) {
        self.count += 1;
        if !lang.is_empty() {
            *self.by_language.entry(lang.to_owned()).or_default() += 1;
        }
        if self.examples.len() < self.limit {
            self.examples.push(example);
        }
    }
}

/// All kinds of findings.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Findings {
    /// Sentences, prompts, recordings and speakers that are in more than one split.
    pub leaks: Finding,
    /// Clips with the same bytes as an earlier one.
    pub duplicate_audio: Finding,
    /// Clips with the same transcript as an earlier one of their language.
    pub duplicate_transcripts: Finding,
    /// Sentences or pairs that were there before.
    pub duplicate_texts: Finding,
    /// Texts that are mostly not in the script of their language.
    pub wrong_script: Finding,
    /// Clips of a language without a transcript.
    pub empty_text: Finding,
    /// Clips whose declared length is not that of their audio.
    pub wrong_duration: Finding,
    /// Clips in which nothing can be heard.
    pub silent: Finding,
    /// Clips with NaN or infinite samples, or that end early.
    pub damaged_audio: Finding,
}

impl Findings {
    /// Findings that keep up to `limit` examples each.
    pub fn new(limit: usize) -> Self {
        let mut findings = Self::default();
        for (_, finding) in findings.named_mut() {
            finding.limit = limit;
        }
        findings
    }

    /// Every kind with its name in words.
    pub fn named(&self) -> [(&'static str, &Finding); 9] {
        [
            ("leaks: the same in more than one split", &self.leaks),
            ("clips with the bytes of an earlier one", &self.duplicate_audio),
            ("clips with the transcript of an earlier one", &self.duplicate_transcripts),
            ("sentences or pairs that occur again", &self.duplicate_texts),
            ("texts not in the script of their language", &self.wrong_script),
            ("clips of speech without a transcript", &self.empty_text),
            ("clips whose declared length is wrong", &self.wrong_duration),
            ("silent clips", &self.silent),
            ("clips with broken samples or an early end", &self.damaged_audio),
        ]
    }

    fn named_mut(&mut self) -> [(&'static str, &mut Finding); 9] {
        [
            ("", &mut self.leaks),
            ("", &mut self.duplicate_audio),
            ("", &mut self.duplicate_transcripts),
            ("", &mut self.duplicate_texts),
            ("", &mut self.wrong_script),
            ("", &mut self.empty_text),
            ("", &mut self.wrong_duration),
            ("", &mut self.silent),
            ("", &mut self.damaged_audio),
        ]
    }
}

/// A line of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Index of the table.
    pub table: usize,
    /// Line, from 1.
    pub line: u64,
}

/// Remembers where each sentence was first seen.
pub struct Sentinel {
    files: Vec<PathBuf>,
    transcripts: HashMap<Sentence, Place>,
    texts: HashMap<(Option<Sentence>, Option<Sentence>), Place>,
}

impl Sentinel {
    /// A memory for rows of these files.
    pub fn new(files: Vec<PathBuf>) -> Self {
        let (transcripts, texts) = Default::default();
        Self { files, transcripts, texts }
    }

    /// `file:line` of a place.
    pub fn at(&self, place: Place) -> String {
        let file = self.files.get(place.table).cloned().unwrap_or_default();
        format!("{}:{}", file.display(), place.line)
    }

    /// The file of a place.
    pub fn file(&self, place: Place) -> PathBuf {
        self.files.get(place.table).cloned().unwrap_or_default()
    }

    /// Where the same transcript was first seen in the same language.
    pub fn repeated_transcript(&mut self, row: &SpeechRow, place: Place) -> Option<String> {
        let sentence = Sentence::new(&row.lang, &row.text)?;
        let first = *self.transcripts.entry(sentence).or_insert(place);
        (first != place).then(|| self.at(first))
    }

    /// Where the same sentence or pair was first seen.
    pub fn repeated_text(&mut self, row: &TextRow, place: Place) -> Option<String> {
        let source = Sentence::new(&row.src_lang, &row.src_text);
        let target = Sentence::new(&row.tgt_lang, &row.tgt_text);
        if source.is_none() && target.is_none() {
            return None;
        }
        let first = *self.texts.entry((source, target)).or_insert(place);
        (first != place).then(|| self.at(first))
    }
}
