//! The data of a comparison: manifests, made where there are none, and checked for leaks.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use partita_corpus::manifest::Split;

use super::arms::Tiny;
use super::tiny;
use crate::data::{SetOptions, SpeechSet, leaks};
use crate::output;
use crate::prepare;
use crate::sources::Kind;

/// The manifests of a comparison, without links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifests {
    /// Of clips.
    pub speech: Vec<PathBuf>,
    /// Of sentences, which no arm is trained on; they are checked for leaks like all others.
    pub text: Vec<PathBuf>,
}

/// Finds the manifests, or makes them from corpora in `folder`, and checks them: a run on data with
/// leaks, or without anything to test on, would be for nothing.
///
/// # Errors
/// When the data cannot be read, something is in two splits, or a split is empty.
pub fn settle(sources: &[PathBuf], folder: &Path, quiet: bool) -> Result<Manifests> {
    let is_manifest = |path: &PathBuf| path.extension().is_some_and(|ext| ext == "jsonl");
    let manifests = match sources {
        _ if sources.iter().all(is_manifest) => {
            Manifests { speech: sources.to_vec(), text: Vec::new() }
        }
        [folder] if folder.join("speech.jsonl").is_file() => in_folder(folder),
        _ => {
            if !folder.join("speech.jsonl").is_file() {
                let options = prepare::Options {
                    sources: sources.to_vec(),
                    out: folder.to_owned(),
                    quiet,
                    ..prepare::Options::default()
                };
                let report = prepare::prepare(&options)?;
                if !quiet {
                    output::print_error(&output::bad_rows(&report.bad_rows, false))?;
                    output::print_error(&prepare::render(&report))?;
                }
            }
            in_folder(folder)
        }
    };
    let whole = |path: &PathBuf| {
        path.canonicalize().with_context(|| format!("{}: cannot read", path.display()))
    };
    let all = |paths: &[PathBuf]| paths.iter().map(whole).collect::<Result<Vec<_>>>();
    let manifests = Manifests { speech: all(&manifests.speech)?, text: all(&manifests.text)? };
    let both = [manifests.speech.clone(), manifests.text.clone()].concat();
    leaks::check(&both, Kind::Auto, "").context("the data leak from one split into another")?;
    for split in [Split::Train, Split::Dev, Split::Test] {
        let options =
            SetOptions { sources: manifests.speech.clone(), split, ..SetOptions::default() };
        let set =
            SpeechSet::open(&options).with_context(|| format!("the split `{}`", split.name()))?;
        if set.clips().iter().all(|clip| clip.lang.is_none()) {
            bail!("no clips of the split `{}` with speech in them", split.name());
        }
    }
    Ok(manifests)
}

fn in_folder(folder: &Path) -> Manifests {
    let text = ["text.jsonl", "sentences.jsonl"].map(|name| folder.join(name));
    Manifests {
        speech: vec![folder.join("speech.jsonl")],
        text: text.into_iter().filter(|path| path.is_file()).collect(),
    }
}

/// Makes the model and the corpus of a short test, unless they are there; returns the corpus too.
///
/// # Errors
/// When they cannot be written.
pub fn tiny(folder: &Path) -> Result<(Tiny, PathBuf)> {
    let corpus = folder.join("corpus");
    let tiny = Tiny { encoder: folder.join("encoder.gguf"), llm: folder.join("llm.gguf") };
    if !tiny.llm.is_file() {
        tiny::write_corpus(&corpus)?;
        tiny::write_encoder(&tiny.encoder)?;
        // Written last: where it is, everything is.
        tiny::write_llm(&tiny.llm)?;
    }
    Ok((tiny, corpus))
}
