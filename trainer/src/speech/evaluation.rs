//! How well a model does on development clips: losses, and what is written where the recipe's metric
//! asks for it.

use std::collections::BTreeMap;

use anyhow::Result;
use partita_model::speech::SpeechLlm;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::batch::{Kind, mel, speech_sequences};
use super::written::written;
use crate::data::Example;
use crate::recipe::Metric;

/// Clips in a batch of evaluation.
const BATCH: usize = 8;

/// Loss and accuracy of answers, by task, and what is written where `metric` asks for it.
pub fn evaluate(
    model: &SpeechLlm,
    bins: usize,
    examples: &[Example],
    kinds: &[Kind],
    metric: Metric,
) -> Result<BTreeMap<String, f64>> {
    let mut values = BTreeMap::new();
    let (mut sum, mut tokens, mut correct) = (0.0, 0, 0);
    for &kind in kinds {
        let (mut own_sum, mut own_tokens, mut own_correct) = (0.0, 0, 0);
        for part in examples.chunks(BATCH) {
            let mut random = StdRng::seed_from_u64(0);
            let sequences = speech_sequences(model, kind, part, &mut random);
            if sequences.is_empty() {
                continue;
            }
            let (mel, frames) = mel(part, bins, model.device())?;
            let (audio, lengths) = model.listen(&mel, &frames)?;
            let loss = model.answer_loss(Some((&audio, &lengths)), &sequences)?;
            own_sum += f64::from(loss.sum.to_scalar::<f32>()?);
            own_tokens += loss.tokens;
            own_correct += loss.correct;
        }
        let count = own_tokens.max(1) as f64;
        values.insert(format!("loss.{}", kind.name()), own_sum / count);
        values.insert(format!("accuracy.{}", kind.name()), own_correct as f64 / count);
        (sum, tokens, correct) = (sum + own_sum, tokens + own_tokens, correct + own_correct);
    }
    let count = tokens.max(1) as f64;
    values.insert("loss".to_owned(), sum / count);
    values.insert("accuracy".to_owned(), correct as f64 / count);
    if matches!(metric, Metric::Wer | Metric::Cer | Metric::Bleu | Metric::Chrf) {
        let translate = matches!(metric, Metric::Bleu | Metric::Chrf);
        values.extend(written(model, bins, examples, kinds, translate)?);
    }
    Ok(values)
}
