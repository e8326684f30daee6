//! How results and bad rows are shown.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use partita_corpus::BadRow;
use partita_model::files::whole;

/// Bad rows shown on a page unless all are asked for.
pub const SHOWN: usize = 20;

/// Bad rows, one a line: the first [`SHOWN`] and how many more there are, or all.
pub fn bad_rows(bad: &[BadRow], all: bool) -> String {
    let shown = if all { bad.len() } else { bad.len().min(SHOWN) };
    let mut text = String::new();
    for row in bad.iter().take(shown) {
        text.push_str(&format!("{row}\n"));
    }
    if shown < bad.len() {
        text.push_str(&format!("… and {} more; --all lists them\n", bad.len() - shown));
    }
    text
}

/// A plain table; columns from `numbers` on are aligned to the right.
pub fn table(header: &[&str], rows: Vec<Vec<String>>, numbers: std::ops::Range<usize>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    for column in numbers {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let text = table.to_string();
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Writes to standard output; a reader that went away (`| head`) is no error.
///
/// # Errors
/// When standard output cannot be written for another reason.
pub fn print(text: &str) -> io::Result<()> {
    ignore_broken_pipe(io::stdout().lock().write_all(text.as_bytes()))
}

/// Writes to standard error, as [`print`].
///
/// # Errors
/// As [`print`].
pub fn print_error(text: &str) -> io::Result<()> {
    ignore_broken_pipe(io::stderr().lock().write_all(text.as_bytes()))
}

fn ignore_broken_pipe(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes a file, whole or not at all.
///
/// # Errors
/// When it cannot be written; names it.
pub fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    whole::write(path, bytes).with_context(|| format!("{}: cannot write", path.display()))
}
