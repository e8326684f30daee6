//! `partita transcribe`.

use super::engine_args::EngineArgs;
use crate::engines;
use crate::machine;
use crate::output::{Document, Format, render, value};
use crate::recording::{self, Step};
use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use partita_audio::AudioReader;
use partita_model::engine::Engine;
use partita_model::files::whole;
use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Arguments of `partita transcribe`.
#[derive(Debug, Args)]
pub struct TranscribeArgs {
    /// Recordings; `-` is standard input, and patterns such as `talks/*.mp3` are expanded
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    #[command(flatten)]
    engine: EngineArgs,
    /// Form of the results
    #[arg(long, value_enum, default_value_t = Format::Txt)]
    format: Format,
    /// Write one file a recording into this folder instead of to standard output
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// One JSON object a recording, on one line
    #[arg(long, conflicts_with_all = ["format", "output"])]
    json: bool,
    /// Read everything, not only where somebody speaks
    #[arg(long)]
    no_vad: bool,
    /// Print results and errors only
    #[arg(short, long)]
    quiet: bool,
}

/// What was done and what it took.
#[derive(Debug, Default)]
struct Totals {
    files: usize,
    audio: f64,
    elapsed: f64,
}

/// Runs `partita transcribe`: a file that fails is reported, and the others go on.
///
/// # Errors
/// When the engine cannot be opened, or any file failed.
pub fn run(args: &TranscribeArgs) -> anyhow::Result<()> {
    args.engine.set_threads();
    let files = expand(&args.files);
    if let Some(folder) = &args.output {
        check_names(&files)?;
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let (mut engine, options) = args.engine.open()?;
    let request = args.engine.request();
    engines::check(engine.capabilities(), &args.engine.languages(), request.translate.as_ref())?;
    tracing::info!(?options, "engine is ready");

    let mut totals = Totals::default();
    let mut failed = 0;
    for file in &files {
        let started = Instant::now();
        let cpu = machine::cpu_seconds();
        match transcribe(file, args, engine.as_mut()) {
            Ok(document) => {
                let elapsed = started.elapsed().as_secs_f64();
                let cpu = machine::cpu_seconds().zip(cpu).map(|(now, then)| now - then);
                totals.files += 1;
                totals.audio += document.seconds;
                totals.elapsed += elapsed;
                present(&document, args, files.len() > 1, elapsed, cpu)?;
            }
            Err(error) => {
                failed += 1;
                eprintln!("error: {error:#}");
            }
        }
    }
    if !args.quiet && totals.audio > 0.0 {
        let Totals { files, audio, elapsed } = totals;
        let plural = if files == 1 { "" } else { "s" };
        eprintln!(
            "{files} recording{plural}: {audio:.1} s of audio in {elapsed:.1} s, real-time factor {:.3}",
            elapsed / audio
        );
    }
    match failed {
        0 => Ok(()),
        _ => bail!("{failed} of {} recordings failed", files.len()),
    }
}

/// Patterns become the files that fit them; all else stays as it is, and fails when it is opened.
fn expand(names: &[String]) -> Vec<String> {
    let mut files = Vec::new();
    for name in names {
        let before = files.len();
        let is_pattern = name.contains(['*', '?', '[']) && !Path::new(name).exists();
        if let (true, Ok(paths)) = (is_pattern, glob::glob(name)) {
            let paths = paths.map(|path| path.unwrap_or_else(|error| error.path().to_owned()));
            files.extend(paths.map(|path| path.to_string_lossy().into_owned()));
        }
        if files.len() == before {
            files.push(name.clone());
        }
    }
    files
}

/// Says before any audio is read that two results would have the same name.
fn check_names(files: &[String]) -> anyhow::Result<()> {
    let mut seen = std::collections::HashMap::new();
    for file in files {
        if let Some(name) = Path::new(file).file_name()
            && let Some(other) = seen.insert(name, file)
        {
            bail!("{other} and {file} would be written to one file: transcribe them apart");
        }
    }
    Ok(())
}

fn transcribe(
    file: &str,
    args: &TranscribeArgs,
    engine: &mut dyn Engine,
) -> anyhow::Result<Document> {
    let reader = match file {
        "-" => AudioReader::from_stream(Box::new(std::io::stdin()), "standard input")?,
        _ => AudioReader::open(Path::new(file))?,
    };
    let bar = progress(&reader, args, file);
    let mut watch = |step: Step| {
        bar.set_position(step.seconds as u64);
        ControlFlow::Continue(())
    };
    let (request, cutting) = (args.engine.request(), recording::cutting(!args.no_vad));
    let done = recording::transcribe(file, reader, engine, request, cutting, &mut watch)?;
    bar.finish_and_clear();
    let done = done.with_context(|| format!("{file}: left"))?;
    done.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    Ok(done.document)
}

/// A bar for long recordings on a terminal.
fn progress(reader: &AudioReader, args: &TranscribeArgs, file: &str) -> ProgressBar {
    const LONG: f64 = 30.0;
    if args.quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = match reader.duration() {
        Some(seconds) if seconds < LONG => return ProgressBar::hidden(),
        Some(seconds) => ProgressBar::new(seconds as u64),
        None => ProgressBar::no_length(),
    };
    let template = "{msg} [{bar:30}] {pos}/{len} s of audio, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(file.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Prints one result, or writes it to its file.
fn present(
    document: &Document,
    args: &TranscribeArgs,
    several: bool,
    elapsed: f64,
    cpu: Option<f64>,
) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if args.json {
        let mut value = value(document);
        value["elapsed"] = elapsed.into();
        value["cpu"] = cpu.into();
        value["tokens"] = document.tokens().into();
        writeln!(out, "{value}")?;
        return Ok(());
    }
    let rendered = render(document, args.format);
    if let Some(folder) = &args.output {
        let name = match document.file.as_str() {
            "-" => Path::new("standard-input"),
            file => Path::new(file),
        };
        let name = name.file_name().with_context(|| format!("{}: no file name", document.file))?;
        let mut path = folder.join(name).into_os_string();
        path.push(".");
        path.push(args.format.extension());
        let path = Path::new(&path);
        whole::write(path, rendered.as_bytes())
            .with_context(|| format!("{}: not written", path.display()))?;
    } else {
        if several && args.format == Format::Txt && !args.quiet {
            let language = document.language().unwrap_or("no speech");
            let factor = elapsed / document.seconds.max(0.001);
            writeln!(
                out,
                "{} ({language}, {:.1} s, real-time factor {factor:.3})",
                document.file, document.seconds
            )?;
        }
        out.write_all(rendered.as_bytes())?;
        if several && args.format == Format::Txt && !args.quiet {
            writeln!(out)?;
        }
    }
    out.flush()?;
    Ok(())
}
