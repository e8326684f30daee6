//! `partita-train`: the command line.

mod arguments;
mod process;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use arguments::{Cli, Command, Common, Comparison, Eval, Reproduce, Running};
use clap::Parser;
use partita_corpus::BadRow;
use partita_train::parallel::Processes;
use partita_train::training_loop::Outcome;
use partita_train::{
    check, data, evaluate, output, pack, parallel, prepare, report, reproduce, train,
};

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
