//! What a row shares with others: sentences, a prompt, a recording, a speaker.

use std::path::Path;

use super::{Split, primary_language, stable_hash};
use crate::manifest::{NO_LANGUAGE, SpeechRow, TextRow};
use crate::normalize::{Basic, basic};

/// Digits in a row that make a file's name a number and not a prompt.
const NUMBER_DIGITS: usize = 4;

/// A sentence: a hash of its language and normalised text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sentence(u64);

impl Sentence {
    /// The sentence, or `None` for a text without letters and digits. Region and case of the
    /// language are left out: `pt-BR` and `pt` are one.
    pub fn new(lang: &str, text: &str) -> Option<Self> {
        let text = basic(text, Basic::default());
        let lang = primary_language(lang).to_ascii_lowercase();
        (!text.is_empty()).then(|| Self(stable_hash(&[lang.as_bytes(), b"\t", text.as_bytes()])))
    }

    /// The hash (FNV-1a, 64 bits), the same everywhere.
    pub fn hash(self) -> u64 {
        self.0
    }

    /// The split that the sentence draws when nothing else is known of it.
    pub fn draw(self) -> Split {
        draw(self.0)
    }
}

/// The split that a hash draws: 5 % test, 5 % dev, 90 % train.
pub(super) fn draw(hash: u64) -> Split {
    // FNV's low bits are well mixed only after folding the high ones in.
    match (hash ^ (hash >> 32)) % 100 {
        0..5 => Split::Test,
        5..10 => Split::Dev,
        _ => Split::Train,
    }
}

/// Kinds of [`Key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// The same sentence in the same language.
    Sentence,
    /// The same prompt of the same corpus, in any language, by its file's name.
    Prompt,
    /// The same audio file.
    Recording,
    /// The same speaker of the same corpus.
    Speaker,
    /// A row without text: nothing that others could share.
    Row,
}

impl KeyKind {
    /// The kind in a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sentence => "sentence",
            Self::Prompt => "prompt",
            Self::Recording => "recording",
            Self::Speaker => "speaker",
            Self::Row => "row",
        }
    }
}

/// Something that rows share: a hash with its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What it is.
    pub kind: KeyKind,
    /// Its hash.
    pub hash: u64,
}

/// All keys of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Sentences, the head first, and the prompt.
    pub(super) shared: Vec<Key>,
    /// Its audio file: as opened, and as it is called on every machine.
    pub(super) recording: Option<(Key, u64)>,
    /// Its corpus, with its language, and its speaker there.
    pub(super) speaker: Option<(u64, Key)>,
}

impl Keys {
    /// What decides the split of a row of which nothing else is known: its English sentence, if it
    /// has one, else its own, else its id.
    pub fn head(&self) -> Key {
        let none = Key { kind: KeyKind::Row, hash: 0 };
        self.shared.first().copied().unwrap_or(none)
    }

    fn new<'a>(id: &str, texts: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut english_first: Vec<_> = texts.collect();
        english_first.sort_by_key(|(lang, _)| primary_language(lang) != "en");
        let sentences = english_first.iter().filter_map(|(lang, text)| Sentence::new(lang, text));
        let mut shared: Vec<_> = sentences
            .map(|sentence| Key { kind: KeyKind::Sentence, hash: sentence.hash() })
            .collect();
        if shared.is_empty() {
            shared.push(Key { kind: KeyKind::Row, hash: stable_hash(&[b"id\t", id.as_bytes()]) });
        }
        Self { shared, recording: None, speaker: None }
    }
}

impl From<&SpeechRow> for Keys {
    fn from(row: &SpeechRow) -> Self {
        let own = (row.lang.as_str(), row.text.as_str());
        let others = row.translations.iter().map(|(lang, text)| (lang.as_str(), text.as_str()));
        let mut keys = Self::new(&row.id, std::iter::once(own).chain(others));
        let corpus = corpus(row);
        let path = row.audio_filepath.as_bytes();
        let name = Path::new(&row.audio_filepath).file_name().unwrap_or_default();
        let name =
            stable_hash(&[b"recording\t", corpus.as_bytes(), b"\t", name.as_encoded_bytes()]);
        let recording = Key { kind: KeyKind::Recording, hash: stable_hash(&[b"path\t", path]) };
        keys.recording = (!path.is_empty()).then_some((recording, name));
        if row.lang == NO_LANGUAGE {
            return keys;
        }
        if let Some(prompt) = prompt(row).filter(|_| !corpus.is_empty()) {
            let hash = stable_hash(&[b"prompt\t", corpus.as_bytes(), b"\t", prompt.as_bytes()]);
            keys.shared.push(Key { kind: KeyKind::Prompt, hash });
        }
        if !row.speaker.is_empty() {
            let lang = primary_language(&row.lang);
            let corpus = stable_hash(&[b"corpus\t", corpus.as_bytes(), b"\t", lang.as_bytes()]);
            let parts = [b"speaker\t", &corpus.to_le_bytes()[..], row.speaker.as_bytes()];
            let speaker = Key { kind: KeyKind::Speaker, hash: stable_hash(&parts) };
            keys.speaker = Some((corpus, speaker));
        }
        keys
    }
}

impl From<&TextRow> for Keys {
    fn from(row: &TextRow) -> Self {
        let pair = [(&row.src_lang, &row.src_text), (&row.tgt_lang, &row.tgt_text)];
        Self::new(&row.id, pair.into_iter().map(|(lang, text)| (lang.as_str(), text.as_str())))
    }
}

/// The corpus of a row, the same for all its languages: its source up to ` : `, without the row's
/// language and without numbers. `sounds-en-g722 1.6` and `sounds-fr-g722 1.6` are one.
fn corpus(row: &SpeechRow) -> String {
    let source = row.source.split(" : ").next().unwrap_or_default().to_lowercase();
    let lang = primary_language(&row.lang).to_ascii_lowercase();
    let words = source.split(|c: char| !c.is_alphanumeric());
    let kept = words.filter(|word| {
        !word.is_empty() && *word != lang && !word.chars().all(|c| c.is_ascii_digit())
    });
    kept.collect::<Vec<_>>().join(" ")
}

/// The name of a clip's prompt: its file's name, unless that is a number.
fn prompt(row: &SpeechRow) -> Option<String> {
    let name = Path::new(&row.audio_filepath).file_stem()?.to_string_lossy().to_lowercase();
    let mut digits = 0;
    let numbered = name.chars().any(|c| {
        digits = if c.is_ascii_digit() { digits + 1 } else { 0 };
        digits >= NUMBER_DIGITS
    });
    (name.chars().any(char::is_alphabetic) && !numbered).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(lang: &str, path: &str, source: &str) -> SpeechRow {
        let (audio_filepath, source) = (path.to_owned(), source.to_owned());
        SpeechRow { lang: lang.into(), audio_filepath, source, ..SpeechRow::default() }
    }

    #[test]
    fn a_prompt_is_one_in_all_languages_of_its_corpus() {
        let prompts = |row: SpeechRow| {
            let keys = Keys::from(&row).shared;
            keys.into_iter().filter(|key| key.kind == KeyKind::Prompt).collect::<Vec<_>>()
        };
        let english = prompts(row("en", "en/hello-world.wav", "Package sounds-en-g722 1.6 : x"));
        assert_eq!(english.len(), 1);
        let french = row("fr", "other/fr/Hello-World.mp3", "Package sounds-fr-g722 1.7 : y");
        assert_eq!(english, prompts(french));
        assert_ne!(english, prompts(row("fr", "fr/hello-world.mp3", "another corpus")));
        assert!(prompts(row("fr", "fr/000012.mp3", "corpus")).is_empty(), "a number");
        assert!(prompts(row("fr", "fr/utt_2024_7.mp3", "corpus")).is_empty(), "a number");
        assert!(prompts(row("fr", "fr/hello.mp3", "")).is_empty(), "of an unknown corpus");
        assert!(prompts(row("none", "noise/rain.mp3", "corpus")).is_empty(), "no prompt at all");
    }
}
