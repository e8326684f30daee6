//! A session as a document, to be written in any form.

use super::{History, HistoryError, Line};
use crate::output::{Document, Format, render};
use crate::settings::Shown;
use partita_model::engine::{Segment, Text, Transcript};
use partita_model::longform::Utterance;

impl History {
    /// A session in a form. [`Shown::Translation`] has the original of lines that were not
    /// translated; subtitles of [`Shown::Both`] have the translation below the original; JSON has
    /// everything, whatever is asked for.
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
    // One text a line: the original, the translation where there is one, or both, joined.
    let single = format != Format::Json && (shown != Shown::Both || timed);
    let translated = lines.iter().find_map(|line| line.translation.as_ref());
    let target = translated.map(|(target, _)| target.clone()).filter(|_| !single);
    let utterances = lines.iter().map(|line| {
        let translation = line.translation.as_ref();
        let (language, text) = match (shown, translation) {
            (Shown::Translation, Some((lang, text))) if single => (lang.clone(), text.clone()),
            (Shown::Both, Some((_, text))) if single => {
                (line.lang.clone(), format!("{}\n{text}", line.text))
            }
            _ => (line.lang.clone(), line.text.clone()),
        };
        let transcript = Transcript {
            language,
            language_probability: 1.0,
            no_speech: 0.0,
            text: timed_text(line, &text),
            translation: translation.filter(|_| !single).map(|(_, text)| timed_text(line, text)),
            resume: None,
        };
        Utterance { start: line.start, end: line.end, transcript }
    });
    Document { target, utterances: utterances.collect(), ..Document::default() }
}

fn timed_text(line: &Line, text: &str) -> Text {
    let text = text.to_owned();
    let segment = Segment::new(line.start, line.end, text);
    let segments = if segment.text.is_empty() { vec![] } else { vec![segment] };
    Text { segments, ..Text::default() }
}
