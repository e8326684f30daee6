//! Recordings, one after the other, by one engine that is kept as long as there are more.

use crate::engines::{self, Options};
use crate::gui::worker::{Answers, Wake, Worker};
use crate::measure::{self, Measured};
use crate::output::Document;
use crate::recording::{self, Step};
use crate::settings::Settings;
use partita_audio::AudioReader;
use partita_model::engine::{Engine, Request};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The window hears of progress so often.
const OFTEN: Duration = Duration::from_millis(100);

/// What the thread is asked.
#[derive(Debug)]
pub enum Ask {
    /// To write down a recording.
    Read(Job),
    /// To let go of the engine, as nothing follows.
    Rest,
}

/// A recording to be written down.
#[derive(Debug)]
pub struct Job {
    /// Number in the queue.
    pub id: u64,
    /// The file.
    pub path: PathBuf,
    /// Engine and languages.
    pub settings: Arc<Settings>,
    /// Set when it is no longer wanted.
    pub cancelled: Arc<AtomicBool>,
}

/// What the thread says of a recording.
#[derive(Debug)]
pub enum Say {
    /// The engine is being loaded for it.
    Loading,
    /// So many seconds of so many are read.
    At(f64, Option<f64>),
    /// It is done.
    Done(Box<Done>),
    /// It could not be read.
    Failed(String),
    /// It was cancelled.
    Cancelled,
}

/// A recording that was written down.
#[derive(Debug)]
pub struct Done {
    /// What was said.
    pub document: Document,
    /// What was wrong with the file.
    pub warnings: Vec<String>,
    /// Seconds that it took.
    pub elapsed: f64,
}

/// Starts the thread; `root` is the folder of the store, where measurements lie.
///
/// # Errors
/// When the system has no thread left.
pub fn start(root: PathBuf, wake: Wake) -> std::io::Result<Worker<Ask, (u64, Say)>> {
    let mut kept: Option<Kept> = None;
    Worker::start("files", wake, move |ask, out| match ask {
        Ask::Rest => kept = None,
        Ask::Read(job) => {
            let said = read(&job, &root, &mut kept, out).unwrap_or_else(|error| {
                // What failed once may have been left in any state.
                kept = None;
                Say::Failed(format!("{error:#}"))
            });
            out.say((job.id, said));
        }
    })
}

/// An engine and what it was opened by.
struct Kept {
    by: String,
    engine: Box<dyn Engine>,
}

fn read(
    job: &Job,
    root: &Path,
    kept: &mut Option<Kept>,
    out: &Answers<(u64, Say)>,
) -> anyhow::Result<Say> {
    let cancelled = || job.cancelled.load(Ordering::Relaxed);
    if cancelled() {
        return Ok(Say::Cancelled);
    }
    // A file that is none is said before an engine is loaded for it.
    let reader = AudioReader::open(&job.path)?;
    let options = measure::chosen(&job.settings.engine, &Measured::load(root))?;
    let engine = open(kept, &options, || out.say((job.id, Say::Loading)))?;
    let request = request(&job.settings, engine)?;
    let started = Instant::now();
    let mut told = Instant::now();
    let mut watch = |step: Step| {
        if told.elapsed() >= OFTEN || step.seconds == 0.0 {
            told = Instant::now();
            out.say((job.id, Say::At(step.seconds, step.of)));
        }
        if cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let name = job.path.to_string_lossy();
    let cutting = recording::cutting(true);
    let done = recording::transcribe(&name, reader, engine, request, cutting, &mut watch)?;
    Ok(match done {
        None => Say::Cancelled,
        Some(done) => Say::Done(Box::new(Done {
            document: done.document,
            warnings: done.warnings,
            elapsed: started.elapsed().as_secs_f64(),
        })),
    })
}

fn open<'a>(
    kept: &'a mut Option<Kept>,
    options: &Options,
    loading: impl FnOnce() -> bool,
) -> anyhow::Result<&'a mut dyn Engine> {
    let by = format!("{options:?}");
    let same = kept.as_ref().is_some_and(|kept| kept.by == by);
    if !same {
        *kept = None;
        loading();
    }
    let kept = match kept {
        Some(kept) => kept,
        None => kept.insert(Kept { by, engine: engines::open(options)? }),
    };
    Ok(kept.engine.as_mut())
}

/// What the settings ask of an engine; a language that it does not have is said before any work.
fn request(settings: &Settings, engine: &dyn Engine) -> anyhow::Result<Request> {
    let can = engine.capabilities();
    let language = match settings.speech.languages.as_slice() {
        [one] => Some(one.clone()),
        _ => None,
    };
    let translate = Some(settings.speech.translate.clone()).filter(|target| !target.is_empty());
    let checks = [
        (&language, &can.languages, "understand"),
        (&translate, &can.translation_targets, "translate into"),
    ];
    for (wanted, known, verb) in checks {
        if let Some(code) = wanted
            && !known.contains(code)
        {
            anyhow::bail!("the {} engine does not {verb} `{code}`", can.engine);
        }
    }
    let among = settings.speech.languages.clone();
    Ok(Request { language, translate, among, beam: 5, ..Request::default() })
}
