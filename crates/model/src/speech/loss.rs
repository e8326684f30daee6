//! How well a batch of answers is foretold.

use super::SpeechLlm;
use crate::error::ModelError;
use crate::nn::cross_entropy;
use candle_core::{D, Tensor};

/// One input and its answer, as tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sequence {
    /// The clip of the batch that is heard, if one is; it stands behind the start token.
    pub clip: Option<usize>,
    /// Tokens behind it: text of a text task, and the marks that ask.
    pub prompt: Vec<u32>,
    /// What is to be written, with the end.
    pub answer: Vec<u32>,
}

/// Cross-entropy of the answers of a batch.
#[derive(Debug)]
pub struct AnswerLoss {
    /// Sum over all tokens of all answers, a scalar.
    pub sum: Tensor,
    /// Number of tokens.
    pub tokens: usize,
    /// Tokens that were the likeliest at their place.
    pub correct: usize,
}

impl SpeechLlm {
    /// The loss of `sequences` over clips' vectors `[batch, time, width]` of `lengths` each
    /// ([`SpeechLlm::listen`]). Only answers count, never audio or prompt; rows are padded behind,
    /// where nothing looks.
    ///
    /// # Errors
    /// When a clip is named that is not there, an answer is empty or has a token that cannot be
    /// written, or the device has no room.
    pub fn answer_loss(
        &self,
        audio: Option<(&Tensor, &[usize])>,
        sequences: &[Sequence],
    ) -> Result<AnswerLoss, ModelError> {
        let wrong = |reason: String| ModelError::Parameter { name: "batch".to_owned(), reason };
        let vocabulary = self.vocabulary();
        // One gather for all tokens of the batch: the start, prompts, and answers but their ends.
        let mut tokens = vec![vocabulary.start()];
        for sequence in sequences {
            let [read @ .., _] = &sequence.answer[..] else {
                return Err(wrong("an empty answer".to_owned()));
            };
            tokens.extend(sequence.prompt.iter().chain(read));
        }
        let embedded = self.llm().table().embed(&tokens)?;
        let start = embedded.narrow(0, 0, 1)?;
        let mut at = 1;
        let mut rows = Vec::with_capacity(sequences.len());
        for sequence in sequences {
            let count = sequence.prompt.len() + sequence.answer.len() - 1;
            let text = embedded.narrow(0, at, count)?;
            at += count;
            rows.push(match sequence.clip {
                None => Tensor::cat(&[&start, &text], 0)?,
                Some(clip) => {
                    let heard =
                        audio.and_then(|(audio, lengths)| Some((audio, *lengths.get(clip)?)));
                    let (audio, length) =
                        heard.ok_or_else(|| wrong(format!("no clip {clip} in the batch")))?;
                    let heard = audio.narrow(0, clip, 1)?.squeeze(0)?.narrow(0, 0, length)?;
                    Tensor::cat(&[&start, &heard.to_dtype(text.dtype())?, &text], 0)?
                }
            });
        }
        let lengths = rows.iter().map(|row| row.dim(0)).collect::<candle_core::Result<Vec<_>>>()?;
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut places = Vec::new();
        let mut targets = Vec::new();
        for (row, (sequence, length)) in sequences.iter().zip(&lengths).enumerate() {
            let first = row * longest + length - sequence.answer.len();
            for (i, &token) in sequence.answer.iter().enumerate() {
                let target = vocabulary.place(token);
                let target = target.ok_or_else(|| wrong(format!("token {token} has no output")))?;
                places.push((first + i) as u32);
                targets.push(target);
            }
        }
        let padded = rows
            .iter()
            .zip(&lengths)
            .map(|(row, length)| row.pad_with_zeros(0, 0, longest - length))
            .collect::<candle_core::Result<Vec<_>>>()?;
        let hidden = self.llm().forward(&Tensor::stack(&padded, 0)?, None)?;
        let places = Tensor::new(places, self.device())?;
        let hidden = hidden.flatten(0, 1)?.index_select(&places, 0)?;
        let logits = self.llm().logits(&hidden)?.to_dtype(candle_core::DType::F32)?;
        let best = logits.detach().argmax(D::Minus1)?.to_vec1::<u32>()?;
        let correct = best.iter().zip(&targets).filter(|(best, target)| best == target).count();
        let sum = cross_entropy(&logits, &targets)?;
        Ok(AnswerLoss { sum, tokens: targets.len(), correct })
    }
}
