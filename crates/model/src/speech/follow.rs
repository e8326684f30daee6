//! The speech model while somebody speaks.

use super::engine::SpeechEngine;
use super::{Answer, SpeechNetwork, State, Task, Wish};
use crate::engine::{Draft, Engine, LiveEngine, Request, Written};
use crate::error::ModelError;
use crate::tokens::{Lang, Mark};
use partita_audio::SAMPLE_RATE;

/// One stretch of audio as the language model has read it.
pub(super) struct Heard<S> {
    begun: S,
    seconds: f64,
}

/// An average log-probability a token below which a text is doubted (Whisper's own threshold).
const LEAST_AVERAGE: f32 = -1.0;

impl<N: SpeechNetwork> SpeechEngine<N> {
    fn heard(&self) -> Result<&Heard<State<N>>, ModelError> {
        let nothing = || ModelError::Unsupported("nothing was heard yet".to_owned());
        self.heard.as_ref().ok_or_else(nothing)
    }

    fn known(&self, codes: &[String]) -> Result<Vec<Lang>, ModelError> {
        let understood = &self.capabilities().languages;
        let lang = |code: &String| match understood.contains(code) {
            true => code.parse(),
            false => Err(ModelError::Unsupported(format!("not trained for `{code}`"))),
        };
        codes.iter().map(lang).collect()
    }

    /// Writes an answer, whose transcript begins with what must stay.
    fn answer(
        &self,
        task: Task,
        (languages, before): (&[Lang], Option<Lang>),
        beam: usize,
        draft: Draft,
    ) -> Result<Answer, ModelError> {
        let Heard { begun, seconds } = self.heard()?;
        // The draft's language must stay with its words.
        let forced = draft.forced;
        let silence = forced == 0;
        let wish = Wish {
            languages,
            before,
            silence,
            beam,
            draft: draft.tokens,
            forced,
            ..Wish::new(task, *seconds)
        };
        self.model().write(begun, &wish)
    }
}

impl<N: SpeechNetwork> LiveEngine for SpeechEngine<N> {
    fn hear(&mut self, samples: &[f32]) -> Result<(), ModelError> {
        let audio = self.listen(samples)?;
        let begun = self.model().begin(&audio)?;
        let seconds = samples.len() as f64 / f64::from(SAMPLE_RATE);
        self.heard = Some(Heard { begun, seconds });
        Ok(())
    }

    fn write(&mut self, request: &Request, draft: Draft) -> Result<Written, ModelError> {
        let languages = match &request.language {
            Some(code) => self.known(std::slice::from_ref(code))?,
            None if request.among.is_empty() => self.known(&self.capabilities().languages)?,
            None => self.known(&request.among)?,
        };
        let before = request.before.as_ref().and_then(|code| code.parse().ok());
        let answer = self.answer(Task::Transcribe, (&languages, before), request.beam, draft)?;
        let hypothesis = &answer.hypothesis;
        let doubtful =
            hypothesis.looped || !hypothesis.ended || hypothesis.average() < LEAST_AVERAGE;
        let given = request.language.is_some();
        Ok(Written {
            language: answer.language.map_or_else(String::new, |lang| lang.code().to_owned()),
            language_probability: if given { 1.0 } else { answer.language_probability },
            average_log_probability: hypothesis.average(),
            doubtful,
            silent: answer.language.is_none(),
            tokens: answer.places,
        })
    }

    fn translate(&mut self, target: &str, written: &Written) -> Result<String, ModelError> {
        if written.language.is_empty() {
            return Ok(String::new());
        }
        let targets = &self.capabilities().translation_targets;
        let known = targets.iter().any(|code| code == target);
        let refused =
            || ModelError::Unsupported(format!("not trained to translate into `{target}`"));
        let target: Lang = if known { target.parse()? } else { return Err(refused()) };
        let languages = self.known(std::slice::from_ref(&written.language))?;
        // One pass, two texts: the transcript stays as it was written, and the model goes on.
        let mut tokens = written.tokens.clone();
        tokens.push(self.model().vocabulary().place_of(Mark::To(target)));
        let draft = Draft { tokens: &tokens, forced: tokens.len() };
        let answer = self.answer(Task::Translate(target), (&languages, None), 1, draft)?;
        Ok(answer.translation.unwrap_or_default())
    }

    fn spell(&self, tokens: &[u32]) -> Result<String, ModelError> {
        Ok(self.model().vocabulary().text(tokens))
    }
}
