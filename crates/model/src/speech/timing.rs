//! When the words of an answer were said.

use super::{Answer, CTC_STEP, CtcHead, Task, Vocabulary, align};
use crate::engine::{Segment, Word};
use crate::error::ModelError;
use crate::tokens::Mark;
use candle_core::{DType, Tensor};

/// Seconds of silence that part two segments.
const PAUSE: f64 = 0.8;

/// Marks behind which a sentence ends.
const STOPS: [char; 8] = ['.', '?', '!', '…', '。', '？', '！', '।'];

impl CtcHead {
    /// What CTC alone reads in one clip's vectors `[1, time, width]`
    /// ([`super::SpeechEngine::listen`]): rougher than an answer and far cheaper. The vocabulary is
    /// that of the head's model.
    ///
    /// # Errors
    /// When the vectors are of another model.
    pub fn glimpse(&self, vocabulary: &Vocabulary, audio: &Tensor) -> Result<String, ModelError> {
        let scores = self.forward(&audio.to_dtype(DType::F32)?)?;
        let read = super::greedy(&scores, &[scores.dim(1)?], self.blank())?;
        let shortlist = vocabulary.shortlist();
        let labels = read.into_iter().flatten();
        let tokens: Vec<u32> = labels.filter_map(|label| shortlist.full(label)).collect();
        Ok(vocabulary.tokenizer().decode(&tokens).trim().to_owned())
    }

    /// The transcript of an answer as sentences and words with their times, by forced alignment of its
    /// tokens to the clip's vectors `[1, time, width]` in steps of [`CTC_STEP`]; long pauses part segments
    /// too. `None` when the clip is too short for so many tokens, or the answer holds no transcript.
    ///
    /// # Errors
    /// When the vectors are of another model.
    pub fn segments(
        &self,
        vocabulary: &Vocabulary,
        audio: &Tensor,
        task: Task,
        answer: &Answer,
    ) -> Result<Option<Vec<Segment>>, ModelError> {
        if matches!(task, Task::DirectTranslation(_) | Task::TextTranslation(_)) {
            return Ok(None);
        }
        let joint = task.joint().map(|to| vocabulary.place_of(Mark::To(to)));
        let said = answer.places.iter().copied().take_while(|&place| Some(place) != joint);
        let said = vocabulary.tokens(&said.collect::<Vec<_>>());
        let label = |&id: &u32| {
            let is_word = vocabulary.marks().of(id).is_none();
            is_word.then(|| vocabulary.shortlist().short(id)).flatten().map(|label| (id, label))
        };
        let (tokens, labels): (Vec<u32>, Vec<u32>) = said.iter().filter_map(label).unzip();
        let scores = self.forward(&audio.to_dtype(DType::F32)?)?.squeeze(0)?;
        let Some(alignment) = align(&scores, &labels, self.blank())? else { return Ok(None) };
        let time = |frame: usize| frame as f64 * CTC_STEP;
        let mut segments: Vec<Segment> = Vec::new();
        let (mut sentence, mut word): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        let text = |tokens: &[u32]| vocabulary.tokenizer().decode(tokens).trim().to_owned();
        for (&token, frames) in tokens.iter().zip(&alignment.frames) {
            let (start, end) = (time(frames.start), time(frames.end));
            let paused = segments.last().is_some_and(|last| start - last.end >= PAUSE);
            // Inside a word nobody pauses: there the alignment has gone astray.
            let bytes = vocabulary.tokenizer().bytes(token).unwrap_or_default();
            let begins = bytes.first().is_none_or(u8::is_ascii_whitespace);
            let ended = segments.last().is_some_and(|last| last.text.ends_with(STOPS));
            if segments.is_empty() || ended || paused && begins {
                (sentence, word) = (Vec::new(), Vec::new());
                segments.push(Segment::new(start, end, String::new()));
            }
            if begins || has_no_spaces(&bytes) {
                word.clear();
            }
            let Some(segment) = segments.last_mut() else { continue };
            sentence.push(token);
            (segment.end, segment.text) = (end, text(&sentence));
            word.push(token);
            match segment.words.last_mut().filter(|_| word.len() > 1) {
                Some(last) => (last.end, last.text) = (end, text(&word)),
                None => segment.words.push(Word { start, end, text: text(&word) }),
            }
        }
        for segment in &mut segments {
            segment.words.retain(|word| !word.text.is_empty());
        }
        segments.retain(|segment| !segment.text.is_empty());
        Ok(Some(segments))
    }
}

/// Whether bytes begin with a letter of a script that is written without spaces: Han, kana.
fn has_no_spaces(bytes: &[u8]) -> bool {
    let first = String::from_utf8_lossy(bytes).chars().next();
    first.is_some_and(|first| {
        let is_east_asian = matches!(first, '\u{2e80}'..='\u{9fff}' | '\u{f900}'..='\u{faff}')
            || matches!(first, '\u{20000}'..='\u{3ffff}');
        is_east_asian && first.is_alphabetic()
    })
}
