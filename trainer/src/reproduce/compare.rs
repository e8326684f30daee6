//! Arms against each other on the same clips: means over seeds and languages, and differences.

use std::collections::{BTreeMap, BTreeSet};

use partita_corpus::bleu::{BleuCounts, tokenizer_for};
use partita_corpus::bootstrap::{Bootstrap, Interval};
use partita_corpus::error_rate::Unit;
use partita_corpus::manifest::NO_LANGUAGE;
use partita_corpus::scored::Scored;
use serde::{Deserialize, Serialize};

use super::arms::Arm;
use crate::evaluate::{Row, Task};

/// What a run answered to the test split.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    /// The arm.
    pub arm: Arm,
    /// The seed.
    pub seed: u64,
    /// Its answers.
    pub rows: Vec<Row>,
}

/// Scores of an arm: means over its seeds, each a mean over languages or directions. Intervals are
/// of the choice of test clips (95 %, bootstrap, the same draws for all seeds and arms); what
/// another seed would have given is seen in the scores of the runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmScores {
    /// The arm.
    pub arm: Arm,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Errors of transcripts in percent of the references' words, or characters where a language
    /// is counted so.
    pub error_rate: Option<Interval>,
    /// BLEU of translations.
    pub bleu: Option<Interval>,
    /// Its error rate minus that of arm B.
    pub error_rate_against_b: Option<Interval>,
    /// Its BLEU minus that of arm B.
    pub bleu_against_b: Option<Interval>,
}

/// Compares the arms, in their order. Clips that not all runs answered are left out.
pub fn compare(answers: &[Answers]) -> Vec<ArmScores> {
    let errors = Aligned::of(answers, |row| {
        let counts = row.task == Task::Asr && row.lang != NO_LANGUAGE;
        let lang = row.lang.as_str();
        let errors = || Unit::of(lang).count(lang, &row.reference, &row.hypothesis);
        counts.then(|| (row.lang.clone(), errors()))
    });
    let bleu = Aligned::of(answers, |row| {
        let to = row.to.as_deref().filter(|_| row.task == Task::St)?;
        let counts = BleuCounts::of(&row.reference, &row.hypothesis, tokenizer_for(to));
        (row.lang != NO_LANGUAGE).then(|| (format!("{}-{to}", row.lang), counts))
    });
    let arms: BTreeSet<Arm> = answers.iter().map(|one| one.arm).collect();
    let scores = |arm: Arm| {
        let seeds = answers.iter().filter(|one| one.arm == arm).map(|one| one.seed).collect();
        let other = (arm != Arm::B && arms.contains(&Arm::B)).then_some(Arm::B);
        ArmScores {
            arm,
            seeds,
            error_rate: errors.interval(arm),
            bleu: bleu.interval(arm),
            error_rate_against_b: other.and_then(|other| errors.difference(arm, other)),
            bleu_against_b: other.and_then(|other| bleu.difference(arm, other)),
        }
    };
    arms.iter().copied().map(scores).collect()
}

/// The counts of all runs for the same sentences in the same order, group after group.
struct Aligned<T> {
    /// Sentences of each language or direction.
    groups: Vec<usize>,
    runs: Vec<(Arm, Vec<T>)>,
}

impl<T: Scored> Aligned<T> {
    /// Takes the group and the counts of each row that `count` gives any for.
    fn of(answers: &[Answers], count: impl Fn(&Row) -> Option<(String, T)>) -> Self {
        type Place = (String, String, String);
        let runs: Vec<(Arm, BTreeMap<Place, T>)> = answers
            .iter()
            .map(|one| {
                let counted = one.rows.iter().filter_map(|row| {
                    let (group, counts) = count(row)?;
                    Some(((group, row.id.clone(), row.reference.clone()), counts))
                });
                (one.arm, counted.collect())
            })
            .collect();
        let in_all = |place: &&Place| runs.iter().all(|(_, run)| run.contains_key(*place));
        let first = runs.first().map(|(_, run)| run);
        let places: Vec<&Place> =
            first.into_iter().flat_map(|run| run.keys()).filter(in_all).collect();
        let groups = places.chunk_by(|(a, ..), (b, ..)| a == b).map(<[_]>::len).collect();
        let counts = |run: &BTreeMap<Place, T>| {
            places.iter().filter_map(|place| run.get(*place).copied()).collect()
        };
        let runs = runs.iter().map(|(arm, run)| (*arm, counts(run))).collect();
        Self { groups, runs }
    }

    /// The mean over an arm's seeds and over groups, of the sentences that were drawn.
    fn mean(&self, arm: Arm, drawn: &[usize]) -> f64 {
        let runs = self.runs.iter().filter(|(other, _)| *other == arm);
        let (mut sum, mut count) = (0.0, 0.0);
        for (_, counts) in runs {
            let mut begin = 0;
            for size in &self.groups {
                let own = drawn.get(begin..begin + size).unwrap_or_default();
                let total: T = own.iter().filter_map(|&at| counts.get(at).copied()).sum();
                (sum, count) = (sum + total.scored(), count + 1.0);
                begin += size;
            }
        }
        sum / count
    }

    fn interval(&self, arm: Arm) -> Option<Interval> {
        Bootstrap::default().interval(&self.groups, |drawn| self.mean(arm, drawn))
    }

    fn difference(&self, arm: Arm, other: Arm) -> Option<Interval> {
        let score = |arm| move |drawn: &[usize]| self.mean(arm, drawn);
        Bootstrap::default().difference(&self.groups, score(arm), score(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: usize, lang: &str, to: Option<&str>, reference: &str, hypothesis: &str) -> Row {
        let value = serde_json::json!({
            "id": id.to_string(), "lang": lang, "task": if to.is_some() { "st" } else { "asr" },
            "to": to, "reference": reference, "hypothesis": hypothesis, "heard": lang,
            "seconds": 1.0, "decode_seconds": 0.1, "looped": false,
        });
        serde_json::from_value(value).unwrap()
    }

    /// Ten clips in German and one in French; every `wrong`th German word is wrong.
    fn answers(arm: Arm, seed: u64, wrong: usize) -> Answers {
        let text = |id: usize| if id.is_multiple_of(wrong) { "eins vier" } else { "eins zwei" };
        let mut rows: Vec<Row> =
            (0..10).map(|id| row(id, "de", None, "eins zwei", text(id))).collect();
        rows.push(row(0, "fr", None, "un deux", "un deux"));
        rows.push(row(0, "de", Some("en"), "one two three four", "one two three four"));
        rows.push(row(11, "none", None, "", "hallo"));
        Answers { arm, seed, rows }
    }

    #[test]
    fn means_count_languages_and_seeds_alike_and_differences_are_paired() {
        let runs = [
            answers(Arm::A, 1, 2),
            answers(Arm::A, 2, 5),
            answers(Arm::B, 1, 5),
            answers(Arm::B, 2, 10),
        ];
        let found = compare(&runs);
        let [a, b] = &found[..] else { panic!("{found:?}") };
        // German: 5 and 2 of 20 words wrong for A, 2 and 1 for B; French: none.
        let rate = |scores: &ArmScores| scores.error_rate.unwrap().value;
        assert!((rate(a) - (25.0 + 10.0) / 4.0).abs() < 1e-9, "{a:?}");
        assert!((rate(b) - (10.0 + 5.0) / 4.0).abs() < 1e-9, "{b:?}");
        let against = a.error_rate_against_b.unwrap();
        assert!((against.value - 5.0).abs() < 1e-9 && against.low >= 0.0, "{against:?}");
        assert_eq!((a.seeds.as_slice(), b.error_rate_against_b), (&[1, 2][..], None));
        assert!((a.bleu.unwrap().value - 100.0).abs() < 1e-9);
        assert_eq!(a.bleu_against_b.unwrap().value, 0.0);
    }

    #[test]
    fn clips_that_not_all_runs_answered_are_left_out() {
        let mut short = answers(Arm::B, 1, 2);
        short.rows.retain(|row| row.id != "0");
        let found = compare(&[answers(Arm::A, 1, 2), short]);
        // Of German, clips 2, 4, 6, 8 of nine; no French and no translation is left.
        assert!((found[0].error_rate.unwrap().value - 100.0 * 4.0 / 18.0).abs() < 1e-9);
        assert_eq!((found[0].bleu, found[1].bleu), (None, None));
    }
}
