//! Which tokens may come next.

use super::tokens::WhisperTokens;

/// The rules of Whisper's own decoding: suppressed tokens, and the grammar of timestamps.
#[derive(Debug, Clone)]
pub struct Rules {
    always: Vec<u32>,
    first: Vec<u32>,
    timestamps: Option<Timestamps>,
}

#[derive(Debug, Clone)]
struct Timestamps {
    /// Token of 0.00 s.
    zero: u32,
    end: u32,
    /// Latest time of the first timestamp, in steps.
    latest_first: u32,
    /// Latest time of any, in steps: the audio's end.
    latest: u32,
}

/// Steps of 0.02 s in the second within which text must begin.
const FIRST_WITHIN: u32 = 50;

impl Rules {
    /// `always` and `first`: tokens that never come, and that never come first; with timestamps
    /// up to `steps` of 0.02 s if that is given.
    pub fn new(tokens: &WhisperTokens, always: &[u32], first: &[u32], steps: Option<u32>) -> Self {
        let mut always = always.to_vec();
        // Control tokens are for the prompt, never for the answer.
        always.extend(tokens.start..=tokens.no_timestamps);
        always.sort_unstable();
        always.dedup();
        let timestamps = steps.map(|latest| Timestamps {
            zero: tokens.first_timestamp(),
            end: tokens.end,
            latest_first: FIRST_WITHIN.min(latest),
            latest,
        });
        Self { always, first: first.to_vec(), timestamps }
    }

    /// Sets what must not follow `written` to -inf.
    pub fn apply(&self, logits: &mut [f32], written: &[u32]) {
        let mut forbid = |id: u32| {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit = f32::NEG_INFINITY;
            }
        };
        self.always.iter().copied().for_each(&mut forbid);
        if written.is_empty() {
            self.first.iter().copied().for_each(&mut forbid);
        }
        match &self.timestamps {
            Some(timestamps) => timestamps.apply(logits, written),
            None => {}
        }
    }

    /// Whether the answer carries timestamps.
    pub fn has_timestamps(&self) -> bool {
        self.timestamps.is_some()
    }
}

impl Timestamps {
    fn apply(&self, logits: &mut [f32], written: &[u32]) {
        let count = logits.len() as u32;
        let mut forbid = |from: u32, to: u32| {
            if let Some(range) = logits.get_mut(from.min(count) as usize..to.min(count) as usize) {
                range.fill(f32::NEG_INFINITY);
            }
        };
        forbid(self.zero.saturating_add(self.latest).saturating_add(1), count);
        let is_time = |id: &u32| *id >= self.zero;
        let last_is_time = written.last().is_some_and(is_time);
        // Times come in pairs, an end and the next beginning, except the very first.
        let before_is_time =
            written.len() < 2 || written.get(written.len() - 2).is_some_and(is_time);
        if last_is_time {
            match before_is_time {
                true => forbid(self.zero, count),
                false => forbid(0, self.end),
            }
        }
        // And they do not go back; text between two of them takes time.
        if let Some(&last) = written.iter().rev().find(|id| is_time(id)) {
            let next = if last_is_time && !before_is_time { last } else { last + 1 };
            forbid(self.zero, next);
        }
        if written.is_empty() {
            forbid(0, self.zero);
            forbid(self.zero + self.latest_first + 1, count);
        }
        // A time, whichever it is, wins over the likeliest word if all times together do.
        let (text, times) = logits.split_at_mut((self.zero as usize).min(count as usize));
        let likeliest = text.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let best = times.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if best > f32::NEG_INFINITY {
            let sum: f32 = times.iter().map(|x| (x - best).exp()).sum();
            if best + sum.ln() > likeliest {
                text.fill(f32::NEG_INFINITY);
            }
        }
    }
}
