//! What a model expects at each place of a text that is given.

use super::engine::Whisper;
use crate::error::ModelError;
use candle_core::Tensor;

impl Whisper {
    /// Tokens of a text as it is written without times, with its end; as many as there are places
    /// for.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn answer(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        // Texts begin with a space, and prompts have at most four tokens.
        let mut tokens = self.tokens.encode(&format!(" {}", text.trim()))?;
        tokens.truncate(self.config().text_positions.saturating_sub(5));
        tokens.push(self.tokens.end);
        Ok(tokens)
    }

    /// A token as the tokenizer has it, which is the same in files with fewer tokens.
    pub fn piece(&self, token: u32) -> Option<String> {
        self.tokens.piece(token)
    }

    /// Logits `[answer][vocabulary]` of each token of an answer ([`Whisper::answer`]), told the
    /// language and the tokens before it, for an encoder's output ([`Whisper::encode`]); of a
    /// translation into English if `translate`. `None` for a language that it does not know.
    ///
    /// # Errors
    /// When the answer is empty or longer than there are places, or the network fails.
    pub fn foretell(
        &self,
        audio: &Tensor,
        language: &str,
        translate: bool,
        answer: &[u32],
    ) -> Result<Option<Vec<Vec<f32>>>, ModelError> {
        let Some(language) = self.tokens.language(language) else { return Ok(None) };
        let [told @ .., _] = answer else {
            let reason = "an empty answer".to_owned();
            return Err(ModelError::Parameter { name: "answer".to_owned(), reason });
        };
        let prompt = self.tokens.prompt(language, translate, false);
        let tokens = [&prompt, told].concat();
        let hidden = self.decoder.forward(&tokens, 1, &mut self.decoder.start(audio)?)?;
        let hidden = hidden.narrow(1, prompt.len() - 1, answer.len())?;
        // Places become rows, each a text of its own.
        Ok(Some(self.decoder.logits(&hidden.transpose(0, 1)?.contiguous()?, 0)?))
    }
}
