//! Words of the user's own from a file.

use crate::settings::Word;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A larger file is no list of words.
const LARGEST: u64 = 8 << 20;
/// Words that are taken of one file.
const MOST: usize = 50_000;

/// Reads words from a text or CSV file: one a line, first what is written, then (behind commas,
/// semicolons or tabs, of which one kind parts the whole file) what may be heard instead. Fields may
/// be in double quotes; empty lines and those that begin with `#` say nothing.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("words.csv");
/// std::fs::write(&path, "Kubernetes,kuber netes,cube\n# people\n\"Ng, Anna\"\n")?;
/// let words = partita::dictate::import_words(&path, true)?;
/// assert_eq!(words[0].heard, ["kuber netes", "cube"]);
/// assert_eq!(words[1].write, "Ng, Anna");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the file cannot be read, is no text, has no words or too many; with the line where there is
/// one.
pub fn import_words(path: &Path, fuzzy: bool) -> Result<Vec<Word>> {
    let name = || path.display().to_string();
    let file = File::open(path).with_context(name)?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).with_context(name)?;
    if bytes.len() as u64 > LARGEST {
        bail!("{}: larger than {} MiB, which is no list of words", name(), LARGEST >> 20);
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        anyhow::anyhow!("{}: line {line} is not UTF-8 text", name())
    })?;
    let words = parse(text.trim_start_matches('\u{FEFF}'), fuzzy);
    match words.len() {
        0 => bail!("{}: no words in it", name()),
        count if count > MOST => bail!("{}: {count} words; at most {MOST} can be kept", name()),
        _ => Ok(words),
    }
}

fn parse(text: &str, fuzzy: bool) -> Vec<Word> {
    let mark = ['\t', ';'].into_iter().find(|&mark| text.contains(mark)).unwrap_or(',');
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let words = lines.filter_map(|line| {
        let mut fields = fields(line, mark).into_iter().filter(|field| !field.is_empty());
        Some(Word { write: fields.next()?, heard: fields.collect(), fuzzy })
    });
    words.collect()
}

/// The fields of a line; control characters, which nobody could type, are left out.
fn fields(line: &str, mark: char) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let Some(field) = fields.last_mut() else { break };
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                field.push('"');
                characters.next();
            }
            '"' if quoted || field.trim().is_empty() => quoted = !quoted,
            character if character == mark && !quoted => fields.push(String::new()),
            character if character.is_control() => {}
            character => field.push(character),
        }
    }
    fields.into_iter().map(|field| field.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Vec<(String, Vec<String>)> {
        parse(text, false).into_iter().map(|word| (word.write, word.heard)).collect()
    }

    fn word(write: &str, heard: &[&str]) -> (String, Vec<String>) {
        (write.to_owned(), heard.iter().map(|&text| text.to_owned()).collect())
    }

    #[test]
    fn lists_and_tables_are_understood() {
        assert_eq!(
            written("Zürich\r\n\r\n# x\r\n 東京 \r\n"),
            [word("Zürich", &[]), word("東京", &[])]
        );
        assert_eq!(
            written("A, Inc;a inc; ;b\nC"),
            [word("A, Inc", &["a inc", "b"]), word("C", &[])]
        );
        assert_eq!(written("a;b\tc, d\n"), [word("a;b", &["c, d"])]);
        assert_eq!(
            written("\"say \"\"hi\"\", you\",\"x,y\" , 5\" disk\n,late\n,,\n\"open"),
            [word("say \"hi\", you", &["x,y", "5\" disk"]), word("late", &[]), word("open", &[])]
        );
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words.txt");
        for (content, expected) in
            [(&b"one\ntwo\xff\n"[..], "line 2 is not UTF-8"), (b"#\n\n,,\n", "no words in it")]
        {
            std::fs::write(&path, content).unwrap();
            let error = import_words(&path, false).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        std::fs::write(&path, b"\xef\xbb\xbfone\n").unwrap();
        assert_eq!(import_words(&path, false).unwrap()[0].write, "one");
    }
}
