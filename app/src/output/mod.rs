//! Transcripts as text, subtitles, tables and JSON.

mod formats;

use partita_model::engine::Segment;
use partita_model::longform::Utterance;

pub use formats::{Format, render, value};

/// Everything that was said in one recording.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Document {
    /// The recording's name, as it was given.
    pub file: String,
    /// Its length in seconds.
    pub seconds: f64,
    /// Language asked to translate into.
    pub target: Option<String>,
    /// What was said, in order.
    pub utterances: Vec<Utterance>,
}

impl Document {
    /// The language spoken longest; `None` when nothing was said.
    pub fn language(&self) -> Option<&str> {
        let mut totals: Vec<(&str, f64)> = Vec::new();
        for utterance in self.spoken() {
            let code = utterance.transcript.language.as_str();
            let length = utterance.end - utterance.start;
            match totals.iter_mut().find(|(known, _)| *known == code) {
                Some((_, total)) => *total += length,
                None => totals.push((code, length)),
            }
        }
        totals.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(code, _)| code)
    }

    /// Utterances with any text.
    fn spoken(&self) -> impl Iterator<Item = &Utterance> {
        self.utterances.iter().filter(|u| !u.transcript.text.segments.is_empty())
    }

    /// Segments of the transcript with their languages.
    pub fn segments(&self) -> impl Iterator<Item = (&str, &Segment)> {
        self.utterances.iter().flat_map(|u| {
            u.transcript.text.segments.iter().map(|s| (u.transcript.language.as_str(), s))
        })
    }

    /// Segments of the translation.
    pub fn translated(&self) -> impl Iterator<Item = &Segment> {
        let translations = self.utterances.iter().filter_map(|u| u.transcript.translation.as_ref());
        translations.flat_map(|text| &text.segments)
    }

    /// The transcript as running text.
    pub fn text(&self) -> String {
        running(self.segments().map(|(language, segment)| (language, segment.text.as_str())))
    }

    /// The translation as running text; `None` if none was asked for.
    pub fn translation(&self) -> Option<String> {
        let target = self.target.as_deref()?;
        Some(running(self.translated().map(|segment| (target, segment.text.as_str()))))
    }

    /// Tokens written, for the transcript and the translation.
    pub fn tokens(&self) -> usize {
        let texts = self.utterances.iter().flat_map(|u| {
            [Some(&u.transcript.text), u.transcript.translation.as_ref()].into_iter().flatten()
        });
        texts.map(|text| text.tokens).sum()
    }
}

/// Joins texts, with spaces except after scripts that are written without.
fn running<'a>(parts: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (language, part) in parts {
        if !text.is_empty() && !matches!(language, "zh" | "ja" | "yue" | "th" | "lo" | "my") {
            text.push(' ');
        }
        text.push_str(part);
    }
    text
}
