//! Our normalisers and error rates beside those of whisper-normalizer and jiwer, whose answers
//! `golden/make.py` recorded.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use partita_corpus::error_rate::{ErrorCounts, characters, words};
use partita_corpus::normalize::{Basic, basic, english};
use serde_json::Value;

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("golden line")).collect()
}

/// Numbers beyond 128 bits are left alone, not multiplied: no one says them.
const KNOWN_DIFFERENCES: [&str; 1] =
    ["english of \"123456789012345678901234567890123456789012345 million is much.\""];

#[test]
fn normalisers_agree_with_the_originals() {
    let cases = rows(include_str!("golden/normalize.jsonl"));
    assert!(cases.len() >= 300);
    let strip = Basic { strip_diacritics: true, ..Basic::default() };
    let letters = Basic { split_letters: true, ..Basic::default() };
    let mut differences = Vec::new();
    for case in &cases {
        let text = case["text"].as_str().expect("text");
        for (name, ours) in [
            ("basic", basic(text, Basic::default())),
            ("strip_diacritics", basic(text, strip)),
            ("split_letters", basic(text, letters)),
            ("english", english(text)),
        ] {
            let theirs = case[name].as_str().expect("golden text");
            if theirs != ours {
                differences.push(format!("{name} of {text:?}\n  {theirs:?}\n  {ours:?}"));
            }
        }
    }
    let total = cases.len() * 4;
    println!("{} of {total} equal", total - differences.len());
    differences.retain(|d| !KNOWN_DIFFERENCES.iter().any(|known| d.starts_with(known)));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn error_counts_agree_with_jiwer() {
    let mut cases = rows(include_str!("golden/error_rate.jsonl"));
    let corpus = cases.pop().expect("the corpus line is last");
    let mut sums = [ErrorCounts::default(); 2];
    for case in &cases {
        let text = |name: &str| case[name].as_str().expect("text");
        let (reference, hypothesis) = (text("reference"), text("hypothesis"));
        for (counts, sum, kinds, rate) in [
            (words(reference, hypothesis), 0, "words", "wer"),
            (characters(reference, hypothesis), 1, "characters", "cer"),
        ] {
            let ours =
                serde_json::json!([counts.substitutions, counts.deletions, counts.insertions]);
            assert_eq!(case[kinds], ours, "{kinds}: {reference:?} / {hypothesis:?}");
            let theirs = case[rate].as_f64().expect("rate");
            let ours = counts.rate().expect("no reference is empty");
            assert!((theirs - ours).abs() < 1e-12, "{rate}: {reference:?} / {hypothesis:?}");
            sums[sum] += counts;
        }
    }
    for (name, sum) in [("corpus_wer", sums[0]), ("corpus_cer", sums[1])] {
        let ours = sum.rate().expect("rate");
        assert!((corpus[name].as_f64().expect("rate") - ours).abs() < 1e-12, "{name}");
    }
}
