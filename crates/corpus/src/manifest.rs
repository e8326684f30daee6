//! The project's manifests: one JSON object a line, one line a row.
//!
//! Speech rows use NeMo's names where NeMo has them (`audio_filepath`, `offset`, `duration`,
//! `text`), so a NeMo manifest is read as it is. Audio paths are relative to the manifest's folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::lines::Lines;
use crate::{BadRow, CorpusError};

/// Language of a row without speech (noise, music, silence).
pub const NO_LANGUAGE: &str = "none";

/// What a row may be used for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Training. Rows that state no split are read as this.
    #[default]
    Train,
    /// Choices during development: stopping, settings.
    Dev,
    /// The figures that are reported.
    Test,
}

impl Split {
    /// `train`, `dev` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Dev => "dev",
            Self::Test => "test",
        }
    }
}

/// One clip of speech (or of noise) with its transcript.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SpeechRow {
    /// Name of the row, unique in its corpus.
    #[serde(default)]
    pub id: String,
    /// The audio file, relative to the manifest's folder.
    pub audio_filepath: String,
    /// Where the clip begins in the file, in seconds.
    #[serde(default)]
    pub offset: f64,
    /// Length of the clip in seconds; `None` (JSON `null`) where the corpus does not say.
    #[serde(default)]
    pub duration: Option<f64>,
    /// Language of the speech (`de`, `pt-BR`, …), [`NO_LANGUAGE`] where nothing is said.
    #[serde(default)]
    pub lang: String,
    /// The transcript; empty where nothing is said.
    pub text: String,
    /// Translations of the transcript by language.
    #[serde(default)]
    pub translations: BTreeMap<String, String>,
    /// Who speaks; empty when unknown. Names are unique within a source only.
    #[serde(default)]
    pub speaker: String,
    /// The synthetic voice; empty for human speech.
    #[serde(default)]
    pub voice: String,
    /// What the row may be used for.
    #[serde(default)]
    pub split: Split,
    /// Where the clip comes from.
    #[serde(default)]
    pub source: String,
    /// Its licence.
    #[serde(default)]
    pub licence: String,
}

/// A sentence with its translation, or a sentence alone (`tgt_lang` and `tgt_text` empty).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TextRow {
    /// Name of the row, unique in its corpus.
    #[serde(default)]
    pub id: String,
    /// Language of `src_text`.
    #[serde(default)]
    pub src_lang: String,
    /// Language of `tgt_text`.
    #[serde(default)]
    pub tgt_lang: String,
    /// The sentence.
    pub src_text: String,
    /// Its translation.
    #[serde(default)]
    pub tgt_text: String,
    /// What the row may be used for.
    #[serde(default)]
    pub split: Split,
    /// Where the sentence comes from.
    #[serde(default)]
    pub source: String,
    /// Its licence.
    #[serde(default)]
    pub licence: String,
}

/// A kind of manifest row.
pub trait Row: Serialize + DeserializeOwned {
    /// Sets the language of a row that states none.
    fn fill_language(&mut self, lang: &str);

    /// Says what makes a row that parses unusable nevertheless.
    fn check(&self) -> Result<(), String>;
}

impl Row for SpeechRow {
    fn fill_language(&mut self, lang: &str) {
        if self.lang.is_empty() {
            self.lang = lang.to_owned();
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.audio_filepath.is_empty() {
            return Err("empty audio_filepath".into());
        }
        check_language("lang", &self.lang)?;
        for lang in self.translations.keys() {
            check_language("language of a translation", lang)?;
        }
        check_seconds("offset", self.offset)?;
        self.duration.map_or(Ok(()), |duration| check_seconds("duration", duration))
    }
}

impl Row for TextRow {
    fn fill_language(&mut self, lang: &str) {
        if self.src_lang.is_empty() {
            self.src_lang = lang.to_owned();
        }
    }

    fn check(&self) -> Result<(), String> {
        check_language("src_lang", &self.src_lang)?;
        if self.src_text.trim().is_empty() {
            return Err("empty src_text".into());
        }
        if self.tgt_lang.is_empty() && self.tgt_text.is_empty() {
            return Ok(());
        }
        check_language("tgt_lang", &self.tgt_lang)?;
        if self.tgt_text.trim().is_empty() {
            return Err("empty tgt_text".into());
        }
        Ok(())
    }
}

fn check_seconds(name: &str, seconds: f64) -> Result<(), String> {
    if seconds.is_finite() && seconds >= 0.0 {
        Ok(())
    } else {
        Err(format!("{name} {seconds}: not a number of seconds"))
    }
}

/// A language tag as the manifests use them: 2 to 8 letters, then parts of letters and digits.
pub(crate) fn check_language(name: &str, lang: &str) -> Result<(), String> {
    let mut parts = lang.split(['-', '_']);
    let first = parts.next().unwrap_or_default();
    let first_fits =
        (2..=8).contains(&first.len()) && first.chars().all(|c| c.is_ascii_alphabetic());
    let fits = |part: &str| {
        (1..=8).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric())
    };
    if first_fits && parts.all(fits) {
        Ok(())
    } else if lang.is_empty() {
        Err(format!("empty {name}"))
    } else {
        Err(format!("{name} {lang:?}: not a language tag"))
    }
}

/// Streams the rows of a JSON-lines manifest (plain or gzip). A bad line comes as a [`BadRow`]
/// with its number, and the reading goes on.
///
/// ```
/// use partita_corpus::manifest::{Reader, SpeechRow};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("speech.jsonl");
/// std::fs::write(&path, r#"{"audio_filepath": "a.wav", "duration": 1.5, "lang": "de", "text": "Ja."}
/// {"audio_filepath": "b.wav"
/// "#)?;
/// let rows: Vec<_> = Reader::<SpeechRow>::open(&path)?.collect();
/// assert_eq!(rows[0].as_ref().map(|(line, row)| (*line, row.text.as_str())), Ok((1, "Ja.")));
/// assert_eq!(rows[1].as_ref().map_err(|bad| bad.line).err(), Some(2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Reader<R> {
    lines: Lines,
    lang: String,
    row: PhantomData<fn() -> R>,
}

impl<R: Row> Reader<R> {
    /// Opens a manifest.
    pub fn open(path: &Path) -> Result<Self, CorpusError> {
        Ok(Self { lines: Lines::open(path)?, lang: String::new(), row: PhantomData })
    }

    /// The language of rows that state none (NeMo's manifests do not).
    pub fn with_language(mut self, lang: &str) -> Self {
        self.lang = lang.to_owned();
        self
    }

    fn parse(&self, text: &str) -> Result<R, String> {
        let mut row: R = serde_json::from_str(text).map_err(|error| error.to_string())?;
        row.fill_language(&self.lang);
        row.check()?;
        Ok(row)
    }
}

impl<R: Row> Iterator for Reader<R> {
    /// The line's number and its row.
    type Item = Result<(u64, R), BadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.lines.next()?.and_then(|(line, text)| match self.parse(&text) {
            Ok(row) => Ok((line, row)),
            Err(reason) => Err(self.lines.bad(line, reason)),
        }))
    }
}

/// Writes a manifest that appears whole or not at all: rows go to a temporary file in the same
/// folder, which [`Writer::finish`] renames. Dropped unfinished, it leaves nothing behind.
pub struct Writer<R> {
    path: PathBuf,
    output: BufWriter<NamedTempFile>,
    row: PhantomData<fn(R)>,
}

impl<R: Row> Writer<R> {
    /// Begins a manifest at `path`; its folder is created if need be.
    pub fn create(path: &Path) -> Result<Self, CorpusError> {
        let unwritable = |reason| CorpusError::unwritable(path, reason);
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        fs::create_dir_all(folder).map_err(unwritable)?;
        let file = NamedTempFile::new_in(folder).map_err(unwritable)?;
        Ok(Self { path: path.to_path_buf(), output: BufWriter::new(file), row: PhantomData })
    }

    /// Adds a row.
    pub fn write(&mut self, row: &R) -> Result<(), CorpusError> {
        let written = serde_json::to_writer(&mut self.output, row).map_err(io::Error::from);
        written
            .and_then(|()| self.output.write_all(b"\n"))
            .map_err(|reason| CorpusError::unwritable(&self.path, reason))
    }

    /// Moves the manifest to its place.
    pub fn finish(self) -> Result<(), CorpusError> {
        let path = self.path;
        let unwritable = |reason| CorpusError::unwritable(&path, reason);
        let file = self.output.into_inner().map_err(|error| unwritable(error.into_error()))?;
        file.as_file().sync_all().map_err(unwritable)?;
        // A temporary file is private to its owner; a manifest is an ordinary file.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::Permissions::from_mode(0o644);
            file.as_file().set_permissions(mode).map_err(unwritable)?;
        }
        file.persist(&path).map_err(|error| unwritable(error.error))?;
        Ok(())
    }
}
