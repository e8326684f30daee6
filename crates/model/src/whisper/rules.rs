//! Which tokens may come next.

use super::tokens::WhisperTokens;
use crate::search::Constraint;

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
}

impl Constraint for Rules {
    fn apply(&self, logits: &mut [f32], written: &[u32]) {
        let mut forbid = |id: u32| {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit = f32::NEG_INFINITY;
            }
        };
        self.always.iter().copied().for_each(&mut forbid);
        if written.is_empty() {
            self.first.iter().copied().for_each(&mut forbid);
        }
        if let Some(timestamps) = &self.timestamps {
            timestamps.apply(logits, written);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    const END: u32 = 256;
    /// Token of 0.00 s in the small tokenizer of the tests; times go to 1.20 s.
    const ZERO: u32 = 266;
    const COUNT: usize = 327;

    fn rules(steps: Option<u32>) -> Rules {
        let json = include_str!("../../tests/whisper/tokenizer.json");
        let tokens =
            WhisperTokens::parse(json, (COUNT, false), Path::new("tokenizer.json")).unwrap();
        assert_eq!((tokens.end, tokens.first_timestamp()), (END, ZERO));
        Rules::new(&tokens, &[1, 2], &[3, END], steps)
    }

    /// Words, the end and times that may follow `written` when all are equally likely a priori.
    fn allowed(rules: &Rules, written: &[u32]) -> Vec<u32> {
        // Words far likelier than times, so that the times' common weight does not rule.
        let mut logits: Vec<f32> =
            (0..COUNT as u32).map(|id| if id < ZERO { 30.0 } else { 0.0 }).collect();
        rules.apply(&mut logits, written);
        (0..COUNT as u32).filter(|&id| logits[id as usize] > f32::NEG_INFINITY).collect()
    }

    fn times(from: u32, to: u32) -> impl Iterator<Item = u32> {
        (from..=to).map(|step| ZERO + step)
    }

    #[test]
    fn without_times_only_the_lists_rule() {
        let rules = rules(None);
        assert!(rules.timestamps.is_none());
        let first = allowed(&rules, &[]);
        assert!([1, 2, 3, END].iter().all(|id| !first.contains(id)));
        let later = allowed(&rules, &[10]);
        assert!([1, 2].iter().all(|id| !later.contains(id)));
        assert!([3, END].iter().all(|id| later.contains(id)));
        // From the start of a transcript to the last control token: for the prompt only.
        assert!((257..ZERO).all(|id| !later.contains(&id)));
    }

    #[test]
    fn times_come_in_pairs_and_do_not_go_back() {
        let rules = rules(Some(55));
        assert!(rules.timestamps.is_some());
        let words = || (0..=END).filter(|id| ![1, 2].contains(id));
        let at = |step: u32| ZERO + step;
        let cases: [(&[u32], Vec<u32>); 6] = [
            // First a time within a second.
            (&[], times(0, 50).collect()),
            // Then text, or nothing at all.
            (&[at(5)], words().collect()),
            // Then more text, or a later time, up to the end of the audio.
            (&[at(5), 72], words().chain(times(6, 55)).collect()),
            // A time behind text ends it; the next one begins there or later, or all ends.
            (&[at(5), 72, at(20)], [END].into_iter().chain(times(20, 55)).collect()),
            // Behind a pair comes text again.
            (&[at(5), 72, at(20), at(20)], words().collect()),
            // There is no time behind the last.
            (&[at(5), 72, at(55), at(55), 72], words().collect()),
        ];
        for (written, expected) in cases {
            assert_eq!(allowed(&rules, written), expected, "behind {written:?}");
        }
    }

    #[test]
    fn times_win_when_they_are_likelier_all_together() {
        let rules = rules(Some(60));
        let written = [ZERO, 72];
        // 60 times at 0 weigh ln 60 = 4.09 together.
        for (word, survives) in [(4.2, true), (4.0, false)] {
            let mut logits = vec![-50.0; COUNT];
            logits[70] = word;
            logits[ZERO as usize + 1..].fill(0.0);
            rules.apply(&mut logits, &written);
            assert_eq!(logits[70] > f32::NEG_INFINITY, survives, "word at {word}");
            assert!(logits[ZERO as usize + 1] > f32::NEG_INFINITY);
        }
    }

    proptest! {
        /// Whatever is chosen, something may follow, and the times of the whole never go back.
        #[test]
        fn a_text_always_goes_on(
            choices in prop::collection::vec((0.0..1.0f64, prop::bool::ANY), 1..60),
            steps in 0u32..200,
        ) {
            let rules = rules(Some(steps));
            let mut written = Vec::new();
            for (choice, wants_time) in choices {
                let open = allowed(&rules, &written);
                prop_assert!(!open.is_empty(), "nothing may follow {:?}", written);
                let wanted: Vec<u32> =
                    open.iter().copied().filter(|&id| (id >= ZERO) == wants_time).collect();
                let from = if wanted.is_empty() { &open } else { &wanted };
                let token = from[(choice * from.len() as f64) as usize];
                if token == END {
                    break;
                }
                written.push(token);
            }
            let times: Vec<u32> = written.iter().copied().filter(|&id| id >= ZERO).collect();
            prop_assert!(times.is_sorted() && times.iter().all(|id| id - ZERO <= steps));
            prop_assert!(times.first() == written.first());
        }
    }
}
