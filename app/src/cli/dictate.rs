//! `partita dictate`.

use super::engine_args::EngineArgs;
use crate::capture::{self, OpenOptions, Source};
use crate::desktop::{self, Message};
use crate::dictate::{Choice, Dictation, Hotkey, Typist, listening, open_desk};
use crate::engines;
use crate::live::{Event, LiveOptions, Session, Setup, channel};
use crate::settings::{self, Settings, SharedSettings};
use anyhow::{Context, bail};
use clap::Args;
use crossbeam_channel::{never, select};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Arguments of `partita dictate`.
#[derive(Debug, Args)]
pub struct DictateArgs {
    /// `default` (microphone), `system`, a device's name or part of it, or `file:PATH`; that of the
    /// settings when not given
    #[arg(long = "source", value_name = "SOURCE")]
    sources: Vec<Source>,
    #[command(flatten)]
    engine: EngineArgs,
    /// Key that begins and ends dictation, such as `Ctrl+Alt+D`; that of the settings when not given
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Begin at once; end when interrupted
    #[arg(long)]
    now: bool,
    /// Begin or end dictation in the instance that runs, and do nothing else: for desktops whose own
    /// settings bind keys to commands
    #[arg(long, conflicts_with_all = ["now", "key", "sources"])]
    toggle: bool,
    /// One JSON object an event, as `partita listen` has them
    #[arg(long)]
    json: bool,
    /// Print errors only
    #[arg(short, long)]
    quiet: bool,
}

/// How often what is not told by events is looked at.
const TICK: Duration = Duration::from_millis(100);
/// How long the last words may take.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Runs `partita dictate` until its source ends or it is interrupted.
///
/// # Errors
/// When there is no way to type, the key cannot be had, a source or the engine cannot be opened,
/// or the session fails.
pub fn run(args: &DictateArgs) -> anyhow::Result<()> {
    let window = desktop::runtime_folder()?;
    // Apart from the window's: the one does not keep the other from starting.
    let folder = window.join("dictation");
    if args.toggle {
        let told =
            desktop::tell(&folder, Message::Dictate)? || desktop::tell(&window, Message::Dictate)?;
        return match told {
            true => Ok(()),
            false => bail!("no instance of partita is running: start it, or `partita dictate`"),
        };
    }
    args.engine.set_threads();
    let options = args.engine.options()?;
    let settings = settings_for(args)?;
    let desk = open_desk()?;
    let instance = desktop::claim(&folder)?;
    let asked = match &instance {
        Some(instance) => instance.messages().clone(),
        None if args.now => never(),
        None => {
            bail!("another `partita dictate` is running; `--toggle` begins or ends its dictation")
        }
    };
    let hotkey = hotkey(args, &settings.get())?;
    let presses = hotkey.as_ref().map_or_else(never, |key| key.presses().clone());

    let mut dictation = Dictation::new(settings.clone(), desk);
    let mut choice = dictation.choice();
    let typist = Typist::start(dictation).context("threads")?;
    let beam = args.engine.live().beam;
    let live = |choice: &Choice| LiveOptions { beam, ..choice.live(&settings.get()) };
    let sources = settings.get().audio.sources.clone();
    let setup = Setup {
        capture: Box::new(move || Ok(capture::open(&sources, &OpenOptions::default())?)),
        engine: Box::new(move || engines::open(&options)),
        detector: Box::new(|| Ok(engines::voice_activity())),
        record: None,
        options: live(&choice),
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed)).context("signals")?;
    let (tell, events) = channel();
    let session = Session::start(setup, tell).context("threads")?;
    session.pause(!args.now);
    let mut ending = None;
    loop {
        let mut wanted = !session.is_paused();
        select! {
            recv(events) -> event => match event {
                Ok(event) => {
                    typist.take(&event);
                    if show(&event, args, wanted)? {
                        break;
                    }
                }
                Err(_) => break,
            },
            recv(presses) -> press => if let Ok(press) = press {
                wanted = listening(settings.get().dictation.trigger, press, wanted);
            },
            recv(asked) -> message => if message == Ok(Message::Dictate) {
                wanted = !wanted;
            },
            default(TICK) => {}
        }
        if wanted == session.is_paused() {
            session.pause(!wanted);
            if !args.quiet {
                eprintln!("{}", if wanted { "dictating" } else { "pausing" });
            }
        }
        if let Some(now) = typist.choice().filter(|now| *now != choice) {
            session.change(live(&now));
            choice = now;
        }
        if let Some(problem) = typist.failure() {
            eprintln!("warning: {problem}");
        }
        if interrupted.load(Ordering::Relaxed) && ending.is_none() {
            session.stop();
            ending = Some(Instant::now());
        }
        if ending.is_some_and(|since| since.elapsed() > LAST_WORDS) {
            session.hurry();
        }
        if session.has_ended() && events.is_empty() {
            break;
        }
    }
    drop(typist);
    Ok(())
}

/// The user's settings, with what the command line has instead; they are not written back.
fn settings_for(args: &DictateArgs) -> anyhow::Result<SharedSettings> {
    let path = settings::path()?;
    let (mut chosen, notices) = Settings::load(&path);
    for notice in notices {
        eprintln!("warning: {notice}");
    }
    let given = args.engine.live();
    if !given.languages.is_empty() {
        chosen.speech.languages = given.languages;
    }
    if let Some(target) = given.translate {
        chosen.dictation.translate = target;
    }
    if !args.sources.is_empty() {
        chosen.audio.sources.clone_from(&args.sources);
    }
    if let Some(key) = &args.key {
        chosen.dictation.hotkey.clone_from(key);
    }
    Ok(SharedSettings::new(chosen, &path))
}

/// The key, unless dictation begins at once. Where the one of the settings cannot be had, another
/// start can still ask for dictation: that is said, and is no error.
fn hotkey(args: &DictateArgs, settings: &Settings) -> anyhow::Result<Option<Hotkey>> {
    let key = &settings.dictation.hotkey;
    if args.now || key.is_empty() {
        return Ok(None);
    }
    match Hotkey::register(key) {
        Ok(hotkey) => {
            if !args.quiet {
                eprintln!("{key} begins and ends dictation");
            }
            Ok(Some(hotkey))
        }
        Err(error) if args.key.is_none() => {
            eprintln!("warning: {error}");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Tells of an event; whether it was the last.
fn show(event: &Event, args: &DictateArgs, dictating: bool) -> anyhow::Result<bool> {
    if args.json {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", serde_json::to_string(event)?)?;
        out.flush()?;
    }
    match event {
        Event::Listening { sources, engine, .. } if !args.quiet => {
            let doing = if dictating { "dictating" } else { "ready" };
            eprintln!("{doing}: {} ({engine})", sources.join(", "));
        }
        Event::SourceLost { source, reason } => {
            eprintln!("warning: {source}: {reason}; waiting for it");
        }
        Event::SourceBack { source } => eprintln!("{source} is back"),
        Event::Warning { message } => eprintln!("warning: {message}"),
        Event::Failed { message } => bail!("{message}"),
        Event::Finished { .. } => return Ok(true),
        _ => {}
    }
    Ok(false)
}
