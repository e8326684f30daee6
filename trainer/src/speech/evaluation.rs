//! How well a model does on development clips.

use std::collections::BTreeMap;

use anyhow::Result;
use partita_corpus::error_rate::{self, ErrorCounts};
use partita_model::speech::{SpeechLlm, Task, Wish};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::batch::{Kind, mel, speech_sequences};
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
    if matches!(metric, Metric::Wer | Metric::Cer) {
        let rate =
            |count: fn(&str, &str) -> ErrorCounts| error_rate_of(model, bins, examples, count);
        values.insert("wer".to_owned(), rate(error_rate::words)?);
        values.insert("cer".to_owned(), rate(error_rate::characters)?);
    }
    Ok(values)
}

/// Errors of greedy transcripts over the references' length.
fn error_rate_of(
    model: &SpeechLlm,
    bins: usize,
    examples: &[Example],
    count: fn(&str, &str) -> ErrorCounts,
) -> Result<f64> {
    let mut all = ErrorCounts::default();
    for example in examples.iter().filter(|example| example.lang.is_some()) {
        let (mel, frames) = mel(std::slice::from_ref(example), bins, model.device())?;
        let (audio, _) = model.listen(&mel, &frames)?;
        let wish = Wish::new(Task::Transcribe, example.seconds);
        let answer = model.write(&model.begin(&audio)?, &wish)?;
        all += count(&example.text, &answer.text);
    }
    Ok(all.rate().unwrap_or(0.0))
}
