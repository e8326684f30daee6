//! Weights of our own, which come with the program: `assets/models` of the sources, or
//! `share/partita/models` below the prefix that it is installed in.

use anyhow::Context;
use std::path::{Path, PathBuf};

/// The speech model, packed; it stands on models of the store.
pub const SPEECH_MODEL: &str = "partita-part-small.gguf";

/// The path of the speech model.
///
/// # Errors
/// When it did not come along.
pub fn speech_model() -> anyhow::Result<String> {
    let program = std::env::current_exe().ok();
    let found = program.and_then(|program| beside(&program, SPEECH_MODEL));
    let found = found.and_then(|path| Some(path.to_str()?.to_owned()));
    found.context("engine speech-llm: no model came with this program; name one (--model)")
}

/// A file of ours, looked for from the program upwards.
fn beside(program: &Path, name: &str) -> Option<PathBuf> {
    let folders = ["share/partita/models", "assets/models"];
    let files = program
        .ancestors()
        .skip(1)
        .take(5)
        .flat_map(|above| folders.into_iter().map(move |folder| above.join(folder).join(name)));
    files.into_iter().find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_from_a_build_and_from_an_installation() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        let programs = [("target/release/partita", "assets/models/m.gguf")]
            .into_iter()
            .chain([("usr/bin/partita", "usr/share/partita/models/m.gguf")]);
        for (program, file) in programs {
            assert_eq!(beside(&at(program), "m.gguf"), None);
            std::fs::create_dir_all(at(file).parent().unwrap()).unwrap();
            std::fs::write(at(file), "").unwrap();
            assert_eq!(beside(&at(program), "m.gguf"), Some(at(file)));
            std::fs::remove_file(at(file)).unwrap();
        }
    }
}
