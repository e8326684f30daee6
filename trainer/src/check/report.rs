//! The report as text.

use std::collections::BTreeMap;

use super::{ClipStatistics, Finding, Report, SentenceCount};
use crate::output::{bad_rows, table};
use crate::prepare::SplitCount;

/// Examples of a finding that are shown on a page unless all are asked for.
const SHOWN: usize = 3;

/// The report as tables for people. Bad rows are listed up to a limit, or `all` of them.
pub fn render(report: &Report, all: bool) -> String {
    let mut text = String::new();
    let statistics = &report.statistics;
    let good: u64 = report.tables.iter().map(|table| table.rows).sum();
    let tables = report.tables.len();
    text.push_str(&format!("{tables} tables, {good} rows, {} bad rows\n", report.bad_rows.len()));
    for skipped in &report.skipped {
        text.push_str(&format!("passed over: {}: {}\n", skipped.file.display(), skipped.reason));
    }
    if !statistics.speech.is_empty() {
        let rows = statistics.speech.iter().map(|(lang, s)| clips_line(vec![lang.clone()], s));
        text.push_str("\nSpeech\n");
        text.push_str(&clips_table(&["lang"], rows.collect()));
        let by_source = statistics.speech_by_source.iter().flat_map(|(lang, sources)| {
            sources.iter().map(|(name, s)| clips_line(vec![lang.clone(), name.clone()], s))
        });
        text.push_str("\nSpeech by source\n");
        text.push_str(&clips_table(&["lang", "source"], by_source.collect()));
    }
    if !statistics.text.is_empty() {
        text.push_str("\nText\n");
        text.push_str(&sentences_table(&statistics.text));
    }
    let licences = statistics.licences.iter().map(|(name, count)| {
        let name = if name.is_empty() { "(not stated)" } else { name };
        let hours = format!("{:.2}", count.hours);
        vec![name.to_owned(), count.clips.to_string(), hours, count.sentences.to_string()]
    });
    text.push_str("\nLicences\n");
    text.push_str(&table(&["licence", "clips", "hours", "sentences"], licences.collect(), 1..4));

    let splits =
        if report.splits_stated { "stated by the corpus" } else { "as prepare gives them" };
    text.push_str(&format!("\nSplits: {splits}\n"));
    if !report.audio_decoded {
        text.push_str("Audio was not decoded: lengths, duplicates and silence are not checked\n");
    }
    text.push_str("Findings\n");
    for (name, finding) in report.findings.named() {
        text.push_str(&finding_lines(name, finding, all));
    }
    text.push_str(&format!("Bad rows: {}\n", report.bad_rows.len()));
    text.push_str(&bad_rows(&report.bad_rows, all));
    text
}

fn clips_table(keys: &[&str], rows: Vec<Vec<String>>) -> String {
    let numbers = [
        "clips",
        "hours",
        "min s",
        "median s",
        "max s",
        "speakers",
        "voices",
        "translated",
        "train",
        "dev",
        "test",
    ];
    let header = [keys, &numbers].concat();
    table(&header, rows, keys.len()..header.len())
}

fn clips_line(mut line: Vec<String>, s: &ClipStatistics) -> Vec<String> {
    line.push(s.clips.to_string());
    line.push(format!("{:.3}", s.hours));
    line.extend([s.min_seconds, s.median_seconds, s.max_seconds].map(|s| format!("{s:.2}")));
    line.extend([s.speakers.to_string(), s.voices.to_string(), s.translated.to_string()]);
    line.extend(splits(&s.splits));
    line
}

fn sentences_table(text: &BTreeMap<String, BTreeMap<String, SentenceCount>>) -> String {
    let rows = text.iter().flat_map(|(pair, sources)| {
        sources.iter().map(|(source, count)| {
            let mut line = vec![pair.clone(), source.clone()];
            line.push(count.splits.total().to_string());
            line.push(count.characters.to_string());
            line.extend(splits(&count.splits));
            line
        })
    });
    let header = ["lang", "source", "rows", "characters", "train", "dev", "test"];
    table(&header, rows.collect(), 2..7)
}

fn splits(count: &SplitCount) -> [String; 3] {
    [count.train, count.dev, count.test].map(|n| n.to_string())
}

fn finding_lines(name: &str, finding: &Finding, all: bool) -> String {
    let mut text = format!("  {:>7} {name}", finding.count);
    if !finding.by_language.is_empty() {
        let parts: Vec<_> =
            finding.by_language.iter().map(|(lang, n)| format!("{lang} {n}")).collect();
        text.push_str(&format!(" ({})", parts.join(", ")));
    }
    text.push('\n');
    let shown = if all { finding.examples.len() } else { SHOWN };
    for example in finding.examples.iter().take(shown) {
        text.push_str(&format!("          {example}\n"));
    }
    text
}
