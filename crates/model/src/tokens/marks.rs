//! The one table of marks: which token names a task, a language to write, a language heard.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::tokenizer::TextTokenizer;
use super::vocabulary::TokenKind;
use crate::error::ModelError;

/// Languages that have marks, by ISO code. A language's place is its token in every trained
/// model: the order never changes, and new ones go to the end.
const LANGUAGES: [&str; 20] = [
    "de", "en", "es", "fr", "it", "nl", "pt", "ru", "zh", "ja", "ko", "yue", "cs", "pl", "sv",
    "ca", "tr", "uk", "ar", "hi",
];

/// First row of the languages, two rows each; rows before it that name no task are kept for tasks
/// to come.
const FIRST_LANGUAGE: u32 = 16;

/// A language that has marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lang(u8);

impl Lang {
    /// All of them, in the order of their rows.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..LANGUAGES.len() as u8).map(Self)
    }

    /// The ISO code: `de`, `yue`.
    pub fn code(self) -> &'static str {
        LANGUAGES.get(usize::from(self.0)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl FromStr for Lang {
    type Err = ModelError;

    fn from_str(code: &str) -> Result<Self, ModelError> {
        Self::all().find(|lang| lang.code() == code).ok_or_else(|| {
            let (known, code) = (LANGUAGES.join(", "), code.chars().take(20).collect::<String>());
            ModelError::Unsupported(format!("no mark for the language {code:?}; known: {known}"))
        })
    }
}

impl TryFrom<String> for Lang {
    type Error = ModelError;

    fn try_from(code: String) -> Result<Self, ModelError> {
        code.parse()
    }
}

impl From<Lang> for String {
    fn from(lang: Lang) -> Self {
        lang.code().to_owned()
    }
}

/// A token with a meaning of our own. [`Display`](fmt::Display) and [`FromStr`] write and read
/// `<asr>`, `<to:de>` and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// `<asr>`: write what was said.
    Transcribe,
    /// `<st>`: write what was said, then its translation.
    Translate,
    /// `<direct>`: write the translation of what was said, and nothing else.
    DirectTranslation,
    /// `<mt>`: translate a text.
    TextTranslation,
    /// `<lang:none>`: nobody speaks.
    NoSpeech,
    /// `<to:yy>`: the translation is to be in this language, or begins here.
    To(Lang),
    /// `<lang:xx>`: this language was spoken, and the text begins here.
    Spoken(Lang),
}

/// Marks that are not about a language, in the order of their rows.
const TASKS: [(Mark, &str); 5] = [
    (Mark::Transcribe, "<asr>"),
    (Mark::Translate, "<st>"),
    (Mark::DirectTranslation, "<direct>"),
    (Mark::TextTranslation, "<mt>"),
    (Mark::NoSpeech, "<lang:none>"),
];

impl Mark {
    /// All marks, in the order of their rows.
    pub fn all() -> impl Iterator<Item = Self> {
        let languages = Lang::all().flat_map(|lang| [Self::To(lang), Self::Spoken(lang)]);
        TASKS.iter().map(|&(mark, _)| mark).chain(languages)
    }

    /// The mark's row in the table: `N` of Gemma's `<unusedN>`. Rows never change.
    pub fn row(self) -> u32 {
        match self {
            Self::Transcribe => 0,
            Self::Translate => 1,
            Self::DirectTranslation => 2,
            Self::TextTranslation => 3,
            Self::NoSpeech => 4,
            Self::To(lang) => FIRST_LANGUAGE + 2 * u32::from(lang.0),
            Self::Spoken(lang) => FIRST_LANGUAGE + 2 * u32::from(lang.0) + 1,
        }
    }

    /// Rows of the whole table, those kept for tasks to come included.
    pub fn rows() -> u32 {
        FIRST_LANGUAGE + 2 * LANGUAGES.len() as u32
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::To(lang) => write!(f, "<to:{lang}>"),
            Self::Spoken(lang) => write!(f, "<lang:{lang}>"),
            task => f.write_str(
                TASKS.iter().find(|(mark, _)| mark == task).map_or("", |(_, name)| name),
            ),
        }
    }
}

impl FromStr for Mark {
    type Err = ModelError;

    fn from_str(name: &str) -> Result<Self, ModelError> {
        Self::all().find(|mark| mark.to_string() == name).ok_or_else(|| {
            let name: String = name.chars().take(20).collect();
            ModelError::Unsupported(format!("{name:?} is no mark"))
        })
    }
}

/// Stands in rows that are kept for tasks to come, where only marks have tokens. No token has this
/// number: a vocabulary has at most 2^22.
const NO_TOKEN: u32 = u32::MAX;

/// The tokens of the marks in one tokenizer.
///
/// Where the vocabulary has reserved tokens named `<unused0>`, `<unused1>`, … (Gemma), the mark of
/// row N is `<unusedN>`; where it has control tokens named as all marks are (models exported to ONNX),
/// those are the marks. Otherwise (SmolLM2, Qwen) the table is appended: row N has the id
/// vocabulary + N, and the model's token table needs [`appended`](Self::appended) rows more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks {
    /// Id of each row.
    ids: Vec<u32>,
    appended: u32,
}

impl Marks {
    /// Finds the marks by their names, or the reserved tokens, or appends.
    pub fn for_tokenizer(tokenizer: &TextTokenizer) -> Self {
        let control = |name: &str| {
            let id = tokenizer.id(name)?;
            let kind = tokenizer.kind(id)?;
            matches!(kind, TokenKind::Control | TokenKind::Unused).then_some(id)
        };
        let reserved = |row: u32| control(&format!("<unused{row}>"));
        let rows = Mark::rows();
        let named = |mark: Mark| Some((mark.row(), control(&mark.to_string())?));
        if let Some(named) = Mark::all().map(named).collect::<Option<Vec<_>>>() {
            let of_row = |row| named.iter().find(|(known, _)| *known == row);
            let ids = (0..rows).map(|row| of_row(row).map_or(NO_TOKEN, |&(_, id)| id));
            return Self { ids: ids.collect(), appended: 0 };
        }
        if let Some(ids) = (0..rows).map(reserved).collect() {
            return Self { ids, appended: 0 };
        }
        // A vocabulary has at most 2^22 tokens.
        let first = tokenizer.vocabulary() as u32;
        Self { ids: (first..first + rows).collect(), appended: rows }
    }

    /// The token of a mark.
    pub fn mark(&self, mark: Mark) -> u32 {
        // Rows of marks are always filled.
        self.ids.get(mark.row() as usize).copied().unwrap_or_default()
    }

    /// The mark of a token, if it is one.
    pub fn of(&self, id: u32) -> Option<Mark> {
        let row = self.ids.iter().position(|&known| known == id)?;
        Mark::all().find(|mark| mark.row() as usize == row)
    }

    /// Tokens of all marks, in the order of [`Mark::all`].
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        Mark::all().map(|mark| self.mark(mark))
    }

    /// Rows that the model's token table needs behind its vocabulary; 0 with reserved tokens.
    pub fn appended(&self) -> usize {
        self.appended as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Trained models depend on every number here.
    #[test]
    fn rows_never_change() {
        let row = |name: &str| name.parse::<Mark>().unwrap().row();
        assert_eq!(["<asr>", "<st>", "<direct>", "<mt>", "<lang:none>"].map(row), [0, 1, 2, 3, 4]);
        assert_eq!(["<to:de>", "<lang:de>", "<to:en>", "<lang:en>"].map(row), [16, 17, 18, 19]);
        assert_eq!(["<to:cs>", "<lang:zh>", "<lang:hi>"].map(row), [40, 33, 55]);
        assert_eq!(Mark::rows(), 56);
    }

    #[test]
    fn each_mark_has_a_row_and_a_name_of_its_own() {
        let rows: BTreeSet<u32> = Mark::all().map(Mark::row).collect();
        let names: BTreeSet<String> = Mark::all().map(|mark| mark.to_string()).collect();
        assert_eq!((rows.len(), names.len()), (45, 45));
        assert!(rows.last().is_some_and(|&last| last < Mark::rows()));
        for mark in Mark::all() {
            assert_eq!(mark.to_string().parse::<Mark>().unwrap(), mark);
        }
        assert!("<lang:tlh>".parse::<Mark>().is_err() && "asr".parse::<Mark>().is_err());
    }

    #[test]
    fn languages_are_written_as_codes() {
        let yue: Lang = serde_json::from_str("\"yue\"").unwrap();
        assert_eq!((yue.code(), serde_json::to_string(&yue).unwrap()), ("yue", "\"yue\"".into()));
        assert!(serde_json::from_str::<Lang>("\"none\"").is_err());
    }
}
