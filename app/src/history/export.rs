//! A session as a document, to be written in any form.

use super::{History, HistoryError, Line};
use crate::output::{Document, Format, render};
use crate::settings::Shown;
use partita_model::engine::{Segment, Text, Transcript};
use partita_model::longform::Utterance;

impl History {
    /// A session in a form. Subtitles of [`Shown::Both`] have the translation below the original;
    /// JSON has everything.
    ///
    /// # Errors
    /// [`HistoryError::NoSession`], [`HistoryError::Database`].
    pub fn export(
        &self,
        session: i64,
        format: Format,
        shown: Shown,
    ) -> Result<String, HistoryError> {
        let about = self.session(session)?;
        let lines = self.lines(session)?;
        let mut document = document(&lines, format, shown);
        (document.file, document.seconds) = (about.title, about.seconds);
        Ok(render(&document, format))
    }
}

fn document(lines: &[Line], format: Format, shown: Shown) -> Document {
    let timed = matches!(format, Format::Srt | Format::Vtt | Format::Tsv);
    let translated = lines.iter().find_map(|line| line.translation.as_ref());
    let target = translated.map(|(target, _)| target.clone());
    let target = match (shown, format) {
        (_, Format::Json) => target,
        (Shown::Original, _) => None,
        // They hold one text: both are put into it.
        (Shown::Both, _) if timed => None,
        _ => target,
    };
    let utterances = lines.iter().map(|line| {
        let translation = line.translation.as_ref().map(|(_, text)| text.as_str());
        let text = match (shown, translation) {
            (Shown::Both, Some(translation)) if timed => format!("{}\n{translation}", line.text),
            (Shown::Translation, Some(_)) if !timed && format != Format::Json => String::new(),
            _ => line.text.clone(),
        };
        let transcript = Transcript {
            language: line.lang.clone(),
            language_probability: 1.0,
            no_speech: 0.0,
            text: timed_text(line, &text),
            translation: translation.map(|text| timed_text(line, text)),
            resume: None,
        };
        Utterance { start: line.start, end: line.end, transcript }
    });
    Document { target, utterances: utterances.collect(), ..Document::default() }
}

fn timed_text(line: &Line, text: &str) -> Text {
    let text = text.to_owned();
    let segment = Segment { start: line.start, end: line.end, text };
    let segments = if segment.text.is_empty() { vec![] } else { vec![segment] };
    Text { segments, ..Text::default() }
}
