//! From probabilities to segments of speech, as a stream.

use std::time::Duration;

use super::{FRAME, VoiceActivity};
use crate::{AudioError, SAMPLE_RATE};

/// A stretch of speech, in samples at 16 kHz from the beginning of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// First sample.
    pub start: u64,
    /// One past the last sample.
    pub end: u64,
}

/// A phrase that has not ended yet, in samples from the beginning of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speaking {
    /// Where its segment will begin, pre-roll included.
    pub start: u64,
    /// First sample of speech.
    pub onset: u64,
    /// Where the silence began that may end it.
    pub silence: Option<u64>,
    /// Whether it is long enough already to become a segment.
    pub counts: bool,
}

/// How [`Segmenter`] cuts.
#[derive(Debug, Clone, PartialEq)]
pub struct VadOptions {
    /// Probability from which on a frame is speech.
    pub threshold: f32,
    /// Inside a phrase, a frame is silence only below this (at most `threshold`).
    pub negative_threshold: f32,
    /// Phrases shorter than this (without padding) are dropped.
    pub minimum_speech: Duration,
    /// Silence that ends a phrase. A segment is known this long after its last word.
    pub hang_over: Duration,
    /// Audio added in front of a phrase, as far as no other segment holds it.
    pub pre_roll: Duration,
    /// Audio added behind a phrase; at most `hang_over` counts.
    pub pad: Duration,
    /// Longest segment, padding included; at least one second. Longer speech is cut where speech
    /// was least likely in its last part.
    pub maximum: Duration,
    /// How much of the end of speech that grew too long may lie behind the cut.
    pub cut_within: Duration,
    /// From this length on, ever shorter pauses end a phrase, down to [`SHORTEST_PAUSE`] at the
    /// maximum.
    pub hurry_from: Duration,
}

/// The shortest pause that ends a phrase, however long it has become.
pub const SHORTEST_PAUSE: Duration = Duration::from_millis(96);

impl Default for VadOptions {
    /// For whole files: phrases of up to Whisper's 30 s, ended by one second of silence.
    fn default() -> Self {
        Self {
            threshold: 0.5,
            negative_threshold: 0.35,
            minimum_speech: Duration::from_millis(250),
            hang_over: Duration::from_millis(1000),
            pre_roll: Duration::from_millis(300),
            pad: Duration::from_millis(300),
            maximum: Duration::from_secs(30),
            cut_within: Duration::from_secs(15),
            hurry_from: Duration::from_secs(30),
        }
    }
}

impl VadOptions {
    /// For live captions: shorter phrases, ended sooner. A cut may not go far back, as its words are
    /// already on the screen.
    pub fn live() -> Self {
        Self {
            hang_over: Duration::from_millis(600),
            maximum: Duration::from_secs(20),
            cut_within: Duration::from_secs(1),
            hurry_from: Duration::from_secs(8),
            ..Self::default()
        }
    }
}

/// Options in samples and frames, made sane.
struct Limits {
    threshold: f32,
    negative: f32,
    minimum: u64,
    hang_over: u64,
    pre_roll: u64,
    pad: u64,
    maximum: u64,
    cut_within: u64,
    hurry_from: u64,
}

impl Limits {
    fn new(options: &VadOptions) -> Self {
        let samples = |duration: Duration| (duration.as_secs_f64() * f64::from(SAMPLE_RATE)) as u64;
        let fraction = |value: f32, other: f32| if value.is_finite() { value } else { other };
        let threshold = fraction(options.threshold, 0.5);
        let hang_over = samples(options.hang_over).max(FRAME as u64);
        let maximum = samples(options.maximum).max(SAMPLE_RATE.into());
        Self {
            threshold,
            negative: fraction(options.negative_threshold, threshold).min(threshold),
            minimum: samples(options.minimum_speech),
            hang_over,
            pre_roll: samples(options.pre_roll).min(maximum / 4),
            pad: samples(options.pad).min(hang_over),
            maximum,
            cut_within: samples(options.cut_within).min(maximum / 2),
            hurry_from: samples(options.hurry_from).min(maximum),
        }
    }

    /// The pause that ends a phrase which has become so long.
    fn pause_at(&self, length: u64) -> u64 {
        let shortest = (SHORTEST_PAUSE.as_secs_f64() * f64::from(SAMPLE_RATE)) as u64;
        let late = length.saturating_sub(self.hurry_from);
        let span = (self.maximum - self.hurry_from).max(1);
        let less = self.hang_over.saturating_sub(shortest) * late.min(span) / span;
        self.hang_over - less
    }
}

/// A phrase that has begun and not yet ended.
struct Phrase {
    /// First sample of the segment, pre-roll included.
    start: u64,
    /// First sample of speech (or of this part, after a cut).
    onset: u64,
    /// Where the silence began that may end the phrase.
    silence: Option<u64>,
    /// One past the last frame of speech; none yet if a cut was followed by silence only.
    spoken: Option<u64>,
    /// Goes on after a cut: not subject to the minimum.
    continued: bool,
    /// Probability of each frame since `first`.
    probabilities: Vec<f32>,
    first: u64,
}

/// Finds segments of speech in a stream of samples, as soon as they are known to have ended.
///
/// Segments are in order and do not overlap. It keeps no audio, only a number per frame of the
/// phrase at hand; [`keep_from`](Self::keep_from) tells its user which samples may still be needed.
///
/// ```
/// use partita_audio::vad::{EnergyGate, Segmenter, VadOptions};
/// let mut segmenter = Segmenter::new(EnergyGate::new(), VadOptions::default());
/// let tone: Vec<f32> = (0..16_000).map(|n| (n as f32 * 0.2).sin() * 0.3).collect();
/// let mut segments = segmenter.push(&vec![0.0; 16_000])?;
/// segments.extend(segmenter.push(&tone)?);
/// segments.extend(segmenter.push(&vec![0.0; 32_000])?);
/// segments.extend(segmenter.finish()?);
/// assert_eq!(segments.len(), 1);
/// # Ok::<(), partita_audio::AudioError>(())
/// ```
pub struct Segmenter<V> {
    detector: V,
    limits: Limits,
    /// Samples that do not fill a frame yet.
    rest: Vec<f32>,
    /// Samples seen, in whole frames.
    position: u64,
    /// End of the last segment given.
    last_end: u64,
    phrase: Option<Phrase>,
}

impl<V: VoiceActivity> Segmenter<V> {
    /// A segmenter at the beginning of a stream. Options out of range are moved into it.
    pub fn new(detector: V, options: VadOptions) -> Self {
        let limits = Limits::new(&options);
        let rest = Vec::with_capacity(FRAME);
        Self { detector, limits, rest, position: 0, last_end: 0, phrase: None }
    }

    /// Cuts with other options from now on.
    pub fn set_options(&mut self, options: &VadOptions) {
        self.limits = Limits::new(options);
    }

    /// Takes the next samples (16 kHz, mono; any count); gives the segments that ended in them.
    ///
    /// # Errors
    /// As the detector's.
    pub fn push(&mut self, mut samples: &[f32]) -> Result<Vec<Segment>, AudioError> {
        let mut segments = Vec::new();
        while !samples.is_empty() {
            let (now, later) = samples.split_at(samples.len().min(FRAME - self.rest.len()));
            self.rest.extend_from_slice(now);
            samples = later;
            if let Ok(frame) = <&[f32; FRAME]>::try_from(self.rest.as_slice()) {
                let probability = self.detector.probability(frame)?;
                self.rest.clear();
                self.advance(probability, &mut segments);
            }
        }
        Ok(segments)
    }

    /// Ends the stream: gives what is still open, and makes ready for another stream.
    ///
    /// # Errors
    /// As the detector's.
    pub fn finish(&mut self) -> Result<Vec<Segment>, AudioError> {
        let total = self.position + self.rest.len() as u64;
        let mut segments = Vec::new();
        if !self.rest.is_empty() {
            segments = self.push(&vec![0.0; FRAME - self.rest.len()])?;
        }
        if let Some(phrase) = self.phrase.take() {
            self.close(&phrase, &mut segments);
        }
        for segment in &mut segments {
            segment.end = segment.end.min(total);
        }
        segments.retain(|segment| segment.start < segment.end);
        self.reset();
        Ok(segments)
    }

    /// Cuts the phrase that is being spoken at its best pause between two samples; what comes behind
    /// it is another phrase. Gives what has ended by that: nothing where no phrase is open there.
    pub fn cut(&mut self, from: u64, to: u64) -> Vec<Segment> {
        let mut segments = Vec::new();
        let position = self.position;
        let open = self.phrase.take_if(|phrase| phrase.first <= from && from < position);
        if let Some(phrase) = open {
            self.phrase = Some(self.cut_phrase(phrase, (from, to), &mut segments));
        }
        segments
    }

    /// Forgets everything: the next sample is number 0 of another stream.
    pub fn reset(&mut self) {
        self.detector.reset();
        self.rest.clear();
        (self.position, self.last_end, self.phrase) = (0, 0, None);
    }

    /// The phrase that is being spoken, if one is.
    pub fn speaking(&self) -> Option<Speaking> {
        self.phrase.as_ref().map(|phrase| Speaking {
            start: phrase.start,
            onset: phrase.onset,
            silence: phrase.silence,
            counts: phrase.continued
                || phrase.spoken.is_some_and(|end| end - phrase.onset >= self.limits.minimum),
        })
    }

    /// Where the phrase that is being spoken begins, if one is.
    pub fn speaking_since(&self) -> Option<u64> {
        self.phrase.as_ref().map(|phrase| phrase.start)
    }

    /// No later segment begins before this sample: audio in front of it may be dropped.
    pub fn keep_from(&self) -> u64 {
        self.speaking_since().unwrap_or_else(|| self.start_for(self.position))
    }

    /// Where a segment begins whose speech begins at `onset`.
    fn start_for(&self, onset: u64) -> u64 {
        onset.saturating_sub(self.limits.pre_roll).max(self.last_end)
    }

    /// Takes the probability of the next frame.
    fn advance(&mut self, probability: f32, segments: &mut Vec<Segment>) {
        let probability = if probability.is_finite() { probability } else { 0.0 };
        let (from, to) = (self.position, self.position + FRAME as u64);
        self.position = to;
        if self.phrase.is_none() && probability >= self.limits.threshold {
            self.phrase = Some(Phrase {
                start: self.start_for(from),
                onset: from,
                silence: None,
                spoken: None,
                continued: false,
                probabilities: Vec::new(),
                first: from,
            });
        }
        let Some(mut phrase) = self.phrase.take() else { return };
        phrase.probabilities.push(probability);
        if probability >= self.limits.threshold {
            phrase.silence = None;
            phrase.spoken = Some(to);
        } else if probability < self.limits.negative && phrase.silence.is_none() {
            phrase.silence = Some(from);
        }
        let pause = self.limits.pause_at(to - phrase.start);
        if phrase.silence.is_some_and(|silence| to - silence >= pause) {
            self.close(&phrase, segments);
        } else if to + FRAME as u64 - phrase.start > self.limits.maximum {
            let from = self.position.saturating_sub(self.limits.cut_within);
            self.phrase = Some(self.cut_phrase(phrase, (from, self.position), segments));
        } else {
            self.phrase = Some(phrase);
        }
    }

    /// Gives the segment of a phrase that ended, unless it is too short.
    fn close(&mut self, phrase: &Phrase, segments: &mut Vec<Segment>) {
        let Some(spoken) = phrase.spoken else { return };
        let end = phrase.silence.unwrap_or(self.position).max(spoken);
        if phrase.continued || end - phrase.onset >= self.limits.minimum {
            self.give(phrase.start, (end + self.limits.pad).min(self.position), segments);
        }
    }

    fn give(&mut self, start: u64, end: u64, segments: &mut Vec<Segment>) {
        segments.push(Segment { start, end });
        self.last_end = end;
    }

    /// Cuts a phrase at its best pause between two samples; gives the first part, returns the rest.
    fn cut_phrase(
        &mut self,
        phrase: Phrase,
        (from, to): (u64, u64),
        segments: &mut Vec<Segment>,
    ) -> Phrase {
        let frame = FRAME as u64;
        let place = |sample: u64| (sample.saturating_sub(phrase.first) / frame) as usize;
        let (earliest, latest) = (place(from), place(to));
        // The least likely three frames; among equals the last, for a long first part.
        let pause = phrase
            .probabilities
            .windows(3)
            .enumerate()
            .take(latest)
            .skip(earliest)
            .map(|(index, window)| (index + 1, window.iter().sum::<f32>()))
            .min_by(|(a, p), (b, q)| p.total_cmp(q).then(b.cmp(a)));
        let frames = pause.map_or(phrase.probabilities.len(), |(index, _)| index);
        // The middle of the frame: speech on either side keeps half of the pause.
        let at = (phrase.first + frames as u64 * frame + frame / 2).min(self.position);
        self.give(phrase.start, at, segments);
        let later = phrase.probabilities.get(frames..).unwrap_or_default().to_vec();
        Phrase {
            start: at,
            onset: at,
            silence: phrase.silence.map(|silence| silence.max(at)),
            spoken: phrase.spoken.filter(|spoken| *spoken > at),
            continued: true,
            first: phrase.first + frames as u64 * frame,
            probabilities: later,
        }
    }
}
