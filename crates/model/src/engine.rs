//! What every speech engine can be asked.

use crate::error::ModelError;

/// What an engine can do; programs ask this and never which engine it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Capabilities {
    /// Name of the engine: `whisper`.
    pub engine: &'static str,
    /// Languages that it understands, ISO 639-1 where there is a code.
    pub languages: Vec<String>,
    /// Languages that it can translate into.
    pub translation_targets: Vec<String>,
    /// Whether segments carry times of their own.
    pub timestamps: bool,
    /// Longest audio of one call, in seconds.
    pub longest_window: f64,
}

/// How much likelier it is that the language spoken before is spoken still than that it is another
/// one. Enough that a word alike in two languages changes nothing, and little enough that a
/// sentence in another language is heard as what it is.
pub const STAYS: f32 = 10.0;

/// What is wanted of one window of audio.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The language spoken; found out when absent.
    pub language: Option<String>,
    /// Languages among which it is found out; all of the engine's if there are none.
    pub among: Vec<String>,
    /// The language spoken before, if there is one: it is taken to be [`STAYS`] times likelier than
    /// it sounds.
    pub before: Option<String>,
    /// A language to translate into, beside the transcript.
    pub translate: Option<String>,
    /// Whether segments shall carry times of their own.
    pub timestamps: bool,
    /// Hypotheses kept side by side; 1 is greedy.
    pub beam: usize,
    /// Whether a text that looks wrong is decoded again at higher temperatures.
    pub fallback: bool,
    /// Whether a window that sounds like no speech gives no text.
    pub silence_guard: bool,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            language: None,
            among: Vec::new(),
            before: None,
            translate: None,
            timestamps: true,
            beam: 1,
            fallback: true,
            silence_guard: true,
        }
    }
}

/// A stretch of text and when it was said.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Seconds from the beginning of the audio.
    pub start: f64,
    /// Seconds from the beginning of the audio.
    pub end: f64,
    /// The text, trimmed.
    pub text: String,
    /// Its words, where the engine knows when each was said; else empty.
    pub words: Vec<Word>,
}

/// A word with what is written to it without a space, and when it was said. In scripts without
/// spaces it is what the engine writes at once, a character or more.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// Seconds from the beginning of the audio.
    pub start: f64,
    /// Seconds from the beginning of the audio.
    pub end: f64,
    /// The word.
    pub text: String,
}

impl Segment {
    /// A stretch of text of which words' times are not known.
    pub fn new(start: f64, end: f64, text: String) -> Self {
        Self { start, end, text, words: Vec::new() }
    }
}

/// Text of one window in one language.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Text {
    /// In order; empty when nothing was said.
    pub segments: Vec<Segment>,
    /// Tokens written, repeated attempts included.
    pub tokens: usize,
    /// Mean log-probability a token.
    pub average_log_probability: f32,
    /// Temperature of the attempt that was taken.
    pub temperature: f32,
}

/// What an engine made of one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcript {
    /// The language spoken, given or found.
    pub language: String,
    /// How sure the engine is of the language; 1 when it was given.
    pub language_probability: f32,
    /// Probability that nobody speaks, where the engine has one.
    pub no_speech: f32,
    /// What was said.
    pub text: Text,
    /// Its translation, when one was asked for.
    pub translation: Option<Text>,
    /// Where the next window should begin, in seconds, when the text stopped before the audio did.
    pub resume: Option<f64>,
}

/// A speech engine: one window of 16 kHz mono audio in, text out.
pub trait Engine: Send {
    /// What it can do.
    fn capabilities(&self) -> &Capabilities;

    /// Transcribes, and translates if asked, at most [`Capabilities::longest_window`] seconds;
    /// times count from the first sample.
    ///
    /// # Errors
    /// When a language is asked for that the engine does not have, the audio is too long, or the
    /// network fails.
    fn transcribe(&mut self, samples: &[f32], request: &Request) -> Result<Transcript, ModelError>;
}

/// Text that was written for the beginning of the same audio, to go on with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Draft<'a> {
    /// Its tokens, as [`Written::tokens`].
    pub tokens: &'a [u32],
    /// How many of them, from the first, must stay.
    pub forced: usize,
}

/// A text in an engine's own tokens.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Written {
    /// The language spoken, given or found; empty when nobody seems to speak.
    pub language: String,
    /// How sure the engine is of the language; 1 when it was given.
    pub language_probability: f32,
    /// The text; [`LiveEngine::spell`] says what it reads as.
    pub tokens: Vec<u32>,
    /// Average log-probability of a token, natural.
    pub average_log_probability: f32,
    /// Whether it looks wrong: it loops, has no end, repeats itself or is unlikely.
    pub doubtful: bool,
    /// Whether it sounds as if nobody spoke.
    pub silent: bool,
}

/// An engine that writes while somebody speaks: the same audio is heard again and again as it grows,
/// and what was written for it before makes the next text cheap and keeps it steady.
///
/// One stretch of audio is heard at a time; transcript and translation are written of it without
/// hearing it again.
pub trait LiveEngine: Engine {
    /// Hears at most [`Capabilities::longest_window`] seconds of 16 kHz mono audio, and keeps what
    /// it made of it in place of what it heard before.
    ///
    /// # Errors
    /// When the audio is too long or the network fails.
    fn hear(&mut self, samples: &[f32]) -> Result<(), ModelError>;

    /// Writes down what was heard, greedily unless [`Request::beam`] is more than 1, beginning with
    /// as much of the draft as must stay. Where the rest of the draft is right, it costs one pass.
    /// With [`Request::fallback`], a language that is in doubt is listened for with more effort.
    /// Times, translation and the silence guard of the request do not count.
    ///
    /// # Errors
    /// When nothing was heard, a language is not known, or the network fails.
    fn write(&mut self, request: &Request, draft: Draft) -> Result<Written, ModelError>;

    /// Translates what was heard, and written down as `written`.
    ///
    /// # Errors
    /// When nothing was heard, the target is not known, or the network fails.
    fn translate(&mut self, target: &str, written: &Written) -> Result<String, ModelError>;

    /// What tokens of this engine read as; may begin with a space. Of tokens that end within a
    /// character, the last one is U+FFFD.
    ///
    /// # Errors
    /// When the tokenizer fails.
    fn spell(&self, tokens: &[u32]) -> Result<String, ModelError>;
}
