//! The thread that listens: audio to utterances.

use super::ear::Ear;
use super::event::{Event, Status};
use super::options::LiveOptions;
use super::session::{Control, Opener};
use crate::capture::{Capture, Heard, Recorder};
use crate::machine;
use anyhow::Context;
use crossbeam_channel::Sender;
use partita_audio::SAMPLE_RATE;
use partita_audio::vad::{VadOptions, VoiceActivity};
use std::time::{Duration, Instant};

/// Longest wait for audio; also how soon the thread sees that it is asked something.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long audio may take from the microphone to here.
const ON_ITS_WAY: Duration = Duration::from_millis(200);
/// Seconds of utterances that may wait before a source that can wait is made to.
const ENOUGH: f64 = 60.0;

/// How the voice is found.
fn vad_options(options: &LiveOptions) -> VadOptions {
    VadOptions {
        threshold: options.threshold,
        negative_threshold: options.threshold - 0.15,
        minimum_speech: options.minimum_speech,
        hang_over: options.hang_over,
        pre_roll: options.pre_roll,
        maximum: options.longest,
        ..VadOptions::live()
    }
}

/// Seconds of so many samples.
pub(super) fn seconds(samples: u64) -> f64 {
    samples as f64 / f64::from(SAMPLE_RATE)
}

/// What the thread opens.
pub(super) struct Opened {
    pub capture: Opener<Box<dyn Capture>>,
    pub detector: Opener<(Box<dyn VoiceActivity>, Option<String>)>,
    pub record: Option<Opener<Recorder>>,
}

/// Runs until the source ends, or is asked to stop.
pub(super) fn listen(control: &Control, open: Opened, sources: &Sender<Vec<String>>) {
    let mut heard = Ending { control, position: 0, lost: 0 };
    if let Err(error) = run(control, open, sources, &mut heard) {
        control.fail(&error);
    }
}

/// What was heard and lost; when the thread ends, however it ends, whoever writes is told.
struct Ending<'a> {
    control: &'a Control,
    position: u64,
    lost: u64,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.control.fail(&anyhow::anyhow!("a fault of the program ended the listening"));
        }
        self.control.queue.end(seconds(self.position), seconds(self.lost));
    }
}

fn run(
    control: &Control,
    open: Opened,
    sources: &Sender<Vec<String>>,
    heard: &mut Ending<'_>,
) -> anyhow::Result<()> {
    let mut capture = (open.capture)()?;
    let _ = control.meter.set(capture.meter());
    let mut recorder = open.record.and_then(|record| match record() {
        Ok(recorder) => Some(recorder),
        Err(error) => {
            control.tell(Event::Warning { message: format!("audio is not kept: {error:#}") });
            None
        }
    });
    let (detector, instead) = (open.detector)()?;
    if let Some(message) = instead {
        control.tell(Event::Warning { message });
    }
    let mut ear = Ear::new(detector, vad_options(&control.options()));
    // The writing thread waits for this, or has failed, which ends this thread soon.
    let _ = sources.send(capture.names());
    let mut changes = control.changes();
    let mut pausing = false;
    let mut report = Report::new(control);
    let mut samples = Vec::new();
    let mut last_words = LastWords::default();
    while !control.is_stopping() || last_words.are_due(control, capture.as_ref()) {
        while capture.can_wait() && control.queue.backlog() > ENOUGH && !control.is_stopping() {
            std::thread::sleep(PATIENCE);
        }
        samples.clear();
        match capture.read(PATIENCE, &mut samples)? {
            Heard::Samples { lost: missing } => heard.lost += missing,
            Heard::Gone { source, reason } => control.tell(Event::SourceLost { source, reason }),
            Heard::Back { source } => control.tell(Event::SourceBack { source }),
            Heard::Ended => break,
        }
        let pauses = control.is_paused();
        let warning = recorder.as_mut().and_then(|recorder| match pauses {
            // What is said in a pause is kept nowhere; times stay right.
            true => recorder.write(&vec![0.0; samples.len()]),
            false => recorder.write(&samples),
        });
        if let Some(message) = warning {
            control.tell(Event::Warning { message });
        }
        if control.changes() != changes {
            changes = control.changes();
            ear.set_options(&vad_options(&control.options()));
        }
        let mut ended = Vec::new();
        if pauses {
            if !pausing {
                ended = ear.flush().context("voice activity")?;
            }
            ear.skip(samples.len() as u64);
        } else {
            if let Some((from, to)) = control.take_cut() {
                ended = ear.cut(from, to);
            }
            ended.extend(ear.push(&samples).context("voice activity")?);
        }
        pausing = pauses;
        let thrown = control.queue.update(ear.position(), ended, ear.speaking());
        if thrown > 0 {
            heard.lost += thrown;
            let seconds = seconds(thrown);
            let message =
                format!("this machine is too slow: {seconds:.0} s of speech were skipped");
            control.tell(Event::Warning { message });
        }
        heard.position = ear.position();
        report.tell(control, &ear, heard.lost);
    }
    let ended = ear.flush().context("voice activity")?;
    control.queue.update(ear.position(), ended, None);
    heard.position = ear.position();
    if let Some(message) = recorder.and_then(|mut recorder| recorder.finish()) {
        control.tell(Event::Warning { message });
    }
    Ok(())
}

/// Audio that was spoken before the end was asked for and is still on its way from the device.
#[derive(Default)]
struct LastWords {
    until: Option<Instant>,
}

impl LastWords {
    fn are_due(&mut self, control: &Control, capture: &dyn Capture) -> bool {
        let until = *self.until.get_or_insert_with(|| Instant::now() + ON_ITS_WAY);
        let wanted = !capture.can_wait() && !control.is_paused();
        wanted && !control.is_hurrying() && !control.has_failed() && Instant::now() < until
    }
}

/// Tells about once a second how the session is doing.
struct Report {
    last: Instant,
    busy: Duration,
}

impl Report {
    fn new(control: &Control) -> Self {
        Self { last: Instant::now(), busy: control.busy() }
    }

    fn tell<V: VoiceActivity>(&mut self, control: &Control, ear: &Ear<V>, lost: u64) {
        let passed = self.last.elapsed();
        if passed < Duration::from_secs(1) {
            return;
        }
        let busy = control.busy();
        let load = (busy - self.busy).as_secs_f64() / passed.as_secs_f64();
        (self.last, self.busy) = (Instant::now(), busy);
        control.tell(Event::Status(Status {
            seconds: seconds(ear.position()),
            backlog: control.queue.backlog(),
            lost: seconds(lost),
            speaking: ear.speaking().is_some_and(|(speaking, _)| speaking.counts),
            load,
            memory: machine::memory_mib().unwrap_or(0.0),
        }));
    }
}
