//! BLEU and chrF beside sacreBLEU's numbers, which `golden/translation.py` recorded.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use partita_corpus::bleu::{BleuCounts, Tokenizer, signature};
use partita_corpus::chrf::ChrfCounts;
use proptest::prelude::*;
use serde::Deserialize;

/// A corpus and what sacreBLEU says about it.
#[derive(Deserialize)]
struct Golden {
    name: String,
    tokenizer: String,
    references: Vec<String>,
    hypotheses: Vec<String>,
    tokens: Vec<Vec<String>>,
    bleu: f64,
    /// Lengths of both sides, right runs, runs.
    counts: Vec<u64>,
    chrf: f64,
    signatures: [String; 2],
}

const TOKENIZERS: [Tokenizer; 3] =
    [Tokenizer::Mteval13a, Tokenizer::Chinese, Tokenizer::Characters];

#[test]
fn scores_are_those_of_sacrebleu() {
    let corpora: Vec<Golden> =
        serde_json::from_str(include_str!("golden/translation.json")).expect("golden file");
    assert!(corpora.len() >= 100);
    let mut farthest = 0.0_f64;
    for golden in &corpora {
        let Golden { name, tokenizer, references, hypotheses, .. } = golden;
        let found = TOKENIZERS.iter().find(|known| known.name() == tokenizer);
        let tokenizer = *found.expect("a tokenizer of ours");
        let what = format!("{name}, {}", tokenizer.name());
        for (reference, tokens) in references.iter().zip(&golden.tokens) {
            assert_eq!(&tokenizer.tokens(reference), tokens, "{what}: {reference:?}");
        }
        let pairs = || references.iter().zip(hypotheses);
        let bleu: BleuCounts =
            pairs().map(|(said, written)| BleuCounts::of(said, written, tokenizer)).sum();
        let lengths = [bleu.hypothesis, bleu.reference];
        assert_eq!([&lengths[..], &bleu.correct, &bleu.total].concat(), golden.counts, "{what}");
        let chrf: ChrfCounts = pairs().map(|(said, written)| ChrfCounts::of(said, written)).sum();
        for (ours, theirs) in [(bleu.score(), golden.bleu), (chrf.score(), golden.chrf)] {
            assert!((ours - theirs).abs() < 1e-9, "{what}: {ours}, sacreBLEU {theirs}");
            farthest = farthest.max((ours - theirs).abs());
        }
        let [theirs, _] = &golden.signatures;
        assert!(theirs.starts_with(&signature(tokenizer)), "{theirs}");
    }
    println!("{} corpora, farthest apart {farthest:e}", corpora.len());
}

proptest! {
    #[test]
    fn scores_of_any_texts_are_between_none_and_all(
        pairs in prop::collection::vec((".{0,40}", ".{0,40}"), 1..6),
    ) {
        for tokenizer in TOKENIZERS {
            let counts = |said: &str, written: &str| BleuCounts::of(said, written, tokenizer);
            let bleu: BleuCounts = pairs.iter().map(|(said, written)| counts(said, written)).sum();
            let chrf: ChrfCounts =
                pairs.iter().map(|(said, written)| ChrfCounts::of(said, written)).sum();
            for score in [bleu.score(), chrf.score()] {
                prop_assert!((0.0..=100.0 + 1e-9).contains(&score), "{score}");
            }
            let same: BleuCounts = pairs.iter().map(|(said, _)| counts(said, said)).sum();
            if same.total[3] > 0 {
                prop_assert!((same.score() - 100.0).abs() < 1e-9);
            }
        }
    }
}
