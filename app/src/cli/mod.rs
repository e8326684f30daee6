//! The command line: one module a command.

mod bench;
mod dictate;
mod engine_args;
mod listen;
pub mod models;
mod transcribe;

use crate::engines::WhisperImport;
use clap::{ArgAction, Parser, Subcommand};
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Speech to text, and to English, on this machine: no audio leaves it.
#[derive(Debug, Parser)]
#[command(name = "partita", version, propagate_version = true)]
struct Cli {
    /// What to do; without any, the window is opened
    #[command(subcommand)]
    command: Option<Command>,
    /// Say more of what is done (twice: still more)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write down, and translate, what is said in recordings
    Transcribe(transcribe::TranscribeArgs),
    /// Write down what is being said, as it is said
    Listen(listen::ListenArgs),
    /// Type what is being said into whichever program has the focus
    Dictate(dictate::DictateArgs),
    /// Measure speed and memory on this machine
    Bench(bench::BenchArgs),
    /// Captions above all other windows, of what is being said now
    Overlay,
    /// List, fetch, check and remove models
    Models(models::ModelsArgs),
}

/// Runs the program on the process's arguments; the exit code is 0 only if all went well.
pub fn main() -> ExitCode {
    restore_broken_pipe();
    crate::machine::keep_one_heap();
    let cli = Cli::parse();
    // What the audio readers have to say comes back as errors and warnings that are printed anyway.
    let level = ["warn,symphonia=off,partita_audio=error,ort=error", "info", "debug"];
    let level = level.get(usize::from(cli.verbose)).unwrap_or(&"trace");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .init();
    let result = match cli.command {
        None => crate::gui::run(),
        Some(Command::Overlay) => crate::gui::run_overlay(),
        Some(Command::Transcribe(args)) => transcribe::run(&args),
        Some(Command::Listen(args)) => listen::run(&args),
        Some(Command::Dictate(args)) => dictate::run(&args),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Models(args)) => models::run_with(args, Some(&WhisperImport::default())),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Ends the program quietly when whoever reads its output goes away (`partita … | head`).
fn restore_broken_pipe() {
    #[cfg(unix)]
    {
        use nix::sys::signal::{SigHandler, Signal, signal};
        // SAFETY: the default handler runs no code of ours; no thread has started yet.
        if let Err(error) = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) } {
            tracing::debug!(%error, "SIGPIPE stays ignored");
        }
    }
}
