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
    /// Whether it can go on with a hypothesis as audio arrives.
    pub streaming: bool,
    /// Longest audio of one call, in seconds.
    pub longest_window: f64,
}

/// What is wanted of one window of audio.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The language spoken; found out when absent.
    pub language: Option<String>,
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
