//! What decoding asks of a network that hears and writes, whatever it runs on.

use super::writing::{self, Answer, Wish};
use super::{SpeechLlm, Vocabulary};
use crate::error::ModelError;
use crate::llm::LlmState;
use candle_core::Tensor;

/// A language model that hears, as decoding sees it: vectors in, logits out, and a state of what was
/// read that can be copied, cut back and spread over rows.
///
/// Whatever is beyond these is there once, for all networks: [`SpeechNetwork::begin`] and
/// [`SpeechNetwork::write`].
pub trait SpeechNetwork: Send + Sized {
    /// Keys and values of what was read, rows of text side by side.
    type State: Send;

    /// Its words.
    fn vocabulary(&self) -> &Vocabulary;

    /// Log-mel `[1, bins, frames]` of one clip to what the language model takes for tokens,
    /// `[1, time, width]`.
    ///
    /// # Errors
    /// When the clip is longer than the encoder takes, or the network fails.
    fn hear(&self, mel: &Tensor) -> Result<Tensor, ModelError>;

    /// Vectors `[1, tokens, width]` of tokens.
    ///
    /// # Errors
    /// When a token is not known, or the network fails.
    fn embed(&self, tokens: &[u32]) -> Result<Tensor, ModelError>;

    /// A state of one row that has read nothing.
    ///
    /// # Errors
    /// When there is no room.
    fn start(&self) -> Result<Self::State, ModelError>;

    /// Reads vectors `[rows, time, width]` behind those in `state`; logits after the last `kept` of
    /// each row (none for 0), row by row.
    ///
    /// # Errors
    /// When the shape does not fit, or the network fails.
    fn read(
        &self,
        x: &Tensor,
        state: &mut Self::State,
        kept: usize,
    ) -> Result<Vec<Vec<f32>>, ModelError>;

    /// A state of its own at the same place.
    ///
    /// # Errors
    /// When there is no room.
    fn fork(&self, state: &Self::State) -> Result<Self::State, ModelError>;

    /// Forgets the last positions of all rows.
    fn forget(&self, state: &mut Self::State, positions: usize);

    /// Makes row `i` the former row `rows[i]`.
    ///
    /// # Errors
    /// When there is no such row, or no room.
    fn select(&self, state: &mut Self::State, rows: &[u32]) -> Result<(), ModelError>;

    /// Reads the start and one clip's vectors `[1, time, width]`: what every task goes on from.
    ///
    /// # Errors
    /// When the width differs, or there is no room.
    fn begin(&self, audio: &Tensor) -> Result<Self::State, ModelError> {
        let start = self.embed(&[self.vocabulary().start()])?;
        let mut state = self.start()?;
        self.read(&Tensor::cat(&[&start, audio], 1)?, &mut state, 0)?;
        Ok(state)
    }

    /// Writes an answer behind what `begun` has read ([`SpeechNetwork::begin`], or the start and a
    /// text), which is left as it is.
    ///
    /// # Errors
    /// When the network fails.
    fn write(&self, begun: &Self::State, wish: &Wish) -> Result<Answer, ModelError> {
        writing::write(self, begun, wish)
    }
}

impl SpeechNetwork for SpeechLlm {
    type State = LlmState;

    fn vocabulary(&self) -> &Vocabulary {
        self.vocabulary()
    }

    fn hear(&self, mel: &Tensor) -> Result<Tensor, ModelError> {
        let frames = mel.dim(2)?;
        Ok(self.listen(&mel.to_device(self.device())?, &[frames])?.0)
    }

    fn embed(&self, tokens: &[u32]) -> Result<Tensor, ModelError> {
        self.llm().embed(tokens)
    }

    fn start(&self) -> Result<LlmState, ModelError> {
        Ok(self.llm().start())
    }

    fn read(
        &self,
        x: &Tensor,
        state: &mut LlmState,
        kept: usize,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let hidden = self.llm().forward(x, Some(state))?;
        let time = hidden.dim(1)?;
        let kept = kept.min(time);
        if kept == 0 {
            return Ok(Vec::new());
        }
        let last = hidden.narrow(1, time - kept, kept)?.flatten(0, 1)?;
        Ok(self.llm().logits(&last)?.to_vec2()?)
    }

    fn fork(&self, state: &LlmState) -> Result<LlmState, ModelError> {
        Ok(state.fork()?)
    }

    fn forget(&self, state: &mut LlmState, positions: usize) {
        state.truncate(state.len().saturating_sub(positions));
    }

    fn select(&self, state: &mut LlmState, rows: &[u32]) -> Result<(), ModelError> {
        Ok(state.select(rows, self.device())?)
    }
}
