//! The words of a speech model: tokenizer, marks, and the tokens that it can write.

use crate::error::ModelError;
use crate::tokens::{Mark, Marks, Shortlist, TextTokenizer};
use std::collections::HashMap;
use std::sync::Arc;

/// Text and marks to tokens and back, and tokens to places among a model's outputs.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    tokenizer: Arc<TextTokenizer>,
    marks: Marks,
    shortlist: Shortlist,
    start: u32,
    end: u32,
    /// Tokens of the outputs, in order.
    outputs: Vec<u32>,
    places: HashMap<u32, u32>,
}

impl Vocabulary {
    /// `outputs` are the tokens that the model's logits are of, in order; the shortlist is what
    /// text is written with.
    ///
    /// # Errors
    /// When the tokenizer has no start or no end, or a mark or the end is not among the outputs.
    pub fn new(
        tokenizer: Arc<TextTokenizer>,
        shortlist: Shortlist,
        outputs: Vec<u32>,
    ) -> Result<Self, ModelError> {
        let missing = |what: &str| ModelError::Tokenizer(format!("no {what}"));
        let marks = Marks::for_tokenizer(&tokenizer);
        let end = tokenizer.eos().ok_or_else(|| missing("end token"))?;
        let start = tokenizer.bos().unwrap_or(end);
        let places: HashMap<u32, u32> = outputs.iter().copied().zip(0..).collect();
        let needed = marks.ids().chain([end]).find(|id| !places.contains_key(id));
        if let Some(id) = needed {
            return Err(missing(&format!("token {id} among the outputs")));
        }
        Ok(Self { tokenizer, marks, shortlist, start, end, outputs, places })
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// The marks.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// The tokens that text is written with.
    pub fn shortlist(&self) -> &Shortlist {
        &self.shortlist
    }

    /// The token that every input begins with.
    pub fn start(&self) -> u32 {
        self.start
    }

    /// The token that every output ends with.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// Tokens of a text, all of which can be written.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.shortlist.encode(&self.tokenizer, text)
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.outputs.len()
    }

    /// The place of a token among the outputs.
    pub fn place(&self, token: u32) -> Option<u32> {
        self.places.get(&token).copied()
    }

    /// The place of a mark; every mark has one.
    pub fn place_of(&self, mark: Mark) -> u32 {
        self.place(self.marks.mark(mark)).unwrap_or_default()
    }

    /// Tokens of these places.
    pub fn tokens(&self, places: &[u32]) -> Vec<u32> {
        places.iter().filter_map(|&place| self.outputs.get(place as usize).copied()).collect()
    }

    /// Text of these places, marks left out.
    pub fn text(&self, places: &[u32]) -> String {
        let mut tokens = self.tokens(places);
        tokens.retain(|&id| self.marks.of(id).is_none());
        self.tokenizer.decode(&tokens)
    }
}
