//! FLEURS (Conneau et al. 2022): `de_de/train.tsv`, `dev.tsv`, `test.tsv`, without header lines.
//!
//! Columns: id, file name, text as written, text in small letters without punctuation, its letters,
//! samples at 16 kHz, gender. Audio is in `audio/<split>/` or `<split>/` beside the table. The same
//! id is the same sentence in every language, so the folders beside give translations.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::table::{Fields, TsvTable};
use super::{Entry, Rows, Table, folder_of, join, located};
use crate::CorpusError;
use crate::manifest::{Row, SpeechRow, Split};

pub(super) const COLUMNS: [&str; 7] =
    ["id", "file_name", "raw_transcription", "transcription", "letters", "num_samples", "gender"];

/// Whether the first line of a table is a row of FLEURS.
pub(super) fn is_row(fields: &[String]) -> bool {
    let number = |text: &String| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match fields {
        [id, file, _, _, _, samples, gender] => {
            number(id)
                && file.ends_with(".wav")
                && number(samples)
                && ["MALE", "FEMALE", "OTHER"].contains(&gender.as_str())
        }
        _ => false,
    }
}

/// Opens a table; its name says the split, its folder the language.
pub(super) fn rows(table: &Table) -> Result<Rows, CorpusError> {
    let tsv = TsvTable::headless(&table.path, &COLUMNS)?;
    let folder = folder_of(&table.path).to_path_buf();
    let name = table.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let split = match name.as_str() {
        "train" => Some(Split::Train),
        "dev" => Some(Split::Dev),
        "test" => Some(Split::Test),
        _ => None,
    };
    let lang = language_of(&folder).unwrap_or_else(|| table.lang.clone());
    let others = translations(&folder, &name)?;
    let inner = [format!("audio/{name}"), name.clone(), "audio".to_owned()];
    let inner = inner.into_iter().find(|inner| folder.join(inner).is_dir());
    let clips = folder.join(inner.unwrap_or(name));
    let rows = tsv.map(move |fields| {
        let mut row = clip(fields, &lang)?;
        row.audio_filepath = join(&clips, fields.required("file_name")?);
        row.translations = others.get(fields.get("id")).cloned().unwrap_or_default();
        row.split = split.unwrap_or_default();
        row.check()?;
        Ok(row)
    });
    Ok(located(rows, split.is_some(), Entry::Speech))
}

fn clip(fields: &Fields<'_>, lang: &str) -> Result<SpeechRow, String> {
    let samples = fields.required("num_samples")?;
    let samples: u32 =
        samples.parse().map_err(|_| format!("num_samples {samples:?}: no number"))?;
    Ok(SpeechRow {
        id: format!("fleurs/{lang}/{}", fields.required("file_name")?.trim_end_matches(".wav")),
        duration: Some(f64::from(samples) / 16_000.0),
        lang: lang.to_owned(),
        text: fields.required("raw_transcription")?.to_owned(),
        source: "FLEURS".to_owned(),
        licence: "CC-BY-4.0".to_owned(),
        ..SpeechRow::default()
    })
}

/// The language of a folder such as `de_de` or `cmn_hans_cn`, as our manifests call it.
fn language_of(folder: &Path) -> Option<String> {
    let folder = std::path::absolute(folder).ok()?;
    let name = folder.file_name()?.to_str()?;
    let (lang, _) = name.split_once('_')?;
    Some(match lang {
        "cmn" => "zh".to_owned(),
        "nb" => "no".to_owned(),
        "fil" => "tl".to_owned(),
        "iw" => "he".to_owned(),
        lang => lang.to_owned(),
    })
}

/// What the same table of the folders beside says, by id and language.
fn translations(
    folder: &Path,
    name: &str,
) -> Result<HashMap<String, BTreeMap<String, String>>, CorpusError> {
    let mut found: HashMap<String, BTreeMap<String, String>> = HashMap::new();
    let own = language_of(folder);
    let beside = folder.join("..");
    let list = std::fs::read_dir(&beside).map_err(|e| CorpusError::unreadable(&beside, e))?;
    for other in list.flatten() {
        let table = other.path().join(format!("{name}.tsv"));
        let Some(lang) = language_of(Path::new(&other.file_name())) else { continue };
        if Some(&lang) == own.as_ref() || !table.is_file() {
            continue;
        }
        let tsv = TsvTable::headless(&table, &COLUMNS)?;
        let sentences = tsv.map(|fields| {
            let text = fields.required("raw_transcription")?;
            Ok((fields.required("id")?.to_owned(), text.to_owned()))
        });
        // Its bad rows are reported when that table itself is read.
        for (_, (id, text)) in sentences.flatten() {
            found.entry(id).or_default().insert(lang.clone(), text);
        }
    }
    Ok(found)
}
