//! What greedy answers to development clips are worth.

use std::collections::BTreeMap;

use anyhow::Result;
use partita_corpus::bleu::{BleuCounts, tokenizer_for};
use partita_corpus::chrf::ChrfCounts;
use partita_corpus::error_rate::{ErrorCounts, Unit};
use partita_model::speech::{SpeechLlm, SpeechNetwork, Task, Wish};
use partita_model::tokens::Lang;

use super::batch::{Kind, mel};
use crate::data::Example;

/// Sums by language.
#[derive(Default)]
struct Sums {
    /// Errors in the unit of the language spoken, and in characters.
    errors: BTreeMap<String, (ErrorCounts, ErrorCounts)>,
    /// By the language translated into.
    translations: BTreeMap<String, (BleuCounts, ChrfCounts)>,
    /// Clips without speech, and those of them at which the model was silent.
    noise: (u64, u64),
}

/// Measures of greedy answers, means over languages:
///
/// - `wer`, `cer`: errors of transcripts by their length, after the normaliser of error rates; of
///   words (of characters where [`Unit::of`] says so), and of characters;
/// - `bleu`, `chrf`: 0 to 100, of translations, where `translate` asks for them;
/// - `silence`: the share of clips without speech at which the model wrote nothing.
///
/// Each clip is asked for once, by a task that the stage trains if one fits: for a translation into
/// one of its languages, or for a transcript (that before a translation in stages without `asr`).
pub fn written(
    model: &SpeechLlm,
    bins: usize,
    examples: &[Example],
    kinds: &[Kind],
    translate: bool,
) -> Result<BTreeMap<String, f64>> {
    let mut sums = Sums::default();
    for (at, example) in examples.iter().enumerate() {
        let Some(task) = task(drawn_target(at, example), example, kinds, translate) else {
            continue;
        };
        let (mel, frames) = mel(std::slice::from_ref(example), bins, model.device())?;
        let (audio, _) = model.listen(&mel, &frames)?;
        let answer = model.write(&model.begin(&audio)?, &Wish::new(task, example.seconds))?;
        let Some(lang) = &example.lang else {
            sums.noise.0 += 1;
            sums.noise.1 += u64::from(answer.language.is_none());
            continue;
        };
        let (transcript, translation) = match task {
            Task::Translate(to) => (Some(answer.text), Some((to, answer.translation))),
            Task::DirectTranslation(to) => (None, Some((to, Some(answer.text)))),
            _ => (Some(answer.text), None),
        };
        if let Some(text) = transcript.filter(|_| !example.text.is_empty()) {
            let errors = |unit: Unit| unit.count(lang, &example.text, &text);
            let (own, characters) = sums.errors.entry(lang.clone()).or_default();
            *own += errors(Unit::of(lang));
            *characters += errors(Unit::Characters);
        }
        if let Some((to, text)) = translation
            && let Some(reference) = example.translations.get(to.code())
        {
            let text = text.unwrap_or_default();
            let (bleu, chrf) = sums.translations.entry(to.code().to_owned()).or_default();
            *bleu += BleuCounts::of(reference, &text, tokenizer_for(to.code()));
            *chrf += ChrfCounts::of(reference, &text);
        }
    }
    Ok(sums.values())
}

impl Sums {
    fn values(&self) -> BTreeMap<String, f64> {
        let mut values = BTreeMap::new();
        let mut mean = |name: &str, scores: Vec<f64>| {
            if !scores.is_empty() {
                values.insert(name.to_owned(), scores.iter().sum::<f64>() / scores.len() as f64);
            }
        };
        let errors = || self.errors.values();
        mean("wer", errors().filter_map(|(own, _)| own.rate()).collect());
        mean("cer", errors().filter_map(|(_, characters)| characters.rate()).collect());
        let translations = || self.translations.values();
        mean("bleu", translations().map(|(bleu, _)| bleu.score()).collect());
        mean("chrf", translations().map(|(_, chrf)| chrf.score()).collect());
        let (clips, silent) = self.noise;
        mean("silence", (clips > 0).then(|| silent as f64 / clips as f64).into_iter().collect());
        values
    }
}

/// What a clip is asked for; nothing where it has no text to compare with.
fn task(to: Option<Lang>, example: &Example, kinds: &[Kind], translate: bool) -> Option<Task> {
    if example.lang.is_none() {
        return Some(Task::Transcribe);
    }
    let trains = |kind| kinds.contains(&kind);
    if translate {
        return Some(match trains(Kind::Direct) && !trains(Kind::St) {
            true => Task::DirectTranslation(to?),
            false => Task::Translate(to?),
        });
    }
    match to.filter(|_| trains(Kind::St) && !trains(Kind::Asr)) {
        _ if example.text.is_empty() => None,
        Some(to) => Some(Task::Translate(to)),
        None => Some(Task::Transcribe),
    }
}

/// The language that the clip of this number is translated into: of several, each in its turn.
pub fn drawn_target(at: usize, example: &Example) -> Option<Lang> {
    let texts = example.translations.iter().filter(|(_, text)| !text.is_empty());
    let known: Vec<Lang> = texts.filter_map(|(lang, _)| lang.parse().ok()).collect();
    known.get(at % known.len().max(1)).copied()
}
