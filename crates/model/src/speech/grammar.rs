//! What a speech model may write next.

use super::{Task, Vocabulary};
use crate::search::Constraint;
use crate::tokens::{Lang, Mark, TokenKind};

/// The grammar of answers ([`super::Task`]): the language first, a translation's mark once where it
/// belongs, no other mark, and an end only where an answer is whole.
#[derive(Debug, Clone)]
pub struct Grammar {
    /// Outputs that never come in text: marks and control tokens.
    never: Vec<u32>,
    first: Vec<u32>,
    no_speech: u32,
    joint: Option<u32>,
    end: u32,
}

impl Grammar {
    /// For the answer to a task in one of these languages (any if there are none); `silence` says
    /// whether the answer may be that nobody speaks.
    pub fn new(vocabulary: &Vocabulary, task: Task, languages: &[Lang], silence: bool) -> Self {
        let place = |mark| vocabulary.place_of(mark);
        let no_speech = place(Mark::NoSpeech);
        let mut first: Vec<u32> = match languages {
            [] => Lang::all().map(|lang| place(Mark::Spoken(lang))).collect(),
            some => some.iter().map(|&lang| place(Mark::Spoken(lang))).collect(),
        };
        if silence {
            first.push(no_speech);
        }
        let end = vocabulary.place(vocabulary.end()).unwrap_or_default();
        let is_mark = |token| vocabulary.marks().of(token).is_some();
        let is_control = |token| {
            let kind = vocabulary.tokenizer().kind(token);
            matches!(kind, None | Some(TokenKind::Control | TokenKind::Unused))
        };
        let places = 0..vocabulary.outputs() as u32;
        let never = places.filter(|&place| {
            let tokens = vocabulary.tokens(&[place]);
            place != end && tokens.iter().any(|&token| is_mark(token) || is_control(token))
        });
        let joint = task.joint().map(|to| place(Mark::To(to)));
        Self { never: never.collect(), first, no_speech, joint, end }
    }
}

impl Constraint for Grammar {
    fn apply(&self, logits: &mut [f32], written: &[u32]) {
        let only = |logits: &mut [f32], allowed: &[u32]| {
            let kept: Vec<(usize, f32)> = allowed
                .iter()
                .filter_map(|&at| Some((at as usize, *logits.get(at as usize)?)))
                .collect();
            logits.fill(f32::NEG_INFINITY);
            for (at, logit) in kept {
                if let Some(place) = logits.get_mut(at) {
                    *place = logit;
                }
            }
        };
        match written {
            [] => return only(logits, &self.first),
            [first, ..] if *first == self.no_speech => return only(logits, &[self.end]),
            _ => {}
        }
        let mut forbidden: Vec<u32> = Vec::new();
        let mut allowed = None;
        if let Some(joint) = self.joint {
            match written.contains(&joint) {
                true => forbidden.push(joint),
                false => {
                    forbidden.push(self.end);
                    allowed = logits.get(joint as usize).copied().map(|logit| (joint, logit));
                }
            }
        }
        for &at in self.never.iter().chain(&forbidden) {
            if let Some(logit) = logits.get_mut(at as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        if let Some((at, logit)) = allowed
            && let Some(place) = logits.get_mut(at as usize)
        {
            *place = logit;
        }
    }
}
