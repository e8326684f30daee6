//! `partita-train`: the command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use partita_corpus::BadRow;
use partita_train::parallel::{Engine, Processes};
use partita_train::sources::Kind;
use partita_train::training_loop::Outcome;
use partita_train::{check, data, output, pack, parallel, prepare, train};

/// Prepares data for, and trains, the speech language models of Partita.
#[derive(Parser)]
#[command(name = "partita-train", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
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
    /// Make a trained model small: changes of the encoder become low-rank, the rest has 16 bits.
    Pack {
        /// A run's folder, or another with a trained model.
        model: PathBuf,
        /// The folder for the small model.
        #[arg(long)]
        out: PathBuf,
        /// Rank of the changes of the encoder's matrices.
        #[arg(long, default_value_t = 32)]
        rank: usize,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Go on with a run from its last checkpoint.
    Resume {
        /// The run's folder.
        run: PathBuf,
        #[command(flatten)]
        running: Running,
    },
}

#[derive(Args)]
struct Running {
    /// `cpu`, `cuda:N` or `metal`; `cuda` for the card that is this process's among several
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Train with the other processes that `mpirun` has started
    #[arg(long, value_name = "ENGINE")]
    parallel: Option<Engine>,
    /// Show no progress.
    #[arg(long)]
    quiet: bool,
}

#[derive(Args)]
struct Common {
    /// What the sources are taken for.
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,
    /// Language of rows that state none.
    #[arg(long, default_value = "", hide_default_value = true)]
    lang: String,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// Exit with 1 if there are bad rows.
    #[arg(long)]
    strict: bool,
    /// List all bad rows and findings, not only the first.
    #[arg(long)]
    all: bool,
    /// Show no progress.
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    keep_memory();
    leave_a_core();
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            // Nothing more can be done if standard error is gone too.
            output::print_error(&format!("partita-train: {error:#}\n")).ok();
            ExitCode::FAILURE
        }
    }
}

/// Tells the C library's allocator to keep what is freed. It would give each large tensor back to the
/// system and ask for it again, and the system would fill it with zeros again: a quarter of the time
/// of a step of training.
fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: only sets numbers of the allocator's own, before there is a second thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Small operations share their work among threads that spin while they wait for each other: where one
/// of them has to share its core with another program, all of them burn time. So they leave a core
/// free, unless they were told how many to be. Products use all cores.
fn leave_a_core() {
    const THREADS: &str = "CANDLE_NUM_THREADS";
    if std::env::var_os(THREADS).is_none() {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // SAFETY: no other thread of this process is running yet.
        unsafe { std::env::set_var(THREADS, cores.saturating_sub(1).clamp(1, 8).to_string()) };
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Prepare { sources, out, no_audio, shards, shard_size, common } => {
            let Common { kind, lang, json, strict, all, quiet } = common;
            let shard_bytes = shard_size.saturating_mul(1_000_000);
            let options =
                prepare::Options { sources, out, kind, lang, no_audio, shards, shard_bytes, quiet };
            let report = prepare::prepare(&options)?;
            output::print_error(&output::bad_rows(&report.bad_rows, all))?;
            if json {
                print_json(&report)?;
            } else {
                print(&prepare::render(&report))?;
            }
            Ok(verdict(strict, &report.bad_rows))
        }
        Command::Train { recipe, out, speech, text, seed, running } => {
            let options = train::Options { recipe, out, speech, text, seed };
            let (mut processes, device) = parallel::join(running.parallel, &running.device)?;
            let (run, outcome) =
                train::begin_together(&*processes, &options, &device, running.quiet)?;
            ended(&mut *processes, &run, outcome)
        }
        Command::Resume { run, running } => {
            let (mut processes, device) = parallel::join(running.parallel, &running.device)?;
            let outcome = train::resume_together(&*processes, &run, &device, running.quiet)?;
            ended(&mut *processes, &run, outcome)
        }
        Command::Pack { model, out, rank, json } => {
            let report = pack::pack(&pack::Options { model, out, rank })?;
            if json {
                print_json(&report)?
            } else {
                print(&pack::render(&report))?
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::CheckData { sources, leaks: true, common, .. } => {
            data::leaks::check(&sources, common.kind, &common.lang)?;
            print(if common.json { "{\"leaks\":0}\n" } else { "no leaks\n" })?;
            Ok(ExitCode::SUCCESS)
        }
        Command::CheckData { sources, no_audio, common, .. } => {
            let Common { kind, lang, json, strict, all, quiet } = common;
            let options = check::Options { sources, kind, lang, no_audio, all, quiet };
            let report = check::check(&options)?;
            if json {
                print_json(&report)?;
            } else {
                print(&check::render(&report, all))?;
            }
            Ok(verdict(strict, &report.bad_rows))
        }
    }
}

fn ended(processes: &mut dyn Processes, run: &Path, outcome: Outcome) -> Result<ExitCode> {
    processes.end();
    if processes.rank() > 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let how = match outcome {
        Outcome::Finished => "finished",
        Outcome::Stopped => "stopped; `partita-train resume` goes on",
    };
    print(&format!("{}: {how}\n", run.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn verdict(strict: bool, bad: &[BadRow]) -> ExitCode {
    if strict && !bad.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn print_json(report: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string(report).context("the report has no JSON form")?;
    print(&(text + "\n"))
}

fn print(text: &str) -> Result<()> {
    output::print(text).context("standard output: cannot write")
}
