//! Audio of any length through an engine, a window at a time.
//!
//! Windows are cut where nobody speaks when there is a voice-activity detector, else every
//! [`Capabilities::longest_window`](crate::engine::Capabilities::longest_window) seconds, the
//! next one beginning where the text of the last one stopped. Each window is a stretch of the
//! recording as it is, so its times are the recording's own and cannot drift. Memory does not
//! grow with the recording.

use crate::engine::{Engine, Request, Text, Transcript};
use crate::error::ModelError;
use partita_audio::SAMPLE_RATE;
use partita_audio::vad::{Segment as Voice, Segmenter, VoiceActivity};

/// Voice segments closer than this are read together: more context, better text.
const JOINED_GAP: u64 = SAMPLE_RATE as u64 * 3 / 2;
/// Seconds at the end of speech without a word that are read again.
const UNREAD: f64 = 2.0;
/// A language less likely than this is not remembered as the one spoken before.
const REMEMBERED: f32 = 0.6;
/// The shortest stretch that is given to an engine.
const SHORTEST: usize = SAMPLE_RATE as usize / 10;
/// A window begins at least this much after the last one, wherever its text stopped: else text that
/// stops at once would be read for ever.
const LEAST_STEP: u64 = SAMPLE_RATE as u64;

/// Samples of a millisecond: windows begin on whole ones, as the times of texts are told in them.
const MILLISECOND: u64 = SAMPLE_RATE as u64 / 1000;

/// How a recording is cut into windows.
pub enum Cutting {
    /// At pauses; silence is never given to the engine.
    Voice(Box<Segmenter<Box<dyn VoiceActivity>>>),
    /// By length alone.
    Length,
}

/// One window's text; times are seconds of the recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Utterance {
    /// Where the window begins.
    pub start: f64,
    /// Where it ends.
    pub end: f64,
    /// What the engine made of it, times moved to the recording's.
    pub transcript: Transcript,
}

/// Feeds a recording to an engine as it is read.
pub struct LongForm<'a> {
    engine: &'a mut dyn Engine,
    request: Request,
    cutting: Cutting,
    /// Samples that may still be needed, the first of which is number `first`.
    kept: Vec<f32>,
    first: u64,
    /// Voice segments waiting to be joined with the next ones.
    waiting: Option<Voice>,
    longest: u64,
}

impl<'a> LongForm<'a> {
    /// Starts a recording.
    pub fn new(engine: &'a mut dyn Engine, request: Request, cutting: Cutting) -> Self {
        let longest = (engine.capabilities().longest_window * f64::from(SAMPLE_RATE)) as u64;
        let longest = longest.max(SHORTEST as u64);
        Self { engine, request, cutting, kept: Vec::new(), first: 0, waiting: None, longest }
    }

    /// Takes the next samples (16 kHz, mono); gives what they complete.
    ///
    /// # Errors
    /// As the engine's and the detector's.
    pub fn push(&mut self, samples: &[f32]) -> Result<Vec<Utterance>, ModelError> {
        self.kept.extend_from_slice(samples);
        let mut utterances = Vec::new();
        if let Cutting::Voice(segmenter) = &mut self.cutting {
            let found = segmenter.push(samples)?;
            self.join(found, &mut utterances)?;
            self.forget();
        } else {
            while self.kept.len() as u64 >= self.longest {
                let end = self.first + self.longest;
                let resume = self.window(self.first, end, true, &mut utterances)?;
                self.drop_before(resume);
            }
        }
        Ok(utterances)
    }

    /// Ends the recording; gives what was still open. What is pushed next is another recording.
    ///
    /// # Errors
    /// As the engine's and the detector's.
    pub fn finish(&mut self) -> Result<Vec<Utterance>, ModelError> {
        let mut utterances = Vec::new();
        let end = self.first + self.kept.len() as u64;
        if let Cutting::Voice(segmenter) = &mut self.cutting {
            let found = segmenter.finish()?;
            self.join(found, &mut utterances)?;
            if let Some(last) = self.waiting.take() {
                self.read(last.start, last.end, &mut utterances)?;
            }
        } else {
            self.read(self.first, end, &mut utterances)?;
        }
        self.kept.clear();
        (self.first, self.request.before) = (0, None);
        Ok(utterances)
    }

    /// Joins voice segments into windows and reads those that are complete.
    fn join(&mut self, found: Vec<Voice>, out: &mut Vec<Utterance>) -> Result<(), ModelError> {
        for mut voice in found {
            // What is left over behind a cut may be too short for a window of its own.
            if let Some(open) = &mut self.waiting
                && open.end == voice.start
                && voice.end - voice.start < SHORTEST as u64
            {
                voice.start = voice.start.saturating_sub(SHORTEST as u64).max(open.start);
                open.end = voice.start;
            }
            match &mut self.waiting {
                Some(open)
                    if voice.end - open.start <= self.longest
                        && voice.start.saturating_sub(open.end) <= JOINED_GAP =>
                {
                    open.end = voice.end;
                }
                open => {
                    if let Some(complete) = open.replace(voice) {
                        self.read(complete.start, complete.end, out)?;
                    }
                }
            }
        }
        // Nothing that is still to come can be joined once the pause is long enough.
        if let (Some(open), Cutting::Voice(segmenter)) = (&self.waiting, &self.cutting) {
            let next = segmenter.keep_from();
            if next.saturating_sub(open.end) > JOINED_GAP
                || next - open.start.min(next) > self.longest
            {
                let (start, end) = (open.start, open.end);
                self.waiting = None;
                self.read(start, end, out)?;
            }
        }
        Ok(())
    }

    /// Reads samples `start..end` in as many windows as they need.
    fn read(
        &mut self,
        mut start: u64,
        end: u64,
        out: &mut Vec<Utterance>,
    ) -> Result<(), ModelError> {
        while start < end {
            let cut = start + self.longest;
            start = self.window(start, end.min(cut), cut < end, out)?;
        }
        Ok(())
    }

    /// Reads samples `start..end`, which are followed by more of the same stretch if it was `cut`;
    /// returns where the next window should begin, a whole number of milliseconds behind `start` or
    /// `end`.
    fn window(
        &mut self,
        start: u64,
        end: u64,
        cut: bool,
        out: &mut Vec<Utterance>,
    ) -> Result<u64, ModelError> {
        let from = start.saturating_sub(self.first) as usize;
        let to = (end.saturating_sub(self.first) as usize).min(self.kept.len());
        let samples = self.kept.get(from..to).unwrap_or_default();
        if samples.len() < SHORTEST {
            return Ok(end);
        }
        let mut transcript = self.engine.transcribe(samples, &self.request)?;
        if transcript.language_probability >= REMEMBERED && !transcript.text.segments.is_empty() {
            self.request.before = Some(transcript.language.clone());
        }
        let seconds = |sample: u64| sample as f64 / f64::from(SAMPLE_RATE);
        // Only a window that was cut has cut what is said at its end. But where somebody is known
        // to speak after the last word written, another language has begun, say: that is read too.
        let stopped = transcript.text.segments.last().map(|segment| segment.end);
        let speaks = matches!(self.cutting, Cutting::Voice(_));
        let stopped = stopped.filter(|at| speaks && seconds(end - start) - at > UNREAD);
        let resume = transcript.resume.filter(|_| cut).or(stopped);
        let next = resume.map_or(end, |resume| {
            let resume = start + (resume * 1000.0).round() as u64 * MILLISECOND;
            resume.clamp(end.min(start + LEAST_STEP), end)
        });
        move_text(&mut transcript.text, seconds(start));
        if let Some(translation) = &mut transcript.translation {
            move_text(translation, seconds(start));
        }
        out.push(Utterance { start: seconds(start), end: seconds(next), transcript });
        Ok(next)
    }

    /// Drops samples that no later window needs.
    fn forget(&mut self) {
        let Cutting::Voice(segmenter) = &self.cutting else { return };
        let needed = segmenter.keep_from();
        let needed = self.waiting.map_or(needed, |open| open.start.min(needed));
        // Moving the rest to the front is worth it only for a second or more.
        if needed.saturating_sub(self.first) >= SAMPLE_RATE.into() {
            self.drop_before(needed);
        }
    }

    fn drop_before(&mut self, sample: u64) {
        let count = (sample.saturating_sub(self.first) as usize).min(self.kept.len());
        self.kept.drain(..count);
        self.first += count as u64;
    }
}

/// Moves times from a window's to the recording's, in whole milliseconds: sums of floats that are
/// equal on paper stay equal.
fn move_text(text: &mut Text, seconds: f64) {
    let moved = |time: f64| ((time + seconds) * 1000.0).round() / 1000.0;
    for segment in &mut text.segments {
        (segment.start, segment.end) = (moved(segment.start), moved(segment.end));
        for word in &mut segment.words {
            (word.start, word.end) = (moved(word.start), moved(word.end));
        }
    }
}
