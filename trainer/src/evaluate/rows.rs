//! What a model wrote, clip by clip, and the files of it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::Task;
use crate::output;

/// Longest file of rows that is read.
const LONGEST: u64 = 4 << 30;

/// What a model wrote for a clip and task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The clip's id.
    pub id: String,
    /// Language spoken; `none` where nothing is said.
    pub lang: String,
    /// What was asked.
    pub task: Task,
    /// Language translated into; absent for transcripts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The manifest's text: transcript, or translation into `to`; empty where nothing is said.
    pub reference: String,
    /// What the model wrote for it.
    pub hypothesis: String,
    /// The transcripts besides, for [`Task::St`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript: Option<Transcript>,
    /// The language that the model heard, or `none`.
    pub heard: String,
    /// Length of the audio.
    pub seconds: f64,
    /// Time that it took: features, encoder and text. The first two are shared by a clip's tasks
    /// and counted for each.
    pub decode_seconds: f64,
    /// Whether the text was stopped by the guard against loops or by the bound of its length.
    pub looped: bool,
}

/// A transcript beside the translation that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    /// The manifest's; empty where it has none.
    pub reference: String,
    /// The model's.
    pub hypothesis: String,
}

/// Reads the rows of an evaluation (`eval/NAME.jsonl` in a run's folder).
///
/// # Errors
/// When the file cannot be read, or a line is no row: its number.
pub fn read_rows(path: &Path) -> Result<Vec<Row>> {
    let named = || path.display().to_string();
    let bytes = fs::metadata(path).with_context(named)?.len();
    if bytes > LONGEST {
        bail!("{}: {bytes} bytes are too many for the rows of an evaluation", path.display());
    }
    let text = fs::read_to_string(path).with_context(named)?;
    let row = |(at, line)| {
        serde_json::from_str(line).with_context(|| format!("{}:{}", path.display(), at + 1))
    };
    text.lines().enumerate().map(row).collect()
}

/// Writes rows, whole or not at all.
pub(super) fn write_rows(path: &Path, rows: &[Row]) -> Result<()> {
    let mut text = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut text, row)?;
        text.push(b'\n');
    }
    output::write_whole(path, &text)
}
