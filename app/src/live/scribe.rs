//! The text of one utterance, while it is spoken and when it has ended.

use super::agreement::{Agreement, is_as_long};
use super::joining::join;
use super::options::LiveOptions;
use super::repeats::said_once;
use partita_audio::SAMPLE_RATE;
use partita_model::ModelError;
use partita_model::engine::{Draft, LiveEngine, Request, Written};

/// A language less likely than this is in doubt.
const SURE: f32 = 0.8;
/// Seconds of audio, and how likely a language must be, to be settled on: what is committed in a
/// wrong one stays. Of 104 clips of eight languages, listened to every half second, Whisper base
/// gives 16 a wrong language at 0.8 from 1.0 s on before it gives them the right one, and none at
/// 0.9 from 2.0 s on. The language spoken last needs less.
const SETTLED_FROM: (f64, f32) = (2.0, 0.9);
const SETTLED_FROM_IF_LAST: (f64, f32) = (1.5, SURE);
/// Seconds of audio after which a language that is in doubt is listened for with more effort, and
/// then settled on.
const SETTLED_AFTER: f64 = 3.0;
/// A language less likely than this is not remembered as the one spoken last.
const REMEMBERED: f32 = 0.6;
/// Seconds of audio during which a text must have stood to be committed.
const STAND: f64 = 0.6;
/// The final text is sought among several hypotheses where the likeliest looks wrong or a token of
/// it is less likely than this, as a logarithm. Of 450 clips in five languages two fifths are;
/// sought so everywhere, 19.8 % of words are wrong, where it is in doubt 19.7, nowhere 21.4.
const CLEAR: f32 = -0.25;
/// Seconds of speech without another word after which a text has stalled.
const STALL: f64 = 3.0;
/// Seconds within which it is found out where a text ends.
const NEAR: f64 = 0.75;
/// Tokens by which the end of a text is known again.
const LAST_WORDS: usize = 4;

/// A text that is complete.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Said {
    /// Its language.
    pub lang: String,
    /// The text, trimmed; empty when nothing was said.
    pub text: String,
}

/// What is shown of an utterance that is being spoken.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shown {
    /// The language, when there is a guess.
    pub lang: Option<String>,
    /// Text that stays.
    pub committed: String,
    /// Text behind it that may change.
    pub tail: String,
}

/// Writes down one utterance after the other.
pub struct Scribe {
    engine: Box<dyn LiveEngine>,
    options: LiveOptions,
    /// Language of the last utterance.
    last: Option<String>,
    agreement: Agreement,
    /// Language of this utterance, once it is settled on.
    settled: Option<String>,
    shown: Shown,
    /// Audio times at which newly committed words had first stood; for measuring.
    commits: Vec<f64>,
    written: Written,
}

impl Scribe {
    /// A scribe with nothing written yet.
    pub fn new(engine: Box<dyn LiveEngine>, options: LiveOptions) -> Self {
        Self {
            engine,
            options,
            last: None,
            agreement: Agreement::default(),
            settled: None,
            shown: Shown::default(),
            commits: Vec::new(),
            written: Written::default(),
        }
    }

    /// The engine.
    pub fn engine(&self) -> &dyn LiveEngine {
        self.engine.as_ref()
    }

    /// Whether this utterance is translated.
    pub fn translates(&self) -> bool {
        self.options.translate.is_some()
    }

    /// Begins another utterance.
    pub fn begin(&mut self, options: LiveOptions) {
        self.options = options;
        self.agreement = Agreement::default();
        self.settled = None;
        self.shown = Shown::default();
        self.commits.clear();
        self.written = Written::default();
    }

    /// What is shown of this utterance at the moment.
    pub fn shown(&self) -> &Shown {
        &self.shown
    }

    /// For words that were committed since this was last asked: how much audio had been heard, in
    /// seconds, when each first stood where it stands.
    pub fn take_commits(&mut self) -> Vec<f64> {
        std::mem::take(&mut self.commits)
    }

    /// Hears all of the utterance so far, `seconds` of it; whether what is shown has changed.
    ///
    /// # Errors
    /// As the engine's.
    pub fn partial(&mut self, samples: &[f32], seconds: f64) -> Result<bool, ModelError> {
        self.engine.hear(samples)?;
        let effort = self.settled.is_none() && seconds >= SETTLED_AFTER;
        self.written = self.write(effort, 1)?;
        let written = self.written.clone();
        let nothing = written.silent || written.tokens.is_empty();
        if nothing && self.agreement.committed() == 0 {
            return Ok(false);
        }
        if self.settled.is_none()
            && !written.language.is_empty()
            && (effort || self.is_settled_by(&written, seconds))
        {
            self.settled = Some(written.language.clone());
        }
        self.agreement.update(&written.tokens, seconds);
        // What loops or is unlikely is shown, at most, and stays nowhere.
        if self.settled.is_some() && !written.doubtful {
            let spell = |tokens: &[u32]| self.engine.spell(tokens);
            self.commits.extend(self.agreement.commit(seconds, STAND, spell)?);
        }
        let tokens = self.agreement.tokens();
        let committed = tokens.get(..self.agreement.committed()).unwrap_or_default();
        let committed = self.engine.spell(committed)?.trim_start().to_owned();
        let whole = self.engine.spell(tokens)?;
        let whole = whole.trim_start().trim_end_matches(['\u{fffd}', ' ']);
        let tail = whole.strip_prefix(committed.as_str()).unwrap_or_default().to_owned();
        let lang = Some(written.language).filter(|lang| !lang.is_empty());
        let shown = Shown { lang, committed, tail };
        let changed = shown != self.shown;
        self.shown = shown;
        Ok(changed)
    }

    /// Whether a text of so much audio leaves no doubt of its language.
    fn is_settled_by(&self, written: &Written, seconds: f64) -> bool {
        let as_last = self.last.as_ref() == Some(&written.language);
        let (from, least) = if as_last { SETTLED_FROM_IF_LAST } else { SETTLED_FROM };
        let only = self.options.languages.len() == 1;
        only || (seconds >= from && written.language_probability >= least)
    }

    /// Between which seconds of the utterance its text ends, complete or so far, if somebody went on
    /// speaking behind it, up to second `spoken`: an engine that writes one language at a time stops
    /// where another begins. `None` where the text goes on.
    ///
    /// Where too few texts were written to know, beginnings of the audio are heard again: a text that
    /// one of them says whole, the rest does not say.
    ///
    /// # Errors
    /// As the engine's.
    pub fn stopped(
        &mut self,
        samples: &[f32],
        spoken: f64,
        complete: bool,
    ) -> Result<Option<(f64, f64)>, ModelError> {
        // One partial text alone may have lost words that the next one has again.
        let length = match complete {
            true => self.written.tokens.len(),
            false => self.agreement.lately(),
        };
        let (before, since) = self.agreement.as_long_since(length);
        // What stays was said, so nothing is cut before it.
        let mut from = before.max(self.agreement.committed_behind());
        let mut to = spoken - STALL;
        if length == 0 || from > to {
            return Ok(None);
        }
        match since {
            Some(since) if since <= to => to = since,
            _ if !complete => return Ok(None),
            _ if self.is_whole_by(samples, to)? => {}
            _ => {
                // A translation is of all that was said.
                if self.translates() {
                    self.engine.hear(samples)?;
                }
                return Ok(None);
            }
        }
        while to - from > NEAR {
            let middle = (from + to) / 2.0;
            match self.is_whole_by(samples, middle)? {
                true => to = middle,
                false => from = middle,
            }
        }
        Ok(Some((from, to.max(from))))
    }

    /// Whether the text that was written last is written of the audio up to a second, too.
    fn is_whole_by(&mut self, samples: &[f32], second: f64) -> Result<bool, ModelError> {
        let beginning = samples.get(..(second * f64::from(SAMPLE_RATE)) as usize);
        self.engine.hear(beginning.unwrap_or(samples))?;
        let language = Some(self.written.language.clone());
        let draft = Draft { tokens: &self.written.tokens, forced: 0 };
        let request = Request { language, ..self.request(1) };
        let written = self.engine.write(&request, draft)?;
        let (found, whole) = (&written.tokens, &self.written.tokens);
        let begins = found.iter().zip(whole).take_while(|(a, b)| a == b).count();
        let ends = found.iter().rev().zip(whole.iter().rev()).take_while(|(a, b)| a == b).count();
        // A word in the middle may be spelled otherwise.
        let said = begins.max(if ends >= LAST_WORDS { found.len() } else { 0 });
        Ok(is_as_long(said, whole.len()))
    }

    /// Hears audio again, for a translation of less than was written.
    ///
    /// # Errors
    /// As the engine's.
    pub fn hear(&mut self, samples: &[f32]) -> Result<(), ModelError> {
        self.engine.hear(samples)
    }

    /// The text of the utterance, which has ended.
    ///
    /// # Errors
    /// As the engine's.
    pub fn complete(&mut self, samples: &[f32]) -> Result<Said, ModelError> {
        self.engine.hear(samples)?;
        let committed = self.agreement.committed();
        if committed == 0 {
            // All of it may say another language than its beginning did.
            self.settled = None;
        }
        self.written = self.write(true, 1)?;
        let likely = self.written.average_log_probability;
        if self.written.doubtful || likely < CLEAR {
            tracing::debug!(
                likely,
                doubtful = self.written.doubtful,
                "a text in doubt: more hypotheses"
            );
            if let Some(Said { lang, text }) = self.anew()? {
                return Ok(Said { lang, text: self.once(&text, samples) });
            }
            if self.options.beam > 1 {
                self.written = self.write(true, self.options.beam)?;
            }
        }
        if committed == 0 {
            if self.written.silent || self.written.tokens.is_empty() {
                return Ok(Said::default());
            }
            if self.written.doubtful {
                return self.again(samples);
            }
        }
        let text = self.engine.spell(&self.written.tokens)?;
        let text = text.trim().trim_end_matches('\u{fffd}');
        Ok(Said { lang: self.written.language.clone(), text: self.once(text, samples) })
    }

    /// A text without copies of its end that nobody had the time to say.
    fn once(&self, text: &str, samples: &[f32]) -> String {
        let seconds = samples.len() as f64 / f64::from(SAMPLE_RATE);
        let committed = self.shown.committed.as_str();
        let once = said_once(text, seconds).filter(|once| once.starts_with(committed));
        once.unwrap_or(text).to_owned()
    }

    /// What is said behind committed words, by a text that did not have to begin with them, if it
    /// does: words that were written too early, without a capital, say, lead a text astray.
    fn anew(&mut self) -> Result<Option<Said>, ModelError> {
        if self.agreement.committed() == 0 {
            return Ok(None);
        }
        let language = Some(self.written.language.clone());
        let request = Request { language, ..self.request(self.options.beam) };
        let free = self.engine.write(&request, Draft::default())?;
        if free.doubtful || free.silent {
            return Ok(None);
        }
        let text = self.engine.spell(&free.tokens)?;
        let text = text.trim().trim_end_matches('\u{fffd}');
        let said = join(&self.shown.committed, text);
        Ok(said.map(|text| {
            let lang = free.language.clone();
            self.written =
                Written { language_probability: self.written.language_probability, ..free };
            Said { lang, text }
        }))
    }

    /// Decodes a text that looked wrong with everything that the engine has.
    fn again(&mut self, samples: &[f32]) -> Result<Said, ModelError> {
        let language = Some(self.written.language.clone());
        let request = Request { language, fallback: true, ..self.request(self.options.beam) };
        let transcript = self.engine.transcribe(samples, &request)?;
        let texts = transcript.text.segments.iter().map(|segment| segment.text.as_str());
        let text = texts.collect::<Vec<_>>().join(" ");
        Ok(Said { lang: transcript.language, text })
    }

    /// Closes the utterance, so that the next one knows what language was spoken.
    pub fn close(&mut self, said: &Said) {
        if !said.text.is_empty() && self.written.language_probability >= REMEMBERED {
            self.last = Some(said.lang.clone());
        }
    }

    /// The translation of what was completed last, if one is wanted.
    ///
    /// # Errors
    /// As the engine's.
    pub fn translation(&mut self, said: &Said) -> Result<Option<Said>, ModelError> {
        let Some(target) = self.options.translate.clone() else { return Ok(None) };
        if said.text.is_empty() {
            return Ok(None);
        }
        if target == said.lang {
            return Ok(Some(said.clone()));
        }
        let text = self.engine.translate(&target, &self.written)?;
        Ok(Some(Said { lang: target, text }))
    }

    fn request(&self, beam: usize) -> Request {
        let languages = &self.options.languages;
        let language = match languages.as_slice() {
            [one] => Some(one.clone()),
            _ => self.settled.clone(),
        };
        let known = &self.engine.capabilities().languages;
        let before = self.last.clone().filter(|last| known.contains(last));
        let (among, timestamps, fallback) = (languages.clone(), false, false);
        Request { language, among, before, timestamps, beam, fallback, ..Request::default() }
    }

    /// Writes what was heard; with `effort`, a language that is in doubt is listened for again, which
    /// costs several times as much.
    fn write(&mut self, effort: bool, beam: usize) -> Result<Written, ModelError> {
        let request = Request { fallback: effort, ..self.request(beam) };
        let tokens = self.agreement.tokens().to_vec();
        let draft = Draft { tokens: &tokens, forced: self.agreement.committed() };
        self.engine.write(&request, draft)
    }
}
