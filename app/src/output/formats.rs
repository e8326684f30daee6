//! The forms a transcript can be written in.

use super::Document;
use clap::ValueEnum;
use partita_model::engine::Segment;
use serde_json::{Value, json};
use std::fmt::Write;

/// A form of a transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text alone
    Txt,
    /// SubRip subtitles
    Srt,
    /// WebVTT subtitles
    Vtt,
    /// One JSON object
    Json,
    /// Start, end (milliseconds) and text, separated by tabs
    Tsv,
    /// Markdown: a paragraph a segment, with its time
    Md,
}

impl Format {
    /// The usual file extension.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Txt => "txt",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Json => "json",
            Self::Tsv => "tsv",
            Self::Md => "md",
        }
    }
}

/// Writes a document in a format, with a newline at its end unless it is empty.
///
/// Subtitles and tables hold the translation if one was asked for, else the transcript; text has
/// both, the translation after the transcript, Markdown below each of its utterances; JSON has
/// everything.
pub fn render(document: &Document, format: Format) -> String {
    match format {
        Format::Txt => text(document),
        Format::Srt => subtitles(document, "", ',', true),
        Format::Vtt => subtitles(document, "WEBVTT\n\n", '.', false),
        Format::Json => format!("{}\n", value(document)),
        Format::Tsv => table(document),
        Format::Md => markdown(document),
    }
}

fn text(document: &Document) -> String {
    let mut out = String::new();
    for part in [Some(document.text()), document.translation()].into_iter().flatten() {
        if !part.is_empty() {
            out.push_str(&part);
            out.push('\n');
        }
    }
    out
}

/// What subtitles show: one language.
fn shown(document: &Document) -> Vec<&Segment> {
    match document.target {
        Some(_) => document.translated().collect(),
        None => document.segments().map(|(_, segment)| segment).collect(),
    }
}

fn subtitles(document: &Document, head: &str, mark: char, numbered: bool) -> String {
    let mut out = head.to_owned();
    for (index, segment) in shown(document).into_iter().enumerate() {
        if numbered {
            let _ = writeln!(out, "{}", index + 1);
        }
        let (start, end) = (clock(segment.start, mark), clock(segment.end, mark));
        // An empty line would end the cue, and an arrow begin another.
        let text = segment.text.replace("-->", "->");
        let _ = writeln!(out, "{start} --> {end}\n{text}\n");
    }
    out
}

fn clock(seconds: f64, mark: char) -> String {
    let total = (seconds.max(0.0) * 1000.0).round() as u64;
    let (hours, minutes) = (total / 3_600_000, total / 60_000 % 60);
    format!("{hours:02}:{minutes:02}:{:02}{mark}{:03}", total / 1000 % 60, total % 1000)
}

fn table(document: &Document) -> String {
    let mut out = "start\tend\ttext\n".to_owned();
    for segment in shown(document) {
        let milliseconds = |seconds: f64| (seconds * 1000.0).round() as u64;
        let text = segment.text.replace('\t', " ");
        let _ =
            writeln!(out, "{}\t{}\t{text}", milliseconds(segment.start), milliseconds(segment.end));
    }
    out
}

fn markdown(document: &Document) -> String {
    let mut out = format!("# {}\n", escaped(&document.file));
    for utterance in &document.utterances {
        let transcript = &utterance.transcript;
        for segment in &transcript.text.segments {
            let time = clock(segment.start, '.');
            let time = time.split('.').next().unwrap_or_default();
            let text = escaped(&segment.text);
            let _ = write!(out, "\n**{time}** ({}) {text}\n", transcript.language);
        }
        let translation = transcript.translation.as_ref().filter(|_| document.target.is_some());
        for segment in translation.iter().flat_map(|text| &text.segments) {
            let _ = write!(out, "\n> {}\n", escaped(&segment.text));
        }
    }
    out
}

/// Text whose characters have no meaning to Markdown, on one line.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '~' => {
                out.extend(['\\', character]);
            }
            '\n' | '\r' => out.push(' '),
            character => out.push(character),
        }
    }
    out
}

/// Everything known of a document.
pub fn value(document: &Document) -> Value {
    let row = |segment: &Segment| {
        let timed = |start, end, text: &str| json!({ "start": round(start), "end": round(end), "text": text });
        let mut row = timed(segment.start, segment.end, &segment.text);
        if !segment.words.is_empty() {
            let words = segment.words.iter();
            row["words"] = words.map(|word| timed(word.start, word.end, &word.text)).collect();
        }
        row
    };
    let segments: Vec<Value> = document
        .segments()
        .map(|(language, segment)| {
            let mut value = row(segment);
            value["lang"] = language.into();
            value
        })
        .collect();
    let mut value = json!({
        "file": document.file,
        "seconds": round(document.seconds),
        "lang": document.language(),
        "text": document.text(),
        "segments": segments,
    });
    if let Some(target) = &document.target {
        value["translation"] = json!({
            "lang": target,
            "text": document.translation(),
            "segments": document.translated().map(row).collect::<Vec<_>>(),
        });
    }
    value
}

fn round(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use partita_model::engine::{Text, Transcript, Word};
    use partita_model::longform::Utterance;

    fn document() -> Document {
        let segment = |start, end, text: &str| Segment::new(start, end, text.to_owned());
        let text = |segments| Text { segments, ..Text::default() };
        let said = text(vec![segment(0.5, 2.04, "Guten Tag."), segment(3661.2, 3662.0, "a --> b")]);
        let transcript = Transcript {
            language: "de".into(),
            language_probability: 1.0,
            no_speech: 0.0,
            text: said,
            translation: Some(text(vec![segment(0.5, 2.04, "Good day.")])),
            resume: None,
        };
        let utterances = vec![Utterance { start: 0.0, end: 4000.0, transcript }];
        Document { file: "x.wav".into(), seconds: 4000.0, target: None, utterances }
    }

    #[test]
    fn subtitles_have_clock_times() {
        let srt = render(&document(), Format::Srt);
        assert_eq!(
            srt,
            "1\n00:00:00,500 --> 00:00:02,040\nGuten Tag.\n\n2\n01:01:01,200 --> 01:01:02,000\na -> b\n\n"
        );
        assert!(render(&document(), Format::Vtt).starts_with("WEBVTT\n\n00:00:00.500 --> "));
    }

    #[test]
    fn a_translation_is_shown_where_one_was_asked_for() {
        let document = Document { target: Some("en".into()), ..document() };
        assert_eq!(render(&document, Format::Txt), "Guten Tag. a --> b\nGood day.\n");
        assert_eq!(render(&document, Format::Tsv), "start\tend\ttext\n500\t2040\tGood day.\n");
        let value: Value = serde_json::from_str(&render(&document, Format::Json)).unwrap();
        assert_eq!(value["translation"]["segments"][0]["end"], 2.04);
        assert_eq!(value["lang"], "de");
    }

    #[test]
    fn words_are_told_where_their_times_are_known() {
        let mut document = document();
        let word = |start, end, text: &str| Word { start, end, text: text.to_owned() };
        document.utterances[0].transcript.text.segments[0].words =
            vec![word(0.5, 0.98, "Guten"), word(1.14, 2.04, "Tag.")];
        let value: Value = serde_json::from_str(&render(&document, Format::Json)).unwrap();
        let words = json!([
            { "start": 0.5, "end": 0.98, "text": "Guten" },
            { "start": 1.14, "end": 2.04, "text": "Tag." },
        ]);
        assert_eq!(value["segments"][0]["words"], words);
        assert_eq!(value["segments"][1].get("words"), None);
    }

    #[test]
    fn markdown_has_a_paragraph_a_segment() {
        let document = Document { target: Some("en".into()), ..document() };
        let expected = "# x.wav\n\n**00:00:00** (de) Guten Tag.\n\n\
                        **01:01:01** (de) a --\\> b\n\n> Good day.\n";
        assert_eq!(render(&document, Format::Md), expected);
    }

    #[test]
    fn nothing_said_is_an_empty_text() {
        let empty = Document { seconds: 3.0, ..Document::default() };
        assert_eq!(render(&empty, Format::Txt), "");
        assert_eq!(render(&empty, Format::Vtt), "WEBVTT\n\n");
    }
}
