//! Logits under teacher forcing: what a model expects at each place of given answers, kept for one
//! model and compared by others.
//!
//! Answers are transcripts, or transcripts with translations where there are any, with their marks
//! and the end. They are made of the reference's tokens; other models take the same tokens under
//! their own ids, so each place has the same past. Where vocabularies differ, logits are compared
//! over the tokens that both have.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use candle_core::Tensor;
use partita_model::speech::{SpeechEngine, SpeechNetwork, Task, Vocabulary, answer};
use partita_model::tokens::Lang;
use serde::{Deserialize, Serialize};

use super::subject::Model;
use crate::clips::Clip;

/// How alike the logits of two models are: means over the tokens of all answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Tokens of all answers.
    pub places: usize,
    /// Answers that have a token which the model does not have, left out.
    pub left_out: usize,
    /// Tokens over which logits are compared, and how many the reference has.
    pub tokens: [usize; 2],
    /// Cosine between the vectors of logits.
    pub cosine: f64,
    /// Kullback-Leibler divergence of the model's distribution from the reference's, in nats.
    pub divergence: f64,
    /// Share of places with the same likeliest token.
    pub same_best: f64,
}

/// What is kept of the reference beside its logits.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// Names of its outputs, in order.
    outputs: Vec<String>,
    sequences: Vec<Sequence>,
}

/// One answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Sequence {
    /// Its clip, by number.
    clip: usize,
    /// Whether it has, or is, a translation.
    translated: bool,
    /// Its tokens, by their places among the reference's outputs.
    places: Vec<u32>,
}

const INDEX: &str = "answers.json";

/// Keeps a model's logits for answers to clips in a folder, a file each.
///
/// # Errors
/// When the network fails, or the folder cannot be written.
pub fn keep(model: &Model, clips: &[Clip], folder: &Path) -> Result<()> {
    let outputs = outputs(model);
    let mut kept = Kept { outputs, sequences: Vec::new() };
    for (number, clip) in clips.iter().enumerate() {
        let audio = model.encode(&clip.samples()?)?;
        for (translated, places) in answers(model, clip)? {
            let Some(logits) = foretell(model, &audio, clip, translated, &places)? else {
                continue;
            };
            let path = logits_file(folder, kept.sequences.len());
            let bytes: Vec<u8> = logits.iter().flatten().flat_map(|l| l.to_le_bytes()).collect();
            fs::write(&path, bytes).with_context(|| path.display().to_string())?;
            kept.sequences.push(Sequence { clip: number, translated, places });
        }
    }
    let path = folder.join(INDEX);
    fs::write(&path, serde_json::to_vec(&kept)?).with_context(|| path.display().to_string())
}

/// Compares a model's logits with those that were kept; `None` where it has none of those answers.
///
/// # Errors
/// When the network fails, or nothing was kept.
pub fn compare(model: &Model, clips: &[Clip], folder: &Path) -> Result<Option<Agreement>> {
    let path = folder.join(INDEX);
    let text = fs::read(&path).with_context(|| path.display().to_string())?;
    let kept: Kept = serde_json::from_slice(&text)?;
    let own: HashMap<String, usize> =
        outputs(model).into_iter().enumerate().map(|(place, name)| (name, place)).collect();
    let own_place = |place: usize| kept.outputs.get(place).and_then(|name| own.get(name)).copied();
    let common: Vec<(usize, usize)> =
        (0..kept.outputs.len()).filter_map(|place| Some((place, own_place(place)?))).collect();
    let mut sum = Agreement { tokens: [common.len(), kept.outputs.len()], ..Agreement::default() };
    let mut heard = None;
    for (number, sequence) in kept.sequences.iter().enumerate() {
        let clip = clips.get(sequence.clip).context("a clip that is not there")?;
        let places = sequence.places.iter().map(|&place| own_place(place as usize));
        let places = places.map(|place| place.map(|place| place as u32));
        let Some(places) = places.collect::<Option<Vec<u32>>>() else {
            sum.left_out += 1;
            continue;
        };
        let audio = match heard.take() {
            Some((clip, audio)) if clip == sequence.clip => audio,
            _ => model.encode(&clip.samples()?)?,
        };
        let logits = foretell(model, &audio, clip, sequence.translated, &places)?;
        heard = Some((sequence.clip, audio));
        let Some(logits) = logits else {
            sum.left_out += 1;
            continue;
        };
        let theirs = read(&logits_file(folder, number), kept.outputs.len())?;
        ensure!(theirs.len() == logits.len(), "{} places of {}", theirs.len(), logits.len());
        for (theirs, ours) in theirs.iter().zip(&logits) {
            let at = |from: &[f32], place: usize| from.get(place).copied().unwrap_or_default();
            let pairs: Vec<(f64, f64)> = common
                .iter()
                .map(|&(their, own)| (f64::from(at(theirs, their)), f64::from(at(ours, own))))
                .collect();
            sum.add(&pairs);
        }
    }
    if sum.places == 0 {
        return Ok(None);
    }
    let count = sum.places as f64;
    sum.cosine /= count;
    sum.divergence /= count;
    sum.same_best /= count;
    Ok(Some(sum))
}

impl Agreement {
    /// Adds one place, of pairs of logits.
    fn add(&mut self, pairs: &[(f64, f64)]) {
        let (mut first, mut second, mut both) = (0.0, 0.0, 0.0);
        let (mut most, mut best) = ((f64::NEG_INFINITY, f64::NEG_INFINITY), (0, 0));
        for (place, &(a, b)) in pairs.iter().enumerate() {
            first += a * a;
            second += b * b;
            both += a * b;
            if a > most.0 {
                (most.0, best.0) = (a, place);
            }
            if b > most.1 {
                (most.1, best.1) = (b, place);
            }
        }
        let totals = pairs.iter().fold((0.0, 0.0), |totals, (a, b)| {
            (totals.0 + (a - most.0).exp(), totals.1 + (b - most.1).exp())
        });
        let (total, other) = (most.0 + totals.0.ln(), most.1 + totals.1.ln());
        let terms = pairs.iter().map(|(a, b)| (a - total).exp() * ((a - total) - (b - other)));
        self.places += 1;
        self.divergence += terms.sum::<f64>().max(0.0);
        self.cosine += both / (first * second).sqrt().max(f64::MIN_POSITIVE);
        self.same_best += f64::from(u8::from(best.0 == best.1));
    }
}

fn logits_file(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("{number}.f32"))
}

fn read(path: &Path, width: usize) -> Result<Vec<Vec<f32>>> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    let values: Vec<f32> =
        bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    Ok(values.chunks(width.max(1)).map(<[f32]>::to_vec).collect())
}

/// Names of a model's outputs that mean the same in all models of its kind.
fn outputs(model: &Model) -> Vec<String> {
    match model {
        Model::Whisper(whisper) => {
            let name = |id: u32| whisper.piece(id).unwrap_or_else(|| id.to_string());
            let ids = 0..whisper.config().vocabulary as u32;
            ids.map(|id| format!("whisper {}", name(id))).collect()
        }
        Model::Speech(engine) => names(engine.model().vocabulary()),
        Model::Graphs(engine) => names(engine.model().vocabulary()),
    }
}

fn names(vocabulary: &Vocabulary) -> Vec<String> {
    let places: Vec<u32> = (0..vocabulary.outputs() as u32).collect();
    let name = |id: u32| match vocabulary.marks().of(id) {
        Some(mark) => format!("mark {mark}"),
        None => format!("token {}", vocabulary.tokenizer().piece(id).unwrap_or_default()),
    };
    vocabulary.tokens(&places).into_iter().map(name).collect()
}

/// Answers to a clip, by places among the model's outputs.
pub(crate) fn answers(model: &Model, clip: &Clip) -> Result<Vec<(bool, Vec<u32>)>> {
    let target = clip.translation.as_ref();
    match model {
        Model::Whisper(whisper) => {
            let mut found = vec![(false, whisper.answer(&clip.text)?)];
            if let Some((_, text)) = target.filter(|(lang, _)| lang == "en") {
                found.push((true, whisper.answer(text)?));
            }
            Ok(found)
        }
        Model::Speech(engine) => spoken_answers(engine.model().vocabulary(), clip),
        Model::Graphs(engine) => spoken_answers(engine.model().vocabulary(), clip),
    }
}

fn spoken_answers(vocabulary: &Vocabulary, clip: &Clip) -> Result<Vec<(bool, Vec<u32>)>> {
    let target = clip.translation.as_ref();
    let spoken: Lang = clip.lang.parse()?;
    let said = vocabulary.encode(clip.text.trim());
    let translated = target.map(|(_, text)| vocabulary.encode(text.trim()));
    let texts: Vec<&[u32]> = std::iter::once(&said).chain(&translated).map(Vec::as_slice).collect();
    let mut tokens =
        answer(task(clip, target.is_some())?, Some(spoken), &texts, vocabulary.marks());
    tokens.push(vocabulary.end());
    let places: Option<Vec<u32>> =
        tokens.into_iter().map(|token| vocabulary.place(token)).collect();
    Ok(places.map(|places| (target.is_some(), places)).into_iter().collect())
}

fn task(clip: &Clip, translated: bool) -> Result<Task> {
    Ok(match clip.translation.as_ref().filter(|_| translated) {
        Some((target, _)) => Task::Translate(target.parse()?),
        None => Task::Transcribe,
    })
}

/// Logits at each place of an answer.
pub(crate) fn foretell(
    model: &Model,
    audio: &Tensor,
    clip: &Clip,
    translated: bool,
    places: &[u32],
) -> Result<Option<Vec<Vec<f32>>>> {
    match model {
        Model::Whisper(whisper) => Ok(whisper.foretell(audio, &clip.lang, translated, places)?),
        Model::Speech(engine) => speech(engine, audio, task(clip, translated)?, places).map(Some),
        Model::Graphs(engine) => speech(engine, audio, task(clip, translated)?, places).map(Some),
    }
}

fn speech<N: SpeechNetwork>(
    engine: &SpeechEngine<N>,
    audio: &Tensor,
    task: Task,
    places: &[u32],
) -> Result<Vec<Vec<f32>>> {
    let model = engine.model();
    let vocabulary = model.vocabulary();
    let begun = model.begin(audio)?;
    let prompt = task.prompt(vocabulary.marks());
    Ok(model.foretell(&begun, &prompt, &vocabulary.tokens(places))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergence_is_that_of_the_distributions() {
        let mut found = Agreement::default();
        // Probabilities 1/2, 1/4, 1/4 and 1/4, 1/2, 1/4; any constant may be added to logits.
        let log = |p: f64| p.ln();
        let pairs = [(0.5, 0.25), (0.25, 0.5), (0.25, 0.25)];
        let pairs: Vec<_> = pairs.iter().map(|&(a, b)| (log(a) + 7.0, log(b) - 2.0)).collect();
        found.add(&pairs);
        let wanted = 0.5 * 2f64.ln() + 0.25 * 0.5f64.ln();
        assert!((found.divergence - wanted).abs() < 1e-12, "{found:?}");
        assert_eq!((found.places, found.same_best), (1, 0.0));
        let mut same = Agreement::default();
        same.add(&[(3.0, 3.0), (-1.0, -1.0)]);
        assert!(same.divergence < 1e-12 && same.cosine > 1.0 - 1e-12 && same.same_best == 1.0);
    }
}
