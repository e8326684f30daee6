//! What the command line may say; the words are those of `--help`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use partita_corpus::manifest::Split;
use partita_train::parallel::Engine;
use partita_train::sources::Kind;
use partita_train::{evaluate, reproduce};

/// Prepares data for, and trains, the speech language models of Partita.
#[derive(Parser)]
#[command(name = "partita-train", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Turn corpora into manifests (JSON lines).
    Prepare {
        /// Files and folders: our data folders, Common Voice, CoVoST, FLEURS, LibriSpeech, MLS,
        /// WenetSpeech, manifests (ours, NeMo's, SLAM-LLM's), sentence pairs or lists.
        #[arg(required = true)]
        sources: Vec<PathBuf>,
        /// A folder for speech.jsonl, text.jsonl and sentences.jsonl, or a single *.jsonl.
        #[arg(long)]
        out: PathBuf,
        /// Leave lengths unknown where the corpus does not state them, instead of measuring.
        #[arg(long)]
        no_audio: bool,
        /// A folder that gets the clips as tar shards besides, to be read in large pieces.
        #[arg(long, value_name = "DIR", conflicts_with = "no_audio")]
        shards: Option<PathBuf>,
        /// About how many megabytes a shard has.
        #[arg(long, default_value_t = 512, value_name = "MB", requires = "shards")]
        shard_size: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Report what a corpus holds and what is wrong with it.
    CheckData {
        /// Manifests, tables and folders.
        #[arg(required = true)]
        sources: Vec<PathBuf>,
        /// Do not decode audio, only look for the files.
        #[arg(long)]
        no_audio: bool,
        /// Only look for leaks (a sentence, prompt, recording or speaker in two splits), and exit
        /// with 1 if there are any.
        #[arg(long)]
        leaks: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Train a speech model by a recipe.
    Train {
        /// The recipe (TOML).
        recipe: PathBuf,
        /// The run's folder (by default one named after recipe and seed, where runs are).
        #[arg(long)]
        out: Option<PathBuf>,
        /// Manifests of clips, instead of the recipe's.
        #[arg(long, num_args = 1..)]
        speech: Vec<PathBuf>,
        /// Manifests of sentences, instead of the recipe's.
        #[arg(long, num_args = 1..)]
        text: Vec<PathBuf>,
        /// Another seed than the recipe's.
        #[arg(long)]
        seed: Option<u64>,
        #[command(flatten)]
        running: Running,
    },
    /// Make one small file of a trained model: changes of the encoder in 4 bits, the rest in 8.
    Pack {
        /// A run's folder, or another with a trained model.
        model: PathBuf,
        /// The GGUF file to write.
        #[arg(long)]
        out: PathBuf,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Let a trained model write down and translate the clips of a manifest, and score it.
    Eval(Eval),
    /// Write a page about a run: curves, scores, samples, cosines between gradients.
    Report {
        /// The run's folder.
        run: PathBuf,
        /// Where report.md and its images go [default: the run's folder]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Measure the cosines between gradients at the ends of stages, where that is missing.
        #[arg(long)]
        gradients: bool,
        /// Clips of each language and task for that.
        #[arg(long, default_value_t = 16, value_name = "N", requires = "gradients",
              value_parser = clap::value_parser!(u64).range(1..=4096))]
        clips: u64,
        #[command(flatten)]
        running: Running,
    },
    /// Carry out a comparison of recipes, or go on with it: train, evaluate, compare.
    Reproduce(Reproduce),
    /// Go on with a run from its last checkpoint.
    Resume {
        /// The run's folder.
        run: PathBuf,
        #[command(flatten)]
        running: Running,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Comparison {
    /// PART, its two-stage baseline and its cumulative ablations.
    Part,
}

#[derive(Args)]
pub struct Reproduce {
    /// What is compared.
    #[arg(value_enum)]
    pub comparison: Comparison,
    /// Corpora, a folder with speech.jsonl, or manifests of clips.
    #[arg(long, num_args = 1.., value_name = "PATH")]
    pub data: Vec<PathBuf>,
    /// Languages of the clips [default: all]
    #[arg(long, value_delimiter = ',', value_name = "LANG")]
    pub languages: Vec<String>,
    /// The comparison's folder [default: one where runs are]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Each seed is a run of every arm.
    #[arg(long, value_delimiter = ',', default_value = "1,2", value_name = "N")]
    pub seeds: Vec<u64>,
    /// The arms.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "a,b,c1,c2,c3")]
    pub arms: Vec<reproduce::arms::Arm>,
    /// Optimiser steps of every arm [default: the recipe's]
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// What all arms begin from: a finished run, or steps of a warm start by CTC, 0 for none
    /// [default: the steps of its recipe]
    #[arg(long, value_name = "RUN|STEPS")]
    pub warm: Option<reproduce::Warm>,
    /// A made-up model and made-up clips, to try everything in a few minutes.
    #[arg(long, conflicts_with = "small")]
    pub tiny: bool,
    /// For a machine without an accelerator: short clips, small batches, few steps.
    #[arg(long)]
    pub small: bool,
    /// Clips of each language and task for cosines between gradients, of the first seed; 0 for
    /// none.
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u64).range(..=4096))]
    pub gradients: u64,
    #[command(flatten)]
    pub running: Running,
}

#[derive(Args)]
pub struct Eval {
    /// The run's folder, which gets the files eval/NAME.jsonl and eval/NAME.json; or `whisper`, a
    /// Whisper model of the store or the file of one, for comparison.
    pub run: PathBuf,
    /// Manifests of clips, or shards.
    #[arg(required = true)]
    pub manifests: Vec<PathBuf>,
    /// What is asked [default: asr, and st where the model was trained to translate]
    #[arg(long = "task", value_enum, value_delimiter = ',')]
    pub tasks: Vec<evaluate::Task>,
    /// Languages to translate into [default: all that the model was trained for]
    #[arg(long, value_delimiter = ',', value_name = "LANG")]
    pub to: Vec<String>,
    /// train, dev or test: the clips of a manifest that are heard.
    #[arg(long, default_value = "test", value_parser = split)]
    pub split: Split,
    /// Most clips of a language, taken evenly from the manifest.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub clips: Option<u64>,
    /// Languages of the clips [default: all that the model was trained for]
    #[arg(long, value_delimiter = ',', value_name = "LANG")]
    pub languages: Vec<String>,
    /// Hypotheses kept side by side; 1 is greedy.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=64))]
    pub beam: u64,
    /// The run's weights: last, best, average:K (the mean of the K best) or a step's number.
    #[arg(long, default_value = "last", value_name = "WHICH")]
    pub checkpoint: evaluate::Weights,
    /// Floats, or as the engine speech-llm holds weights.
    #[arg(long, value_enum, default_value_t)]
    pub precision: evaluate::Precision,
    /// Another folder for the files.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub running: Running,
}

#[derive(Args)]
pub struct Running {
    /// `cpu`, `cuda:N` or `metal`; `cuda` for the card that is this process's among several
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// Train with the other processes that `mpirun` has started
    #[arg(long, value_name = "ENGINE")]
    pub parallel: Option<Engine>,
    /// Show no progress.
    #[arg(long)]
    pub quiet: bool,
}

#[derive(Args)]
pub struct Common {
    /// What the sources are taken for.
    #[arg(long, value_enum, default_value_t)]
    pub kind: Kind,
    /// Language of rows that state none.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub lang: String,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub json: bool,
    /// Exit with 1 if there are bad rows.
    #[arg(long)]
    pub strict: bool,
    /// List all bad rows and findings, not only the first.
    #[arg(long)]
    pub all: bool,
    /// Show no progress.
    #[arg(long)]
    pub quiet: bool,
}

fn split(name: &str) -> Result<Split, String> {
    let splits = [Split::Train, Split::Dev, Split::Test];
    let found = splits.into_iter().find(|split| split.name() == name);
    found.ok_or_else(|| "not train, dev or test".to_owned())
}
