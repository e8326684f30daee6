//! WenetSpeech (Zhang et al. 2022): one JSON file of more than a gigabyte for all of it.
//!
//! `{"audios": [{"path", "segments": [{"sid", "confidence", "begin_time", "end_time", "subsets",
//! "text"}]}]}`, paths from the file's folder. Segments with a confidence of 0.95 or more are taken,
//! those that the authors count as labelled well. Subsets `DEV` and `TEST_*` state splits.
//!
//! The file is parsed as it is read, one recording in memory at a time, by a thread of its own that
//! hands rows over a bounded channel: a parser calls us, an iterator is called.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{Entry, Located, Rows, Table, folder_of, join};
use crate::manifest::{Row, SpeechRow, Split};
use crate::{BadRow, CorpusError};

/// From this confidence on, a segment's text is taken for right.
const CONFIDENT: f64 = 0.95;
/// Rows that wait to be taken.
const AHEAD: usize = 1024;
/// In so many bytes, `"audios"` must have been named.
const SNIFFED: u64 = 1 << 16;

type Sender = SyncSender<Result<Located, BadRow>>;

/// Whether a JSON file looks like one of WenetSpeech.
pub(super) fn sniff(path: &Path) -> Result<bool, CorpusError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| CorpusError::unreadable(path, error))?;
    file.take(SNIFFED)
        .read_to_end(&mut bytes)
        .map_err(|error| CorpusError::unreadable(path, error))?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.trim_start_matches('\u{feff}').trim_start().starts_with('{')
        && text.contains("\"audios\""))
}

/// Opens the file.
pub(super) fn rows(table: &Table) -> Result<Rows, CorpusError> {
    let path = table.path.clone();
    let unreadable = |error| CorpusError::unreadable(&table.path, error);
    let file = File::open(&path).map_err(unreadable)?;
    let line = Arc::new(AtomicU64::new(1));
    let input = Counted { input: BufReader::new(file), line: line.clone() };
    let lang = if table.lang.is_empty() { "zh".to_owned() } else { table.lang.clone() };
    let (sender, receiver) = sync_channel(AHEAD);
    let work = move || {
        let rows = Segments { sender: &sender, path: &path, lang: &lang, line: &line };
        let mut parser = serde_json::Deserializer::from_reader(input);
        if let Err(error) = TopLevel(&rows).deserialize(&mut parser) {
            // Nobody may be listening any more, which is what ended the parsing.
            let reason = format!("cannot read on: {error}");
            sender.send(Err(rows.bad(error.line() as u64, reason))).ok();
        }
    };
    std::thread::Builder::new().name("wenet-speech".to_owned()).spawn(work).map_err(unreadable)?;
    Ok(Box::new(receiver.into_iter()))
}

/// Counts lines for messages. The parser asks for a byte at a time.
struct Counted {
    input: BufReader<File>,
    line: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        let ends = buffer.iter().take(count).filter(|byte| **byte == b'\n').count();
        if ends > 0 {
            self.line.fetch_add(ends as u64, Ordering::Relaxed);
        }
        Ok(count)
    }
}

/// Where rows go, and what they need.
struct Segments<'a> {
    sender: &'a Sender,
    path: &'a PathBuf,
    lang: &'a str,
    line: &'a AtomicU64,
}

#[derive(Deserialize)]
struct Audio {
    path: String,
    segments: Vec<Value>,
}

#[derive(Deserialize)]
struct Segment {
    sid: String,
    confidence: f64,
    begin_time: f64,
    end_time: f64,
    #[serde(default)]
    subsets: Vec<String>,
    text: String,
}

impl Segments<'_> {
    fn bad(&self, line: u64, reason: String) -> BadRow {
        BadRow { file: self.path.clone(), line, reason }
    }

    /// Sends the rows of a recording; an error when nobody takes them.
    fn recording(&self, audio: Value) -> Result<(), &'static str> {
        let line = self.line.load(Ordering::Relaxed);
        let send = |row| self.sender.send(row).map_err(|_| "no one reads on");
        let audio: Audio = match serde_json::from_value(audio) {
            Ok(audio) => audio,
            Err(error) => return send(Err(self.bad(line, format!("recording: {error}")))),
        };
        for segment in audio.segments {
            match self.row(&audio.path, segment) {
                Ok(None) => {}
                Ok(Some(row)) => {
                    let entry = Entry::Speech(row);
                    send(Ok(Located { line, entry, split_stated: true }))?;
                }
                Err(reason) => send(Err(self.bad(line, reason)))?,
            }
        }
        Ok(())
    }

    fn row(&self, path: &str, segment: Value) -> Result<Option<SpeechRow>, String> {
        let segment: Segment =
            serde_json::from_value(segment).map_err(|error| format!("{path}: segment: {error}"))?;
        if segment.confidence < CONFIDENT {
            return Ok(None);
        }
        let split = match segment.subsets.iter().map(String::as_str).max() {
            Some("DEV") => Split::Dev,
            Some(name) if name.starts_with("TEST") => Split::Test,
            _ => Split::Train,
        };
        let row = SpeechRow {
            audio_filepath: join(folder_of(self.path), path),
            offset: segment.begin_time,
            duration: Some(segment.end_time - segment.begin_time),
            lang: self.lang.to_owned(),
            text: segment.text.trim().to_owned(),
            split,
            source: "WenetSpeech".to_owned(),
            licence: "CC-BY-4.0".to_owned(),
            id: segment.sid,
            ..SpeechRow::default()
        };
        if row.text.is_empty() {
            return Err(format!("{}: empty text", row.id));
        }
        row.check().map_err(|reason| format!("{}: {reason}", row.id))?;
        Ok(Some(row))
    }
}

/// The object around `audios`.
struct TopLevel<'a>(&'a Segments<'a>);

impl<'de> DeserializeSeed<'de> for TopLevel<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TopLevel<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with \"audios\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "audios" {
                map.next_value_seed(Audios(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// The recordings.
struct Audios<'a>(&'a Segments<'a>);

impl<'de> DeserializeSeed<'de> for Audios<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Audios<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of recordings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(audio) = list.next_element::<Value>()? {
            self.0.recording(audio).map_err(serde::de::Error::custom)?;
        }
        Ok(())
    }
}
