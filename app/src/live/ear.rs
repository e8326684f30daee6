//! From a stream of audio to utterances, as they are spoken.

use partita_audio::AudioError;
use partita_audio::vad::{FRAME, Segment, Segmenter, Speaking, VadOptions, VoiceActivity};

/// An utterance that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// Its samples, from the beginning of the session.
    pub segment: Segment,
    /// First sample of its speech.
    pub onset: u64,
    /// Where its speech ended, before the pause that ended it.
    pub speech_end: u64,
    /// Its audio.
    pub samples: Vec<f32>,
}

/// Finds utterances in a stream and keeps their audio, and no more than that.
pub struct Ear<V> {
    segmenter: Segmenter<V>,
    /// Samples that may still be needed; the first of them is number `first` of the session.
    kept: Vec<f32>,
    first: u64,
    /// Number in the session of the segmenter's first sample.
    base: u64,
    /// The phrase at the last frame.
    speaking: Option<Speaking>,
}

impl<V: VoiceActivity> Ear<V> {
    /// At the beginning of a session.
    pub fn new(detector: V, options: VadOptions) -> Self {
        let segmenter = Segmenter::new(detector, options);
        Self { segmenter, kept: Vec::new(), first: 0, base: 0, speaking: None }
    }

    /// Listens with other options from now on.
    pub fn set_options(&mut self, options: &VadOptions) {
        self.segmenter.set_options(options);
    }

    /// Samples heard since the session began.
    pub fn position(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    /// Takes the next samples; gives the utterances that ended in them.
    ///
    /// # Errors
    /// As the detector's.
    pub fn push(&mut self, samples: &[f32]) -> Result<Vec<Ended>, AudioError> {
        let mut ended = Vec::new();
        for frame in samples.chunks(FRAME) {
            self.kept.extend_from_slice(frame);
            let found = self.segmenter.push(frame)?;
            ended.extend(found.into_iter().map(|segment| self.ended(segment)));
            self.speaking = self.segmenter.speaking();
        }
        self.forget();
        Ok(ended)
    }

    /// Ends what is being spoken at its best pause between two samples of the session; what was said
    /// behind it is another utterance.
    pub fn cut(&mut self, from: u64, to: u64) -> Vec<Ended> {
        let at = |sample: u64| sample.saturating_sub(self.base);
        let found = self.segmenter.cut(at(from), at(to));
        let ended = found.into_iter().map(|segment| self.ended(segment)).collect();
        self.speaking = self.segmenter.speaking();
        ended
    }

    /// Ends what is being spoken: what comes next is another utterance.
    ///
    /// # Errors
    /// As the detector's.
    pub fn flush(&mut self) -> Result<Vec<Ended>, AudioError> {
        let found = self.segmenter.finish()?;
        let ended = found.into_iter().map(|segment| self.ended(segment)).collect();
        self.speaking = None;
        self.base = self.position();
        self.drop_before(self.base);
        Ok(ended)
    }

    /// Lets time pass in which nothing is listened to; to be called after [`flush`](Self::flush).
    pub fn skip(&mut self, samples: u64) {
        self.first += samples;
        self.base += samples;
    }

    /// What is being spoken, in samples of the session, and its audio so far.
    pub fn speaking(&self) -> Option<(Speaking, &[f32])> {
        let now = self.speaking?;
        let speaking = Speaking {
            start: now.start + self.base,
            onset: now.onset + self.base,
            silence: now.silence.map(|silence| silence + self.base),
            counts: now.counts,
        };
        let from = speaking.start.saturating_sub(self.first) as usize;
        Some((speaking, self.kept.get(from..).unwrap_or_default()))
    }

    fn ended(&self, segment: Segment) -> Ended {
        let (start, end) = (segment.start + self.base, segment.end + self.base);
        let at = |sample: u64| (sample.saturating_sub(self.first) as usize).min(self.kept.len());
        let samples = self.kept.get(at(start)..at(end)).unwrap_or_default().to_vec();
        let known = self.speaking.filter(|speaking| speaking.start == segment.start);
        let onset = known.map_or(start, |speaking| speaking.onset + self.base);
        let silence = known.and_then(|speaking| speaking.silence);
        let speech_end = silence.map_or(end, |silence| silence + self.base).clamp(start, end);
        Ended { segment: Segment { start, end }, onset, speech_end, samples }
    }

    fn forget(&mut self) {
        let needed = self.segmenter.keep_from() + self.base;
        // Moving the rest to the front is worth it only for a second or more.
        if needed.saturating_sub(self.first) >= u64::from(partita_audio::SAMPLE_RATE) {
            self.drop_before(needed);
        }
    }

    fn drop_before(&mut self, sample: u64) {
        let count = (sample.saturating_sub(self.first) as usize).min(self.kept.len());
        self.kept.drain(..count);
        self.first += count as u64;
    }
}
