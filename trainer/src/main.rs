//! `partita-train`: the command line.

mod process;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use partita_corpus::BadRow;
use partita_corpus::manifest::Split;
use partita_train::parallel::{Engine, Processes};
use partita_train::sources::Kind;
use partita_train::training_loop::Outcome;
use partita_train::{
    check, data, evaluate, output, pack, parallel, prepare, report, reproduce, train,
};

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
enum Comparison {
    /// PART, its two-stage baseline and its cumulative ablations.
    Part,
}

#[derive(Args)]
struct Reproduce {
    /// What is compared.
    #[arg(value_enum)]
    comparison: Comparison,
    /// Corpora, a folder with speech.jsonl, or manifests of clips.
    #[arg(long, num_args = 1.., value_name = "PATH")]
    data: Vec<PathBuf>,
    /// Languages of the clips [default: all]
    #[arg(long, value_delimiter = ',', value_name = "LANG")]
    languages: Vec<String>,
    /// The comparison's folder [default: one where runs are]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Each seed is a run of every arm.
    #[arg(long, value_delimiter = ',', default_value = "1,2", value_name = "N")]
    seeds: Vec<u64>,
    /// The arms.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "a,b,c1,c2,c3")]
    arms: Vec<reproduce::arms::Arm>,
    /// Optimiser steps of every arm [default: the recipe's]
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// What all arms begin from: a finished run, or steps of a warm start by CTC, 0 for none
    /// [default: the steps of its recipe]
    #[arg(long, value_name = "RUN|STEPS")]
    warm: Option<reproduce::Warm>,
    /// A made-up model and made-up clips, to try everything in a few minutes.
    #[arg(long, conflicts_with = "small")]
    tiny: bool,
    /// For a machine without an accelerator: short clips, small batches, few steps.
    #[arg(long)]
    small: bool,
    /// Clips of each language and task for cosines between gradients, of the first seed; 0 for
    /// none.
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u64).range(..=4096))]
    gradients: u64,
    #[command(flatten)]
    running: Running,
}

#[derive(Args)]
struct Eval {
    /// The run's folder, which gets the files eval/NAME.jsonl and eval/NAME.json; or `whisper`, a
    /// Whisper model of the store or the file of one, for comparison.
    run: PathBuf,
    /// Manifests of clips, or shards.
    #[arg(required = true)]
    manifests: Vec<PathBuf>,
    /// What is asked [default: asr, and st where the model was trained to translate]
    #[arg(long = "task", value_enum, value_delimiter = ',')]
    tasks: Vec<evaluate::Task>,
    /// Languages to translate into [default: all that the model was trained for]
    #[arg(long, value_delimiter = ',', value_name = "LANG")]
    to: Vec<String>,
    /// train, dev or test: the clips of a manifest that are heard.
    #[arg(long, default_value = "test", value_parser = split)]
    split: Split,
    /// Most clips of a language, taken evenly from the manifest.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    clips: Option<u64>,
    /// Languages of the clips [default: all that the model was trained for]
    #[arg(long, value_delimiter = ',', value_name = "LANG")]
    languages: Vec<String>,
    /// Hypotheses kept side by side; 1 is greedy.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=64))]
    beam: u64,
    /// The run's weights: last, best, average:K (the mean of the K best) or a step's number.
    #[arg(long, default_value = "last", value_name = "WHICH")]
    checkpoint: evaluate::Weights,
    /// Floats, or as the engine speech-llm holds weights.
    #[arg(long, value_enum, default_value_t)]
    precision: evaluate::Precision,
    /// Another folder for the files.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    running: Running,
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
    process::keep_memory();
    process::leave_a_core();
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            // Nothing more can be done if standard error is gone too.
            output::print_error(&format!("partita-train: {error:#}\n")).ok();
            ExitCode::FAILURE
        }
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
        Command::Eval(eval) => run_eval(eval),
        Command::Report { run, out, gradients, clips, running } => {
            let clips = gradients.then(|| usize::try_from(clips).unwrap_or(usize::MAX));
            let options = report::Options { run, out, gradients: clips };
            let page = report::report(&options, &device(&running)?, running.quiet)?;
            print(&format!("wrote {}\n", page.display()))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Reproduce(options) => run_reproduce(options),
        Command::Resume { run, running } => {
            let (mut processes, device) = parallel::join(running.parallel, &running.device)?;
            let outcome = train::resume_together(&*processes, &run, &device, running.quiet)?;
            ended(&mut *processes, &run, outcome)
        }
        Command::Pack { model, out, json } => {
            let report = pack::pack(&pack::Options { model, out })?;
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

fn run_eval(eval: Eval) -> Result<ExitCode> {
    let device = device(&eval.running)?;
    let options = evaluate::Options {
        run: eval.run,
        manifests: eval.manifests,
        tasks: eval.tasks,
        to: eval.to,
        split: eval.split,
        clips: eval.clips.map(|clips| usize::try_from(clips).unwrap_or(usize::MAX)),
        languages: eval.languages,
        beam: usize::try_from(eval.beam).unwrap_or(1),
        weights: eval.checkpoint,
        precision: eval.precision,
        out: eval.out,
    };
    let summary = evaluate::evaluate(&options, &device, eval.running.quiet)?;
    let unheard = summary.about.iter().flat_map(|about| &about.unheard);
    output::print_error(&unheard.map(|row| format!("{row}\n")).collect::<String>())?;
    if eval.json {
        print_json(&summary)?;
    } else {
        print(&evaluate::render(&summary))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn run_reproduce(command: Reproduce) -> Result<ExitCode> {
    let Comparison::Part = command.comparison;
    let device = device(&command.running)?;
    let options = reproduce::Options {
        data: command.data,
        languages: command.languages,
        out: command.out,
        seeds: command.seeds,
        arms: command.arms,
        steps: command.steps,
        warm: command.warm.unwrap_or(reproduce::Warm::Steps(None)),
        tiny: command.tiny,
        small: command.small,
        gradients: usize::try_from(command.gradients).unwrap_or(usize::MAX),
        device: command.running.device,
    };
    let (folder, outcome) = reproduce::reproduce(&options, &device, command.running.quiet)?;
    let folder = folder.display();
    print(&match outcome {
        Outcome::Finished => format!("wrote {folder}/report.md\n"),
        Outcome::Stopped => format!("{folder}: stopped; the same command goes on\n"),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn split(name: &str) -> Result<Split, String> {
    let splits = [Split::Train, Split::Dev, Split::Test];
    let found = splits.into_iter().find(|split| split.name() == name);
    found.ok_or_else(|| "not train, dev or test".to_owned())
}

fn device(running: &Running) -> Result<candle_core::Device> {
    Ok(partita_model::device::named(&running.device)?)
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
