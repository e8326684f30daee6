//! Speech to the transcript's tokens by CTC, without the language model.

use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::{DType, Tensor};
use partita_corpus::error_rate::{ErrorCounts, Unit};
use partita_model::speech::{CtcHead, SpeechLlm, ctc_losses, greedy};
use rand::Rng;

use super::batch::{mel, names};
use super::frames::FrameDropout;
use crate::data::Example;
use crate::objective::Loss;

/// Clips in a batch of evaluation.
const BATCH: usize = 8;

/// What the head says of clips.
struct Scored {
    /// `[clips, frames, classes]`
    scores: Tensor,
    frames: Vec<usize>,
    losses: Tensor,
    /// Tokens of clips that have frames enough for them.
    tokens: usize,
    /// Clips that have not.
    too_short: usize,
    /// Clips whose loss is not finite, by their place in the batch.
    not_finite: Vec<usize>,
    /// The adapter's vectors `[clips, frames, width]`.
    heard: Tensor,
}

fn score(
    model: &SpeechLlm,
    head: &CtcHead,
    examples: &[Example],
    bins: usize,
    dropout: (FrameDropout, &mut impl Rng),
) -> Result<Scored> {
    let vocabulary = model.vocabulary();
    let label = |id: &u32| vocabulary.shortlist().short(*id);
    let labels: Vec<Vec<u32>> = examples
        .iter()
        .map(|example| vocabulary.encode(&example.text).iter().filter_map(label).collect())
        .collect();
    let (mel, frames) = mel(examples, bins, model.device())?;
    let (dropout, random) = dropout;
    let dropped = |heard| dropout.apply(heard, random);
    let (audio, frames) = model.listen_through(&mel, &frames, dropped)?;
    let heard = audio.to_dtype(DType::F32)?;
    let scores = head.forward(&heard)?;
    let found = ctc_losses(&scores, &frames, &labels, head.blank())?;
    // Speech without a transcript, a translation's, is not silence.
    let is_told = |example: &Example| !example.text.is_empty() || example.lang.is_none();
    let told: Vec<f32> = examples.iter().map(|one| f32::from(u8::from(is_told(one)))).collect();
    let losses = (found.losses * Tensor::new(told, model.device())?)?;
    let counted = labels.iter().enumerate().filter(|(clip, _)| !found.skipped.contains(clip));
    let tokens = counted.map(|(_, labels)| labels.len()).sum();
    let too_short = found.skipped.len();
    let not_finite = found.not_finite;
    Ok(Scored { scores, frames, losses, tokens, too_short, not_finite, heard })
}

/// What asks the adapter for vectors like the language model's own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Likeness {
    /// Of the distance of all vectors ([`CtcHead::distance`]), beside the loss of all tokens.
    pub weight: f64,
    /// The language model's factor on rows of its table, and the size of what comes out.
    pub sizes: (f64, f64),
}

/// The loss of a batch. Clips with fewer frames than their text needs are counted and left out.
/// Where the loss of one is not finite that of the batch is not either; it is named and counted.
pub(super) fn loss(
    model: &SpeechLlm,
    head: &CtcHead,
    examples: &[Example],
    bins: usize,
    likeness: Likeness,
    dropout: (FrameDropout, &mut impl Rng),
) -> Result<Loss> {
    let scored = score(model, head, examples, bins, dropout)?;
    let mut sum = scored.losses.sum_all()?;
    let mut parts = BTreeMap::new();
    if likeness.weight > 0.0 {
        let far = head.distance(&scored.heard, &scored.scores, &scored.frames, likeness.sizes)?;
        let vectors = scored.frames.iter().sum::<usize>() as u64;
        parts.insert("ctc.distance".to_owned(), (f64::from(far.to_scalar::<f32>()?), vectors));
        sum = (sum + (far * likeness.weight)?)?;
    }
    let mut loss = Loss::new(sum, scored.tokens as u64);
    loss.parts = parts;
    let too_short = (scored.too_short as f64, examples.len() as u64);
    loss.parts.insert("ctc.too_short".to_owned(), too_short);
    if !scored.not_finite.is_empty() {
        let count = (scored.not_finite.len() as f64, examples.len() as u64);
        loss.parts.insert("ctc.not_finite".to_owned(), count);
        let clips = scored.not_finite.iter().filter_map(|&clip| examples.get(clip));
        loss.batch = names(clips, "ctc, not finite");
    }
    Ok(loss)
}

/// On development clips: `loss.ctc`, nats a token; `error.ctc`, the error rate of the likeliest
/// labels read as text.
pub(super) fn evaluate(
    model: &SpeechLlm,
    head: &CtcHead,
    examples: &[Example],
    bins: usize,
) -> Result<BTreeMap<String, f64>> {
    let (mut sum, mut tokens, mut errors) = (0.0, 0, ErrorCounts::default());
    let vocabulary = model.vocabulary();
    for part in examples.chunks(BATCH) {
        let scored = score(model, head, part, bins, (FrameDropout::NONE, &mut rand::rng()))?;
        sum += f64::from(scored.losses.sum_all()?.to_scalar::<f32>()?);
        tokens += scored.tokens;
        let read = greedy(&scored.scores, &scored.frames, head.blank())?;
        for (example, labels) in part.iter().zip(read) {
            let Some(lang) = &example.lang else { continue };
            let full = labels.iter().filter_map(|&label| vocabulary.shortlist().full(label));
            let text = vocabulary.tokenizer().decode(&full.collect::<Vec<_>>());
            errors += Unit::of(lang).count(lang, &example.text, &text);
        }
    }
    let rate = errors.rate().unwrap_or(0.0);
    let loss = sum / tokens.max(1) as f64;
    Ok([("loss.ctc".to_owned(), loss), ("error.ctc".to_owned(), rate)].into())
}
