//! Batches as tensors and token sequences.

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use partita_model::speech::{Sequence, SpeechLlm, Task, answer};
use partita_model::tokens::Lang;
use rand::Rng;

use crate::data::{Example, TextExample};

/// What a micro-batch is for; the names of [`crate::recipe::Tasks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Speech to its transcript.
    Asr,
    /// Speech to transcript and translation.
    St,
    /// Speech to translation alone.
    Direct,
    /// Text to its translation.
    Mt,
    /// Text that goes on.
    Lm,
    /// Speech to the transcript's tokens by CTC.
    Ctc,
}

impl Kind {
    /// The task of that name in a recipe.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Asr, Self::St, Self::Direct, Self::Mt, Self::Lm, Self::Ctc]
            .into_iter()
            .find(|kind| kind.name() == name)
    }

    /// Its name in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Self::Asr => "asr",
            Self::St => "st",
            Self::Direct => "direct",
            Self::Mt => "mt",
            Self::Lm => "lm",
            Self::Ctc => "ctc",
        }
    }

    /// Whether it hears anything.
    pub fn is_speech(self) -> bool {
        !matches!(self, Self::Mt | Self::Lm)
    }
}

/// Clips that are named in a message, at most.
const NAMED: usize = 4;

/// What clips are, and the names of the first of them.
pub(super) fn names<'a>(clips: impl Iterator<Item = &'a Example>, what: &str) -> String {
    let names: Vec<&str> = clips.map(|example| example.id.as_str()).collect();
    let more = match names.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let first = names.get(..names.len().min(NAMED)).unwrap_or_default();
    format!("{what}, {}{more}", first.join(", "))
}

/// Log-mel `[clips, bins, frames]`, padded with zeros behind, and each clip's frames.
pub fn mel(examples: &[Example], bins: usize, device: &Device) -> Result<(Tensor, Vec<usize>)> {
    let frames: Vec<usize> = examples.iter().map(|example| example.frames).collect();
    let longest = frames.iter().copied().max().unwrap_or(0);
    let mut values = vec![0.0; examples.len() * bins * longest];
    let rows = values.chunks_exact_mut(longest.max(1));
    let own = examples.iter().flat_map(|example| {
        (0..bins).map(move |bin| {
            let start = bin * example.frames;
            example.mel.get(start..start + example.frames).unwrap_or_default()
        })
    });
    for (row, own) in rows.zip(own) {
        if let Some(place) = row.get_mut(..own.len()) {
            place.copy_from_slice(own);
        }
    }
    let shape = (examples.len(), bins, longest);
    let mel = Tensor::from_vec(values, shape, device).context("a batch of features")?;
    Ok((mel, frames))
}

/// The sequences of clips, in their order: clip `i` is heard in sequence `i`.
///
/// A clip without a translation is transcribed, whatever the task; of several translations one
/// is drawn. Clips in languages that have no mark, and clips without any text that could be
/// written, are left out.
pub fn speech_sequences(
    model: &SpeechLlm,
    kind: Kind,
    examples: &[Example],
    random: &mut impl Rng,
) -> Vec<Sequence> {
    let vocabulary = model.vocabulary();
    let sequence = |clip: usize, task: Task, spoken: Option<Lang>, texts: &[&str]| {
        let texts: Vec<Vec<u32>> = texts.iter().map(|text| vocabulary.encode(text)).collect();
        let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let mut answer = answer(task, spoken, &texts, vocabulary.marks());
        answer.push(vocabulary.end());
        Sequence { clip: Some(clip), prompt: task.prompt(vocabulary.marks()), answer }
    };
    let mut sequences = Vec::with_capacity(examples.len());
    for (clip, example) in examples.iter().enumerate() {
        // Drawn for every clip, so that what one clip has changes nothing for the others.
        let draw: f64 = random.random();
        let known: Vec<(Lang, &str)> = example
            .translations
            .iter()
            .filter_map(|(lang, text)| Some((lang.parse().ok()?, text.as_str())))
            .collect();
        let Some(lang) = &example.lang else {
            sequences.push(sequence(clip, Task::Transcribe, None, &[]));
            continue;
        };
        let Ok(spoken) = lang.parse::<Lang>() else { continue };
        let translation = known.get((draw * known.len() as f64) as usize);
        let text = example.text.as_str();
        match (kind, translation) {
            (Kind::St, Some((to, translated))) if !text.is_empty() => {
                let task = Task::Translate(*to);
                sequences.push(sequence(clip, task, Some(spoken), &[text, translated]));
            }
            (Kind::Direct, Some((to, translated))) => {
                let task = Task::DirectTranslation(*to);
                sequences.push(sequence(clip, task, Some(spoken), &[translated]));
            }
            _ if !text.is_empty() => {
                sequences.push(sequence(clip, Task::Transcribe, Some(spoken), &[text]));
            }
            _ => {}
        }
    }
    sequences
}

/// The sequences of sentences: translations, or both sentences as they go on.
pub fn text_sequences(model: &SpeechLlm, kind: Kind, examples: &[TextExample]) -> Vec<Sequence> {
    let vocabulary = model.vocabulary();
    let mut sequences = Vec::new();
    for example in examples {
        let langs = (example.src_lang.parse::<Lang>(), example.tgt_lang.parse::<Lang>());
        let with_end = |mut tokens: Vec<u32>| {
            tokens.push(vocabulary.end());
            tokens
        };
        if kind == Kind::Lm {
            for text in [&example.src, &example.tgt].into_iter().filter(|text| !text.is_empty()) {
                let answer = with_end(vocabulary.encode(text));
                sequences.push(Sequence { clip: None, prompt: Vec::new(), answer });
            }
        } else if let (Ok(from), Ok(to)) = langs
            && ![&example.src, &example.tgt].into_iter().any(String::is_empty)
        {
            let task = Task::TextTranslation(to);
            let mut prompt = vocabulary.encode(&example.src);
            prompt.extend(task.prompt(vocabulary.marks()));
            let text = vocabulary.encode(&example.tgt);
            let answer = with_end(answer(task, Some(from), &[&text], vocabulary.marks()));
            sequences.push(Sequence { clip: None, prompt, answer });
        }
    }
    sequences
}
