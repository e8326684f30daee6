//! Our own tables of clips: recordings, synthetic speech, noise.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::table::{Fields, TsvTable};
use super::text::licence_of;
use super::{Entry, Layout, Rows, Table, folder_of, join, located};
use crate::CorpusError;
use crate::manifest::{NO_LANGUAGE, Row, SpeechRow};

/// Opens a table of clips.
pub(super) fn rows(table: &Table) -> Result<Rows, CorpusError> {
    let (needed, parse): (&[&str], Parse) = match table.layout {
        Layout::Synthetic => (&["path", "lang", "text", "translations", "seconds"], synthetic),
        Layout::Noise => (&["path", "kind", "seconds"], noise),
        _ => (&["path", "lang", "transcript", "seconds"], recording),
    };
    let tsv = TsvTable::open(&table.path, needed)?;
    let folder = folder_of(&table.path).to_path_buf();
    let rows = tsv.map(move |fields| {
        let path = fields.required("path")?;
        let mut row = parse(fields)?;
        row.audio_filepath = join(&base_of(&folder, path), path);
        row.check()?;
        Ok(row)
    });
    Ok(located(rows, false, Entry::Speech))
}

type Parse = fn(&Fields<'_>) -> Result<SpeechRow, String>;

fn recording(fields: &Fields<'_>) -> Result<SpeechRow, String> {
    let lang = fields.required("lang")?;
    let english = fields.get("translation_en");
    let translations = (!english.is_empty()).then(|| ("en".to_owned(), english.to_owned()));
    Ok(SpeechRow {
        id: format!("{lang}/{}", stem(fields.get("path"))),
        duration: fields.seconds("seconds")?,
        lang: lang.to_owned(),
        text: fields.get("transcript").to_owned(),
        translations: translations.into_iter().collect(),
        speaker: fields.get("speaker").to_owned(),
        source: fields.get("source").to_owned(),
        licence: fields.get("licence").to_owned(),
        ..SpeechRow::default()
    })
}

fn synthetic(fields: &Fields<'_>) -> Result<SpeechRow, String> {
    let lang = fields.required("lang")?;
    let translations: BTreeMap<String, String> =
        serde_json::from_str(fields.get("translations"))
            .map_err(|error| format!("translations: {error}"))?;
    Ok(SpeechRow {
        id: format!("synthetic/{lang}/{}", stem(fields.get("path"))),
        duration: fields.seconds("seconds")?,
        lang: lang.to_owned(),
        text: fields.get("text").to_owned(),
        translations,
        voice: fields.get("voice").to_owned(),
        source: format!("synthetic: {}", fields.get("source")),
        licence: licence_of(fields.get("source")).to_owned(),
        ..SpeechRow::default()
    })
}

fn noise(fields: &Fields<'_>) -> Result<SpeechRow, String> {
    Ok(SpeechRow {
        id: format!("noise/{}", stem(fields.get("path"))),
        duration: fields.seconds("seconds")?,
        lang: NO_LANGUAGE.to_owned(),
        source: fields.get("source").to_owned(),
        licence: fields.get("licence").to_owned(),
        ..SpeechRow::default()
    })
}

fn stem(path: &str) -> String {
    Path::new(path).file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The folder from which a row's path counts. Tables say `000001.mp3` (from their own folder) or
/// `synthetic/de/000001.mp3` (from a folder above): where the table's folder ends as the path
/// begins, it is the folder before that.
fn base_of(folder: &Path, path: &str) -> PathBuf {
    let Some(inner) = Path::new(path).parent() else { return folder.to_path_buf() };
    if inner.as_os_str().is_empty() || inner.components().any(|c| c == Component::ParentDir) {
        return folder.to_path_buf();
    }
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    if !absolute.ends_with(inner) {
        return folder.to_path_buf();
    }
    let above = inner.components().count();
    absolute.ancestors().nth(above).unwrap_or(folder).to_path_buf()
}
