//! `partita listen`.

use super::engine_args::EngineArgs;
use crate::capture::{self, OpenOptions, Recorder, Source};
use crate::engines;
use crate::live::{Event, LiveOptions, Session, Setup, channel};
use anyhow::{Context, bail};
use clap::Args;
use crossbeam_channel::RecvTimeoutError;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Arguments of `partita listen`.
#[derive(Debug, Args)]
pub struct ListenArgs {
    /// `default` (microphone), `system` (what the machine plays), a device's name or part of it, or
    /// `file:PATH`; several are mixed
    #[arg(long = "source", value_name = "SOURCE", default_value = "default")]
    sources: Vec<Source>,
    #[command(flatten)]
    engine: EngineArgs,
    /// One JSON object an event
    #[arg(long)]
    json: bool,
    /// Stop after so many seconds
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// Pause that ends an utterance, in milliseconds
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(100..=5000))]
    pause: u32,
    /// Show no text before an utterance has ended
    #[arg(long)]
    no_partials: bool,
    /// Keep the audio in this WAV file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Most audio that is kept, in MiB
    #[arg(long, default_value_t = 512)]
    record_limit: u32,
    /// How many times as fast as it sounds a `file:` is played; 0 is as fast as it can be heard
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// List the sources that there are
    #[arg(long)]
    list_sources: bool,
    /// Print text and errors only
    #[arg(short, long)]
    quiet: bool,
}

/// How long an interrupted session may take to write down what was said.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Runs `partita listen` until its source ends, its time is over or it is interrupted.
///
/// # Errors
/// When a source or the engine cannot be opened, or the session fails.
pub fn run(args: &ListenArgs) -> anyhow::Result<()> {
    if args.list_sources {
        return list();
    }
    args.engine.set_threads();
    let options = args.engine.options()?;
    let live = LiveOptions {
        partials: !args.no_partials,
        hang_over: Duration::from_millis(args.pause.into()),
        ..args.engine.live()
    };
    let (sources, speed) = (args.sources.clone(), args.speed);
    let record = args.record.clone().map(|path| (path, args.record_limit));
    let setup = Setup {
        capture: Box::new(move || Ok(capture::open(&sources, &OpenOptions { speed })?)),
        engine: Box::new(move || engines::open(&options)),
        detector: Box::new(|| Ok(engines::voice_activity())),
        record: record.map(|(path, limit)| -> crate::live::Opener<Recorder> {
            Box::new(move || Ok(Recorder::create(&path, limit)?))
        }),
        options: live,
    };
    let (tell, events) = channel();
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed)).context("signals")?;
    let session = Session::start(setup, tell).context("threads")?;
    let until = args
        .seconds
        .map(|seconds| Instant::now() + Duration::from_secs_f64(seconds.clamp(0.0, 1e9)));
    let mut out = Printer { json: args.json, quiet: args.quiet, ..Printer::default() };
    let mut deadline = None;
    loop {
        let over = until.is_some_and(|until| Instant::now() >= until);
        if deadline.is_none() && (over || interrupted.load(Ordering::Relaxed)) {
            session.stop();
            deadline = Some(Instant::now() + LAST_WORDS);
        }
        let event = match events.recv_timeout(Duration::from_millis(50)) {
            Ok(event) => event,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if session.has_ended() => break,
            Err(RecvTimeoutError::Timeout) => {
                if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                    session.hurry();
                }
                continue;
            }
        };
        out.print(&event)?;
        match event {
            Event::Failed { message } => bail!(message),
            Event::Finished { .. } => break,
            _ => {}
        }
    }
    Ok(())
}

fn list() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for device in capture::devices()? {
        let mark = if device.default { "*" } else { " " };
        let kind = if device.loopback { "what is played" } else { "microphone" };
        writeln!(out, "{mark} {} ({kind})", device.name)?;
    }
    Ok(())
}

/// Prints events as they come: text is only ever added to.
#[derive(Default)]
struct Printer {
    json: bool,
    quiet: bool,
    /// What of the utterance at hand stands on the screen.
    printed: String,
}

impl Printer {
    fn print(&mut self, event: &Event) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(event)?)?;
            return Ok(out.flush()?);
        }
        match event {
            Event::Partial { committed, .. } => self.add(&mut out, committed)?,
            Event::Final { text, .. } => {
                self.add(&mut out, text)?;
                writeln!(out)?;
                self.printed.clear();
            }
            Event::Translation { lang, text, .. } => writeln!(out, "  [{lang}] {text}")?,
            Event::Listening { sources, engine, .. } if !self.quiet => {
                eprintln!("listening to {} ({engine})", sources.join(", "));
            }
            Event::SourceLost { source, reason } => {
                eprintln!("warning: {source}: {reason}; waiting for it")
            }
            Event::SourceBack { source } => eprintln!("{source} is back"),
            Event::Warning { message } => eprintln!("warning: {message}"),
            Event::Finished { seconds, lost } if !self.quiet && *lost > 0.0 => {
                eprintln!("warning: {lost:.1} s of {seconds:.1} s of audio were lost");
            }
            _ => {}
        }
        Ok(out.flush()?)
    }

    fn add(&mut self, out: &mut impl Write, text: &str) -> std::io::Result<()> {
        if let Some(rest) = text.strip_prefix(self.printed.as_str()) {
            write!(out, "{rest}")?;
            text.clone_into(&mut self.printed);
        }
        Ok(())
    }
}
