//! Several lanes into one.

use super::Lane;
use partita_audio::SAMPLE_RATE;

/// How often it is looked at whether a lane runs ahead: every two seconds.
const WINDOW: usize = 2 * SAMPLE_RATE as usize;
/// Samples by which a lane may run ahead of the slowest: 50 ms.
const SLACK: usize = SAMPLE_RATE as usize / 20;
/// Of so many samples of a lane that runs ahead one is left out: 2000 ppm, which nobody hears.
const SHED_EVERY: usize = 500;
/// Up to here sums are left as they are; beyond they are bent so that they stay below 1.
const KNEE: f32 = 0.8;

/// Mixes lanes sample by sample, in time with each other.
///
/// The slowest source sets the pace. Sources have clocks of their own, so one of them runs ahead
/// of another by up to a second in some hours; it loses single samples until it does so no more.
#[derive(Debug, Default)]
pub struct Mixer {
    paces: Vec<Pace>,
    mixed: usize,
}

/// How far one lane is ahead.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    /// The least that was left over in this window.
    least: Option<usize>,
    /// Samples to be left out.
    shed: usize,
    since_shed: usize,
}

impl Mixer {
    /// Takes from all lanes what they all have, and adds the mix behind `into`. A lane that has
    /// ended holds the others up no more. Returns how many samples were added.
    pub fn mix(&mut self, lanes: &mut [Lane], into: &mut Vec<f32>) -> usize {
        self.paces.resize(lanes.len(), Pace::default());
        let going = lanes.iter().filter(|lane| !lane.ended()).map(Lane::ready).min();
        let count = going.or_else(|| lanes.iter().map(Lane::ready).max()).unwrap_or(0);
        let start = into.len();
        into.resize(start + count, 0.0);
        let Some(mix) = into.get_mut(start..) else { return 0 };
        for (lane, pace) in lanes.iter_mut().zip(&mut self.paces) {
            for sample in mix.iter_mut() {
                *sample += lane.next().unwrap_or(0.0);
                pace.shed(lane);
            }
        }
        if lanes.len() > 1 {
            mix.iter_mut().for_each(|sample| *sample = bend(*sample));
            self.keep_pace(lanes, count);
        }
        count
    }

    fn keep_pace(&mut self, lanes: &[Lane], count: usize) {
        for (lane, pace) in lanes.iter().zip(&mut self.paces) {
            pace.least = Some(pace.least.map_or(lane.ready(), |least| least.min(lane.ready())));
        }
        self.mixed += count;
        if self.mixed < WINDOW {
            return;
        }
        self.mixed = 0;
        for (lane, pace) in lanes.iter().zip(&mut self.paces) {
            let ahead = pace.least.take().unwrap_or(0);
            pace.shed = if lane.clocked() && ahead > SLACK { ahead - SLACK / 2 } else { 0 };
        }
    }
}

impl Pace {
    /// One sample was taken; leaves out another one if it is time for that.
    fn shed(&mut self, lane: &mut Lane) {
        if self.shed == 0 {
            return;
        }
        self.since_shed += 1;
        if self.since_shed >= SHED_EVERY && lane.next().is_some() {
            self.since_shed = 0;
            self.shed -= 1;
        }
    }
}

/// A sum of samples within -1 to 1: unchanged up to 0.8, then ever flatter, without a corner.
fn bend(sum: f32) -> f32 {
    let over = sum.abs() - KNEE;
    if over <= 0.0 {
        return sum;
    }
    let room = 1.0 - KNEE;
    (KNEE + room * (over / room).tanh()).min(1.0).copysign(sum)
}
