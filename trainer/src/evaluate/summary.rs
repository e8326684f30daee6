//! From rows to scores.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use partita_corpus::bleu::{BleuCounts, signature, tokenizer_for};
use partita_corpus::chrf::ChrfCounts;
use partita_corpus::error_rate::{ErrorCounts, Unit};
use partita_corpus::manifest::NO_LANGUAGE;
use partita_corpus::scored::{difference, interval};

use super::scores::{
    Comparison, LanguageScores, Mean, MeanTranslation, NoiseScores, Summary, TranslationScores,
};
use super::{Row, Task};

/// A direction of translation: task, language spoken, language written.
type Direction<'a> = (Task, &'a str, &'a str);

/// The counts of rows, sentence by sentence, in their order.
#[derive(Default)]
struct Counts<'a> {
    /// Errors of transcripts, by language.
    errors: BTreeMap<&'a str, Vec<ErrorCounts>>,
    /// Errors of the transcripts before translations, by language: of a clip that is translated
    /// into several languages, all together.
    joint: BTreeMap<&'a str, Vec<ErrorCounts>>,
    bleu: BTreeMap<Direction<'a>, Vec<BleuCounts>>,
    chrf: BTreeMap<Direction<'a>, Vec<ChrfCounts>>,
}

impl<'a> Counts<'a> {
    /// Of rows with speech in them.
    fn of(rows: impl Iterator<Item = &'a Row>) -> Self {
        let mut counts = Self::default();
        let mut joint: BTreeMap<(&str, &str), ErrorCounts> = BTreeMap::new();
        for row in rows {
            let lang = row.lang.as_str();
            let errors = |said: &str, written: &str| Unit::of(lang).count(lang, said, written);
            if let Some(text) = row.transcript.as_ref().filter(|text| !text.reference.is_empty()) {
                let sum = joint.entry((lang, row.id.as_str())).or_default();
                *sum += errors(&text.reference, &text.hypothesis);
            }
            let Some(to) = &row.to else {
                let found = errors(&row.reference, &row.hypothesis);
                counts.errors.entry(lang).or_default().push(found);
                continue;
            };
            let direction = (row.task, lang, to.as_str());
            let (said, written) = (row.reference.as_str(), row.hypothesis.as_str());
            let bleu = BleuCounts::of(said, written, tokenizer_for(to));
            counts.bleu.entry(direction).or_default().push(bleu);
            let chrf = ChrfCounts::of(said, written);
            counts.chrf.entry(direction).or_default().push(chrf);
        }
        for ((lang, _), errors) in joint {
            counts.joint.entry(lang).or_default().push(errors);
        }
        counts
    }

    /// The tasks that translate.
    fn tasks(&self) -> BTreeSet<Task> {
        self.bleu.keys().map(|(task, ..)| *task).collect()
    }
}

/// The corpora of a map, those that count, in order.
fn all<K, T>(map: &BTreeMap<K, Vec<T>>, counts: impl Fn(&K) -> bool) -> Vec<&Vec<T>> {
    map.iter().filter(|(key, _)| counts(key)).map(|(_, corpus)| corpus).collect()
}

/// The scores of rows: by language, and their means.
pub fn summarize(rows: &[Row]) -> Summary {
    let (noise, speech): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| row.lang == NO_LANGUAGE);
    let counts = Counts::of(speech.iter().copied());
    let mut by_language: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in &speech {
        by_language.entry(&row.lang).or_default().push(row);
    }
    let languages: Vec<LanguageScores> =
        by_language.iter().map(|(lang, rows)| language(lang, rows, &counts)).collect();
    let translations = counts.tasks().into_iter().filter_map(|task| {
        let bleu = all(&counts.bleu, |(found, ..)| *found == task);
        let chrf = all(&counts.chrf, |(found, ..)| *found == task);
        let directions = bleu.len();
        Some(MeanTranslation { task, directions, bleu: interval(&bleu)?, chrf: interval(&chrf)? })
    });
    let accuracies = || languages.iter().map(|scores| scores.language_accuracy);
    let mean = Mean {
        languages: languages.len(),
        error_rate: interval(&all(&counts.errors, |_| true)),
        joint_error_rate: interval(&all(&counts.joint, |_| true)),
        translations: translations.collect(),
        language_accuracy: (!languages.is_empty())
            .then(|| accuracies().sum::<f64>() / languages.len() as f64),
        answers: speech.len(),
        loops: languages.iter().map(|scores| scores.loops).sum(),
        silent: languages.iter().map(|scores| scores.silent).sum(),
    };
    let written = || noise.iter().map(|row| characters(row)).filter(|&characters| characters > 0);
    let noise = (!noise.is_empty()).then(|| NoiseScores {
        clips: clips(&noise).len(),
        answers: noise.len(),
        written: written().count(),
        characters: written().sum(),
    });
    let all: Vec<&Row> = rows.iter().collect();
    Summary { about: None, languages, mean, noise, real_time_factor: real_time_factor(&all) }
}

fn language(lang: &str, rows: &[&Row], counts: &Counts) -> LanguageScores {
    let count = |fits: fn(&&&Row) -> bool| rows.iter().filter(fits).count();
    let translations = counts.bleu.keys().filter(|(_, from, _)| *from == lang);
    let translations = translations.filter_map(|direction| {
        let (task, _, to) = *direction;
        let (bleu, chrf) = (counts.bleu.get(direction)?, counts.chrf.get(direction)?);
        Some(TranslationScores {
            task,
            to: to.to_owned(),
            clips: bleu.len(),
            bleu: interval(&[bleu])?,
            chrf: interval(&[chrf])?,
            signature: signature(tokenizer_for(to)),
        })
    });
    let errors = |map: &BTreeMap<&str, Vec<ErrorCounts>>| interval(&[map.get(lang)?]);
    let clips = clips(rows);
    LanguageScores {
        lang: lang.to_owned(),
        clips: clips.len(),
        answers: rows.len(),
        hours: clips.values().sum::<f64>() / 3600.0,
        unit: Unit::of(lang),
        error_rate: errors(&counts.errors),
        joint_error_rate: errors(&counts.joint),
        translations: translations.collect(),
        language_accuracy: 100.0 * count(|row| row.heard == row.lang) as f64
            / rows.len().max(1) as f64,
        loops: count(|row| row.looped),
        silent: count(|row| row.heard == NO_LANGUAGE),
        real_time_factor: real_time_factor(rows),
    }
}

/// Characters of all that a row's answer says.
fn characters(row: &Row) -> usize {
    let transcript = row.transcript.as_ref().map_or("", |text| text.hypothesis.as_str());
    row.hypothesis.chars().count() + transcript.chars().count()
}

/// The clips of rows with their lengths.
fn clips<'a>(rows: &[&'a Row]) -> BTreeMap<&'a str, f64> {
    rows.iter().map(|row| (row.id.as_str(), row.seconds)).collect()
}

fn real_time_factor(rows: &[&Row]) -> f64 {
    let sum = |value: fn(&Row) -> f64| rows.iter().map(|row| value(row)).sum::<f64>();
    let seconds = sum(|row| row.seconds);
    if seconds > 0.0 { sum(|row| row.decode_seconds) / seconds } else { 0.0 }
}

/// Compares two evaluations of the same clips and tasks, in any order, sentence by sentence.
///
/// # Errors
/// When a row of one is missing in the other: which.
pub fn compare(first: &[Row], second: &[Row]) -> Result<Comparison> {
    let key = |row: &'_ Row| (row.lang.clone(), row.task, row.to.clone(), row.id.clone());
    let sorted = |rows| {
        let speech = |row: &&Row| row.lang != NO_LANGUAGE;
        let mut rows: Vec<&Row> = <[Row]>::iter(rows).filter(speech).collect();
        rows.sort_by_key(|row| key(row));
        rows
    };
    let (first, second) = (sorted(first), sorted(second));
    let mut pairs = first.iter().zip(&second);
    let other =
        pairs.find(|(a, b)| key(a) != key(b) || a.reference != b.reference).map(|(a, _)| *a);
    let longer = if first.len() > second.len() { &first } else { &second };
    let missing = longer.get(first.len().min(second.len())).copied();
    if let Some(row) = other.or(missing) {
        bail!("clip `{}` ({}, {}) is not in both", row.id, row.lang, row.task.name());
    }
    let (a, b) = (Counts::of(first.into_iter()), Counts::of(second.into_iter()));
    let translations = a.tasks().into_iter().filter_map(|task| {
        let of = |(found, ..): &Direction| *found == task;
        let directions = all(&a.bleu, of).len();
        Some(MeanTranslation {
            task,
            directions,
            bleu: difference(&all(&a.bleu, of), &all(&b.bleu, of))?,
            chrf: difference(&all(&a.chrf, of), &all(&b.chrf, of))?,
        })
    });
    Ok(Comparison {
        error_rate: difference(&all(&a.errors, |_| true), &all(&b.errors, |_| true)),
        joint_error_rate: difference(&all(&a.joint, |_| true), &all(&b.joint, |_| true)),
        translations: translations.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::Transcript;
    use partita_corpus::bootstrap::Interval;

    fn row(id: &str, lang: &str, reference: &str, hypothesis: &str) -> Row {
        Row {
            id: id.to_owned(),
            lang: lang.to_owned(),
            task: Task::Asr,
            to: None,
            reference: reference.to_owned(),
            hypothesis: hypothesis.to_owned(),
            transcript: None,
            heard: lang.to_owned(),
            seconds: 2.0,
            decode_seconds: 0.5,
            looped: false,
        }
    }

    fn translated(id: &str, lang: &str, to: &str, reference: &str, hypothesis: &str) -> Row {
        let (said, heard) = ("gut so", "gut wo");
        let transcript = Transcript { reference: said.to_owned(), hypothesis: heard.to_owned() };
        Row {
            task: Task::St,
            to: Some(to.to_owned()),
            transcript: Some(transcript),
            ..row(id, lang, reference, hypothesis)
        }
    }

    #[test]
    fn each_language_counts_the_same_and_in_its_own_unit() {
        let mut rows = vec![
            row("a", "de", "Guten Tag, Welt.", "guten tag welt"),
            row("b", "de", "Das ist gut", "das war gut"),
            row("c", "zh", "你好，世界", "你好视界"),
            translated("a", "de", "ja", "猫だ。", "猫だ。"),
            translated("a", "de", "zh", "这是一只黑色的猫。", "这是一只黑色的狗。"),
            Row { heard: "none".to_owned(), ..row("d", "zh", "再见", "") },
            row("n", "none", "", "thank you"),
            Row { heard: "none".to_owned(), ..row("m", "none", "", "") },
        ];
        rows[1].looped = true;
        let found = summarize(&rows);
        let [de, zh] = &found.languages[..] else { panic!("{found:?}") };
        let rate = |found: Option<Interval>| found.map(|found| found.value);
        assert_eq!((de.unit, zh.unit), (Unit::Words, Unit::Characters));
        assert_eq!(rate(de.error_rate), Some(100.0 * (1.0 / 6.0)));
        // Of six characters, one is another and two are missing.
        assert_eq!(rate(zh.error_rate), Some(50.0));
        assert_eq!(rate(found.mean.error_rate), Some((100.0 * (1.0 / 6.0) + 50.0) / 2.0));
        // The transcripts of one clip's two translations are one sample: no spread.
        let joint = found.mean.joint_error_rate;
        assert_eq!(joint, Some(Interval { value: 50.0, low: 50.0, high: 50.0 }));
        assert_eq!((de.clips, de.answers, de.loops, zh.silent), (2, 4, 1, 1));
        assert_eq!((de.language_accuracy, zh.language_accuracy), (100.0, 50.0));
        let tokens: Vec<&str> =
            de.translations.iter().map(|found| found.signature.as_str()).collect();
        let signature = |name| format!("nrefs:1|case:mixed|eff:no|tok:{name}|smooth:exp");
        assert_eq!(tokens, [signature("char"), signature("zh")]);
        let [mean] = &found.mean.translations[..] else { panic!("{found:?}") };
        // Three characters have no run of four: no BLEU, as in sacreBLEU.
        let scores: Vec<f64> = de.translations.iter().map(|found| found.bleu.value).collect();
        assert!(scores[0] == 0.0 && scores[1] > 50.0, "{scores:?}");
        assert_eq!((mean.directions, mean.bleu.value), (2, scores[1] / 2.0));
        let noise = NoiseScores { clips: 2, answers: 2, written: 1, characters: 9 };
        assert_eq!((found.noise, found.real_time_factor), (Some(noise), 0.25));
        assert_eq!(summarize(&[]).mean, Mean::default());

        // Nothing but style was said: that language has no rate, the others keep theirs.
        rows.push(row("e", "fr", "…", "oui"));
        assert_eq!(summarize(&rows).mean.error_rate, found.mean.error_rate);
    }

    #[test]
    fn comparisons_are_of_the_same_clips_in_any_order() {
        let first = [row("a", "de", "eins zwei", "eins zwei"), row("b", "de", "drei", "vier")];
        let second = [row("b", "de", "drei", "drei"), row("a", "de", "eins zwei", "eins zwei")];
        let found = compare(&first, &second).unwrap().error_rate.unwrap();
        assert_eq!(found.value, 100.0 * (1.0 / 3.0));
        assert!(found.low == 0.0 && found.high == 100.0, "{found:?}");
        for other in [&second[..1], &[][..], &[row("a", "de", "x", ""), row("b", "de", "drei", "")]]
        {
            let refused = compare(&first, other).unwrap_err().to_string();
            assert!(refused.ends_with("is not in both"), "{refused}");
        }
    }
}
