//! One source on the session's timeline: sample `n` of a lane is what sounded `n / 16000` seconds
//! after the session began.
//!
//! # How losses are found
//!
//! Where the ring overflowed the loss is known, sample by sample. What the system lost is not told
//! by any platform in a way to rely on; only the clock tells. The *lag* of a lane is the time by the
//! monotonic clock less the time that its samples last, looked at whenever a block arrives. Audio
//! cannot arrive before it sounded, so the lag has a floor, the latency of the device, and jitter
//! only ever lifts it above that floor. A loss lifts the floor itself, for good. So:
//!
//! - the floor follows a lower lag at once, and rises by at most [`DRIFT`] of the time: devices'
//!   clocks are wrong by some 100 ppm, never by 500, so drift never looks like a loss, however long
//!   the session. (What is lost more slowly than 1.8 s an hour thus cannot be told from drift.)
//! - a lag of more than [`TOLERANCE`] above the floor is suspicious. It may still be audio that is
//!   only late, held up in buffers while the machine was busy or the process was stopped: then it
//!   arrives faster than it sounded, and the lag falls with every block. Only when the lag has not
//!   fallen for [`PATIENCE`] is the audio lost; the patience is counted from the arrival of blocks,
//!   so a process that was stopped decides nothing about the time it did not see.
//! - smaller losses add up on the floor until they pass the tolerance together.
//!
//! Meanwhile audio is held back, so that the silence stands where the loss was: behind what was
//! still in the buffers, before what came in time again.

use partita_audio::SAMPLE_RATE;
use std::collections::VecDeque;

/// How much faster or slower than the system's clock a device's may run.
const DRIFT: f64 = 500e-6;
/// Seconds by which a block may be late, and stay late, before audio counts as lost.
const TOLERANCE: f64 = 0.25;
/// Seconds without further catching up until a lag is a loss.
const PATIENCE: f64 = 0.5;
/// A lag that falls by less has not fallen.
const FALL: f64 = 0.02;
/// A source that gives nothing for so many seconds is away, whatever its system says.
const STALL: f64 = 5.0;
/// The same for one that gives nothing while nothing is played.
const QUIET_STALL: f64 = 0.25;
/// Waiting in steps longer than this is time during which this process did not run.
const STEP: f64 = 0.2;
/// Silence for a source that is away stays so far behind the clock, as audio would: so it never
/// takes the place of the first block after it.
const BEHIND: f64 = 0.1;
const RATE: f64 = SAMPLE_RATE as f64;

/// One source's samples, laid out on the session's time. Times are seconds since its beginning, by
/// a clock that never jumps; it is an argument, so everything here can be tried without waiting.
#[derive(Debug)]
pub struct Lane {
    kind: Kind,
    state: State,
    ready: VecDeque<f32>,
    /// Samples laid out so far, the held ones not counted.
    laid: u64,
    suspicion: Option<Suspicion>,
    floor: f64,
    /// When the last block arrived.
    last: f64,
    idle: f64,
    looked: f64,
    lost: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Its samples are all there is; no clock.
    File,
    Device { quiet: bool },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// A stream was opened and has given nothing yet.
    Fresh,
    Running,
    /// Nobody said so, but it gives nothing: silence stands for it.
    Stalled,
    Away,
    Ended,
}

/// Audio that is late, and may turn out to be behind a loss.
#[derive(Debug)]
struct Suspicion {
    lowest: f64,
    since: f64,
    held: Vec<f32>,
}

impl Lane {
    /// A lane for a device; a `quiet` one gives nothing at all while nothing is played, and then
    /// silence is what was heard.
    pub fn device(quiet: bool) -> Self {
        Self::new(Kind::Device { quiet })
    }

    /// A lane for a file: whatever comes stands behind what came before.
    pub fn file() -> Self {
        Self::new(Kind::File)
    }

    fn new(kind: Kind) -> Self {
        Self {
            kind,
            state: State::Fresh,
            ready: VecDeque::new(),
            laid: 0,
            suspicion: None,
            floor: 0.0,
            last: 0.0,
            idle: 0.0,
            looked: 0.0,
            lost: 0,
        }
    }

    /// Takes 16 kHz samples that arrived at `now`; `lost` samples are known to be missing before
    /// them. True if a source that [`advance`](Self::advance) found to give no audio gives some
    /// again.
    pub fn push(&mut self, samples: &[f32], lost: u64, now: f64) -> bool {
        let Kind::Device { quiet } = self.kind else {
            self.lay(samples);
            return false;
        };
        self.idle = 0.0;
        if self.state != State::Running {
            let stalled = self.state == State::Stalled;
            self.silence(self.due(now, samples.len()));
            self.lay(samples);
            self.state = State::Running;
            self.floor = self.lag(now, 0);
            self.last = now;
            return stalled && !quiet;
        }
        self.place(samples, lost, now);
        false
    }

    /// Takes the next samples of a stream that runs.
    fn place(&mut self, samples: &[f32], lost: u64, now: f64) {
        if lost > 0 {
            self.release();
            self.silence(lost);
            self.lost += lost;
        }
        let held = self.suspicion.as_ref().map_or(0, |suspicion| suspicion.held.len());
        let lag = self.lag(now, held + samples.len());
        self.floor = lag.min(self.floor + DRIFT * (now - self.last).max(0.0));
        self.last = now;
        if lag - self.floor <= TOLERANCE {
            self.release();
            return self.lay(samples);
        }
        match &mut self.suspicion {
            Some(suspicion) if lag > suspicion.lowest - FALL => {
                suspicion.held.extend_from_slice(samples);
                suspicion.lowest = suspicion.lowest.min(lag);
                if now - suspicion.since >= PATIENCE {
                    let missing = samples_in(suspicion.lowest - self.floor);
                    self.silence(missing);
                    if self.kind != (Kind::Device { quiet: true }) {
                        self.lost += missing;
                    }
                    self.release();
                }
            }
            // It still catches up: what was held came out of a buffer, from before the loss.
            _ => {
                self.release();
                let held = samples.to_vec();
                self.suspicion = Some(Suspicion { lowest: lag, since: now, held });
            }
        }
    }

    /// The source is away: silence stands for it from here on.
    pub fn leave(&mut self) {
        self.release();
        if self.kind != Kind::File && self.state != State::Ended {
            self.state = State::Away;
        }
    }

    /// Another stream takes over; its first block tells when.
    pub fn resume(&mut self) {
        self.release();
        self.state = match self.state {
            State::Running => State::Fresh,
            State::Stalled => State::Away,
            other => other,
        };
        self.idle = 0.0;
    }

    /// There will be no more.
    pub fn end(&mut self) {
        self.release();
        self.state = State::Ended;
    }

    /// Lets time pass until `now`, when all that has arrived was pushed. Gives silence while the
    /// source is away. True once when a source that should give audio turns out to give none.
    pub fn advance(&mut self, now: f64) -> bool {
        let Kind::Device { quiet } = self.kind else { return false };
        self.idle += (now - self.looked).clamp(0.0, STEP);
        self.looked = now;
        match self.state {
            State::Ended => false,
            State::Away | State::Stalled => {
                self.silence(self.due(now - BEHIND, 0));
                false
            }
            State::Fresh | State::Running => {
                let stalled = self.idle > if quiet { QUIET_STALL } else { STALL };
                if stalled {
                    self.release();
                    self.state = State::Stalled;
                }
                stalled && !quiet
            }
        }
    }

    /// Samples that can be taken.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Whether there will be no more than what is ready.
    pub fn ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether silence is given in place of the source.
    pub fn away(&self) -> bool {
        matches!(self.state, State::Away | State::Stalled)
    }

    /// Whether its speed is that of a device's clock.
    pub fn clocked(&self) -> bool {
        self.kind != Kind::File
    }

    /// Takes the next sample.
    pub fn next(&mut self) -> Option<f32> {
        self.ready.pop_front()
    }

    /// How many samples of silence stand for lost ones since the last call.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    fn lag(&self, now: f64, coming: usize) -> f64 {
        now - (self.laid + coming as u64) as f64 / RATE
    }

    /// Samples that are missing until `now`, before so many that come.
    fn due(&self, now: f64, coming: usize) -> u64 {
        samples_in(now).saturating_sub(self.laid + coming as u64)
    }

    fn lay(&mut self, samples: &[f32]) {
        self.ready.extend(samples);
        self.laid += samples.len() as u64;
    }

    fn silence(&mut self, samples: u64) {
        self.ready.extend(std::iter::repeat_n(0.0, usize::try_from(samples).unwrap_or(0)));
        self.laid += samples;
    }

    /// Lays out what was held back.
    fn release(&mut self) {
        if let Some(suspicion) = self.suspicion.take() {
            self.lay(&suspicion.held);
        }
    }
}

fn samples_in(seconds: f64) -> u64 {
    (seconds.max(0.0) * RATE).round() as u64
}
