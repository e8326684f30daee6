//! Whether anything of one split is in another.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;

use super::keys::{Key, KeyKind, Keys};
use super::{MANY_SPEAKERS, Split};

/// Leaks that an error names; the others are counted.
const NAMED: usize = 5;

/// A row's place: the index of its file, and its line.
pub type Place = (usize, u64);

/// The same sentence, prompt, recording or speaker in two splits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// What is shared.
    pub kind: KeyKind,
    /// A row that has it, its split, and its file and line.
    pub one: (Split, PathBuf, u64),
    /// The same of a row in another split.
    pub other: (Split, PathBuf, u64),
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, path, line) = &self.one;
        write!(f, "{}:{line}: {} {} ", path.display(), one.name(), self.kind.name())?;
        let (other, path, line) = &self.other;
        write!(f, "that is in {} at {}:{line}", other.name(), path.display())
    }
}

/// All leaks that were found, as an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", describe(.0))]
pub struct Leaks(pub Vec<Leak>);

fn describe(leaks: &[Leak]) -> String {
    let named: Vec<_> = leaks.iter().take(NAMED).map(Leak::to_string).collect();
    let more = match leaks.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!("{} leaks between splits: {}{more}", leaks.len(), named.join("; "))
}

/// Takes in all rows, then tells what is in more than one split.
///
/// Speakers count for corpora with at least 20 of them: a corpus of one voice has it everywhere.
#[derive(Debug, Default)]
pub struct LeakCheck {
    /// Where each key was first seen in each split, in order.
    seen: HashMap<Key, Vec<(Split, Place)>>,
    /// Speakers of each corpus.
    speakers: HashMap<u64, HashSet<Key>>,
}

impl LeakCheck {
    /// Takes in a row.
    pub fn add(&mut self, row: &Keys, split: Split, place: Place) {
        if let Some((corpus, speaker)) = row.speaker {
            self.speakers.entry(corpus).or_default().insert(speaker);
        }
        let recording = row.recording.map(|(key, _)| key);
        let keys = row.shared.iter().copied().chain(recording).chain(row.speaker.map(|s| s.1));
        for key in keys.filter(|key| key.kind != KeyKind::Row) {
            let seen = self.seen.entry(key).or_default();
            if seen.iter().all(|(other, _)| *other != split) {
                seen.push((split, place));
            }
        }
    }

    /// Ends well if no key is in two splits. `files`: the paths behind [`Place`]s.
    ///
    /// # Errors
    /// All leaks, in the order of the files.
    pub fn finish(self, files: &[PathBuf]) -> Result<(), Leaks> {
        let few = self.speakers.values().filter(|speakers| speakers.len() < MANY_SPEAKERS);
        let few: HashSet<Key> = few.flatten().copied().collect();
        let mut found = BTreeSet::new();
        for (key, seen) in &self.seen {
            if let [first, others @ ..] = seen.as_slice()
                && !few.contains(key)
            {
                found.extend(
                    others.iter().map(|other| (other.1, key.kind, *other, *first, key.hash)),
                );
            }
        }
        let row = |(split, (file, line)): (Split, Place)| {
            (split, files.get(file).cloned().unwrap_or_default(), line)
        };
        let leak = |(_, kind, one, other, _)| Leak { kind, one: row(one), other: row(other) };
        let leaks: Vec<Leak> = found.into_iter().map(leak).collect();
        if leaks.is_empty() { Ok(()) } else { Err(Leaks(leaks)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{SpeechRow, TextRow};

    #[test]
    fn every_kind_of_leak_is_named() {
        let clip = |lang: &str, path: &str, text: &str, speaker: usize| SpeechRow {
            lang: lang.into(),
            audio_filepath: path.into(),
            text: text.into(),
            speaker: format!("s{speaker}"),
            source: format!("corpus {lang}"),
            ..SpeechRow::default()
        };
        let mut check = LeakCheck::default();
        for n in 0..25 {
            let row = clip("en", &format!("{n:05}.wav"), &format!("Sentence {n}"), n);
            check.add(&Keys::from(&row), Split::Train, (0, n as u64));
        }
        let prompt = clip("de", "b/hello.wav", "Hallo.", 0);
        check.add(&Keys::from(&prompt), Split::Train, (0, 50));
        let files = [PathBuf::from("a.jsonl"), PathBuf::from("b.jsonl")];

        let text =
            TextRow { src_lang: "en".into(), src_text: "sentence 3!".into(), ..TextRow::default() };
        check.add(&Keys::from(&text), Split::Test, (1, 1));
        check.add(&Keys::from(&clip("fr", "hello.mp3", "Bonjour.", 0)), Split::Dev, (1, 2));
        check.add(&Keys::from(&clip("en", "00007.wav", "Other", 99)), Split::Dev, (1, 3));
        check.add(&Keys::from(&clip("en", "x.wav", "New", 4)), Split::Test, (1, 4));
        let leaks = check.finish(&files).expect_err("leaks");
        let lines: Vec<_> = leaks.0.iter().map(Leak::to_string).collect();
        assert_eq!(
            lines,
            [
                "b.jsonl:1: test sentence that is in train at a.jsonl:3",
                "b.jsonl:2: dev prompt that is in train at a.jsonl:50",
                "b.jsonl:3: dev recording that is in train at a.jsonl:7",
                "b.jsonl:4: test speaker that is in train at a.jsonl:4",
            ]
        );
        assert!(leaks.to_string().starts_with("4 leaks between splits: b.jsonl:1: test sentence"));
    }

    #[test]
    fn one_voice_in_all_splits_is_no_leak() {
        let mut check = LeakCheck::default();
        for (n, split) in [Split::Train, Split::Dev, Split::Test].into_iter().enumerate() {
            let row = SpeechRow {
                lang: "de".into(),
                audio_filepath: format!("{n:05}.wav"),
                text: format!("Satz {n}"),
                speaker: "anna".into(),
                source: "corpus".into(),
                ..SpeechRow::default()
            };
            check.add(&Keys::from(&row), split, (0, n as u64));
        }
        assert_eq!(check.finish(&[PathBuf::from("a.jsonl")]), Ok(()));
    }
}
