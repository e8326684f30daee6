//! What decoding asks of a language model, whatever it runs on.

use super::{Llm, LlmState};
use crate::error::ModelError;
use crate::search::TextModel;
use candle_core::Tensor;

/// A language model: vectors in, logits out, and a state of what was read that can be copied, cut
/// back and spread over rows.
pub trait TextNetwork: Send {
    /// Keys and values of what was read, rows of text side by side.
    type State: Send;

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
}

impl TextNetwork for Llm {
    type State = LlmState;

    fn embed(&self, tokens: &[u32]) -> Result<Tensor, ModelError> {
        self.embed(tokens)
    }

    fn start(&self) -> Result<LlmState, ModelError> {
        Ok(self.start())
    }

    fn read(
        &self,
        x: &Tensor,
        state: &mut LlmState,
        kept: usize,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let hidden = self.forward(x, Some(state))?;
        let time = hidden.dim(1)?;
        let kept = kept.min(time);
        if kept == 0 {
            return Ok(Vec::new());
        }
        let last = hidden.narrow(1, time - kept, kept)?.flatten(0, 1)?;
        Ok(self.logits(&last)?.to_vec2()?)
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

/// A language model that writes behind what it has read, as a search asks of it.
pub(crate) struct Writing<'a, N: TextNetwork, T> {
    /// The model.
    pub(crate) network: &'a N,
    /// What it has read.
    pub(crate) state: N::State,
    /// Which tokens the outputs that a search writes stand for.
    pub(crate) tokens: T,
}

impl<N: TextNetwork, T: Fn(&[u32]) -> Vec<u32>> Writing<'_, N, T> {
    /// Reads outputs `[rows][time]` given row by row; logits after each.
    fn forward(&mut self, outputs: &[u32], rows: usize) -> Result<Vec<Vec<f32>>, ModelError> {
        let x = self.network.embed(&(self.tokens)(outputs))?;
        let (_, count, width) = x.dims3()?;
        let time = count / rows.max(1);
        self.network.read(&x.reshape((rows, time, width))?, &mut self.state, time)
    }
}

impl<N: TextNetwork, T: Fn(&[u32]) -> Vec<u32>> TextModel for Writing<'_, N, T> {
    fn step(&mut self, tokens: &[u32]) -> Result<Vec<Vec<f32>>, ModelError> {
        self.forward(tokens, tokens.len())
    }

    fn read(&mut self, tokens: &[u32]) -> Result<Vec<Vec<f32>>, ModelError> {
        self.forward(tokens, 1)
    }

    fn forget(&mut self, tokens: usize) {
        self.network.forget(&mut self.state, tokens);
    }

    fn select(&mut self, rows: &[u32]) -> Result<(), ModelError> {
        self.network.select(&mut self.state, rows)
    }
}
