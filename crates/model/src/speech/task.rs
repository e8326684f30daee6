//! What a speech model is asked, as tokens.
//!
//! | input after the start token | output |
//! |---|---|
//! | audio `<asr>` | `<lang:xx>` transcript, end |
//! | audio `<st>` `<to:yy>` | `<lang:xx>` transcript `<to:yy>` translation, end |
//! | audio `<direct>` `<to:yy>` | `<lang:xx>` translation, end |
//! | text `<mt>` `<to:yy>` | `<lang:xx>` translation, end |
//! | audio without speech, any task | `<lang:none>`, end |
//!
//! Audio comes first, so that what the model keeps of it serves every task.

use crate::tokens::{Lang, Mark, Marks};
use serde::{Deserialize, Serialize};

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// What was said.
    Transcribe,
    /// What was said, then its translation.
    Translate(Lang),
    /// The translation of what was said alone.
    DirectTranslation(Lang),
    /// The translation of a text.
    TextTranslation(Lang),
}

impl Task {
    /// The marks behind audio or text that ask for it.
    pub fn prompt(self, marks: &Marks) -> Vec<u32> {
        let (task, to) = match self {
            Self::Transcribe => (Mark::Transcribe, None),
            Self::Translate(to) => (Mark::Translate, Some(to)),
            Self::DirectTranslation(to) => (Mark::DirectTranslation, Some(to)),
            Self::TextTranslation(to) => (Mark::TextTranslation, Some(to)),
        };
        let to = to.map(|to| marks.mark(Mark::To(to)));
        std::iter::once(marks.mark(task)).chain(to).collect()
    }

    /// The language whose mark stands between transcript and translation.
    pub fn joint(self) -> Option<Lang> {
        match self {
            Self::Translate(to) => Some(to),
            _ => None,
        }
    }
}

/// What a model is to write: tokens of a task's answer with its marks, without the end.
///
/// `spoken` is the language heard or read, `None` where nobody speaks; `texts` are the texts of
/// the answer as tokens, in order: one, or transcript and translation for [`Task::Translate`].
pub fn answer(task: Task, spoken: Option<Lang>, texts: &[&[u32]], marks: &Marks) -> Vec<u32> {
    let Some(spoken) = spoken else { return vec![marks.mark(Mark::NoSpeech)] };
    let mut tokens = vec![marks.mark(Mark::Spoken(spoken))];
    for (at, text) in texts.iter().enumerate() {
        if let (1, Some(to)) = (at, task.joint()) {
            tokens.push(marks.mark(Mark::To(to)));
        }
        tokens.extend_from_slice(text);
    }
    tokens
}
