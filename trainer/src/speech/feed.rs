//! The batches of a run as one of several processes takes them.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::data::Data;
use crate::data::{Batch, Loader, Position, TextBatch, TextStream};

/// One process of several, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Which one it is.
    pub rank: usize,
    /// How many there are.
    pub size: usize,
}

impl Share {
    /// A process that trains alone.
    pub const ALL: Self = Self { rank: 0, size: 1 };

    /// Its place counted from the process that takes batch number `taken`.
    fn rank_after(self, taken: u64) -> usize {
        let first = (taken % self.size as u64) as usize;
        (self.rank + self.size - first) % self.size
    }
}

/// What makes the coming batches the same again.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    clips: Position,
    sentences: Option<Position>,
    /// Batches of clips before that position, over all epochs.
    #[serde(default)]
    taken: u64,
}

/// Batches of clips and of sentences, which every process walks through to the end and of which
/// it takes its own.
pub struct Feed {
    clips: Loader,
    sentences: Option<TextStream>,
    share: Share,
    /// Batches of clips that all processes together have taken.
    taken: u64,
}

impl Feed {
    /// At the beginning of the data.
    ///
    /// # Errors
    /// When settings are impossible.
    pub fn new(data: &Data, share: Share) -> Result<Self> {
        let clips = data.clips(None, share.rank, share.size)?;
        Ok(Self { clips, sentences: data.sentences(None)?, share, taken: 0 })
    }

    /// The process.
    pub fn share(&self) -> Share {
        self.share
    }

    /// Clips, to see which of them could not be read.
    pub fn clips(&self) -> &Loader {
        &self.clips
    }

    /// The next batch of clips, an own one.
    ///
    /// # Errors
    /// As [`Loader::next`].
    pub fn next_clips(&mut self) -> Result<Batch> {
        self.taken += 1;
        self.clips.next()
    }

    /// The next batch of sentences.
    ///
    /// # Errors
    /// When the recipe names none.
    pub fn next_sentences(&mut self) -> Result<TextBatch> {
        let stream = self.sentences.as_mut().context("a text task, and no text in data.text")?;
        Ok(stream.next_batch())
    }

    /// Passes over the next batch, of clips or of sentences, which another process takes.
    pub fn pass(&mut self, speech: bool) {
        if speech {
            self.taken += 1;
            self.clips.pass();
        } else if let Some(sentences) = &mut self.sentences {
            sentences.pass();
        }
    }

    /// The process that takes each of the next micro-batches. `speech` says which of them hear
    /// clips.
    pub fn owners(&self, speech: &[bool]) -> Vec<usize> {
        owners(speech, self.taken, self.share.size)
    }

    /// The position in the data.
    ///
    /// # Errors
    /// When it has no JSON form.
    pub fn state(&self) -> Result<serde_json::Value> {
        let sentences = self.sentences.as_ref().map(TextStream::position);
        let state = State { clips: self.clips.position(), sentences, taken: self.taken };
        serde_json::to_value(state).context("the position in the data has no JSON form")
    }

    /// Goes to a position.
    ///
    /// # Errors
    /// When it is none, or one of other data.
    pub fn restore(&mut self, data: &Data, state: &serde_json::Value) -> Result<()> {
        let state: State = serde_json::from_value(state.clone())
            .context("this is no position in the data of a speech model")?;
        let rank = self.share.rank_after(state.taken);
        self.clips = data.clips(Some(&state.clips), rank, self.share.size)?;
        self.sentences = data.sentences(state.sentences.as_ref())?;
        self.taken = state.taken;
        Ok(())
    }
}

/// The process that takes each micro-batch of a step. `speech` says which of them hear clips, and
/// `taken` batches of clips came before.
///
/// Clips are made ready ahead of time, so batch `n` of clips belongs to process `n` modulo their
/// number, whatever tasks will come; sentences cost nothing to make ready and go to who has the
/// least to do.
fn owners(speech: &[bool], taken: u64, processes: usize) -> Vec<usize> {
    let mut load = vec![0_usize; processes];
    let mut owners = vec![0; speech.len()];
    let first = (taken % processes.max(1) as u64) as usize;
    let clips = owners.iter_mut().zip(speech).filter(|(_, speech)| **speech);
    for (number, (owner, _)) in clips.enumerate() {
        *owner = (first + number) % processes.max(1);
        if let Some(load) = load.get_mut(*owner) {
            *load += 1;
        }
    }
    for (owner, _) in owners.iter_mut().zip(speech).filter(|(_, speech)| !**speech) {
        if let Some((process, load)) = load.iter_mut().enumerate().min_by_key(|(_, load)| **load) {
            *owner = process;
            *load += 1;
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_go_round_and_sentences_fill_up() {
        assert_eq!(owners(&[true; 4], 0, 2), [0, 1, 0, 1]);
        assert_eq!(owners(&[true; 4], 7, 2), [1, 0, 1, 0]);
        assert_eq!(owners(&[false, true], 0, 2), [1, 0]);
        assert_eq!(owners(&[false, true], 1, 2), [0, 1]);
        assert_eq!(owners(&[false, true, false, true, true, false], 2, 3), [0, 2, 1, 0, 1, 2]);
        assert_eq!(owners(&[true, false, true], 5, 1), [0, 0, 0]);
    }

    #[test]
    fn a_loader_that_begins_anywhere_makes_the_batches_of_its_process() {
        for (size, taken) in [(2, 5), (3, 7), (4, 8)] {
            for rank in 0..size {
                let begun = Share { rank, size }.rank_after(taken);
                let own: Vec<u64> = (0..12).filter(|n| n % size as u64 == begun as u64).collect();
                let all = owners(&[true; 12], taken, size);
                assert!(own.iter().all(|n| all[*n as usize] == rank), "{size} {taken} {rank}");
                assert_eq!(own.len(), 12 / size);
            }
        }
    }
}
