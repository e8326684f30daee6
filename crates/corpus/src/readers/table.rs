//! Tab-separated tables with a header line and no quoting.

use std::path::Path;

use crate::lines::Lines;
use crate::{BadRow, CorpusError};

/// A table whose header was read.
pub(super) struct TsvTable {
    columns: Vec<String>,
    lines: Lines,
}

/// The fields of one line, by column name.
pub(super) struct Fields<'a> {
    columns: &'a [String],
    values: Vec<&'a str>,
}

impl TsvTable {
    /// Opens a table and reads its header; each of `needed` must be one of the columns.
    pub(super) fn open(path: &Path, needed: &[&str]) -> Result<Self, CorpusError> {
        let mut lines = Lines::open(path)?;
        let columns = header(&mut lines)?;
        if let Some(missing) = needed.iter().find(|name| !columns.iter().any(|c| c == *name)) {
            let reason = format!("no column {missing:?} in the header line");
            return Err(CorpusError::UnknownLayout { path: path.to_path_buf(), reason });
        }
        Ok(Self { columns, lines })
    }

    /// Opens a table without a header line, whose columns are these.
    pub(super) fn headless(path: &Path, columns: &[&str]) -> Result<Self, CorpusError> {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        Ok(Self { columns, lines: Lines::open(path)? })
    }

    /// Reads the table with a function from fields to rows.
    pub(super) fn map<R, F>(
        mut self,
        mut parse: F,
    ) -> impl Iterator<Item = Result<(u64, R), BadRow>>
    where
        F: FnMut(&Fields<'_>) -> Result<R, String>,
    {
        std::iter::from_fn(move || {
            let (line, text) = match self.lines.next()? {
                Ok(line) => line,
                Err(bad) => return Some(Err(bad)),
            };
            let row = Fields::split(&self.columns, &text).and_then(|fields| parse(&fields));
            Some(row.map(|row| (line, row)).map_err(|reason| self.lines.bad(line, reason)))
        })
    }
}

/// The column names of a table's first line, empty for an empty file.
pub(super) fn header(lines: &mut Lines) -> Result<Vec<String>, CorpusError> {
    match lines.next() {
        None => Ok(Vec::new()),
        Some(Ok((_, text))) => Ok(text.split('\t').map(|name| name.trim().to_owned()).collect()),
        Some(Err(bad)) => Err(CorpusError::UnknownLayout {
            path: lines.path().to_path_buf(),
            reason: format!("header line: {}", bad.reason),
        }),
    }
}

impl<'a> Fields<'a> {
    fn split(columns: &'a [String], text: &'a str) -> Result<Self, String> {
        let values: Vec<_> = text.split('\t').collect();
        if values.len() != columns.len() {
            let (found, wanted) = (values.len(), columns.len());
            return Err(format!("{found} fields, the header has {wanted}"));
        }
        Ok(Self { columns, values })
    }

    /// The field of a column without white space at its ends; empty where there is no such column.
    pub(super) fn get(&self, name: &str) -> &'a str {
        let index = self.columns.iter().position(|column| column == name);
        index.and_then(|index| self.values.get(index)).copied().unwrap_or_default().trim()
    }

    /// A field that must hold something.
    pub(super) fn required(&self, name: &str) -> Result<&'a str, String> {
        match self.get(name) {
            "" => Err(format!("empty {name}")),
            value => Ok(value),
        }
    }

    /// A field that holds a number of seconds; `None` where it is empty.
    pub(super) fn seconds(&self, name: &str) -> Result<Option<f64>, String> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(None);
        }
        match text.parse::<f64>() {
            Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(Some(seconds)),
            _ => Err(format!("{name} {text:?}: not a number of seconds")),
        }
    }
}
