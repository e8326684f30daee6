//! Counts by language, source and licence.

use std::collections::{BTreeMap, BTreeSet};

use partita_corpus::manifest::{SpeechRow, TextRow};
use serde::Serialize;

use crate::prepare::SplitCount;

/// All counts.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Statistics {
    /// Clips by language.
    pub speech: BTreeMap<String, ClipStatistics>,
    /// Clips by language, then source.
    pub speech_by_source: BTreeMap<String, BTreeMap<String, ClipStatistics>>,
    /// Sentences by language pair (`en-de`, or `en` alone), then source.
    pub text: BTreeMap<String, BTreeMap<String, SentenceCount>>,
    /// What stands under each licence; an empty name where none is stated.
    pub licences: BTreeMap<String, LicenceCount>,
}

/// Clips of one kind. Seconds are those that the corpus declares.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ClipStatistics {
    /// Clips.
    pub clips: u64,
    /// Clips whose length is not declared; the figures below leave them out.
    pub unknown_length: u64,
    /// Hours.
    pub hours: f64,
    /// Shortest clip, in seconds.
    pub min_seconds: f64,
    /// Median clip.
    pub median_seconds: f64,
    /// Longest clip.
    pub max_seconds: f64,
    /// Different speaker names.
    pub speakers: usize,
    /// Different synthetic voices.
    pub voices: usize,
    /// Clips with at least one translation.
    pub translated: u64,
    /// Clips by split.
    pub splits: SplitCount,
    #[serde(skip)]
    lengths: Vec<f64>,
    #[serde(skip)]
    speaker_names: BTreeSet<String>,
    #[serde(skip)]
    voice_names: BTreeSet<String>,
}

/// Sentences or pairs of one kind.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct SentenceCount {
    /// Rows by split.
    #[serde(flatten)]
    pub splits: SplitCount,
    /// Characters of both sides.
    pub characters: u64,
}

/// What stands under a licence.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct LicenceCount {
    /// Clips.
    pub clips: u64,
    /// Their hours.
    pub hours: f64,
    /// Sentences and pairs.
    pub sentences: u64,
}

impl Statistics {
    /// Counts a clip.
    pub(super) fn clip(&mut self, row: &SpeechRow) {
        let hours = row.duration.unwrap_or_default() / 3600.0;
        // `origin : path there`: the origin counts.
        let source = row.source.split(" : ").next().unwrap_or_default().to_owned();
        let of_source = self.speech_by_source.entry(row.lang.clone()).or_default();
        of_source.entry(source).or_default().add(row);
        self.speech.entry(row.lang.clone()).or_default().add(row);
        let licence = self.licences.entry(row.licence.clone()).or_default();
        licence.clips += 1;
        licence.hours += hours;
    }

    /// Counts a sentence or pair.
    pub(super) fn sentence(&mut self, row: &TextRow) {
        let mut pair = row.src_lang.clone();
        if !row.tgt_lang.is_empty() {
            pair = format!("{pair}-{}", row.tgt_lang);
        }
        let of_pair = self.text.entry(pair).or_default();
        let count = of_pair.entry(row.source.clone()).or_default();
        count.splits.add(row.split);
        let characters = row.src_text.chars().count() + row.tgt_text.chars().count();
        count.characters = count.characters.saturating_add(characters as u64);
        self.licences.entry(row.licence.clone()).or_default().sentences += 1;
    }

    /// Computes medians once all rows are in.
    pub(super) fn finish(&mut self) {
        let by_source = self.speech_by_source.values_mut().flat_map(BTreeMap::values_mut);
        by_source.chain(self.speech.values_mut()).for_each(ClipStatistics::finish);
    }
}

impl ClipStatistics {
    fn add(&mut self, row: &SpeechRow) {
        self.clips += 1;
        self.translated += u64::from(!row.translations.is_empty());
        self.splits.add(row.split);
        match row.duration {
            Some(seconds) => self.lengths.push(seconds),
            None => self.unknown_length += 1,
        }
        if !row.speaker.is_empty() {
            self.speaker_names.insert(row.speaker.clone());
        }
        if !row.voice.is_empty() {
            self.voice_names.insert(row.voice.clone());
        }
    }

    fn finish(&mut self) {
        let mut lengths = std::mem::take(&mut self.lengths);
        lengths.sort_by(f64::total_cmp);
        self.hours = lengths.iter().sum::<f64>() / 3600.0;
        self.min_seconds = lengths.first().copied().unwrap_or_default();
        self.max_seconds = lengths.last().copied().unwrap_or_default();
        self.median_seconds = lengths.get(lengths.len() / 2).copied().unwrap_or_default();
        self.speakers = std::mem::take(&mut self.speaker_names).len();
        self.voices = std::mem::take(&mut self.voice_names).len();
    }
}
