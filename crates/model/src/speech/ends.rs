//! The end of an answer in words.

use crate::error::ModelError;
use crate::search::Constraint;
use crate::tokens::{TextTokenizer, TokenKind};

/// What ends an answer, whichever token says it, and what never comes in one.
pub(super) struct Ends {
    end: u32,
    /// Other tokens that end it.
    others: Vec<u32>,
    /// Control tokens that do not.
    never: Vec<u32>,
}

impl Ends {
    /// # Errors
    /// When the tokenizer has no such token.
    pub fn of(tokenizer: &TextTokenizer) -> Result<Self, ModelError> {
        let ends = tokenizer.ends();
        let [end, others @ ..] = ends.as_slice() else {
            return Err(ModelError::Tokenizer("no token that ends an answer".to_owned()));
        };
        let steers = |id: &u32| {
            let kind = tokenizer.kind(*id);
            matches!(kind, Some(TokenKind::Control | TokenKind::Unused)) && !ends.contains(id)
        };
        let never = (0..tokenizer.vocabulary() as u32).filter(steers).collect();
        Ok(Self { end: *end, others: others.to_vec(), never })
    }
}

impl Ends {
    /// The token that stands for all ends.
    pub fn end(&self) -> u32 {
        self.end
    }
}

impl Constraint for Ends {
    fn apply(&self, logits: &mut [f32], _: &[u32]) {
        let logit = |logits: &[f32], id: u32| logits.get(id as usize).copied();
        let ends = self.others.iter().chain([&self.end]).filter_map(|&id| logit(logits, id));
        let likeliest = ends.fold(f32::NEG_INFINITY, f32::max);
        for &id in self.others.iter().chain(&self.never) {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        if let Some(logit) = logits.get_mut(self.end as usize) {
            *logit = likeliest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likelier_end_counts_and_control_tokens_never_come() {
        let ends = Ends { end: 1, others: vec![3], never: vec![0] };
        let mut logits = [9.0, 1.0, 2.0, 5.0, 4.0];
        ends.apply(&mut logits, &[]);
        assert_eq!(logits, [f32::NEG_INFINITY, 5.0, 2.0, f32::NEG_INFINITY, 4.0]);
    }
}
