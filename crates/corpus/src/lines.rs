//! Lines of a text file, plain or gzip, with bounded memory.
//!
//! One reader serves JSON lines, tab-separated tables and sentence lists: all three are a row a
//! line. The tables use no quoting (a quotation mark is a character like any other), so splitting
//! a line at its tabs is the whole of their grammar.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::{BadRow, CorpusError};

/// Longest line that is taken for a row. Real rows are below 100 kB; a file without line ends
/// (a picture, say) must not be read into memory as one.
pub(crate) const MAX_LINE_BYTES: usize = 1 << 20;

/// The non-empty lines of a file with their numbers, without line ends and byte order mark.
///
/// A line that is too long or not UTF-8 comes as a [`BadRow`]; a failing read (a damaged gzip
/// stream) comes as a last bad row.
pub(crate) struct Lines {
    path: PathBuf,
    input: Box<dyn BufRead + Send>,
    number: u64,
    finished: bool,
}

impl Lines {
    /// Opens a file; gzip is known by its first two bytes, not by the file's name.
    pub(crate) fn open(path: &Path) -> Result<Self, CorpusError> {
        let unreadable = |reason| CorpusError::unreadable(path, reason);
        if path.is_dir() {
            return Err(unreadable(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
        let gzip = file.fill_buf().map_err(unreadable)?.starts_with(&[0x1f, 0x8b]);
        let input: Box<dyn BufRead + Send> =
            if gzip { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) };
        Ok(Self { path: path.to_path_buf(), input, number: 0, finished: false })
    }

    /// The file that is read.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A bad row at a line of this file.
    pub(crate) fn bad(&self, line: u64, reason: impl Into<String>) -> BadRow {
        BadRow { file: self.path.clone(), line, reason: reason.into() }
    }

    /// Reads one line into `bytes`, at most [`MAX_LINE_BYTES`] of it, and skips the rest.
    /// Returns the line's length in the file, its end included; 0 at the end of the file.
    fn read_line(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let mut length = (&mut self.input).take(MAX_LINE_BYTES as u64).read_until(b'\n', bytes)?;
        if length == MAX_LINE_BYTES && !bytes.ends_with(b"\n") {
            length = length.saturating_add(self.input.skip_until(b'\n')?);
        }
        Ok(length)
    }

    fn next_line(&mut self) -> Option<Result<(u64, String), BadRow>> {
        let mut bytes = Vec::new();
        let number = self.number.saturating_add(1);
        let length = match self.read_line(&mut bytes) {
            Ok(0) => return None,
            Ok(length) => length,
            Err(reason) => {
                self.finished = true;
                return Some(Err(self.bad(number, format!("cannot read on: {reason}"))));
            }
        };
        self.number = number;
        if length > bytes.len() {
            let reason = format!("line of {length} bytes (the limit is {MAX_LINE_BYTES})");
            return Some(Err(self.bad(number, reason)));
        }
        Some(match String::from_utf8(bytes) {
            Ok(text) => {
                let text = if number == 1 { text.trim_start_matches('\u{feff}') } else { &text };
                Ok((number, text.trim_end_matches(['\n', '\r']).to_owned()))
            }
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                Err(self.bad(number, format!("not UTF-8 (byte {} of the line)", at + 1)))
            }
        })
    }
}

impl Iterator for Lines {
    type Item = Result<(u64, String), BadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.finished {
            match self.next_line() {
                None => self.finished = true,
                Some(Ok((_, text))) if text.trim().is_empty() => {}
                other => return other,
            }
        }
        None
    }
}
