//! The thread that writes: utterances to text.

use super::event::Event;
use super::listening::seconds;
use super::measure::Measure;
use super::options::LiveOptions;
use super::queue::{Next, Utterance};
use super::scribe::{Said, Scribe};
use super::session::{Control, Opener};
use crate::engines;
use anyhow::Context;
use crossbeam_channel::Receiver;
use partita_audio::SAMPLE_RATE;
use partita_model::ModelError;
use partita_model::engine::LiveEngine;
use std::time::{Duration, Instant};

/// Longest wait for an utterance; also how soon the thread sees that it is asked something.
const PATIENCE: Duration = Duration::from_millis(50);
/// Silence after which a text is completed in advance, in samples: if it turns out to be the end,
/// nobody waits for the text.
const IN_ADVANCE: u64 = SAMPLE_RATE as u64 * 96 / 1000;
/// How far before and behind the place where a text stopped an utterance may be cut, in seconds.
const BEFORE_STOP: f64 = 0.2;
const BEHIND_STOP: f64 = 0.8;
/// Seconds of an utterance in which it is not cut: the silence before its first word is no end.
const FIRST_WORD: f64 = 0.6;
/// Speech between hearings where no text is shown meanwhile: they find where a text stops.
const UNSHOWN: Duration = Duration::from_millis(1500);
/// Failures in a row that end a session.
const MOST_FAILURES: u32 = 3;

/// Runs until nothing more is heard.
pub(super) fn write_down(
    control: &Control,
    engine: Opener<Box<dyn LiveEngine>>,
    sources: &Receiver<Vec<String>>,
) {
    if let Err(error) = run(control, engine, sources) {
        control.fail(&error);
        return;
    }
    if !control.has_failed() {
        let (seconds, lost) = control.queue.totals();
        control.tell(Event::Finished { seconds, lost });
    }
}

fn run(
    control: &Control,
    engine: Opener<Box<dyn LiveEngine>>,
    sources: &Receiver<Vec<String>>,
) -> anyhow::Result<()> {
    let options = control.options();
    let engine = engine()?;
    engines::check(engine.capabilities(), &options.languages, options.translate.as_ref())?;
    let mut scribe = Scribe::new(engine, options);
    // None come when the audio could not be opened; that has been told.
    let Ok(sources) = sources.recv() else { return Ok(()) };
    let can = scribe.engine().capabilities();
    let (languages, targets) = (can.languages.clone(), can.translation_targets.clone());
    control.tell(Event::Listening { sources, engine: can.engine.to_owned(), languages, targets });
    let mut now = Current::default();
    let mut failures = 0;
    loop {
        let options = control.options();
        let next = control.queue.wait(PATIENCE, |first| now.is_worth(first, &options));
        let result = match next {
            Next::Over => {
                now.abandon(control, &scribe);
                return Ok(());
            }
            Next::Nothing => continue,
            Next::Speaking(utterance) => {
                now.meet(control, &mut scribe, &utterance);
                now.follow(control, &mut scribe, &utterance, options.partials)
            }
            Next::Ended(utterance) => {
                if !utterance.samples.is_empty() {
                    now.meet(control, &mut scribe, &utterance);
                }
                let result = now.complete(control, &mut scribe, utterance);
                now.abandon(control, &scribe);
                result
            }
        };
        match result {
            Ok(()) => failures = 0,
            Err(error) => {
                failures += 1;
                if failures >= MOST_FAILURES {
                    now.abandon(control, &scribe);
                    return Err(error).context("recognition failed again and again");
                }
                control.tell(Event::Warning { message: error.to_string() });
            }
        }
    }
}

/// Between which samples of an utterance to cut it whose text stopped between two seconds of it.
fn place((before, since): (f64, f64)) -> (u64, u64) {
    let sample = |seconds: f64| (seconds.max(FIRST_WORD) * f64::from(SAMPLE_RATE)) as u64;
    (sample(before - BEFORE_STOP), sample(since + BEHIND_STOP))
}

/// The utterance at hand.
#[derive(Default)]
struct Current {
    /// Its number in the queue.
    number: u64,
    /// Its number in what is told: they are in order.
    told: u64,
    /// Whether nothing was told that closes it.
    open: bool,
    /// Its stretch of the session as last seen, in seconds.
    start: f64,
    end: f64,
    /// Samples of it that were heard last.
    heard: usize,
    /// Not heard again before this: the engine rests as long as it has worked.
    rests_until: Option<Instant>,
    /// What was completed in advance, should it end with the silence that began at this sample.
    ready: Option<Ready>,
    measure: Measure,
    /// Languages and target that the engine does not have, once that was told.
    refused: Option<(Vec<String>, Option<String>)>,
}

struct Ready {
    silence: u64,
    said: Said,
    /// `None` until it is known whether there is one: a text that has ended does not wait for it.
    translation: Option<Option<Said>>,
}

impl Current {
    /// Whether to hear an utterance again that is being spoken.
    fn is_worth(&self, utterance: &Utterance, options: &LiveOptions) -> bool {
        let known = self.number == utterance.number;
        if let Some(silence) = utterance.silence {
            return match self.ready.as_ref().filter(|ready| known && ready.silence == silence) {
                Some(ready) => ready.translation.is_none(),
                None => utterance.end() >= silence + IN_ADVANCE,
            };
        }
        let (heard, interval) = match (options.partials, known) {
            (false, _) => (if known { self.heard } else { 0 }, UNSHOWN),
            (true, false) => (0, Duration::ZERO),
            (true, true) => (self.heard, options.interval),
        };
        let fresh = utterance.samples.len().saturating_sub(heard);
        let rested = !known || self.rests_until.is_none_or(|until| Instant::now() >= until);
        rested && seconds(fresh as u64) >= interval.as_secs_f64()
    }

    /// Takes up an utterance if it is another than before.
    fn meet(&mut self, control: &Control, scribe: &mut Scribe, utterance: &Utterance) {
        if self.number != utterance.number {
            // Thrown away for want of room.
            self.abandon(control, scribe);
            let (number, told) = (utterance.number, self.told + 1);
            let refused = self.refused.take();
            *self = Self { number, told, refused, ..Self::default() };
            self.begin(control, scribe, utterance);
        }
        (self.start, self.end) = (seconds(utterance.start), seconds(utterance.end()));
    }

    fn begin(&mut self, control: &Control, scribe: &mut Scribe, utterance: &Utterance) {
        self.open = true;
        let mut options = control.options();
        let can = scribe.engine().capabilities();
        let wanted = (options.languages.clone(), options.translate.clone());
        let impossible = engines::check(can, &wanted.0, wanted.1.as_ref()).err();
        if impossible.is_some() {
            options.languages.retain(|code| can.languages.contains(code));
            options.translate = options.translate.filter(|to| can.translation_targets.contains(to));
        }
        scribe.begin(options);
        // The choice may be changed while it runs, and is told once that it cannot be met.
        if let Some(error) = impossible
            && self.refused.as_ref() != Some(&wanted)
        {
            control.tell(Event::Warning { message: error.to_string() });
            self.refused = Some(wanted);
        }
        let start = seconds(utterance.onset);
        control.tell(Event::Started { utterance: self.told, start });
    }

    /// Closes what nothing has closed: with what was committed, which stays in any case, or not at
    /// all.
    fn abandon(&mut self, control: &Control, scribe: &Scribe) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        let utterance = self.told;
        let shown = scribe.shown();
        if shown.committed.is_empty() {
            control.tell(Event::Dropped { utterance });
            return;
        }
        let (start, end) = (self.start, self.end);
        let (lang, text) = (shown.lang.clone().unwrap_or_default(), shown.committed.clone());
        let timing = self.measure.finish(&text, end - start, Instant::now(), None);
        control.tell(Event::Final { utterance, start, end, lang, text, timing });
    }

    /// Runs the engine and counts what it took.
    fn timed<T>(
        &mut self,
        control: &Control,
        run: impl FnOnce() -> Result<T, ModelError>,
    ) -> Result<T, ModelError> {
        let begun = Instant::now();
        let result = run();
        let took = begun.elapsed();
        control.was_busy(took);
        self.measure.decodes(took);
        self.rests_until = Some(Instant::now() + took);
        result
    }

    /// Hears an utterance that is being spoken.
    fn follow(
        &mut self,
        control: &Control,
        scribe: &mut Scribe,
        utterance: &Utterance,
        partials: bool,
    ) -> anyhow::Result<()> {
        if let Some(silence) = utterance.silence {
            return self.complete_in_advance(control, scribe, utterance, silence, partials);
        }
        self.heard = utterance.samples.len();
        let length = seconds(utterance.samples.len() as u64);
        let samples = &utterance.samples;
        let (changed, stopped) = self.timed(control, || {
            let changed = scribe.partial(samples, length)?;
            Ok((changed, scribe.stopped(samples, length, false)?))
        })?;
        if changed && partials {
            self.show(control, scribe, utterance, None);
        }
        if let Some((from, to)) = stopped.map(place) {
            control.ask_for_cut(utterance.start + from, utterance.start + to);
        }
        for stood in scribe.take_commits() {
            let sample = utterance.start + (stood * f64::from(SAMPLE_RATE)) as u64;
            if let Some(arrived) = control.queue.arrival(sample) {
                self.measure.commits(arrived);
            }
        }
        Ok(())
    }

    /// Completes an utterance that has probably ended, or translates it, if it was completed: one a
    /// call, for it may have ended meanwhile.
    fn complete_in_advance(
        &mut self,
        control: &Control,
        scribe: &mut Scribe,
        utterance: &Utterance,
        silence: u64,
        partials: bool,
    ) -> anyhow::Result<()> {
        if let Some(ready) = self.ready.take().filter(|ready| ready.silence == silence) {
            let translation = self.timed(control, || scribe.translation(&ready.said))?;
            self.ready = Some(Ready { translation: Some(translation), ..ready });
            return Ok(());
        }
        self.heard = utterance.samples.len();
        let said = self.timed(control, || scribe.complete(&utterance.samples))?;
        if partials && !said.text.is_empty() {
            self.show(control, scribe, utterance, Some(&said));
        }
        let translation = (!scribe.translates()).then_some(None);
        self.ready = Some(Ready { silence, said, translation });
        Ok(())
    }

    /// Shows what was heard so far, or all of it.
    fn show(
        &mut self,
        control: &Control,
        scribe: &Scribe,
        utterance: &Utterance,
        said: Option<&Said>,
    ) {
        let shown = scribe.shown().clone();
        let (lang, tail) = match said {
            Some(said) => {
                let rest = said.text.strip_prefix(shown.committed.as_str()).unwrap_or_default();
                (Some(said.lang.clone()), rest.to_owned())
            }
            None => (shown.lang, shown.tail),
        };
        let onset = control.queue.arrival(utterance.onset);
        self.measure.shows(format!("{}{tail}", shown.committed), onset);
        control.tell(Event::Partial {
            utterance: self.told,
            until: seconds(utterance.end()),
            lang,
            committed: shown.committed,
            tail,
        });
    }

    /// Completes an utterance that has ended.
    fn complete(
        &mut self,
        control: &Control,
        scribe: &mut Scribe,
        mut utterance: Utterance,
    ) -> anyhow::Result<()> {
        if self.number != utterance.number {
            return Ok(());
        }
        let number = self.told;
        let ready = self.ready.take().filter(|ready| Some(ready.silence) == utterance.silence);
        let (said, mut translation) = match ready {
            Some(Ready { said, translation, .. }) => (said, translation),
            None if utterance.samples.is_empty() => (Said::default(), Some(None)),
            None if control.is_hurrying() => {
                let shown = scribe.shown();
                let text = format!("{}{}", shown.committed, shown.tail).trim().to_owned();
                (Said { lang: shown.lang.clone().unwrap_or_default(), text }, Some(None))
            }
            None => (self.timed(control, || scribe.complete(&utterance.samples))?, None),
        };
        if said.text.is_empty() {
            return Ok(());
        }
        let spoken = utterance.silence.unwrap_or(utterance.end()).saturating_sub(utterance.start);
        let stopped = match control.is_hurrying() {
            true => None,
            false => {
                let spoken = seconds(spoken);
                self.timed(control, || scribe.stopped(&utterance.samples, spoken, true))?
            }
        };
        if let Some((from, to)) = stopped.map(place) {
            control.queue.put_back(utterance.split_off(from as usize, to as usize));
            if scribe.translates() {
                self.timed(control, || scribe.hear(&utterance.samples))?;
                translation = None;
            }
        }
        self.open = false;
        scribe.close(&said);
        let (start, end) = (seconds(utterance.start), seconds(utterance.end()));
        let decided = utterance.ended.unwrap_or_else(Instant::now);
        let speech_end = utterance.silence.and_then(|sample| control.queue.arrival(sample));
        let timing = self.measure.finish(&said.text, end - start, decided, speech_end);
        let (lang, text) = (said.lang.clone(), said.text.clone());
        control.tell(Event::Final { utterance: number, start, end, lang, text, timing });
        let translation = match translation {
            Some(known) => known,
            None => self.timed(control, || scribe.translation(&said))?,
        };
        if let Some(Said { lang, text }) = translation {
            let to_translation = decided.elapsed().as_secs_f64();
            control.tell(Event::Translation { utterance: number, lang, text, to_translation });
        }
        Ok(())
    }
}
