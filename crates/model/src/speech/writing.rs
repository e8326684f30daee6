//! Writing answers: greedily, by beam or draws, or going on from a text written for nearly the same
//! audio.

use super::{Grammar, SpeechNetwork, State, Task, Vocabulary};
use crate::engine::STAYS;
use crate::error::ModelError;
use crate::llm::{TextNetwork, Writing};
use crate::search::{Hypothesis, Search, Started, most_tokens};
use crate::tokens::{Lang, Mark};

/// How an answer is to be written.
#[derive(Debug, Clone)]
pub struct Wish<'a> {
    /// What is asked.
    pub task: Task,
    /// Languages that may have been spoken; any if empty.
    pub languages: &'a [Lang],
    /// The language spoken before, taken to be [`STAYS`] times likelier than it sounds.
    pub before: Option<Lang>,
    /// Whether the answer may be that nobody speaks.
    pub silence: bool,
    /// Hypotheses kept side by side; 1 is greedy.
    pub beam: usize,
    /// Above 0, tokens are drawn at this temperature.
    pub temperature: f32,
    /// Length of the audio in seconds, which bounds the answer.
    pub seconds: f64,
    /// Outputs written for nearly the same audio ([`Answer::places`]): where the new answer begins
    /// alike, it costs one pass. Otherwise than greedily, only what must stay of them counts.
    pub draft: &'a [u32],
    /// How many outputs of the draft must stay.
    pub forced: usize,
}

impl Wish<'_> {
    /// Greedy, for any language, silence allowed.
    pub fn new(task: Task, seconds: f64) -> Self {
        let (languages, draft) = (&[][..], &[][..]);
        let (beam, temperature, forced, silence) = (1, 0.0, 0, true);
        let before = None;
        Self { task, languages, before, silence, beam, temperature, seconds, draft, forced }
    }
}

/// An answer and how sure the model is of it.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The language spoken; `None` when nobody speaks.
    pub language: Option<Lang>,
    /// How sure the model is of the language, or of silence.
    pub language_probability: f32,
    /// What was said, or its translation alone where that was asked for.
    pub text: String,
    /// The translation, where both were asked for.
    pub translation: Option<String>,
    /// The outputs written, marks and all, without the end.
    pub places: Vec<u32>,
    /// The hypothesis behind it, with the log-probability of every token.
    pub hypothesis: Hypothesis,
}

/// Writes an answer behind what `begun` has read.
pub(super) fn write<N: SpeechNetwork>(
    network: &N,
    begun: &State<N>,
    wish: &Wish,
) -> Result<Answer, ModelError> {
    let vocabulary = network.vocabulary();
    let text = network.text();
    let mut state = text.fork(begun)?;
    let prompt = text.embed(&wish.task.prompt(vocabulary.marks()))?;
    let mut logits = text.read(&prompt, &mut state, 1)?.pop().unwrap_or_default();
    let before = wish.before.map(|lang| vocabulary.place_of(Mark::Spoken(lang)) as usize);
    if let Some(logit) = before.and_then(|place| logits.get_mut(place)) {
        *logit += STAYS.ln();
    }
    let rules = Grammar::new(vocabulary, wish.task, wish.languages, wish.silence);
    let texts = if wish.task.joint().is_some() { 2.0 } else { 1.0 };
    let limit = most_tokens(texts * wish.seconds).max(wish.forced);
    let search =
        Search { beam: wish.beam.max(1), temperature: wish.temperature, draws: 1, limit, seed: 17 };
    let end = vocabulary.place(vocabulary.end()).unwrap_or_default();
    let first = logits.clone();
    let tokens = |places: &[u32]| vocabulary.tokens(places);
    let model = Writing { network: text, state, tokens };
    let start = Started { model, logits, rules: &rules, end };
    let hypothesis = search.verify(start, wish.draft, wish.forced)?;
    Ok(answer(vocabulary, hypothesis, wish.task, &first))
}

/// What a hypothesis says; `first` are the logits behind the prompt.
fn answer(vocabulary: &Vocabulary, hypothesis: Hypothesis, task: Task, first: &[f32]) -> Answer {
    let places = hypothesis.tokens.clone();
    let language = places.first().and_then(|&place| {
        Lang::all().find(|&lang| vocabulary.place_of(Mark::Spoken(lang)) == place)
    });
    // Among the marks that may come first, whatever was asked for.
    let marks = Lang::all().map(Mark::Spoken).chain([Mark::NoSpeech]);
    let scores: Vec<f32> =
        marks.filter_map(|mark| first.get(vocabulary.place_of(mark) as usize).copied()).collect();
    let probability = places
        .first()
        .and_then(|&place| first.get(place as usize))
        .map(|logit| (logit - crate::nn::log_sum_exp(&scores)).exp());
    let joint = task.joint().map(|to| vocabulary.place_of(Mark::To(to)));
    let cut = joint.and_then(|joint| places.iter().position(|&place| place == joint));
    let (said, translated) = match cut {
        Some(cut) => (places.get(..cut), places.get(cut..)),
        None => (Some(&places[..]), None),
    };
    let text = |places: &[u32]| vocabulary.text(places).trim().to_owned();
    Answer {
        language,
        language_probability: probability.unwrap_or(0.0).min(1.0),
        text: said.map(text).unwrap_or_default(),
        translation: joint.map(|_| translated.map(text).unwrap_or_default()),
        places,
        hypothesis,
    }
}
