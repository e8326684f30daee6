//! Whisper while somebody speaks.

use super::decoder::DecoderState;
use super::engine::{Padding, Whisper, Writing, sounds_silent};
use super::guards::stutters;
use super::language::{SURE, choose, is_sure};
use super::rules::Rules;
use crate::engine::{Draft, LiveEngine, Request, Written};
use crate::error::ModelError;
use crate::search::{Hypothesis, Search, Started};
use partita_audio::SAMPLE_RATE;

/// One stretch of audio as the decoder sees it.
pub(super) struct Heard {
    state: DecoderState,
    /// Likeliest first.
    languages: Vec<(String, f32)>,
    no_speech: f32,
    /// Kept for a second, closer look where the language is in doubt.
    samples: Vec<f32>,
    /// Whether that has been done.
    closely: bool,
}

impl Heard {
    fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(SAMPLE_RATE)
    }
}

impl Whisper {
    fn heard(&self) -> Result<&Heard, ModelError> {
        let nothing = || ModelError::Unsupported("nothing was heard yet".to_owned());
        self.heard.as_ref().ok_or_else(nothing)
    }

    fn take_in(&self, samples: &[f32], padding: Padding) -> Result<Heard, ModelError> {
        let state = self.decoder.start(&self.encode_as(samples, padding)?)?;
        let (languages, no_speech) = self.listen(&state)?;
        let closely = padding == Padding::Full;
        Ok(Heard { state, languages, no_speech, samples: samples.to_vec(), closely })
    }

    /// Writes one text of what was heard: hypotheses side by side, and most tokens.
    pub(super) fn follow(
        &self,
        heard: &DecoderState,
        prompt: &[u32],
        (beam, limit): (usize, usize),
        draft: Draft,
    ) -> Result<Hypothesis, ModelError> {
        let mut state = heard.fork()?;
        let hidden = self.decoder.forward(prompt, 1, &mut state)?;
        let logits = self.decoder.logits(&hidden, prompt.len() - 1)?.pop().unwrap_or_default();
        let [always, first] = &self.suppress;
        let rules = Rules::new(&self.tokens, always, first, None);
        let limit = limit.max(draft.forced);
        let search = Search { beam: beam.max(1), temperature: 0.0, draws: 1, limit, seed: 17 };
        let model = Writing { decoder: &self.decoder, state, device: &self.device };
        let start = Started { model, logits, rules: &rules, end: self.tokens.end };
        search.verify(start, draft.tokens, draft.forced)
    }
}

impl LiveEngine for Whisper {
    fn hear(&mut self, samples: &[f32]) -> Result<(), ModelError> {
        self.heard = Some(self.take_in(samples, self.padding)?);
        Ok(())
    }

    fn write(&mut self, request: &Request, draft: Draft) -> Result<Written, ModelError> {
        let choice = |heard: &Heard| match &request.language {
            Some(code) => (code.clone(), 1.0),
            None => choose(&heard.languages, request),
        };
        let (mut language, mut language_probability) = choice(self.heard()?);
        if request.fallback && !is_sure(&language, language_probability, request) {
            if !self.heard()?.closely {
                let heard = self.take_in(&self.heard()?.samples, Padding::Full)?;
                let no_speech = heard.no_speech.max(self.heard()?.no_speech);
                self.heard = Some(Heard { no_speech, ..heard });
            }
            let heard = self.heard()?;
            tracing::debug!(%language, language_probability, "a language in doubt: the full window");
            (language, language_probability) = choice(heard);
            if language_probability < SURE {
                let limit = self.most(heard.seconds());
                (language, language_probability) =
                    self.choose_by_text(&heard.state, &heard.languages, request, limit)?;
            }
        }
        let heard = self.heard()?;
        let token = self.tokens.language(&language).ok_or_else(|| {
            ModelError::Unsupported(format!("this Whisper model does not know `{language}`"))
        })?;
        let prompt = self.tokens.prompt(token, false, false);
        let size = (request.beam, self.most(heard.seconds()));
        let found = self.follow(&heard.state, &prompt, size, draft)?;
        Ok(Written {
            language,
            language_probability,
            average_log_probability: found.average(),
            doubtful: self.looks_wrong(&found)?,
            silent: sounds_silent(heard.no_speech, found.average())
                || stutters(&self.tokens.text(&found.tokens)?),
            tokens: found.tokens,
        })
    }

    fn translate(&mut self, target: &str, written: &Written) -> Result<String, ModelError> {
        if target == written.language {
            return Ok(self.spell(&written.tokens)?.trim().to_owned());
        }
        let language = self.tokens.language(&written.language).filter(|_| target == "en");
        let language = language.ok_or_else(|| {
            let from = &written.language;
            let reason = format!("Whisper does not translate from `{from}` into `{target}`");
            ModelError::Unsupported(reason)
        })?;
        let prompt = self.tokens.prompt(language, true, false);
        let heard = self.heard()?;
        let size = (1, self.most(heard.seconds()));
        let found = self.follow(&heard.state, &prompt, size, Draft::default())?;
        Ok(self.tokens.text(&found.tokens)?.trim().to_owned())
    }

    fn spell(&self, tokens: &[u32]) -> Result<String, ModelError> {
        self.tokens.text(tokens)
    }
}
