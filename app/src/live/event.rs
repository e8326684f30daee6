//! What a live session says, in order, to whoever shows, writes down or types it.

use serde::Serialize;

/// One thing that happened. Times are seconds of audio since the session began.
///
/// An utterance is `Started`, then told by any number of `Partial`s, and closed by one `Final` (and
/// a `Translation`, where one was asked for) or by `Dropped`. Utterances do not overlap.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Models are loaded and audio comes in.
    Listening {
        /// Names of the sources.
        sources: Vec<String>,
        /// The engine, as [`partita_model::engine::Capabilities::engine`].
        engine: String,
        /// Languages that it understands.
        languages: Vec<String>,
        /// Languages that it translates into.
        targets: Vec<String>,
    },
    /// Somebody began to speak.
    Started {
        /// Number of the utterance, from 1.
        utterance: u64,
        /// When, before any pre-roll.
        start: f64,
    },
    /// What has been understood so far.
    Partial {
        /// The utterance.
        utterance: u64,
        /// How much of the audio was heard for it.
        until: f64,
        /// The language, when there is a guess.
        lang: Option<String>,
        /// Text that stays: every later text of this utterance begins with it.
        committed: String,
        /// Text behind it that may still change, with the space between them if there is one.
        tail: String,
    },
    /// What was said; begins with all that was committed.
    Final {
        /// The utterance.
        utterance: u64,
        /// Where it begins.
        start: f64,
        /// Where it ends.
        end: f64,
        /// Its language.
        lang: String,
        /// The text.
        text: String,
        /// What it took.
        timing: Timing,
    },
    /// The translation of an utterance.
    Translation {
        /// The utterance.
        utterance: u64,
        /// The language of the translation.
        lang: String,
        /// The text.
        text: String,
        /// Seconds from the end of speech, as [`Timing::to_final`], to this text.
        to_translation: f64,
    },
    /// Nothing was said in this utterance after all, or it could not be heard; nothing of it was
    /// committed.
    Dropped {
        /// The utterance.
        utterance: u64,
    },
    /// How the session is doing; about once a second.
    Status(Status),
    /// A source went away; the session waits for it.
    SourceLost {
        /// Its name.
        source: String,
        /// What the system said.
        reason: String,
    },
    /// A source came back, or another took its place.
    SourceBack {
        /// Its name.
        source: String,
    },
    /// Something failed that does not end the session.
    Warning {
        /// One line for the user.
        message: String,
    },
    /// The session ended because of this.
    Failed {
        /// One line for the user.
        message: String,
    },
    /// The session ended as it should; nothing comes after it.
    Finished {
        /// Seconds of audio that were heard.
        seconds: f64,
        /// Seconds of audio that were lost before they could be heard.
        lost: f64,
    },
}

/// How a session is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Status {
    /// Seconds of audio heard since the session began.
    pub seconds: f64,
    /// Seconds of audio that wait to be heard.
    pub backlog: f64,
    /// Seconds of audio lost so far; silence stands in their place.
    pub lost: f64,
    /// Whether somebody speaks.
    pub speaking: bool,
    /// Share of time that decoding took, of one; above 1 the machine is too slow.
    pub load: f64,
    /// Memory that the process holds, in MiB.
    pub memory: f64,
}

/// What one utterance took, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Timing {
    /// From the onset of speech to the first text on the screen; none if the final was the first.
    pub first_partial: Option<f64>,
    /// Mean over committed words of the time from when the audio of the text's then end arrived to
    /// when it was committed; none if nothing was committed before the end.
    pub commit_lag: Option<f64>,
    /// From the decision that speech has ended to this text.
    pub to_final: f64,
    /// From the last sample of speech to this text: the decision's pause included.
    pub since_speech: f64,
    /// Characters that were shown and taken back, over characters of the final text (normalised
    /// erasure); committed ones never are.
    pub flicker: f64,
    /// Seconds spent in the engine over seconds of audio.
    pub real_time_factor: f64,
    /// Partial texts that were shown.
    pub partials: u32,
}
