//! JSON lines of other toolkits: NeMo's manifests, and those of SLAM-LLM.

use serde_json::{Map, Value};

use super::{Entry, Rows, Table, folder_of, join, located};
use crate::CorpusError;
use crate::lines::Lines;
use crate::manifest::{Row, SpeechRow, Split};

/// Opens a manifest of NeMo: `audio_filepath`, `duration`, `offset`, `text`; with several languages
/// also `lang`, or `source_lang` and `target_lang`. Where the latter two differ, `text` (or
/// `answer`) is a translation, and there is no transcript. The file's name states the split if it
/// has `train`, `dev`, `valid` or `test` in it.
pub(super) fn nemo(table: &Table) -> Result<Rows, CorpusError> {
    let name = table.path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let names =
        [("train", Split::Train), ("dev", Split::Dev), ("val", Split::Dev), ("test", Split::Test)];
    let split = names.into_iter().find(|(part, _)| name.contains(part)).map(|(_, split)| split);
    let lang = table.lang.clone();
    let stated = split.is_some();
    rows(table, stated, move |mut fields| {
        let text_of = |fields: &Map<String, Value>, name: &str| {
            fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let (source, target) = (text_of(&fields, "source_lang"), text_of(&fields, "target_lang"));
        let from = [text_of(&fields, "lang"), source, target.clone(), lang.clone()];
        let from = from.into_iter().find(|lang| !lang.is_empty()).unwrap_or_default();
        if !fields.contains_key("text")
            && let Some(answer) = fields.remove("answer")
        {
            fields.insert("text".to_owned(), answer);
        }
        if let Some(Value::Number(number)) = fields.get("speaker") {
            let number = number.to_string();
            fields.insert("speaker".to_owned(), number.into());
        }
        let mut row: SpeechRow =
            serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())?;
        if !target.is_empty() && target != from {
            row.translations.insert(target, std::mem::take(&mut row.text));
        }
        row.lang = from;
        row.split = split.unwrap_or_default();
        Ok(row)
    })
}

/// Opens a list of SLAM-LLM: `key`, `source` (the audio file), `target` (the transcript).
pub(super) fn slam(table: &Table) -> Result<Rows, CorpusError> {
    let lang = table.lang.clone();
    rows(table, false, move |fields| {
        let text = |name: &str| match fields.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(format!("{name}: not a text")),
            None => Err(format!("no {name}")),
        };
        let key = text("key")?;
        Ok(SpeechRow {
            id: key.strip_suffix("_ASR").unwrap_or(&key).to_owned(),
            audio_filepath: text("source")?,
            lang: lang.clone(),
            text: text("target")?,
            ..SpeechRow::default()
        })
    })
}

/// Reads a JSON object a line; paths count from the file's folder.
fn rows(
    table: &Table,
    split_stated: bool,
    mut parse: impl FnMut(Map<String, Value>) -> Result<SpeechRow, String> + Send + 'static,
) -> Result<Rows, CorpusError> {
    let mut lines = Lines::open(&table.path)?;
    let folder = folder_of(&table.path).to_path_buf();
    let mut row = move |text: &str| -> Result<SpeechRow, String> {
        let fields: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut row = parse(fields)?;
        row.check()?;
        row.audio_filepath = join(&folder, &row.audio_filepath);
        Ok(row)
    };
    let rows = std::iter::from_fn(move || {
        Some(lines.next()?.and_then(|(line, text)| match row(&text) {
            Ok(row) => Ok((line, row)),
            Err(reason) => Err(lines.bad(line, reason)),
        }))
    });
    Ok(located(rows, split_stated, Entry::Speech))
}
