//! Mozilla Common Voice: `validated.tsv`, `train.tsv`, `dev.tsv`, `test.tsv` beside `clips/`.
//!
//! Columns: client_id, path, sentence, locale and more, in an order that changed over the
//! releases. Lengths are in `clip_durations.tsv` (clip, milliseconds) since release 14.

use std::collections::HashMap;
use std::path::Path;

use super::table::{Fields, TsvTable};
use super::{Entry, Rows, Table, folder_of, join, located};
use crate::CorpusError;
use crate::manifest::{Row, SpeechRow, Split};

/// Opens a table; its name says the split, but for `validated.tsv`, which states none.
pub(super) fn rows(table: &Table) -> Result<Rows, CorpusError> {
    clips(&table.path, &table.lang)
}

/// The clips of a table. `lang`: where the table does not say it.
pub(super) fn clips(path: &Path, lang: &str) -> Result<Rows, CorpusError> {
    let tsv = TsvTable::open(path, &["client_id", "path", "sentence"])?;
    let folder = folder_of(path).to_path_buf();
    let durations = durations(&folder.join("clip_durations.tsv"))?;
    let split = match path.file_name().and_then(|name| name.to_str()) {
        Some("train.tsv") => Some(Split::Train),
        Some("dev.tsv") => Some(Split::Dev),
        Some("test.tsv") => Some(Split::Test),
        _ => None,
    };
    let lang = lang.to_owned();
    let rows = tsv.map(move |fields| {
        let path = fields.required("path")?;
        let mut row = clip(fields, &lang)?;
        // Early releases leave the extension out.
        let extension = if Path::new(path).extension().is_none() { ".mp3" } else { "" };
        row.audio_filepath = join(&folder, &format!("clips/{path}{extension}"));
        row.duration = durations.get(path).copied();
        row.split = split.unwrap_or_default();
        row.check()?;
        Ok(row)
    });
    Ok(located(rows, split.is_some(), Entry::Speech))
}

fn clip(fields: &Fields<'_>, lang: &str) -> Result<SpeechRow, String> {
    let locale = match fields.get("locale") {
        "" => lang,
        locale => locale,
    };
    Ok(SpeechRow {
        id: fields.get("path").trim_end_matches(".mp3").to_owned(),
        lang: locale.to_owned(),
        text: fields.required("sentence")?.to_owned(),
        speaker: fields.get("client_id").to_owned(),
        source: "Common Voice".to_owned(),
        licence: "CC0-1.0".to_owned(),
        ..SpeechRow::default()
    })
}

/// Seconds by clip; empty without the file. Lines that make no sense leave their clip without a
/// declared length.
fn durations(path: &Path) -> Result<HashMap<String, f64>, CorpusError> {
    if !path.is_file() {
        return Ok(HashMap::new());
    }
    let tsv = TsvTable::open(path, &["clip"])?;
    let rows = tsv.map(|fields| {
        let milliseconds = fields.seconds("duration[ms]")?;
        Ok((fields.required("clip")?.to_owned(), milliseconds))
    });
    let rows = rows.filter_map(|row| row.ok());
    Ok(rows.filter_map(|(_, (clip, length))| Some((clip, length? / 1000.0))).collect())
}
