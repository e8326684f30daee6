//! Whisper while somebody speaks.

use super::decoder::DecoderState;
use super::engine::{Padding, SURE, Whisper, Writing, sounds_silent};
use super::guards::stutters;
use super::rules::Rules;
use crate::engine::{Draft, LiveEngine, Request, STAYS, Written};
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

    /// Writes one text of what was heard.
    fn follow(
        &self,
        heard: &Heard,
        prompt: &[u32],
        beam: usize,
        draft: Draft,
    ) -> Result<Hypothesis, ModelError> {
        let mut state = heard.state.fork()?;
        let hidden = self.decoder.forward(prompt, 1, &mut state)?;
        let logits = self.decoder.logits(&hidden, prompt.len() - 1)?.pop().unwrap_or_default();
        let [always, first] = &self.suppress;
        let rules = Rules::new(&self.tokens, always, first, None);
        let seconds = heard.samples.len() as f64 / f64::from(SAMPLE_RATE);
        let limit = self.most(seconds).max(draft.forced);
        let search = Search { beam: beam.max(1), temperature: 0.0, draws: 1, limit, seed: 17 };
        let model = Writing { decoder: &self.decoder, state, device: &self.device };
        let start = Started { model, logits, rules: &rules, end: self.tokens.end };
        search.verify(start, draft.tokens, draft.forced)
    }
}

/// The likeliest of the languages that may be spoken, and how likely it is among them.
pub(super) fn choose(languages: &[(String, f32)], request: &Request) -> (String, f32) {
    let Request { among, before, .. } = request;
    let may = |code: &String| among.is_empty() || among.contains(code);
    let weigh = |(code, p): &(String, f32)| match before.as_ref() == Some(code) {
        true => (code.clone(), p * STAYS),
        false => (code.clone(), *p),
    };
    let possible = || languages.iter().filter(|(code, _)| may(code)).map(weigh);
    let total: f32 = possible().map(|(_, p)| p).sum();
    let best = possible().max_by(|a, b| a.1.total_cmp(&b.1));
    best.map_or(("en".to_owned(), 0.0), |(code, p)| (code, p / total.max(f32::MIN_POSITIVE)))
}

impl LiveEngine for Whisper {
    fn hear(&mut self, samples: &[f32]) -> Result<(), ModelError> {
        self.heard = Some(self.take_in(samples, self.padding)?);
        Ok(())
    }

    fn write(&mut self, request: &Request, draft: Draft) -> Result<Written, ModelError> {
        let choice = match &request.language {
            Some(code) => (code.clone(), 1.0),
            None => choose(&self.heard()?.languages, request),
        };
        let (language, language_probability) = match choice {
            (_, probability)
                if request.fallback && probability < SURE && !self.heard()?.closely =>
            {
                let heard = self.take_in(&self.heard()?.samples, Padding::Full)?;
                let no_speech = heard.no_speech.max(self.heard()?.no_speech);
                let chosen = choose(&heard.languages, request);
                self.heard = Some(Heard { no_speech, ..heard });
                chosen
            }
            sure => sure,
        };
        let heard = self.heard()?;
        let token = self.tokens.language(&language).ok_or_else(|| {
            ModelError::Unsupported(format!("this Whisper model does not know `{language}`"))
        })?;
        let prompt = self.tokens.prompt(token, false, false);
        let found = self.follow(heard, &prompt, request.beam, draft)?;
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
        let found = self.follow(self.heard()?, &prompt, 1, Draft::default())?;
        Ok(self.tokens.text(&found.tokens)?.trim().to_owned())
    }

    fn spell(&self, tokens: &[u32]) -> Result<String, ModelError> {
        self.tokens.text(tokens)
    }
}
