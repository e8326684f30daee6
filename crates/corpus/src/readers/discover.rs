//! Which tables a folder holds.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::table::header;
use super::{Layout, Table, covost, fleurs, wenet_speech};
use crate::CorpusError;
use crate::lines::Lines;

/// Extensions of clips.
const CLIPS: [&str; 5] = ["mp3", "flac", "wav", "opus", "ogg"];

/// How deep folders are searched; links that lead in a circle end there.
const MAX_DEPTH: usize = 8;

/// The tables of a source, and the files that look like tables but have no known layout.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Discovered {
    /// Tables to read, in order of their paths.
    pub tables: Vec<Table>,
    /// Other tables: file and reason.
    pub skipped: Vec<(PathBuf, String)>,
}

/// Finds the tables of a file or folder. `lang` is the language of rows that state none.
///
/// Files: any layout; a `*.txt` of no other name is a list of sentences. Folders are searched for
/// `*.tsv` and `*.jsonl` (also with `.gz`), `*.trans.txt`, `transcripts.txt`, `WenetSpeech.json`, and
/// folders named `sentences` for `*.txt`. Of a Common Voice folder `train.tsv`, `dev.tsv` and
/// `test.tsv` are read, or `validated.tsv` where there are none of them; with tables of CoVoST
/// beside them, the first of these for each language is read, which joins all others.
///
/// # Errors
/// When the source cannot be read, is a file of no known layout, or a folder without any table.
pub fn discover(source: &Path, lang: &str) -> Result<Discovered, CorpusError> {
    let mut found = Discovered::default();
    let metadata = fs::metadata(source).map_err(|e| CorpusError::unreadable(source, e))?;
    if metadata.is_dir() {
        walk(source, lang, 0, &mut found)?;
        if found.tables.is_empty() {
            let reason = match found.skipped.first() {
                Some((path, reason)) => format!("no known table ({}: {reason})", path.display()),
                None => "no *.tsv, *.jsonl or sentences/*.txt in this folder".to_owned(),
            };
            return Err(CorpusError::UnknownLayout { path: source.to_path_buf(), reason });
        }
    } else {
        let sentences = || has_suffix(source, "txt").then_some(Layout::Sentences);
        let layout = match layout_by_name(source).or_else(sentences) {
            Some(layout) => Ok(layout),
            None => layout_of(source)?,
        };
        let layout = layout
            .map_err(|reason| CorpusError::UnknownLayout { path: source.to_path_buf(), reason })?;
        found.tables.push(Table { path: source.to_path_buf(), layout, lang: lang.to_owned() });
    }
    Ok(found)
}

fn walk(
    folder: &Path,
    lang: &str,
    depth: usize,
    found: &mut Discovered,
) -> Result<(), CorpusError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
    };
    let mut paths = match list() {
        Ok(paths) => paths,
        Err(error) if depth == 0 => return Err(CorpusError::unreadable(folder, error)),
        Err(error) => {
            found.skipped.push((folder.to_path_buf(), format!("cannot read: {error}")));
            return Ok(());
        }
    };
    paths.sort();
    let in_sentences = folder.file_name().is_some_and(|name| name == "sentences");
    let first = found.tables.len();
    for path in paths {
        let table =
            has_suffix(&path, "tsv") || has_suffix(&path, "jsonl") || is_wenet_speech(&path);
        let named = layout_by_name(&path);
        let sentences = in_sentences && has_suffix(&path, "txt");
        if !table && named.is_none() && !sentences {
            // Only now is it asked what the path is: folders of clips have very many files.
            let clip = path.extension().is_some_and(|ext| CLIPS.iter().any(|clip| ext == *clip));
            if !clip && path.is_dir() && depth < MAX_DEPTH {
                walk(&path, lang, depth + 1, found)?;
            }
            continue;
        }
        let sentences = sentences.then_some(Layout::Sentences);
        let layout = match named.or(sentences) {
            Some(layout) => Ok(Ok(layout)),
            None => layout_of(&path),
        };
        match layout {
            Ok(Ok(layout)) => found.tables.push(Table { path, layout, lang: lang.to_owned() }),
            Ok(Err(reason)) => found.skipped.push((path, reason)),
            Err(error) => found.skipped.push((path, error.to_string())),
        }
    }
    choose_common_voice(found, first, folder);
    Ok(())
}

/// Drops the tables of a Common Voice folder that repeat, or refuse, what others hold.
fn choose_common_voice(found: &mut Discovered, first: usize, folder: &Path) {
    let mut tables = found.tables.split_off(first);
    let here = |table: &Table| table.path.parent() == Some(folder);
    let languages = |table: &Table| {
        let joins = table.layout == Layout::CoVost && here(table);
        covost::languages(&table.path).filter(|_| joins).map(|(from, _)| from)
    };
    if tables.iter().any(|table| languages(table).is_some()) {
        let mut joined = Vec::new();
        tables.retain(|table| {
            let from = languages(table);
            let repeats = from.as_ref().is_some_and(|from| joined.contains(from));
            joined.extend(from);
            let keep = !(repeats || table.layout == Layout::CommonVoice && here(table));
            if !keep {
                found.skipped.push((table.path.clone(), "joined to covost_v2.*.tsv".to_owned()));
            }
            keep
        });
    }
    let is = |table: &Table, names: &[&str]| {
        table.layout == Layout::CommonVoice
            && table.path.parent() == Some(folder)
            && names.iter().any(|name| table.path.file_name().is_some_and(|file| file == *name))
    };
    let stated = ["train.tsv", "dev.tsv", "test.tsv"];
    let wanted: &[&str] =
        if tables.iter().any(|t| is(t, &stated)) { &stated } else { &["validated.tsv"] };
    let any = tables.iter().any(|t| is(t, wanted));
    for table in tables {
        let here = table.layout == Layout::CommonVoice && table.path.parent() == Some(folder);
        if here && any && !is(&table, wanted) {
            let reason = format!("{} is read instead", wanted.join(", "));
            found.skipped.push((table.path, reason));
        } else {
            found.tables.push(table);
        }
    }
}

/// Whether a file's name ends in `.suffix` or `.suffix.gz`.
fn has_suffix(path: &Path, suffix: &str) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'))
}

/// The layout of a file that is known by its name.
fn layout_by_name(path: &Path) -> Option<Layout> {
    if has_suffix(path, "trans.txt") {
        Some(Layout::LibriSpeech)
    } else if path.file_name().is_some_and(|name| name == "transcripts.txt") {
        Some(Layout::Mls)
    } else {
        None
    }
}

/// Whether a file is called as WenetSpeech's is.
fn is_wenet_speech(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.eq_ignore_ascii_case("wenetspeech.json"))
}

/// The layout of a table by its first line; the inner error says why none fits.
fn layout_of(path: &Path) -> Result<Result<Layout, String>, CorpusError> {
    if has_suffix(path, "json") && wenet_speech::sniff(path)? {
        return Ok(Ok(Layout::WenetSpeech));
    }
    let mut lines = Lines::open(path)?;
    if has_suffix(path, "jsonl") || has_suffix(path, "json") {
        return Ok(layout_of_manifest(&mut lines));
    }
    let columns = match header(&mut lines) {
        Ok(columns) => columns,
        Err(CorpusError::UnknownLayout { reason, .. }) => return Ok(Err(reason)),
        Err(error) => return Err(error),
    };
    let has = |names: &[&str]| names.iter().all(|name| columns.iter().any(|c| c == name));
    Ok(if has(&["path", "transcript"]) {
        Ok(Layout::Recordings)
    } else if has(&["path", "text", "translations"]) {
        Ok(Layout::Synthetic)
    } else if has(&["path", "kind"]) {
        Ok(Layout::Noise)
    } else if has(&["client_id", "path", "sentence"]) {
        Ok(Layout::CommonVoice)
    } else if has(&["path", "translation", "split"]) {
        Ok(Layout::CoVost)
    } else if fleurs::is_row(&columns) {
        Ok(Layout::Fleurs)
    } else if has(&["src_text", "tgt_text"]) {
        Ok(Layout::Pairs)
    } else if columns.is_empty() {
        Err("empty file".to_owned())
    } else {
        Err("the first line is not the header of a known table".to_owned())
    })
}

/// A manifest's kind by the first line that is a JSON object; bad lines before it are reported
/// when the manifest is read.
fn layout_of_manifest(lines: &mut Lines) -> Result<Layout, String> {
    let mut any = false;
    for (_, text) in lines.by_ref().flatten().take(1000) {
        any = true;
        if let Ok(Value::Object(row)) = serde_json::from_str(&text) {
            if row.contains_key("audio_filepath") {
                let ours = row.contains_key("split");
                return Ok(if ours { Layout::Speech } else { Layout::Nemo });
            }
            if row.contains_key("source") && row.contains_key("target") {
                return Ok(Layout::Slam);
            }
            if row.contains_key("src_text") {
                return Ok(Layout::Text);
            }
        }
    }
    Err(if any {
        "no row with audio_filepath, src_text or source and target: not a manifest".to_owned()
    } else {
        "empty file".to_owned()
    })
}
