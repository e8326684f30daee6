//! Words of the user's own: what is written for what is heard.

use super::words::phrase;
use crate::settings::Word;
use strsim::osa_distance;

/// Longer texts are compared by their exact words only.
const LONGEST_FUZZY: usize = 64;

/// A vocabulary, ready to be looked into.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    entries: Vec<Entry>,
    /// Most words that a fuzzy match may take.
    span: usize,
}

#[derive(Debug, Clone)]
struct Entry {
    write: String,
    /// What is heard, and the word itself, as words that are compared.
    phrases: Vec<Vec<String>>,
    /// The same without spaces, where what is alike counts.
    alike: Vec<String>,
}

impl Vocabulary {
    /// Of the words in the settings; those without letters are left out.
    pub fn new(words: &[Word]) -> Self {
        let entries = words.iter().filter_map(|word| {
            let texts = std::iter::once(&word.write).chain(&word.heard);
            let phrases: Vec<_> =
                texts.map(|text| phrase(text)).filter(|words| !words.is_empty()).collect();
            let joined = phrases.iter().map(|words| words.concat());
            let alike = joined.filter(|text| word.fuzzy && text.chars().count() <= LONGEST_FUZZY);
            let alike: Vec<String> = alike.collect();
            (!phrases.is_empty()).then(|| Entry { write: word.write.clone(), phrases, alike })
        });
        let entries: Vec<_> = entries.collect();
        let fuzzy = entries.iter().filter(|entry| !entry.alike.is_empty());
        let longest = fuzzy.flat_map(|entry| entry.phrases.iter().map(Vec::len)).max();
        Self { entries, span: longest.map_or(0, |words| words + 1) }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Words that must be known before one of them can be judged.
    pub(super) fn span(&self) -> usize {
        self.span
    }

    /// All phrases with exact words, and what is written for them.
    pub(super) fn phrases(&self) -> impl Iterator<Item = (&[String], &str)> {
        self.entries.iter().flat_map(|entry| {
            entry.phrases.iter().map(|words| (words.as_slice(), entry.write.as_str()))
        })
    }

    /// How many of the first words are so much like an entry that they become it, and what is
    /// written for them. One word more than the entry has may be taken, if the recogniser cut it in
    /// two; but never a word without which the rest is as much alike.
    pub(super) fn alike(&self, words: &[String]) -> Option<(usize, &str)> {
        let mut best: Option<(usize, usize, &str)> = None;
        for entry in self.entries.iter().filter(|entry| !entry.alike.is_empty()) {
            for target in &entry.alike {
                for count in 1..=words.len().min(self.span) {
                    let Some(distance) = near(words, count, target) else { continue };
                    let rest = (1..count).any(|skip| {
                        let rest = words.get(skip..count).unwrap_or_default().concat();
                        let rest_distance = osa_distance(&rest, target);
                        let start = words.get(..skip).unwrap_or_default().concat();
                        rest_distance <= distance || osa_distance(&start, target) <= distance
                    });
                    let better = best.is_none_or(|(least, taken, _)| {
                        (distance, usize::MAX - count) < (least, usize::MAX - taken)
                    });
                    if !rest && better {
                        best = Some((distance, count, &entry.write));
                    }
                }
            }
        }
        best.map(|(_, count, write)| (count, write))
    }
}

/// The distance of so many words to a target, if it is small enough.
fn near(words: &[String], count: usize, target: &str) -> Option<usize> {
    let said = words.get(..count)?.concat();
    let (long, short) = (target.chars().count(), said.chars().count());
    let allowed = allowed(long);
    if long.abs_diff(short) > allowed {
        return None;
    }
    let distance = osa_distance(&said, target);
    (distance <= allowed).then_some(distance)
}

/// Letters that may be wrong, missing or swapped in a word of that length: words of four letters
/// have too many neighbours, and ideographs are each a word.
fn allowed(letters: usize) -> usize {
    match letters {
        0..=4 => 0,
        5..=8 => 1,
        9..=13 => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> Vocabulary {
        let word = |write: &str, heard: &[&str], fuzzy| Word {
            write: write.to_owned(),
            heard: heard.iter().map(|&text| text.to_owned()).collect(),
            fuzzy,
        };
        Vocabulary::new(&[
            word("Kubernetes", &[], true),
            word("Partita", &[], true),
            word("New York", &[], true),
            word("Rust", &[], true),
            word("GmbH", &["g m b h"], false),
            word("…", &[], true),
        ])
    }

    fn alike(said: &str) -> Option<(usize, String)> {
        let vocabulary = vocabulary();
        vocabulary.alike(&phrase(said)).map(|(count, write)| (count, write.to_owned()))
    }

    #[test]
    fn what_is_nearly_a_word_becomes_it() {
        let one = |count, write: &str| Some((count, write.to_owned()));
        assert_eq!(alike("Kubernetis is"), one(1, "Kubernetes"));
        assert_eq!(alike("kuber netes is"), one(2, "Kubernetes"));
        assert_eq!(alike("Partida"), one(1, "Partita"));
        assert_eq!(alike("Newyork"), one(1, "New York"));
        assert_eq!(alike("new Yorck is"), one(2, "New York"));
    }

    #[test]
    fn other_words_and_their_neighbours_stay() {
        assert_eq!(alike("a partita"), None, "the article is no part of it");
        assert_eq!(alike("partita a"), Some((1, "Partita".to_owned())));
        assert_eq!(alike("party"), None);
        assert_eq!(alike("rest"), None, "short words have too many neighbours");
        assert_eq!(alike("new"), None);
        assert_eq!(alike("g m b x"), None);
    }
}
