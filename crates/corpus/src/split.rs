//! Which rows are for training and which are held back, so that no sentence is on both sides.
//!
//! The same prompt recurs: in several languages, read by several speakers, in the sentence pairs.
//! Splitting by clip would put a test sentence, or its translation, into training. So:
//!
//! 1. Each row has a *head*: its English text where that is known (its own, or a translation),
//!    else its own text, normalised ([`crate::normalize::basic`]). A hash of language and head
//!    draws the split: 90 % train, 5 % dev, 5 % test. The same prompt in several languages has one
//!    English text and so one split, on every machine and in every run.
//! 2. Rows that share *any* sentence (same language, same normalised text) are one group: one
//!    German sentence with two English versions, say. A group whose heads drew different splits
//!    is for training, all of it. Where a corpus states splits itself (Common Voice, a manifest),
//!    these stay, and the other rows of the group follow the strictest of them.
//!
//! Step 1 depends on the row alone, step 2 on what is prepared together: corpora that share
//! sentences belong into one run of `partita-train prepare`. File names of prompts are not used:
//! in our data every recurring prompt carries its English text, and equal names (`001.mp3`) need
//! not be equal prompts.

use std::collections::HashMap;

use crate::manifest::{SpeechRow, Split, TextRow};
use crate::normalize::{Basic, basic};

/// A sentence: a hash of its language and normalised text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sentence(u64);

impl Sentence {
    /// The sentence, or `None` for a text without letters and digits. Region and case of the
    /// language are left out: `pt-BR` and `pt` are one.
    pub fn new(lang: &str, text: &str) -> Option<Self> {
        let text = basic(text, Basic::default());
        let lang = primary_language(lang).to_ascii_lowercase();
        (!text.is_empty()).then(|| Self(fnv1a(&[lang.as_bytes(), b"\t", text.as_bytes()])))
    }

    /// The hash (FNV-1a, 64 bits), the same everywhere.
    pub fn hash(self) -> u64 {
        self.0
    }

    /// The split that the sentence draws when nothing else is known of it.
    pub fn draw(self) -> Split {
        // FNV's low bits are well mixed only after folding the high ones in.
        match (self.0 ^ (self.0 >> 32)) % 100 {
            0..5 => Split::Test,
            5..10 => Split::Dev,
            _ => Split::Train,
        }
    }
}

/// The language without region and script: `pt` of `pt-BR`.
pub fn primary_language(lang: &str) -> &str {
    lang.split(['-', '_']).next().unwrap_or(lang)
}

/// FNV-1a: short, without a key, and fixed for all time, unlike the standard library's hasher.
fn fnv1a(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The sentences of a row, its head first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentences(Vec<Sentence>);

impl Sentences {
    /// All sentences, the head first; a row without any text has its id as its only one.
    pub fn iter(&self) -> impl Iterator<Item = Sentence> + '_ {
        self.0.iter().copied()
    }

    fn new<'a>(id: &str, texts: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut english_first: Vec<_> = texts.collect();
        english_first.sort_by_key(|(lang, _)| primary_language(lang) != "en");
        let mut sentences: Vec<_> =
            english_first.iter().filter_map(|(lang, text)| Sentence::new(lang, text)).collect();
        if sentences.is_empty() {
            sentences.push(Sentence(fnv1a(&[b"id\t", id.as_bytes()])));
        }
        Self(sentences)
    }
}

impl From<&SpeechRow> for Sentences {
    fn from(row: &SpeechRow) -> Self {
        let own = (row.lang.as_str(), row.text.as_str());
        let others = row.translations.iter().map(|(lang, text)| (lang.as_str(), text.as_str()));
        Self::new(&row.id, std::iter::once(own).chain(others))
    }
}

impl From<&TextRow> for Sentences {
    fn from(row: &TextRow) -> Self {
        let pair = [(&row.src_lang, &row.src_text), (&row.tgt_lang, &row.tgt_text)];
        Self::new(&row.id, pair.into_iter().map(|(lang, text)| (lang.as_str(), text.as_str())))
    }
}

/// Learns all rows first, then tells the split of each.
///
/// ```
/// use partita_corpus::manifest::TextRow;
/// use partita_corpus::split::{SplitPlan, Sentences};
/// let row = |english: &str, german: &str| TextRow {
///     src_lang: "en".into(), src_text: english.into(),
///     tgt_lang: "de".into(), tgt_text: german.into(), ..TextRow::default()
/// };
/// let rows = [row("He can do it.", "Er kann das."), row("He is able to.", "Er kann das!")];
/// let mut plan = SplitPlan::default();
/// for row in &rows {
///     plan.learn(&Sentences::from(row), None);
/// }
/// let splits = rows.each_ref().map(|row| plan.split(&Sentences::from(row)));
/// assert_eq!(splits[0], splits[1], "they share a German sentence");
/// ```
#[derive(Debug, Default)]
pub struct SplitPlan {
    nodes: HashMap<Sentence, usize>,
    /// Union-find over the nodes.
    parents: Vec<usize>,
    groups: Vec<Group>,
}

/// What is known of a group; of use at its root only.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    drawn: Option<Split>,
    heads_differ: bool,
    stated: Option<Split>,
}

impl Group {
    fn join(self, other: Self) -> Self {
        let heads_differ = matches!((self.drawn, other.drawn), (Some(a), Some(b)) if a != b);
        Self {
            drawn: self.drawn.or(other.drawn),
            heads_differ: heads_differ || self.heads_differ || other.heads_differ,
            stated: self.stated.max(other.stated),
        }
    }
}

impl SplitPlan {
    /// Learns a row: its sentences, and its split where the corpus states one.
    pub fn learn(&mut self, row: &Sentences, stated: Option<Split>) {
        let mut root = None;
        for sentence in row.iter() {
            let next = self.parents.len();
            let node = *self.nodes.entry(sentence).or_insert(next);
            if node == next {
                self.parents.push(next);
                self.groups.push(Group::default());
            }
            self.shorten(node);
            let node = self.root(node);
            root = Some(match root {
                None => {
                    let group = Group { drawn: Some(sentence.draw()), heads_differ: false, stated };
                    self.join(node, group);
                    node
                }
                Some(root) => self.unite(root, node),
            });
        }
    }

    /// The split of a row that was learned and whose corpus states none.
    pub fn split(&self, row: &Sentences) -> Split {
        let Some(head) = row.iter().next() else { return Split::Train };
        let Some(&node) = self.nodes.get(&head) else { return head.draw() };
        let group = self.groups.get(self.root(node)).copied().unwrap_or_default();
        match group {
            Group { stated: Some(split), .. } => split,
            Group { heads_differ: true, .. } => Split::Train,
            Group { drawn, .. } => drawn.unwrap_or_default(),
        }
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

    fn plan(rows: &[Sentences]) -> Vec<Split> {
        let mut plan = SplitPlan::default();
        rows.iter().for_each(|row| plan.learn(row, None));
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
            Sentences::from(&clip("en", &format!("{}!", text.to_uppercase()), None)),
            Sentences::from(&clip("fr", "Une phrase.", Some(&text))),
            Sentences::from(&pair(&text, "Ein Satz.")),
        ];
        assert_eq!(plan(&rows), [Split::Test; 3]);
    }

    #[test]
    fn rows_that_share_a_sentence_are_not_parted() {
        let (test, train) = (drawing(Split::Test), drawing(Split::Train));
        let rows = [
            Sentences::from(&pair(&test, "Er kann es.")),
            Sentences::from(&pair(&train, "Er kann es!")),
            Sentences::from(&clip("de", "er kann es", None)),
        ];
        assert_eq!(plan(&rows), [Split::Train; 3]);
    }

    #[test]
    fn stated_splits_lead() {
        let text = drawing(Split::Train);
        let rows = [clip("en", &text, None), clip("de", "Ja.", Some(&text))];
        let rows = rows.each_ref().map(Sentences::from);
        let mut plan = SplitPlan::default();
        plan.learn(&rows[0], Some(Split::Test));
        plan.learn(&rows[1], None);
        assert_eq!(plan.split(&rows[1]), Split::Test);
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
