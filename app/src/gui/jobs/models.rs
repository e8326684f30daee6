//! Models: looked at, fetched, verified and removed, one after the other.

use crate::engines::WhisperImport;
use crate::gui::worker::{Answers, Wake, Worker};
use crate::store::{Progress, State, Store, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The window hears of progress so often.
const OFTEN: Duration = Duration::from_millis(100);

/// What the thread is asked.
#[derive(Debug)]
pub enum Ask {
    /// Which models are here.
    Look,
    /// To fetch a model, unless the flag is set.
    Pull(String, Arc<AtomicBool>),
    /// To read every byte of a model, unless the flag is set.
    Verify(String, Arc<AtomicBool>),
    /// To remove a model.
    Remove(String),
}

/// What the thread says.
#[derive(Debug)]
pub enum Say {
    /// Models of the catalogue, in its order: how much of each is here; `None` when it is for
    /// another platform.
    States(Vec<(String, Option<State>)>),
    /// What is being done for a model, and how many bytes of how many.
    At(String, String, u64, u64),
    /// It was done: one line.
    Done(String, String),
    /// It could not be done: one line or several.
    Failed(String, String),
    /// It was cancelled.
    Cancelled(String),
}

/// Starts the thread.
///
/// # Errors
/// When the system has no thread left.
pub fn start(store: Store, wake: Wake) -> std::io::Result<Worker<Ask, Say>> {
    Worker::start("models", wake, move |ask, out| {
        let (name, result) = match ask {
            Ask::Look => return look(&store, out),
            Ask::Pull(name, cancelled) => {
                let done = pull(&store, &name, cancelled, out);
                (name, done)
            }
            Ask::Verify(name, cancelled) => {
                let done = verify(&store, &name, cancelled, out);
                (name, done)
            }
            Ask::Remove(name) => {
                let done = store.remove(&name).map(|removed| {
                    format!("{name} is removed, {} are free again.", megabytes(removed.bytes))
                });
                (name, done)
            }
        };
        out.say(match result {
            Ok(text) => Say::Done(name, text),
            Err(StoreError::Cancelled) => Say::Cancelled(name),
            Err(error) => Say::Failed(name, error.to_string()),
        });
        look(&store, out);
    })
}

/// Bytes for people.
pub fn megabytes(bytes: u64) -> String {
    match bytes as f64 / 1e6 {
        small if small < 10.0 => format!("{small:.1} MB"),
        large if large < 1000.0 => format!("{large:.0} MB"),
        huge => format!("{:.2} GB", huge / 1e3),
    }
}

fn look(store: &Store, out: &Answers<Say>) {
    let state = |name: &str| store.state(name).ok();
    let models = store.catalogue().models.iter();
    out.say(Say::States(models.map(|m| (m.name.clone(), state(&m.name))).collect()));
}

fn pull(
    store: &Store,
    name: &str,
    cancelled: Arc<AtomicBool>,
    out: &Answers<Say>,
) -> Result<String, StoreError> {
    let mut watch = Watch::new(name, cancelled, out);
    let installed = store.pull(name, &mut watch)?;
    store.import(name, &WhisperImport::default(), &mut watch)?;
    Ok(match installed.fetched_from {
        Some(source) => format!("{name} is installed, from {source}."),
        None => format!("{name} is installed."),
    })
}

fn verify(
    store: &Store,
    name: &str,
    cancelled: Arc<AtomicBool>,
    out: &Answers<Say>,
) -> Result<String, StoreError> {
    let wrong = store.verify(name, &mut Watch::new(name, cancelled, out))?;
    Ok(match wrong.as_slice() {
        [] => format!("{name}: every byte is right."),
        [first, ..] => {
            let file = first.path.file_name().unwrap_or_default().to_string_lossy();
            let repair = "download it again to repair it";
            format!("{name}: {file} is not what it should be; {repair}.")
        }
    })
}

struct Watch<'a> {
    name: &'a str,
    step: String,
    total: u64,
    told: Instant,
    cancelled: Arc<AtomicBool>,
    out: &'a Answers<Say>,
}

impl<'a> Watch<'a> {
    fn new(name: &'a str, cancelled: Arc<AtomicBool>, out: &'a Answers<Say>) -> Self {
        Self { name, step: String::new(), total: 0, told: Instant::now(), cancelled, out }
    }

    fn tell(&mut self, done: u64) {
        self.told = Instant::now();
        self.out.say(Say::At(self.name.to_owned(), self.step.clone(), done, self.total));
    }
}

impl Progress for Watch<'_> {
    fn begin(&mut self, step: &str, total: u64) {
        (self.step, self.total) = (step.to_owned(), total);
        self.tell(0);
    }

    fn position(&mut self, done: u64) {
        if self.told.elapsed() >= OFTEN {
            self.tell(done);
        }
    }

    fn end(&mut self) {
        self.tell(self.total);
    }

    fn note(&mut self, text: &str) {
        self.step = text.to_owned();
        self.tell(self.total);
    }

    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}
