//! What sessions are tested with: an engine that counts, a source that follows a script, and what is
//! read from the events.

use partita::capture::{Capture, CaptureError, Heard};
use partita::live::{Event, LiveOptions, Session, Setup, channel};
use partita_audio::SAMPLE_RATE;
use partita_audio::vad::EnergyGate;
use partita_model::ModelError;
use partita_model::engine::{
    Capabilities, Draft, Engine, LiveEngine, Request, Transcript, Written,
};
use std::time::Duration;

/// Samples of one word.
const WORD: usize = SAMPLE_RATE as usize / 2;

/// Writes a word for every half second.
pub struct Metronome {
    pub capabilities: Capabilities,
    pub heard: usize,
    pub calls: u32,
    /// Calls of `hear` that fail, by number.
    pub fails: fn(u32) -> bool,
    pub takes: Duration,
    /// Words after which it writes nothing more, whatever it hears.
    pub most: u32,
    /// Seconds that sound like German, whatever the rest of them are.
    pub mistaken: f64,
}

impl Metronome {
    pub fn new(fails: fn(u32) -> bool, takes: Duration) -> Self {
        let capabilities = Capabilities {
            engine: "metronome",
            languages: vec!["en".to_owned(), "de".to_owned()],
            translation_targets: vec!["de".to_owned()],
            timestamps: false,
            longest_window: 30.0,
        };
        Self { capabilities, heard: 0, calls: 0, fails, takes, most: u32::MAX, mistaken: 0.0 }
    }
}

impl Engine for Metronome {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn transcribe(&mut self, _: &[f32], _: &Request) -> Result<Transcript, ModelError> {
        Err(ModelError::Unsupported("only live".to_owned()))
    }
}

impl LiveEngine for Metronome {
    fn hear(&mut self, samples: &[f32]) -> Result<(), ModelError> {
        self.calls += 1;
        std::thread::sleep(self.takes);
        if (self.fails)(self.calls) {
            return Err(ModelError::Unsupported(format!("call {} fails", self.calls)));
        }
        self.heard = samples.len();
        Ok(())
    }

    fn write(&mut self, request: &Request, draft: Draft) -> Result<Written, ModelError> {
        let mut tokens: Vec<u32> = (0..self.most.min((self.heard / WORD) as u32)).collect();
        let forced = draft.tokens.get(..draft.forced).unwrap_or_default();
        for (token, &forced) in tokens.iter_mut().zip(forced) {
            *token = forced;
        }
        let seconds = self.heard as f64 / f64::from(SAMPLE_RATE);
        let sounds = if seconds < self.mistaken { "de" } else { "en" };
        let language = request.language.clone().unwrap_or(sounds.to_owned());
        Ok(Written { language, language_probability: 0.95, tokens, ..Written::default() })
    }

    fn translate(&mut self, target: &str, written: &Written) -> Result<String, ModelError> {
        Ok(format!("{target}:{}", written.tokens.len()))
    }

    fn spell(&self, tokens: &[u32]) -> Result<String, ModelError> {
        Ok(tokens.iter().map(|token| format!(" w{token}")).collect())
    }
}

/// What a source gives, one after the other.
#[derive(Clone)]
pub enum Step {
    Sound(f64),
    Silence(f64),
    Say(Heard),
    /// Gives silence for ever, at true speed.
    Hold,
    /// Is over for good.
    Break,
    /// A fault of the program.
    Panic,
}

struct Script {
    steps: std::vec::IntoIter<Step>,
    left: Option<(bool, usize)>,
    position: usize,
    hold: bool,
}

impl Script {
    fn new(steps: Vec<Step>) -> Self {
        Self { steps: steps.into_iter(), left: None, position: 0, hold: false }
    }
}

impl Capture for Script {
    fn read(&mut self, _: Duration, into: &mut Vec<f32>) -> Result<Heard, CaptureError> {
        if self.hold {
            std::thread::sleep(Duration::from_millis(20));
            into.extend([0.0; 320]);
            return Ok(Heard::Samples { lost: 0 });
        }
        let (sound, left) = match self.left.take() {
            Some(left) => left,
            None => match self.steps.next() {
                None => return Ok(Heard::Ended),
                Some(Step::Say(heard)) => return Ok(heard),
                Some(Step::Hold) => {
                    self.hold = true;
                    return Ok(Heard::Samples { lost: 0 });
                }
                Some(Step::Break) => {
                    let (source_name, reason) = ("script".to_owned(), "it broke".to_owned());
                    return Err(CaptureError::Device { source_name, reason });
                }
                Some(Step::Panic) => panic!("as the test wants it"),
                Some(Step::Sound(seconds)) => (true, (seconds * 16_000.0) as usize),
                Some(Step::Silence(seconds)) => (false, (seconds * 16_000.0) as usize),
            },
        };
        let now = left.min(800);
        for n in self.position..self.position + now {
            // Loudness goes up and down as in speech, so that the gate takes it for no noise.
            let level = 0.3 * (1.0 + (n as f32 / 1500.0).sin());
            into.push(if sound { level * (n as f32 * 0.2).sin() } else { 0.0 });
        }
        self.position += now;
        self.left = (left > now).then_some((sound, left - now));
        // Faster than true speed, and yet so that somebody hears it while it comes.
        std::thread::sleep(Duration::from_millis(2));
        Ok(Heard::Samples { lost: 0 })
    }

    fn can_wait(&self) -> bool {
        true
    }

    fn names(&self) -> Vec<String> {
        vec!["script".to_owned()]
    }
}

pub fn setup(steps: &[Step], engine: Metronome, options: LiveOptions) -> Setup {
    let steps = steps.to_vec();
    Setup {
        capture: Box::new(move || Ok(Box::new(Script::new(steps)))),
        engine: Box::new(move || Ok(Box::new(engine))),
        detector: Box::new(|| Ok((Box::new(EnergyGate::new()), None))),
        record: None,
        options,
    }
}

/// Runs a session to its end.
pub fn events(setup: Setup) -> Vec<Event> {
    let (tell, events) = channel();
    let session = Session::start(setup, tell).unwrap();
    let mut all = Vec::new();
    for event in events.iter() {
        let over = matches!(event, Event::Finished { .. } | Event::Failed { .. });
        all.push(event);
        if over {
            break;
        }
    }
    session.finish(Duration::from_secs(10));
    all.extend(events.try_iter());
    all
}

pub fn finals(events: &[Event]) -> Vec<(u64, f64, f64, String)> {
    let last = |event: &Event| match event {
        Event::Final { utterance, start, end, text, .. } => {
            Some((*utterance, *start, *end, text.clone()))
        }
        _ => None,
    };
    events.iter().filter_map(last).collect()
}

/// Every text of an utterance begins with what was committed of it before; returns how often
/// something was committed before the end.
pub fn check_append_only(events: &[Event]) -> usize {
    let mut kept = (0, String::new());
    let mut early = 0;
    for event in events {
        match event {
            Event::Started { utterance, .. } => kept = (*utterance, String::new()),
            Event::Partial { utterance, committed, .. } => {
                assert_eq!(*utterance, kept.0);
                assert!(committed.starts_with(&kept.1), "{committed:?} after {:?}", kept.1);
                early += usize::from(committed.len() > kept.1.len());
                kept.1.clone_from(committed);
            }
            Event::Final { utterance, text, .. } => {
                assert_eq!(*utterance, kept.0);
                assert!(text.starts_with(&kept.1), "{text:?} after {:?}", kept.1);
            }
            _ => {}
        }
    }
    early
}
