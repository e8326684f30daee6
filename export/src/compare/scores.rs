//! How good answers are, and how much worse than others to the same clips.

use std::collections::BTreeMap;

use partita_corpus::bleu::{BleuCounts, tokenizer_for};
use partita_corpus::bootstrap::Interval;
use partita_corpus::chrf::ChrfCounts;
use partita_corpus::error_rate::{ErrorCounts, Unit};
use partita_corpus::scored::{Scored, difference, interval};
use serde::{Deserialize, Serialize};

use super::measure::Said;
use crate::clips::Clip;

/// A score in percent, and its change against the reference with an interval that holds 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The score.
    pub value: f64,
    /// The score minus the reference's.
    pub change: Interval,
}

/// Scores of all answers: means over languages, or over directions of translation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Of words, or of characters in languages without spaces.
    pub error_rate: Option<Score>,
    /// BLEU of translations.
    pub bleu: Option<Score>,
    /// chrF2 of translations.
    pub chrf: Option<Score>,
}

impl Scores {
    /// Of answers to clips, beside those of the reference.
    pub fn of(clips: &[Clip], answers: &[Said], reference: &[Said]) -> Self {
        let [own, theirs] = [answers, reference].map(|answers| Counts::of(clips, answers));
        Self {
            error_rate: score(&own.errors, &theirs.errors),
            bleu: score(&own.bleu, &theirs.bleu),
            chrf: score(&own.chrf, &theirs.chrf),
        }
    }
}

/// Counts of answers, by language or direction.
#[derive(Default)]
struct Counts {
    errors: BTreeMap<String, Vec<ErrorCounts>>,
    bleu: BTreeMap<String, Vec<BleuCounts>>,
    chrf: BTreeMap<String, Vec<ChrfCounts>>,
}

impl Counts {
    fn of(clips: &[Clip], answers: &[Said]) -> Self {
        let mut counts = Self::default();
        for (clip, said) in clips.iter().zip(answers) {
            let errors = Unit::of(&clip.lang).count(&clip.lang, &clip.text, &said.text);
            counts.errors.entry(clip.lang.clone()).or_default().push(errors);
            if let (Some((to, text)), Some(written)) = (&clip.translation, &said.translation) {
                let direction = format!("{}-{to}", clip.lang);
                let bleu = BleuCounts::of(text, written, tokenizer_for(to));
                counts.bleu.entry(direction.clone()).or_default().push(bleu);
                let chrf = ChrfCounts::of(text, written);
                counts.chrf.entry(direction).or_default().push(chrf);
            }
        }
        counts
    }
}

/// `None` where there is nothing to score, or the reference answered other clips.
fn score<T: Scored>(
    own: &BTreeMap<String, Vec<T>>,
    theirs: &BTreeMap<String, Vec<T>>,
) -> Option<Score> {
    let value = interval(&own.values().collect::<Vec<_>>())?.value;
    let sizes = |map: &BTreeMap<String, Vec<T>>| {
        map.iter().map(|(name, counts)| (name.clone(), counts.len())).collect::<Vec<_>>()
    };
    let (first, second): (Vec<_>, Vec<_>) = (own.values().collect(), theirs.values().collect());
    let change = (sizes(own) == sizes(theirs)).then(|| difference(&first, &second)).flatten();
    Some(Score { value, change: change? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_against_the_reference() {
        let clip = |lang: &str, text: &str, english: Option<&str>| Clip {
            id: String::new(),
            path: "a.wav".into(),
            offset: 0.0,
            seconds: 1.0,
            lang: lang.to_owned(),
            text: text.to_owned(),
            translation: english.map(|text| ("en".to_owned(), text.to_owned())),
        };
        let said = |text: &str, english: Option<&str>| Said {
            text: text.to_owned(),
            translation: english.map(str::to_owned),
        };
        let english = "a house with a large garden";
        let clips =
            [clip("de", "eins zwei", Some(english)), clip("en", "one two three four", None)];
        let good = [said("Eins, zwei!", Some(english)), said("one two three four", None)];
        let bad = [said("eins", Some("a house with a garden")), said("one two three four", None)];
        let found = Scores::of(&clips, &bad, &good);
        let rate = found.error_rate.unwrap();
        // Half of the words of one language of two.
        assert_eq!((rate.value, rate.change.value), (25.0, 25.0));
        let bleu = found.bleu.unwrap();
        assert!(bleu.value < 100.0 && (bleu.change.value - (bleu.value - 100.0)).abs() < 1e-9);
        assert!(found.chrf.unwrap().change.value < 0.0);
        let same = Scores::of(&clips, &good, &good);
        assert_eq!(same.error_rate.unwrap().change.value, 0.0);
        assert_eq!(Scores::of(&clips[1..], &good[1..], &good[1..]).bleu, None);
    }
}
