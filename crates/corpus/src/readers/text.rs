//! Sentence pairs and sentence lists.

use super::table::TsvTable;
use super::{Entry, Rows, Table, located};
use crate::CorpusError;
use crate::lines::Lines;
use crate::manifest::{Row, TextRow};

/// Licences of the sources that our pairs name; empty for others.
pub(super) fn licence_of(source: &str) -> &'static str {
    match source {
        "tatoeba" | "tatoeba-laser" => "CC-BY-2.0-FR",
        "ntrex-128" => "CC-BY-SA-4.0",
        "wesnoth" => "GPL-2.0-or-later",
        "fish-fillets-ng" | "tuxpaint-stamps" => "GPL-2.0",
        "asterisk-core-sounds" => "CC-BY-SA-3.0",
        "covost2-native-ja" => "CC-BY-4.0",
        "multi30k" => "non-commercial research and education",
        _ => "",
    }
}

/// Opens a table of sentence pairs.
pub(super) fn pairs(table: &Table) -> Result<Rows, CorpusError> {
    let tsv = TsvTable::open(&table.path, &["src_lang", "src_text", "tgt_lang", "tgt_text"])?;
    let name = name_of(table);
    let mut number = 0_u64;
    let rows = tsv.map(move |fields| {
        number = number.saturating_add(1);
        let source = fields.get("source");
        let row = TextRow {
            id: format!("{name}/{number}"),
            src_lang: fields.required("src_lang")?.to_owned(),
            tgt_lang: fields.required("tgt_lang")?.to_owned(),
            src_text: fields.required("src_text")?.to_owned(),
            tgt_text: fields.required("tgt_text")?.to_owned(),
            source: source.to_owned(),
            licence: licence_of(source).to_owned(),
            ..TextRow::default()
        };
        row.check()?;
        Ok(row)
    });
    Ok(located(rows, false, Entry::Text))
}

/// Opens a list of sentences. Our lists are Common Voice prompts: CC0.
pub(super) fn sentences(table: &Table) -> Result<Rows, CorpusError> {
    let lines = Lines::open(&table.path)?;
    let name = name_of(table);
    let lang = if table.lang.is_empty() { name.clone() } else { table.lang.clone() };
    let path = table.path.clone();
    let rows = lines.map(move |line| {
        let (line, text) = line?;
        let row = TextRow {
            id: format!("sentences/{name}/{line}"),
            src_lang: lang.clone(),
            src_text: text.trim().to_owned(),
            source: "Common Voice prompts".to_owned(),
            licence: "CC0-1.0".to_owned(),
            ..TextRow::default()
        };
        let bad = |reason| crate::BadRow { file: path.clone(), line, reason };
        row.check().map_err(bad)?;
        Ok((line, row))
    });
    Ok(located(rows, false, Entry::Text))
}

/// The file's name up to `.tsv` or `.txt`: `en-de` of `en-de.tsv.gz`.
fn name_of(table: &Table) -> String {
    let name = table.path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.trim_end_matches(".gz");
    name.trim_end_matches(".tsv").trim_end_matches(".txt").to_owned()
}
