//! CoVoST 2 (Wang et al. 2020): translations of Common Voice, joined to it by clip.
//!
//! `covost_v2.<from>_<to>.tsv` (path, translation, split) lies beside the tables of Common Voice. All
//! such tables of a language become one: each clip of `validated.tsv` once, with the translations
//! that there are and the split that CoVoST states. Clips without a translation state no split.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::{Entry, Located, Rows, Table, common_voice, folder_of};
use crate::manifest::{Split, check_language};
use crate::{BadRow, CorpusError};

use super::table::TsvTable;

/// What CoVoST says of a clip.
struct Translated {
    split: Split,
    translations: BTreeMap<String, String>,
    /// Where it says so first.
    place: (PathBuf, u64),
}

/// The languages of a table, by its name.
pub(super) fn languages(path: &Path) -> Option<(String, String)> {
    let name = path.file_name()?.to_str()?;
    let pair = name.strip_prefix("covost_v2.")?.trim_end_matches(".gz").strip_suffix(".tsv")?;
    let (from, to) = pair.split_once('_')?;
    let fits = check_language("", from).is_ok() && check_language("", to).is_ok();
    fits.then(|| (from.to_owned(), to.to_owned()))
}

/// Opens all tables of the language of this one.
pub(super) fn rows(table: &Table) -> Result<Rows, CorpusError> {
    let unknown = |reason: &str| CorpusError::UnknownLayout {
        path: table.path.clone(),
        reason: reason.to_owned(),
    };
    let (from, _) =
        languages(&table.path).ok_or_else(|| unknown("not named covost_v2.<from>_<to>.tsv"))?;
    let folder = folder_of(&table.path);
    let names: &[&str] = if folder.join("validated.tsv").is_file() {
        &["validated.tsv"]
    } else {
        &["train.tsv", "dev.tsv", "test.tsv"]
    };
    let tables: Vec<PathBuf> =
        names.iter().map(|name| folder.join(name)).filter(|path| path.is_file()).collect();
    if tables.is_empty() {
        return Err(unknown("no table of Common Voice (validated.tsv) beside it"));
    }
    let (mut known, mut bad) = (HashMap::new(), Vec::new());
    let list = std::fs::read_dir(folder).map_err(|e| CorpusError::unreadable(folder, e))?;
    let mut paths: Vec<PathBuf> = list.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if let Some((_, to)) = languages(&path).filter(|(own, _)| *own == from) {
            read(&path, &to, &mut known, &mut bad)?;
        }
    }
    let mut clips: Rows = Box::new(std::iter::empty());
    for path in tables {
        clips = Box::new(clips.chain(common_voice::clips(&path, &from)?));
    }
    let mut bad = bad.into_iter();
    // When the clips are at their end, what is still known has no clip.
    Ok(Box::new(std::iter::from_fn(move || {
        if let Some(bad) = bad.next() {
            return Some(Err(bad));
        }
        if let Some(row) = clips.next() {
            return Some(row.map(|row| join(row, &mut known)));
        }
        let mut rest: Vec<_> = known.drain().collect();
        rest.sort_by(|a, b| a.1.place.cmp(&b.1.place));
        let orphan = |(clip, Translated { place, .. })| BadRow {
            file: place.0,
            line: place.1,
            reason: format!("{clip}: no such clip in Common Voice's table"),
        };
        bad = rest.into_iter().map(orphan).collect::<Vec<_>>().into_iter();
        bad.next().map(Err)
    })))
}

/// Adds what is known of a clip.
fn join(row: Located, known: &mut HashMap<String, Translated>) -> Located {
    let Located { line, entry: Entry::Speech(mut clip), .. } = row else { return row };
    let name = Path::new(&clip.audio_filepath).file_name().unwrap_or_default().to_string_lossy();
    let translated = known.remove(name.as_ref());
    let split_stated = translated.is_some();
    clip.split = Split::Train;
    if let Some(Translated { split, translations, .. }) = translated {
        clip.source = "CoVoST 2, Common Voice".to_owned();
        (clip.split, clip.translations) = (split, translations);
    }
    Located { line, entry: Entry::Speech(clip), split_stated }
}

fn read(
    path: &Path,
    to: &str,
    known: &mut HashMap<String, Translated>,
    bad: &mut Vec<BadRow>,
) -> Result<(), CorpusError> {
    let tsv = TsvTable::open(path, &["path", "translation", "split"])?;
    let rows = tsv.map(|fields| {
        let split = match fields.get("split") {
            // The second are clips of training that Common Voice itself left out of its split.
            "train" | "train_covost" => Split::Train,
            "dev" => Split::Dev,
            "test" => Split::Test,
            other => return Err(format!("split {other:?}: not train, dev or test")),
        };
        let clip = fields.required("path")?.to_owned();
        Ok((clip, split, fields.required("translation")?.to_owned()))
    });
    for row in rows {
        match row {
            Ok((line, (clip, split, translation))) => {
                let (translations, place) = (BTreeMap::new(), (path.to_path_buf(), line));
                let clip =
                    if Path::new(&clip).extension().is_none() { clip + ".mp3" } else { clip };
                let new = Translated { split, translations, place };
                let entry = known.entry(clip).or_insert(new);
                // Where two tables disagree, the clip is held back.
                entry.split = entry.split.max(split);
                entry.translations.insert(to.to_owned(), translation);
            }
            Err(row) => bad.push(row),
        }
    }
    Ok(())
}
