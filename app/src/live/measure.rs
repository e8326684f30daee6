//! What an utterance took.

use super::event::Timing;
use std::time::{Duration, Instant};

/// Gathers the numbers of one utterance.
#[derive(Debug, Default)]
pub struct Measure {
    first_partial: Option<f64>,
    /// Sum and count of words' lags.
    lags: (f64, u32),
    on_screen: String,
    /// Characters taken back.
    erased: usize,
    decoding: Duration,
    partials: u32,
}

impl Measure {
    /// A text is shown now; `onset` is when speech began.
    pub fn shows(&mut self, text: String, onset: Option<Instant>) {
        if self.partials == 0 {
            self.first_partial = onset.map(|onset| onset.elapsed().as_secs_f64());
        }
        self.partials += 1;
        self.replace(text);
    }

    /// A word is committed now; `stood` is when the audio of its first hypothesis arrived.
    pub fn commits(&mut self, stood: Instant) {
        self.lags.0 += stood.elapsed().as_secs_f64();
        self.lags.1 += 1;
    }

    /// The engine was busy for so long.
    pub fn decodes(&mut self, time: Duration) {
        self.decoding += time;
    }

    /// The final text is shown now, of so many seconds of audio.
    pub fn finish(
        &mut self,
        text: &str,
        seconds: f64,
        decided: Instant,
        speech_end: Option<Instant>,
    ) -> Timing {
        self.replace(text.to_owned());
        let characters = text.chars().count();
        let (sum, words) = self.lags;
        Timing {
            first_partial: self.first_partial,
            commit_lag: (words > 0).then(|| sum / f64::from(words)),
            to_final: decided.elapsed().as_secs_f64(),
            since_speech: speech_end.unwrap_or(decided).elapsed().as_secs_f64(),
            flicker: self.erased as f64 / characters.max(1) as f64,
            real_time_factor: self.decoding.as_secs_f64() / seconds.max(0.001),
            partials: self.partials,
        }
    }

    fn replace(&mut self, text: String) {
        let same = self.on_screen.chars().zip(text.chars()).take_while(|(a, b)| a == b).count();
        self.erased += self.on_screen.chars().count() - same;
        self.on_screen = text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_back_counts_and_what_is_added_does_not() {
        let mut measure = Measure::default();
        let now = Instant::now();
        for text in ["I saw", "I saw the c", "I saw a car"] {
            measure.shows(text.to_owned(), Some(now));
        }
        let timing = measure.finish("I saw a car.", 2.0, now, None);
        // "the c" went away: of "I saw the c", six characters and the space stayed.
        assert_eq!(timing.flicker, 5.0 / 12.0);
        assert_eq!(timing.partials, 3);
        assert_eq!(timing.commit_lag, None);
    }
}
