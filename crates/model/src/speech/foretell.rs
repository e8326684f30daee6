//! What a model expects at each place of an answer that is given.

use super::SpeechLlm;
use crate::error::ModelError;
use crate::llm::LlmState;
use candle_core::Tensor;

impl SpeechLlm {
    /// Logits `[answer, outputs]` of each token of an answer (with its end) to `prompt`, told the
    /// tokens before it, behind what `begun` has read ([`SpeechLlm::begin`]), which is left as it is.
    ///
    /// # Errors
    /// When prompt or answer is empty, a token is unknown, or the device has no room.
    pub fn foretell(
        &self,
        begun: &LlmState,
        prompt: &[u32],
        answer: &[u32],
    ) -> Result<Tensor, ModelError> {
        let (Some(first), [told @ .., _]) = (prompt.len().checked_sub(1), answer) else {
            let reason = "an empty prompt or answer".to_owned();
            return Err(ModelError::Parameter { name: "answer".to_owned(), reason });
        };
        let mut state = begun.fork()?;
        let x = self.llm().embed(&[prompt, told].concat())?;
        let hidden = self.llm().forward(&x, Some(&mut state))?;
        let hidden = hidden.narrow(1, first, answer.len())?.squeeze(0)?.contiguous()?;
        Ok(self.llm().logits(&hidden)?)
    }
}
