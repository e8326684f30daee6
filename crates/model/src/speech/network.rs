//! What hearing and writing ask of a network, whatever it runs on.

use super::writing::{self, Answer, Wish};
use super::{SpeechLlm, Vocabulary};
use crate::error::ModelError;
use crate::llm::{Llm, TextNetwork};
use candle_core::Tensor;

/// What a network keeps of what its language model has read.
pub type State<N> = <<N as SpeechNetwork>::Text as TextNetwork>::State;

/// A language model that hears.
///
/// Whatever is beyond its parts is there once, for all networks: [`SpeechNetwork::begin`] and
/// [`SpeechNetwork::write`].
pub trait SpeechNetwork: Send + Sized {
    /// Its language model.
    type Text: TextNetwork;

    /// Its language model.
    fn text(&self) -> &Self::Text;

    /// Its words.
    fn vocabulary(&self) -> &Vocabulary;

    /// Log-mel `[1, bins, frames]` of one clip to what the language model takes for tokens,
    /// `[1, time, width]`.
    ///
    /// # Errors
    /// When the clip is longer than the encoder takes, or the network fails.
    fn hear(&self, mel: &Tensor) -> Result<Tensor, ModelError>;

    /// Reads the start and one clip's vectors `[1, time, width]`: what every task goes on from.
    ///
    /// # Errors
    /// When the width differs, or there is no room.
    fn begin(&self, audio: &Tensor) -> Result<State<Self>, ModelError> {
        let text = self.text();
        let start = text.embed(&[self.vocabulary().start()])?;
        let mut state = text.start()?;
        text.read(&Tensor::cat(&[&start, audio], 1)?, &mut state, 0)?;
        Ok(state)
    }

    /// Logits, a row of all outputs for each, of the tokens of an answer (with its end) to `prompt`,
    /// told the tokens before it, behind what `begun` has read ([`SpeechNetwork::begin`]), which is
    /// left as it is.
    ///
    /// # Errors
    /// When prompt or answer is empty, a token is unknown, or the network fails.
    fn foretell(
        &self,
        begun: &State<Self>,
        prompt: &[u32],
        answer: &[u32],
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let [told @ .., _] = answer else { return Err(empty("answer")) };
        if prompt.is_empty() {
            return Err(empty("prompt"));
        }
        let text = self.text();
        let mut state = text.fork(begun)?;
        text.read(&text.embed(&[prompt, told].concat())?, &mut state, answer.len())
    }

    /// Writes an answer behind what `begun` has read ([`SpeechNetwork::begin`], or the start and a
    /// text), which is left as it is.
    ///
    /// # Errors
    /// When the network fails.
    fn write(&self, begun: &State<Self>, wish: &Wish) -> Result<Answer, ModelError> {
        writing::write(self, begun, wish)
    }
}

fn empty(name: &str) -> ModelError {
    ModelError::Parameter { name: name.to_owned(), reason: "empty".to_owned() }
}

impl SpeechNetwork for SpeechLlm {
    type Text = Llm;

    fn text(&self) -> &Llm {
        self.llm()
    }

    fn vocabulary(&self) -> &Vocabulary {
        self.vocabulary()
    }

    fn hear(&self, mel: &Tensor) -> Result<Tensor, ModelError> {
        let frames = mel.dim(2)?;
        Ok(self.listen(&mel.to_device(self.device())?, &[frames])?.0)
    }
}
