//! Results written to where they are looked for.

use anyhow::Context;
use partita_model::files::whole;
use std::path::{Path, PathBuf};

/// Files of one name that are tried before giving up.
const TRIES: u32 = 1000;

/// Writes a result beside the recording it belongs to; where that folder cannot be written, into
/// the user's documents. What is there already is not replaced. Returns where it is.
///
/// # Errors
/// When it can be written nowhere; says why.
pub fn beside(recording: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let folder = recording.parent().unwrap_or(Path::new("."));
    free(folder, name, text).or_else(|_| in_documents(name, text))
}

/// Writes a result into the user's documents.
///
/// # Errors
/// When it cannot be written there; says why.
pub fn in_documents(name: &str, text: &str) -> anyhow::Result<PathBuf> {
    free(&documents()?, name, text)
}

/// A path in the user's documents that nothing has yet.
///
/// # Errors
/// When the system names no such folder.
pub fn path_in_documents(name: &str) -> anyhow::Result<PathBuf> {
    Ok(unused(&documents()?, name))
}

fn documents() -> anyhow::Result<PathBuf> {
    let folders = directories::UserDirs::new().context("the system names no home folder")?;
    let folder = folders.document_dir().unwrap_or(folders.home_dir());
    Ok(folder.join("Partita"))
}

fn free(folder: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = unused(folder, name);
    whole::write(&path, text.as_bytes())
        .with_context(|| format!("{}: not written", path.display()))?;
    Ok(path)
}

/// `name`, or `name (2)` and so on, before its last ending.
fn unused(folder: &Path, name: &str) -> PathBuf {
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    let numbered = |number: u32| match number {
        1 => folder.join(name),
        number => folder.join(format!("{stem} ({number}).{ending}")),
    };
    (1..TRIES).map(numbered).find(|path| !path.exists()).unwrap_or_else(|| folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let recording = folder.path().join("talk.wav");
        let first = beside(&recording, "talk.wav.txt", "one").unwrap();
        let second = beside(&recording, "talk.wav.txt", "two").unwrap();
        assert_eq!(first.file_name().unwrap(), "talk.wav.txt");
        assert_eq!(second.file_name().unwrap(), "talk.wav (2).txt");
        assert_eq!(std::fs::read_to_string(first).unwrap(), "one");
        assert_eq!(std::fs::read_to_string(second).unwrap(), "two");
    }
}
