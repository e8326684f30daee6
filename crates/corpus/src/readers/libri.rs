//! LibriSpeech (Panayotov et al. 2015) and Multilingual LibriSpeech (Pratap et al. 2020).
//!
//! - LibriSpeech: `train-clean-100/19/198/19-198.trans.txt`, a line `19-198-0000 TEXT` for each
//!   `19-198-0000.flac` beside it. The text is in capitals; here it is a sentence in small letters
//!   with a capital at its beginning and for `I`.
//! - MLS: `mls_german/train/transcripts.txt`, a line `4800_10003_000000<tab>text` for each
//!   `audio/4800/10003/4800_10003_000000.flac` (`.opus` in `mls_german_opus`).
//!
//! Both state the split by the name of a folder, and the speaker first in a clip's name.

use std::path::Path;

use super::{Entry, Rows, Table, folder_of, join, located};
use crate::CorpusError;
use crate::lines::Lines;
use crate::manifest::{Row, SpeechRow, Split};

/// Opens a `*.trans.txt`.
pub(super) fn librispeech(table: &Table) -> Result<Rows, CorpusError> {
    let folder = folder_of(&table.path).to_path_buf();
    let lang = if table.lang.is_empty() { "en".to_owned() } else { table.lang.clone() };
    rows(table, move |text| {
        let (name, text) = text.split_once(' ').ok_or("no text behind the clip's name")?;
        Ok(SpeechRow {
            id: name.to_owned(),
            audio_filepath: join(&folder, &format!("{name}.flac")),
            lang: lang.clone(),
            text: sentence(text),
            speaker: name.split('-').next().unwrap_or_default().to_owned(),
            source: "LibriSpeech".to_owned(),
            ..SpeechRow::default()
        })
    })
}

/// Opens a `transcripts.txt`.
pub(super) fn mls(table: &Table) -> Result<Rows, CorpusError> {
    let folder = folder_of(&table.path).to_path_buf();
    let absolute = std::path::absolute(&folder).unwrap_or_else(|_| folder.clone());
    let corpus = absolute.parent().and_then(Path::file_name).unwrap_or_default();
    let corpus = corpus.to_string_lossy().into_owned();
    let lang = language_of(&corpus).map_or_else(|| table.lang.clone(), str::to_owned);
    let extension = if corpus.ends_with("_opus") { "opus" } else { "flac" };
    rows(table, move |text| {
        let (name, text) = text.split_once('\t').ok_or("no text behind the clip's name")?;
        let mut parts = name.split('_');
        let (Some(speaker), Some(book), Some(_)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(format!("{name:?}: not speaker_book_number"));
        };
        Ok(SpeechRow {
            id: format!("mls/{name}"),
            audio_filepath: join(&folder, &format!("audio/{speaker}/{book}/{name}.{extension}")),
            lang: lang.clone(),
            text: text.trim().to_owned(),
            speaker: speaker.to_owned(),
            source: "Multilingual LibriSpeech".to_owned(),
            ..SpeechRow::default()
        })
    })
}

fn language_of(corpus: &str) -> Option<&'static str> {
    let name = corpus.strip_prefix("mls_")?;
    Some(match name.strip_suffix("_opus").unwrap_or(name) {
        "dutch" => "nl",
        "english" => "en",
        "french" => "fr",
        "german" => "de",
        "italian" => "it",
        "polish" => "pl",
        "portuguese" => "pt",
        "spanish" => "es",
        _ => return None,
    })
}

fn rows(
    table: &Table,
    parse: impl Fn(&str) -> Result<SpeechRow, String> + Send + 'static,
) -> Result<Rows, CorpusError> {
    let mut lines = Lines::open(&table.path)?;
    let split = split_of(&table.path);
    let row = move |text: &str| {
        let mut row = parse(text)?;
        row.licence = "CC-BY-4.0".to_owned();
        row.split = split.unwrap_or_default();
        if row.text.trim().is_empty() {
            return Err("empty transcript".to_owned());
        }
        row.check()?;
        Ok(row)
    };
    let rows = std::iter::from_fn(move || {
        Some(lines.next()?.and_then(|(line, text)| match row(&text) {
            Ok(row) => Ok((line, row)),
            Err(reason) => Err(lines.bad(line, reason)),
        }))
    });
    Ok(located(rows, split.is_some(), Entry::Speech))
}

/// The split that a folder on the way to the file states; the innermost counts.
fn split_of(path: &Path) -> Option<Split> {
    let path = std::path::absolute(path).ok()?;
    path.ancestors().skip(1).find_map(|folder| {
        let name = folder.file_name()?.to_str()?;
        match name.split('-').next()? {
            "train" => Some(Split::Train),
            "dev" => Some(Split::Dev),
            "test" => Some(Split::Test),
            _ => None,
        }
    })
}

/// Capitals as a sentence.
fn sentence(text: &str) -> String {
    let lower = text.trim().to_lowercase();
    let mut words: Vec<String> = lower.split_whitespace().map(str::to_owned).collect();
    for (index, word) in words.iter_mut().enumerate() {
        let first = word.chars().next();
        if index == 0 || word == "i" || word.starts_with("i'") {
            let rest = word.get(first.map_or(0, char::len_utf8)..).unwrap_or_default();
            *word = first.into_iter().flat_map(char::to_uppercase).chain(rest.chars()).collect();
        }
    }
    words.join(" ")
}
