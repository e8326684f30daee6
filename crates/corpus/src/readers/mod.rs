//! Corpora in other layouts than ours, turned into manifest rows.
//!
//! [`discover`] finds the tables of a folder and [`Table::rows`] streams the rows of one. A table
//! is known by its header line, or by its name where it has none:
//!
//! | layout | columns that tell it | rows |
//! |---|---|---|
//! | [`Layout::Recordings`] | `path transcript` | speech |
//! | [`Layout::Synthetic`] | `path text translations` | speech |
//! | [`Layout::Noise`] | `path kind` | speech with empty text |
//! | [`Layout::CommonVoice`] | `client_id path sentence` | speech, audio in `clips/` |
//! | [`Layout::CoVost`] | `path translation split` | the same, with translations |
//! | [`Layout::Fleurs`] | none: seven fields, `….wav` the second | speech with translations |
//! | [`Layout::LibriSpeech`], [`Layout::Mls`] | none: `*.trans.txt`, `transcripts.txt` | speech |
//! | [`Layout::WenetSpeech`] | none: a JSON object with `audios` | speech, parts of recordings |
//! | [`Layout::Pairs`] | `src_text tgt_text` | text |
//! | [`Layout::Sentences`] | none: `sentences/<lang>.txt` | text without a translation |
//! | [`Layout::Speech`], [`Layout::Text`] | none: our own `*.jsonl` | speech, text |
//! | [`Layout::Nemo`], [`Layout::Slam`] | none: `*.jsonl` of NeMo and SLAM-LLM | speech |
//!
//! All are UTF-8 and, but for WenetSpeech, plain or gzip; tables are tab separated without quoting. A row that makes no sense is a
//! [`BadRow`] with its line; the reading goes on.

mod common_voice;
mod covost;
mod discover;
mod fleurs;
mod jsonl;
mod libri;
mod speech;
mod table;
mod text;
mod wenet_speech;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::manifest::{Reader, SpeechRow, TextRow};
use crate::{BadRow, CorpusError};

pub use discover::{Discovered, discover};

/// How a table is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Human speech: path, lang, transcript, translation_en, speaker, source, licence, seconds.
    Recordings,
    /// Synthetic speech: path, lang, text, translations (a JSON object), voice, speed, seconds,
    /// source.
    Synthetic,
    /// Sounds without speech: path, kind, source, licence, seconds.
    Noise,
    /// A table of Mozilla Common Voice.
    CommonVoice,
    /// A table of CoVoST 2, beside Common Voice's tables.
    #[serde(rename = "covost")]
    CoVost,
    /// A table of FLEURS.
    Fleurs,
    /// A transcript file of LibriSpeech.
    #[serde(rename = "librispeech")]
    LibriSpeech,
    /// A transcript file of Multilingual LibriSpeech.
    Mls,
    /// The JSON file of WenetSpeech.
    #[serde(rename = "wenetspeech")]
    WenetSpeech,
    /// Sentence pairs: src_lang, src_text, tgt_lang, tgt_text, source.
    Pairs,
    /// One sentence a line; the file's name is the language.
    Sentences,
    /// A speech manifest of ours.
    Speech,
    /// A speech manifest of NeMo: the same names, without `split`.
    Nemo,
    /// A list of SLAM-LLM: key, source, target.
    Slam,
    /// A text manifest.
    Text,
}

/// One table with a known layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The file.
    pub path: PathBuf,
    /// Its layout.
    pub layout: Layout,
    /// Language of rows that state none; empty when not given.
    pub lang: String,
}

/// A row of either kind. Audio paths of speech rows are as they can be opened: the table's folder
/// is already in them.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// Speech or noise.
    Speech(SpeechRow),
    /// A sentence or a pair of sentences.
    Text(TextRow),
}

/// An entry with its line in the table, and whether the table itself states the entry's split.
#[derive(Debug, Clone, PartialEq)]
pub struct Located {
    /// Line in the file, from 1.
    pub line: u64,
    /// The row.
    pub entry: Entry,
    /// Whether the corpus states the row's split (else [`crate::split`] finds it).
    pub split_stated: bool,
}

/// The rows of a table, one after the other.
pub type Rows = Box<dyn Iterator<Item = Result<Located, BadRow>> + Send>;

impl Layout {
    /// Whether its rows are sentences, not clips.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Pairs | Self::Sentences | Self::Text)
    }
}

impl Table {
    /// Opens the table.
    ///
    /// # Errors
    /// When the file cannot be opened, or its header lacks a column that its layout needs.
    pub fn rows(&self) -> Result<Rows, CorpusError> {
        match self.layout {
            Layout::Recordings | Layout::Synthetic | Layout::Noise => speech::rows(self),
            Layout::CommonVoice => common_voice::rows(self),
            Layout::CoVost => covost::rows(self),
            Layout::Fleurs => fleurs::rows(self),
            Layout::LibriSpeech => libri::librispeech(self),
            Layout::Mls => libri::mls(self),
            Layout::WenetSpeech => wenet_speech::rows(self),
            Layout::Nemo => jsonl::nemo(self),
            Layout::Slam => jsonl::slam(self),
            Layout::Pairs => text::pairs(self),
            Layout::Sentences => text::sentences(self),
            Layout::Speech => {
                let folder = folder_of(&self.path).to_path_buf();
                let reader = Reader::<SpeechRow>::open(&self.path)?.with_language(&self.lang);
                Ok(located(reader, true, move |mut row: SpeechRow| {
                    row.audio_filepath = join(&folder, &row.audio_filepath);
                    Entry::Speech(row)
                }))
            }
            Layout::Text => {
                let reader = Reader::<TextRow>::open(&self.path)?.with_language(&self.lang);
                Ok(located(reader, true, Entry::Text))
            }
        }
    }
}

/// Wraps numbered rows.
fn located<R: 'static>(
    rows: impl Iterator<Item = Result<(u64, R), BadRow>> + Send + 'static,
    split_stated: bool,
    entry: impl Fn(R) -> Entry + Send + 'static,
) -> Rows {
    Box::new(
        rows.map(move |row| {
            row.map(|(line, row)| Located { line, entry: entry(row), split_stated })
        }),
    )
}

/// The folder of a file; `.` for a bare name.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A path within a folder, as text; an absolute one stays.
fn join(folder: &Path, path: &str) -> String {
    folder.join(path).to_string_lossy().into_owned()
}
