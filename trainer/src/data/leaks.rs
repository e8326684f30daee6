//! The check that no run may skip: nothing of one split is in another.

use std::path::PathBuf;

use anyhow::Result;
use partita_corpus::split::LeakCheck;

use crate::sources::{Kind, Sources, assign_split, keys_of, split_of};

/// Reads all rows of manifests (or of corpora, with the splits that `prepare` would give them) and
/// ends well if no sentence, prompt, recording or speaker is in two splits.
///
/// # Errors
/// When a source cannot be read; otherwise a [`partita_corpus::split::Leaks`], with all leaks.
pub fn check(sources: &[PathBuf], kind: Kind, lang: &str) -> Result<()> {
    let sources = Sources::find(sources, kind, lang)?;
    let plan = sources.split_plan()?;
    let mut leaks = LeakCheck::default();
    sources.for_each(|table, row| {
        if let Ok(mut row) = row {
            assign_split(&mut row, &plan);
            leaks.add(&keys_of(&row.entry), split_of(&row.entry), (table, row.line));
        }
        Ok(())
    })?;
    let files: Vec<PathBuf> = sources.tables.iter().map(|table| table.path.clone()).collect();
    Ok(leaks.finish(&files)?)
}
