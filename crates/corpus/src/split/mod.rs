//! Which rows are for training and which are held back, so that nothing is on both sides.
//!
//! The same prompt recurs: in several languages, read by several speakers, in the sentence pairs.
//! Splitting by clip would put a test sentence, or its translation, into training. So:
//!
//! 1. Each row has a *head*: its English text where that is known (its own, or a translation),
//!    else its own text, normalised ([`crate::normalize::basic`]). A hash of language and head
//!    draws the split: 90 % train, 5 % dev, 5 % test. The same prompt in several languages has one
//!    English text and so one split, on every machine and in every run.
//! 2. In a corpus with many speakers (20 of one language) the speaker draws instead, for all that
//!    he or she says; and a recording that is cut into several clips draws for all of them.
//! 3. Rows that share *any* [`Key`] are one group: a sentence (same language, same normalised
//!    text: one German sentence with two English versions, say), a prompt by its file's name
//!    within a corpus, a recording, a speaker as above. A group in which speakers and recordings
//!    drew different splits, or heads did where there are none of those, is for training, all of
//!    it. Where a corpus states splits itself (Common Voice, a manifest), these stay, and the other
//!    rows of the group follow the strictest of them.
//!
//! Step 1 depends on the row alone, the others on what is prepared together: corpora that share
//! sentences belong into one run of `partita-train prepare`. File names that are numbers
//! (`000001.mp3`) are no prompts.
//!
//! [`LeakCheck`] finds out whether all that holds for rows that have splits.

mod keys;
mod leaks;

use std::collections::{HashMap, HashSet};

use crate::manifest::Split;

use keys::draw;
pub use keys::{Key, KeyKind, Keys, Sentence};
pub use leaks::{Leak, LeakCheck, Leaks, Place};

/// From so many speakers on, a corpus is split by speaker: 5 % of them is one.
const MANY_SPEAKERS: usize = 20;

/// The language without region and script: `pt` of `pt-BR`.
pub fn primary_language(lang: &str) -> &str {
    lang.split(['-', '_']).next().unwrap_or(lang)
}

/// FNV-1a over the parts, 64 bits: short, without a key, and fixed for all time, unlike the
/// standard library's hasher.
pub fn stable_hash(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Learns all rows, and what they share.
///
/// ```
/// use partita_corpus::manifest::TextRow;
/// use partita_corpus::split::{Keys, SplitPlanner};
/// let row = |english: &str, german: &str| TextRow {
///     src_lang: "en".into(), src_text: english.into(),
///     tgt_lang: "de".into(), tgt_text: german.into(), ..TextRow::default()
/// };
/// let rows = [row("He can do it.", "Er kann das."), row("He is able to.", "Er kann das!")];
/// let mut planner = SplitPlanner::default();
/// for row in &rows {
///     planner.learn(&Keys::from(row), None);
/// }
/// let plan = planner.finish();
/// let splits = rows.each_ref().map(|row| plan.split(&Keys::from(row)));
/// assert_eq!(splits[0], splits[1], "they share a German sentence");
/// ```
#[derive(Debug, Default)]
pub struct SplitPlanner {
    groups: Groups,
    /// Of each audio file: a clip's node, the hash of its name, and how many clips it has.
    recordings: HashMap<Key, (usize, u64, u32)>,
    /// Speakers of each corpus, each with the node of a clip.
    speakers: HashMap<u64, Vec<(Key, usize)>>,
}

/// Tells the split of each row that was learned.
#[derive(Debug, Default)]
pub struct SplitPlan {
    groups: Groups,
}

/// Keys in groups, by union-find.
#[derive(Debug, Default)]
struct Groups {
    nodes: HashMap<Key, usize>,
    parents: Vec<usize>,
    groups: Vec<Group>,
}

/// What is known of a group; of use at its root only.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    drawn: Option<Drawn>,
    stated: Option<Split>,
}

/// The split that a group drew.
#[derive(Debug, Clone, Copy)]
struct Drawn {
    /// By a speaker or a recording, which counts more than a head.
    by_voice: bool,
    split: Split,
}

impl Drawn {
    fn join(self, other: Self) -> Self {
        match (self.by_voice, other.by_voice) {
            (true, false) => self,
            (false, true) => other,
            _ if self.split == other.split => self,
            _ => Self { split: Split::Train, ..self },
        }
    }
}

impl Group {
    fn join(self, other: Self) -> Self {
        let drawn = match (self.drawn, other.drawn) {
            (Some(a), Some(b)) => Some(a.join(b)),
            (a, b) => a.or(b),
        };
        Self { drawn, stated: self.stated.max(other.stated) }
    }
}

impl SplitPlanner {
    /// Learns a row: its keys, and its split where the corpus states one.
    pub fn learn(&mut self, row: &Keys, stated: Option<Split>) {
        let head = row.head();
        let root = self.groups.node(head);
        let drawn = Some(Drawn { by_voice: false, split: draw(head.hash) });
        self.groups.join(root, Group { drawn, stated });
        let mut root = root;
        for key in row.shared.iter().skip(1) {
            let node = self.groups.node(*key);
            root = self.groups.unite(root, node);
        }
        if let Some((recording, name)) = row.recording {
            let (node, _, clips) = self.recordings.entry(recording).or_insert((root, name, 0));
            *clips = clips.saturating_add(1);
            let node = self.groups.root(*node);
            root = self.groups.unite(root, node);
        }
        if let Some((corpus, speaker)) = row.speaker {
            self.speakers.entry(corpus).or_default().push((speaker, root));
        }
    }

    /// Ends the learning.
    pub fn finish(mut self) -> SplitPlan {
        for (node, name, clips) in self.recordings.into_values() {
            if clips > 1 {
                self.groups.draw_by_voice(node, name);
            }
        }
        for clips in self.speakers.into_values() {
            let distinct: HashSet<Key> = clips.iter().map(|(speaker, _)| *speaker).collect();
            if distinct.len() < MANY_SPEAKERS {
                continue;
            }
            for (speaker, node) in clips {
                let own = self.groups.node(speaker);
                let root = self.groups.root(node);
                let root = self.groups.unite(own, root);
                self.groups.draw_by_voice(root, speaker.hash);
            }
        }
        SplitPlan { groups: self.groups }
    }
}

impl SplitPlan {
    /// The split of a row that was learned and whose corpus states none.
    pub fn split(&self, row: &Keys) -> Split {
        let head = row.head();
        let Some(&node) = self.groups.nodes.get(&head) else { return draw(head.hash) };
        let group = self.groups.groups.get(self.groups.root(node)).copied().unwrap_or_default();
        group.stated.or(group.drawn.map(|drawn| drawn.split)).unwrap_or_default()
    }
}

impl Groups {
    /// The root of a key's group, which is new if the key is.
    fn node(&mut self, key: Key) -> usize {
        let next = self.parents.len();
        let node = *self.nodes.entry(key).or_insert(next);
        if node == next {
            self.parents.push(next);
            self.groups.push(Group::default());
        }
        self.shorten(node);
        self.root(node)
    }

    fn draw_by_voice(&mut self, node: usize, hash: u64) {
        let drawn = Some(Drawn { by_voice: true, split: draw(hash) });
        let root = self.root(node);
        self.join(root, Group { drawn, stated: None });
    }

    fn root(&self, mut node: usize) -> usize {
        while let Some(&parent) = self.parents.get(node).filter(|&&parent| parent != node) {
            node = parent;
        }
        node
    }

    /// Points a node and those above it at their grandparents, so that paths stay short.
    fn shorten(&mut self, mut node: usize) {
        while let Some(&parent) = self.parents.get(node).filter(|&&parent| parent != node) {
            let grandparent = self.parents.get(parent).copied().unwrap_or(parent);
            if let Some(link) = self.parents.get_mut(node) {
                *link = grandparent;
            }
            node = grandparent;
        }
    }

    fn join(&mut self, root: usize, group: Group) {
        if let Some(own) = self.groups.get_mut(root) {
            *own = own.join(group);
        }
    }

    /// Unites two groups and returns the new root, the older of the two.
    fn unite(&mut self, a: usize, b: usize) -> usize {
        let (old, new) = (a.min(b), a.max(b));
        if old != new {
            if let Some(parent) = self.parents.get_mut(new) {
                *parent = old;
            }
            let group = self.groups.get(new).copied().unwrap_or_default();
            self.join(old, group);
        }
        old
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{SpeechRow, TextRow};

    fn pair(english: &str, german: &str) -> TextRow {
        TextRow {
            src_lang: "en".into(),
            src_text: english.into(),
            tgt_lang: "de".into(),
            tgt_text: german.into(),
            ..TextRow::default()
        }
    }

    fn clip(lang: &str, text: &str, english: Option<&str>) -> SpeechRow {
        let translations = english.map(|text| ("en".to_owned(), text.to_owned()));
        let translations = translations.into_iter().collect();
        SpeechRow { lang: lang.into(), text: text.into(), translations, ..SpeechRow::default() }
    }

    fn plan(rows: &[Keys]) -> Vec<Split> {
        let mut planner = SplitPlanner::default();
        rows.iter().for_each(|row| planner.learn(row, None));
        let plan = planner.finish();
        rows.iter().map(|row| plan.split(row)).collect()
    }

    /// An English sentence that draws a split.
    fn drawing(split: Split) -> String {
        let mut texts = (0..).map(|n| format!("sentence {n}"));
        texts
            .find(|text| Sentence::new("en", text).is_some_and(|s| s.draw() == split))
            .expect("some sentence draws it")
    }

    #[test]
    fn a_prompt_has_one_split_in_all_languages() {
        let text = drawing(Split::Test);
        let rows = [
            Keys::from(&clip("en", &format!("{}!", text.to_uppercase()), None)),
            Keys::from(&clip("fr", "Une phrase.", Some(&text))),
            Keys::from(&pair(&text, "Ein Satz.")),
        ];
        assert_eq!(plan(&rows), [Split::Test; 3]);
    }

    #[test]
    fn rows_that_share_a_sentence_are_not_parted() {
        let (test, train) = (drawing(Split::Test), drawing(Split::Train));
        let rows = [
            Keys::from(&pair(&test, "Er kann es.")),
            Keys::from(&pair(&train, "Er kann es!")),
            Keys::from(&clip("de", "er kann es", None)),
        ];
        assert_eq!(plan(&rows), [Split::Train; 3]);
    }

    #[test]
    fn stated_splits_lead() {
        let text = drawing(Split::Train);
        let rows = [clip("en", &text, None), clip("de", "Ja.", Some(&text))];
        let rows = rows.each_ref().map(Keys::from);
        let mut planner = SplitPlanner::default();
        planner.learn(&rows[0], Some(Split::Test));
        planner.learn(&rows[1], None);
        assert_eq!(planner.finish().split(&rows[1]), Split::Test);
    }

    fn said(n: usize, speaker: usize, text: &str) -> SpeechRow {
        SpeechRow {
            audio_filepath: format!("{n:06}.wav"),
            speaker: format!("s{speaker}"),
            source: "corpus".into(),
            ..clip("en", text, None)
        }
    }

    #[test]
    fn many_speakers_are_not_parted_but_few_are() {
        let rows = |speakers: usize| -> Vec<SpeechRow> {
            (0..2000).map(|n| said(n, n % speakers, &format!("sentence {n}"))).collect()
        };
        let splits_of = |rows: &[SpeechRow]| {
            let splits = plan(&rows.iter().map(Keys::from).collect::<Vec<_>>());
            let mut by_speaker: HashMap<&str, HashSet<Split>> = HashMap::new();
            for (row, split) in rows.iter().zip(splits) {
                by_speaker.entry(&row.speaker).or_default().insert(split);
            }
            by_speaker.into_values().collect::<Vec<_>>()
        };
        let many = splits_of(&rows(200));
        assert!(many.iter().all(|splits| splits.len() == 1));
        for split in [Split::Train, Split::Dev, Split::Test] {
            assert!(many.iter().any(|splits| splits.contains(&split)), "{split:?}");
        }
        assert!(splits_of(&rows(2)).iter().all(|splits| splits.len() == 3));
    }

    #[test]
    fn a_sentence_pair_follows_the_speaker() {
        let mut rows: Vec<SpeechRow> =
            (0..400).map(|n| said(n, n % 100, &format!("sentence {n}"))).collect();
        let keys: Vec<_> = rows.iter().map(Keys::from).collect();
        let at = plan(&keys).iter().position(|split| *split == Split::Test).expect("a test clip");
        let text = rows.swap_remove(at).text;
        let keys: Vec<_> = keys.into_iter().chain([Keys::from(&pair(&text, "Satz"))]).collect();
        assert_eq!(plan(&keys).last(), Some(&Split::Test));
    }

    #[test]
    fn clips_of_a_recording_are_not_parted() {
        let part = |n: usize, file: usize| SpeechRow {
            audio_filepath: format!("talk{file}.wav"),
            ..said(0, 0, &format!("sentence {n}"))
        };
        let rows: Vec<_> = (0..3000).map(|n| Keys::from(&part(n, n / 10))).collect();
        let splits = plan(&rows);
        assert!(splits.chunks(10).all(|of_file| of_file.iter().all(|split| *split == of_file[0])));
        assert!(splits.contains(&Split::Test) && splits.contains(&Split::Dev));
    }

    #[test]
    fn a_prompt_is_not_parted_without_translations() {
        let prompt = |lang: &str, name: &str| SpeechRow {
            lang: lang.into(),
            audio_filepath: format!("{lang}/prompt-{name}.wav"),
            text: format!("{lang} {name}"),
            source: format!("sounds-{lang}"),
            ..SpeechRow::default()
        };
        // Both texts must draw the test split: one prompt in 400 does.
        let word = |n: usize| format!("{}-{}", n / 100, n % 100);
        let names = (0..4000).map(word);
        let rows: Vec<_> =
            names.flat_map(|name| [prompt("fr", &name), prompt("it", &name)]).collect();
        let splits = plan(&rows.iter().map(Keys::from).collect::<Vec<_>>());
        assert!(splits.chunks(2).all(|pair| pair[0] == pair[1]));
        assert!(splits.contains(&Split::Test));
    }

    #[test]
    fn draws_are_fixed_and_about_90_5_5() {
        assert_eq!(Sentence::new("en", "Hello, world!").map(Sentence::hash), Some(HELLO_WORLD));
        let mut counts = [0_u32; 3];
        for n in 0..20_000 {
            let split = Sentence::new("de", &format!("Satz {n}")).expect("text").draw();
            counts[split as usize] += 1;
        }
        assert!(counts[0].abs_diff(18_000) < 200, "{counts:?}");
        assert!(counts[1].abs_diff(1000) < 150, "{counts:?}");
        assert!(counts[2].abs_diff(1000) < 150, "{counts:?}");
    }

    /// FNV-1a of `en\thello world`, computed apart: manifests of years ago keep their splits.
    const HELLO_WORLD: u64 = 0xd15c_8bab_48a6_3d23;
}
