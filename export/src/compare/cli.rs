//! `partita-export compare`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use partita_corpus::manifest::Split;

use super::{Options, compare, render};
use crate::interrupt;

/// Arguments of `partita-export compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// A trained model's folder, or a Whisper model: what the others are compared with, in f32
    #[arg(value_name = "RUN|MODEL")]
    run: String,
    /// Its exports: language models of pairs, packed models, folders of ONNX graphs or their
    /// decoders (…_q4.onnx), or Whisper files
    #[arg(required = true, value_name = "PAIR")]
    pairs: Vec<String>,
    /// Manifest of speech with transcripts (JSON lines)
    #[arg(short, long, value_name = "FILE")]
    manifest: PathBuf,
    /// Most clips, of each language as many
    #[arg(long, value_name = "N", default_value_t = 40)]
    clips: usize,
    /// The manifest's split
    #[arg(long, value_enum, default_value_t = SplitName::Test)]
    split: SplitName,
    /// Languages spoken: `de,en,…`; all that the model understands when not given
    #[arg(long, value_name = "LANGS", value_delimiter = ',')]
    languages: Vec<String>,
    /// Languages to translate into; all that the model was trained for when not given
    #[arg(long, value_name = "LANGS", value_delimiter = ',')]
    to: Vec<String>,
    /// Threads; one a core when not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Folder that gets compare.md, compare.json and compare.png
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the figures as one JSON object
    #[arg(long)]
    json: bool,
}

/// A split's name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SplitName {
    /// Training.
    Train,
    /// Development.
    Dev,
    /// Test.
    Test,
}

impl From<SplitName> for Split {
    fn from(name: SplitName) -> Self {
        match name {
            SplitName::Train => Self::Train,
            SplitName::Dev => Self::Dev,
            SplitName::Test => Self::Test,
        }
    }
}

impl CompareArgs {
    /// Compares, and returns what to print.
    ///
    /// # Errors
    /// As [`compare`]'s.
    pub fn run(self) -> Result<String> {
        let options = Options {
            reference: self.run,
            others: self.pairs,
            manifest: self.manifest,
            split: self.split.into(),
            clips: self.clips,
            languages: self.languages,
            to: self.to,
            threads: self.threads,
            program: std::env::current_exe().context("this program's own file")?,
            out: self.out,
        };
        interrupt::on_ctrl_c();
        let comparison = compare(&options, &|line| eprintln!("{line}"))?;
        Ok(match self.json {
            true => format!("{}\n", serde_json::to_string(&comparison)?),
            false => render::table(&comparison),
        })
    }
}
