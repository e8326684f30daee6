//! Utterances on their way from the ear to the scribe.

use super::ear::Ended;
use partita_audio::SAMPLE_RATE;
use partita_audio::vad::Speaking;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Audio that may wait, in samples: ten minutes. A machine that is slower than that for so long
/// loses the oldest, and says so; its memory does not grow.
const MOST_WAITING: usize = 600 * SAMPLE_RATE as usize;

/// One utterance, spoken or ended.
#[derive(Debug, Clone, Default)]
pub struct Utterance {
    /// Its own, and no more than that: what was cut has later ones than what follows it.
    pub number: u64,
    /// Its first sample in the session.
    pub start: u64,
    /// First sample of speech.
    pub onset: u64,
    /// Where the silence began that may end it, or has ended it.
    pub silence: Option<u64>,
    /// Its audio so far.
    pub samples: Vec<f32>,
    /// When it was decided that it has ended.
    pub ended: Option<Instant>,
}

impl Utterance {
    /// Takes away what was said behind its quietest place between two of its samples.
    pub fn split_off(&mut self, from: usize, to: usize) -> Self {
        const FRAME: usize = SAMPLE_RATE as usize / 25;
        let end = self.samples.len();
        let (from, to) = (from.min(end), to.clamp(from.min(end), end));
        let energy = |frame: &[f32]| frame.iter().map(|sample| sample * sample).sum::<f32>();
        let frames = self.samples.get(from..to).unwrap_or_default().chunks(FRAME).enumerate();
        let quietest = frames.min_by(|(_, a), (_, b)| energy(a).total_cmp(&energy(b)));
        let place = from + quietest.map_or(0, |(frame, _)| frame * FRAME + FRAME / 2);
        let samples = self.samples.split_off(place.min(end));
        let start = self.start + self.samples.len() as u64;
        Self { start, onset: start, samples, ..self.clone_without_audio() }
    }

    fn clone_without_audio(&self) -> Self {
        let Self { number, start, onset, silence, ended, .. } = *self;
        Self { number, start, onset, silence, samples: Vec::new(), ended }
    }

    /// One past its last sample in the session.
    pub fn end(&self) -> u64 {
        self.start + self.samples.len() as u64
    }
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Utterance>,
    numbered: u64,
    /// Nothing more comes; seconds heard and lost in all.
    over: Option<(f64, f64)>,
    /// When samples of the session arrived: the last ones, by number and time.
    clock: Option<(u64, Instant)>,
}

/// What [`Queue::wait`] found.
pub enum Next {
    /// The first utterance has ended, and is taken out.
    Ended(Utterance),
    /// The first utterance is being spoken; it stays.
    Speaking(Utterance),
    /// Nothing came in time.
    Nothing,
    /// There is nothing more, and there will be nothing.
    Over,
}

/// A queue whose last utterance may still grow.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // State is consistent after every statement, so that a panic elsewhere does no harm to it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what the ear has found up to sample `position`; returns how many samples had to be
    /// thrown away for want of room.
    pub fn update(
        &self,
        position: u64,
        ended: Vec<Ended>,
        speaking: Option<(Speaking, &[f32])>,
    ) -> u64 {
        let now = Instant::now();
        let mut state = self.lock();
        state.clock = Some((position, now));
        for utterance in ended {
            let Ended { segment, onset, speech_end, samples } = utterance;
            let open = state.waiting.back_mut().filter(|open| open.ended.is_none());
            let number = match open {
                Some(open) if open.start == segment.start => {
                    (open.samples, open.silence) = (samples, Some(speech_end));
                    open.ended = Some(now);
                    continue;
                }
                // What was begun turned out to be nothing: it ends with no audio.
                Some(open) => {
                    open.samples.clear();
                    open.ended = Some(now);
                    state.next_number()
                }
                None => state.next_number(),
            };
            let (start, silence, ended) = (segment.start, Some(speech_end), Some(now));
            state.waiting.push_back(Utterance { number, start, onset, silence, samples, ended });
        }
        let open = state.waiting.back_mut().filter(|open| open.ended.is_none());
        match (open, speaking) {
            (Some(open), Some((speaking, samples))) if open.start == speaking.start => {
                open.silence = speaking.silence;
                open.samples
                    .extend_from_slice(samples.get(open.samples.len()..).unwrap_or_default());
            }
            (open, speaking) => {
                if let Some(open) = open {
                    open.samples.clear();
                    open.ended = Some(now);
                }
                if let Some((speaking, samples)) = speaking.filter(|(speaking, _)| speaking.counts)
                {
                    let Speaking { start, onset, silence, .. } = speaking;
                    let (number, samples) = (state.next_number(), samples.to_vec());
                    state.waiting.push_back(Utterance {
                        number,
                        start,
                        onset,
                        silence,
                        samples,
                        ended: None,
                    });
                }
            }
        }
        let mut thrown = 0;
        while state.waiting_samples() > MOST_WAITING && state.waiting.len() > 1 {
            thrown += state.waiting.pop_front().map_or(0, |oldest| oldest.samples.len());
        }
        drop(state);
        self.changed.notify_all();
        thrown as u64
    }

    /// Puts back the rest of an utterance that has ended, as an utterance of its own: the next.
    pub fn put_back(&self, rest: Utterance) {
        let mut state = self.lock();
        let number = state.next_number();
        state.waiting.push_front(Utterance { number, ..rest });
    }

    /// Says that nothing more comes, and how many seconds were heard and lost in all. What is being
    /// spoken has ended.
    pub fn end(&self, heard: f64, lost: f64) {
        let mut state = self.lock();
        if let Some(open) = state.waiting.back_mut().filter(|open| open.ended.is_none()) {
            open.ended = Some(Instant::now());
        }
        state.over = Some((heard, lost));
        drop(state);
        self.changed.notify_all();
    }

    /// Seconds heard and lost in all, once that is known.
    pub fn totals(&self) -> (f64, f64) {
        self.lock().over.unwrap_or_default()
    }

    /// Waits at most `patience` for the first utterance to change so that `worth` says it is worth
    /// hearing, or to end.
    pub fn wait(&self, patience: Duration, worth: impl Fn(&Utterance) -> bool) -> Next {
        let until = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            match state.waiting.front() {
                Some(first) if first.ended.is_some() => {
                    return state.waiting.pop_front().map_or(Next::Nothing, Next::Ended);
                }
                Some(first) if worth(first) => return Next::Speaking(first.clone()),
                None if state.over.is_some() => return Next::Over,
                _ => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Nothing;
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }

    /// Seconds of utterances that have ended and wait.
    pub fn backlog(&self) -> f64 {
        let state = self.lock();
        let ended = state.waiting.iter().filter(|utterance| utterance.ended.is_some());
        ended.map(|utterance| utterance.samples.len()).sum::<usize>() as f64
            / f64::from(SAMPLE_RATE)
    }

    /// When a sample of the session arrived, by the last ones that did.
    pub fn arrival(&self, sample: u64) -> Option<Instant> {
        let (last, when) = self.lock().clock?;
        let ago = last.saturating_sub(sample) as f64 / f64::from(SAMPLE_RATE);
        when.checked_sub(Duration::from_secs_f64(ago))
    }
}

impl State {
    fn next_number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered
    }

    fn waiting_samples(&self) -> usize {
        self.waiting.iter().map(|utterance| utterance.samples.len()).sum()
    }
}
