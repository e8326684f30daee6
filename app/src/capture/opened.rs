//! Opening sources and reading them together.

use super::feed::{self, Feeds, Message, News, Post};
use super::{Capture, CaptureError, Heard, Lane, Meter, Mixer, Source, file};
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use partita_audio::AudioReader;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Blocks of all sources that wait for the reader, about half a minute; what comes when that is
/// full waits in the rings of the devices.
const MOST_WAITING: usize = 512;
/// Blocks that one read takes.
const AT_ONCE: usize = 64;
/// How long a device may take to open.
const PATIENCE: Duration = Duration::from_secs(8);
/// How often silence is given while a source is away.
const TICK: Duration = Duration::from_millis(20);
/// How often time passes for lanes when nothing comes.
const LOOK: Duration = Duration::from_millis(100);

/// How sources are opened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OpenOptions {
    /// How many times as fast as it sounds a [`Source::File`] is given: 1 as if it were live, 0 as
    /// fast as it is taken.
    pub speed: f64,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { speed: 1.0 }
    }
}

/// Listens to `sources`, mixed if there are several; a source named twice counts once. Blocks until
/// all of them give audio (usually well below a second), and their time begins then.
///
/// The returned [`Capture`] holds on to some half a minute of audio for each source when nobody
/// reads. Dropping it closes the devices.
///
/// # Errors
/// [`CaptureError`] if a source cannot be opened: there must be each of them at the beginning.
pub fn open(sources: &[Source], options: &OpenOptions) -> Result<Box<dyn Capture>, CaptureError> {
    let mut wanted: Vec<&Source> = Vec::new();
    for source in sources {
        if !wanted.contains(&source) {
            wanted.push(source);
        }
    }
    if wanted.is_empty() {
        return Err(CaptureError::Unsupported("no source of audio is chosen".to_owned()));
    }
    // Files first: what is wrong with one is known at once.
    let mut readers = Vec::new();
    for source in &wanted {
        readers.push(match source {
            Source::File(path) => Some(AudioReader::open(path)?),
            _ => None,
        });
    }
    let meter = Arc::new(Meter::new(wanted.len()));
    let (sender, messages) = bounded(MOST_WAITING);
    let mut feeds = Feeds::default();
    let (mut waiting, mut files) = (Vec::new(), Vec::new());
    for (lane, (source, reader)) in wanted.iter().zip(readers).enumerate() {
        let (sender, stop) = (Some(sender.clone()), feeds.stop());
        let post = Post { lane, sender, meter: meter.clone(), stop };
        match reader {
            Some(reader) => {
                waiting.push(None);
                files.push((reader, post));
            }
            None => {
                let (told, opened) = bounded(1);
                waiting.push(Some(opened));
                let source = (*source).clone();
                feeds.start(move || feed::run(&source, &post, Some(told)))?;
            }
        }
    }
    let (mut lanes, mut names) = (Vec::new(), Vec::new());
    for (source, opened) in wanted.iter().zip(waiting) {
        let Some(opened) = opened else {
            lanes.push(Lane::file());
            names.push(name_of(source));
            continue;
        };
        let (name, quiet) = opened.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let reason = "it does not open; does the sound system hang?".to_owned();
            Err(CaptureError::Device { source_name: source.to_string(), reason })
        })?;
        lanes.push(Lane::device(quiet));
        names.push(name);
    }
    let began = Instant::now();
    for (reader, post) in files {
        let speed = options.speed;
        feeds.start(move || file::run(reader, speed, &post))?;
    }
    let (mixer, told) = (Mixer::default(), VecDeque::new());
    Ok(Box::new(Opened { messages, lanes, mixer, told, names, meter, began, _feeds: feeds }))
}

fn name_of(source: &Source) -> String {
    match source {
        Source::File(path) => path
            .file_name()
            .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned()),
        other => other.to_string(),
    }
}

/// Sources that are open.
struct Opened {
    messages: Receiver<Message>,
    lanes: Vec<Lane>,
    mixer: Mixer,
    /// What is to be told behind samples that came before it.
    told: VecDeque<Heard>,
    names: Vec<String>,
    meter: Arc<Meter>,
    began: Instant,
    /// Last: threads end when nobody listens.
    _feeds: Feeds,
}

impl Opened {
    fn take(&mut self, Message { lane: number, news }: Message) -> Result<(), CaptureError> {
        let Some(lane) = self.lanes.get_mut(number) else { return Ok(()) };
        match news {
            // From before the other sources were there.
            News::Block { at, .. } if lane.clocked() && at < self.began => {}
            News::Block { samples, lost, at } => {
                if lane.push(&samples, lost, at.saturating_duration_since(self.began).as_secs_f64()) {
                    let source = self.names.get(number).cloned().unwrap_or_default();
                    self.told.push_back(Heard::Back { source });
                }
            }
            News::Gone { source, reason } => {
                lane.leave();
                self.told.push_back(Heard::Gone { source, reason });
            }
            News::Back { source } => {
                lane.resume();
                if let Some(name) = self.names.get_mut(number) {
                    name.clone_from(&source);
                }
                self.told.push_back(Heard::Back { source });
            }
            News::Ended => lane.end(),
            News::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Lets time pass for all lanes.
    fn advance(&mut self) {
        let now = self.began.elapsed().as_secs_f64();
        for (lane, name) in self.lanes.iter_mut().zip(&self.names) {
            if lane.advance(now) {
                let reason = "it gives no audio".to_owned();
                self.told.push_back(Heard::Gone { source: name.clone(), reason });
            }
        }
    }

    /// Takes what waits; lets time pass if that was all.
    fn take_waiting(&mut self) -> Result<(), CaptureError> {
        for _ in 0..AT_ONCE {
            match self.messages.try_recv() {
                Ok(message) => self.take(message)?,
                Err(_) => {
                    self.advance();
                    break;
                }
            }
        }
        Ok(())
    }
}

impl Capture for Opened {
    fn read(&mut self, patience: Duration, into: &mut Vec<f32>) -> Result<Heard, CaptureError> {
        let end = Instant::now() + patience;
        loop {
            if let Some(told) = self.told.pop_front() {
                return Ok(told);
            }
            self.take_waiting()?;
            let added = self.mixer.mix(&mut self.lanes, into);
            let lost = self.lanes.iter_mut().map(Lane::take_lost).sum();
            self.meter.lose(lost);
            let left = end.saturating_duration_since(Instant::now());
            if added > 0 || lost > 0 || left.is_zero() && self.told.is_empty() {
                return Ok(Heard::Samples { lost });
            }
            if !self.told.is_empty() {
                continue;
            }
            if self.lanes.iter().all(|lane| lane.ended() && lane.ready() == 0) {
                return Ok(Heard::Ended);
            }
            let step = if self.lanes.iter().any(Lane::away) { TICK } else { LOOK };
            match self.messages.recv_timeout(left.min(step)) {
                Ok(message) => self.take(message)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let (source_name, reason) = (self.names.join(", "), "it ended".to_owned());
                    return Err(CaptureError::Device { source_name, reason });
                }
            }
        }
    }

    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn meter(&self) -> Arc<Meter> {
        self.meter.clone()
    }
}
