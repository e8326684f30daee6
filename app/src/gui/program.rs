//! The real thing behind the windows: sessions, devices, files on disk.

use super::backend::{Backend, Ears, Live, SourceLevel};
use super::languages::Offer;
use super::worker::Wake;
use crate::capture::{self, OpenOptions, Recorder, Source};
use crate::live::{Event, LiveOptions, Opener, Session, Setup, channel};
use crate::measure::{self, Measured};
use crate::settings::{self, Settings, SharedSettings};
use crate::store::Store;
use crate::{dictate, engines, history};
use anyhow::Context;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// The user's own settings, models and history. To be called before any other thread is started, as
/// it sets how many threads compute.
///
/// # Errors
/// When the system names no folders for them, or the catalogue of models cannot be read.
pub fn backend() -> anyhow::Result<Backend> {
    let store = Store::open()?;
    let path = settings::path()?;
    let (settings, notices) = Settings::load(&path);
    engines::begin_with_threads(Some(settings.engine.threads).filter(|count| *count > 0));
    let settings = SharedSettings::new(settings, &path);
    let root = store.root().to_owned();
    let measured = root.clone();
    Ok(Backend {
        settings,
        listen: Box::new(move |settings, wake| {
            let session = Running::start(settings, root.clone(), wake)?;
            Ok(Box::new(session) as Box<dyn Live>)
        }),
        offers: Box::new(move |engine| {
            let options = measure::chosen(engine, &Measured::load(&measured));
            let found = options.and_then(|options| engines::languages(&options));
            let found = found.inspect_err(|error| tracing::debug!("languages: {error:#}"));
            let [spoken, written] = found.ok()?.map(Some);
            Some(Offer { spoken, written })
        }),
        watch: Box::new(|wake| Box::new(Watching::start(wake)) as Box<dyn Ears>),
        desk: Some(dictate::open_desk),
        history: history::path()?,
        recordings: history::recordings()?,
        store,
        notices,
    })
}

/// A session of the program.
struct Running {
    session: Option<Session>,
    events: Receiver<Event>,
    recording: Option<PathBuf>,
}

impl Running {
    fn start(settings: &Settings, root: PathBuf, wake: Wake) -> anyhow::Result<Self> {
        let (sources, engine) = (settings.audio.sources.clone(), settings.engine.clone());
        let recording = match settings.storage.audio {
            true => Some(history::recordings()?.join(recording_name())),
            false => None,
        };
        let limit = settings.storage.audio_limit_mib;
        let record = recording.clone().map(|path| -> Opener<Recorder> {
            Box::new(move || {
                let folder = path.parent().unwrap_or(&path);
                std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
                Ok(Recorder::create(&path, limit)?)
            })
        });
        let setup = Setup {
            capture: Box::new(move || Ok(capture::open(&sources, &OpenOptions::default())?)),
            record,
            engine: Box::new(move || {
                engines::open(&measure::chosen(&engine, &Measured::load(&root))?)
            }),
            detector: Box::new(|| Ok(engines::voice_activity())),
            options: settings.live(),
        };
        let (tell, events) = channel();
        let session = Session::start(setup, move |event| {
            tell(event);
            wake();
        });
        Ok(Self { session: Some(session.context("a session")?), events, recording })
    }
}

/// By the time at which a recording begins; no two begin in one millisecond.
fn recording_name() -> String {
    format!("{}.wav", jiff::Zoned::now().strftime("%Y-%m-%d %H-%M-%S-%3f"))
}

impl Live for Running {
    fn events(&self) -> &Receiver<Event> {
        &self.events
    }

    fn pause(&self, paused: bool) {
        if let Some(session) = &self.session {
            session.pause(paused);
        }
    }

    fn change(&self, options: LiveOptions) {
        if let Some(session) = &self.session {
            session.change(options);
        }
    }

    fn level(&self) -> f32 {
        let meter = self.session.as_ref().and_then(Session::meter);
        meter.map_or(0.0, |meter| meter.loudest().rms)
    }

    fn recording(&self) -> Option<PathBuf> {
        self.recording.clone()
    }

    fn stop(&self) {
        if let Some(session) = &self.session {
            session.stop();
        }
    }

    fn hurry(&self) {
        if let Some(session) = &self.session {
            session.hurry();
        }
    }
}

impl Drop for Running {
    /// Elsewhere, as a session that is loading or computing ends only after that.
    fn drop(&mut self) {
        let session = self.session.take();
        let end = move || drop(session);
        if let Err(error) = thread::Builder::new().name("live-end".to_owned()).spawn(end) {
            tracing::warn!(%error, "a session ends on the window's thread");
        }
    }
}

/// How often it is looked for devices that came or went.
const LOOK: Duration = Duration::from_secs(3);

/// Devices and their levels, looked after by a thread as long as this lives.
struct Watching {
    known: Arc<Mutex<Known>>,
    _alive: Sender<()>,
}

#[derive(Default)]
struct Known {
    sources: Vec<(Source, String)>,
    watch: Option<capture::Watch>,
    trouble: Option<String>,
}

impl Watching {
    fn start(wake: Wake) -> Self {
        let known: Arc<Mutex<Known>> = Arc::default();
        let (alive, gone) = bounded(0);
        let shared = known.clone();
        let look = move || look_for_devices(&shared, &gone, &wake);
        if let Err(error) = thread::Builder::new().name("devices".to_owned()).spawn(look) {
            lock(&known).trouble = Some(error.to_string());
        }
        Self { known, _alive: alive }
    }
}

fn lock(known: &Mutex<Known>) -> std::sync::MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

fn look_for_devices(known: &Mutex<Known>, gone: &Receiver<()>, wake: &Wake) {
    loop {
        let (devices, trouble) = match capture::devices() {
            Ok(devices) => (devices, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let default = |loopback| {
            let device = devices.iter().find(|d| d.default && d.loopback == loopback);
            device.map_or(String::new(), |device| format!(" ({})", device.name))
        };
        let mut sources = vec![
            (Source::Default, format!("Default microphone{}", default(false))),
            (Source::System, format!("System audio{}", default(true))),
        ];
        sources.extend(devices.iter().map(|device| (device.source(), device.name.clone())));
        let changed = lock(known).sources != sources;
        if changed {
            let named: Vec<Source> = sources.iter().map(|(source, _)| source.clone()).collect();
            let opened = capture::Watch::open(&named);
            let mut known = lock(known);
            known.trouble = opened.as_ref().err().map(ToString::to_string);
            let before = std::mem::replace(&mut known.watch, opened.ok());
            known.sources = sources;
            drop(known);
            // Closing devices may take its time.
            drop(before);
        }
        if trouble.is_some() {
            lock(known).trouble = trouble;
        }
        wake();
        // Nothing is ever sent: the channel closes when nobody looks any more.
        match gone.recv_timeout(LOOK) {
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => {}
            _ => break,
        }
    }
    let watch = lock(known).watch.take();
    drop(watch);
}

impl Ears for Watching {
    fn sources(&self) -> (Vec<SourceLevel>, Option<String>) {
        let known = lock(&self.known);
        let level = |place| {
            let level = known.watch.as_ref().map(|watch| watch.meter().level(place));
            level.filter(|level| level.present).map(|level| level.rms)
        };
        let sources = known.sources.iter().enumerate().map(|(place, (source, name))| SourceLevel {
            source: source.clone(),
            name: name.clone(),
            level: level(place),
        });
        (sources.collect(), known.trouble.clone())
    }
}
