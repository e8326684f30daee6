//! Cutting a text into the words inside which byte-level pieces merge.
//!
//! The patterns are the published tokenizers'. They end in `\s+(?!\S)`, which leaves the last
//! space of several to the word behind them. The `regex` crate has no look-ahead, but runs in
//! linear time; so the patterns here end in `\s+`, and the last space is given back afterwards.

use std::ops::Range;

use regex::Regex;

/// GPT-2's pattern.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";
/// Qwen 2's: one digit is a word.
const QWEN2: &str = r"(?x) '(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL]) | [^\r\n\p{L}\p{N}]?\p{L}+
    | \p{N} | \x20?[^\s\p{L}\p{N}]+[\r\n]* | \s*[\r\n]+ | \s+";
/// Llama 3's: up to three digits are a word.
const LLAMA3: &str = r"(?x) '(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL]) | [^\r\n\p{L}\p{N}]?\p{L}+
    | \p{N}{1,3} | \x20?[^\s\p{L}\p{N}]+[\r\n]* | \s*[\r\n]+ | \s+";

/// The part of a pattern that takes line ends with the spaces before them.
const LINE_ENDS: &str = r"\s*[\r\n]+";

/// A way to cut, as published.
struct Scheme {
    /// Names by which files ask for it (`tokenizer.ggml.pre`).
    names: &'static [&'static str],
    /// Applied one after the other, each to what the one before has left in one piece.
    patterns: &'static [&'static str],
    /// Whether a word that is a token is taken whole, whatever the merges make of it.
    whole_words: bool,
}

const SCHEMES: &[Scheme] = &[
    Scheme { names: &["gpt-2"], patterns: &[GPT2], whole_words: false },
    Scheme { names: &["smollm"], patterns: &[r"\p{N}", GPT2], whole_words: false },
    Scheme { names: &["qwen2"], patterns: &[QWEN2], whole_words: false },
    Scheme { names: &["llama-bpe", "llama3", "llama-v3"], patterns: &[LLAMA3], whole_words: true },
    Scheme {
        names: &["default"],
        patterns: &[r"[\p{P}$+<=>^~|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
        whole_words: false,
    },
];

/// One way to cut a text into words.
#[derive(Debug, Clone)]
pub(super) struct Splitter {
    patterns: Vec<Regex>,
    pub whole_words: bool,
}

impl Splitter {
    /// The one that files ask for by this name.
    pub fn named(name: &str) -> Option<Self> {
        let scheme = SCHEMES.iter().find(|scheme| scheme.names.contains(&name))?;
        let patterns = scheme.patterns.iter().map(|pattern| Regex::new(pattern).ok());
        Some(Self { patterns: patterns.collect::<Option<_>>()?, whole_words: scheme.whole_words })
    }

    /// All names that are known.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SCHEMES.iter().flat_map(|scheme| scheme.names.iter().copied())
    }

    /// The words of a text; nothing is left out.
    pub fn words<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        let mut words: Vec<_> = std::iter::once(0..text.len()).collect();
        for pattern in &self.patterns {
            let mut finer = Vec::with_capacity(words.len());
            for word in words {
                cut(pattern, text, word, &mut finer);
            }
            words = finer;
        }
        words.into_iter().filter_map(|word| text.get(word))
    }
}

/// The patterns by which byte-level tokenizers of this name (`tokenizer.ggml.pre`) cut texts into words,
/// one after the other, as they were published, for libraries whose expressions look ahead; and whether
/// a word that is a token is taken whole. `None` for a name that is not known.
///
/// ```
/// let (patterns, whole_words) = partita_model::tokens::word_patterns("smollm").unwrap();
/// assert_eq!((patterns[0].as_str(), whole_words), (r"\p{N}", false));
/// assert!(patterns[1].ends_with(r"|\s+(?!\S)|\s+"));
/// ```
pub fn word_patterns(name: &str) -> Option<(Vec<String>, bool)> {
    let scheme = SCHEMES.iter().find(|scheme| scheme.names.contains(&name))?;
    let plain = |pattern: &&str| {
        let plain = match pattern.strip_prefix("(?x)") {
            Some(spaced) => spaced.replace(char::is_whitespace, "").replace(r"\x20", " "),
            None => (*pattern).to_owned(),
        };
        match plain.strip_suffix(r"|\s+") {
            Some(rest) => format!(r"{rest}|\s+(?!\S)|\s+"),
            None => plain,
        }
    };
    Some((scheme.patterns.iter().map(plain).collect(), scheme.whole_words))
}

/// Cuts one stretch of a text into what a pattern finds and what lies between.
fn cut(pattern: &Regex, text: &str, stretch: Range<usize>, into: &mut Vec<Range<usize>>) {
    let Some(inside) = text.get(stretch.clone()) else { return };
    let mut from = 0;
    while let Some(found) = pattern.find_at(inside, from) {
        let mut end = found.end();
        let word = found.as_str();
        // Of a run of spaces with something behind it, the last goes to what is behind; unless
        // the run was found as line ends.
        let spaces = end < inside.len() && word.chars().all(char::is_whitespace);
        let line_ends = word.ends_with(['\r', '\n']) && pattern.as_str().contains(LINE_ENDS);
        if spaces
            && !line_ends
            && let Some((last, _)) = word.char_indices().next_back()
            && last > 0
        {
            end = found.start() + last;
        }
        if found.start() > from {
            into.push(stretch.start + from..stretch.start + found.start());
        }
        into.push(stretch.start + found.start()..stretch.start + end);
        from = end;
    }
    if from < inside.len() {
        into.push(stretch.start + from..stretch.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words<'t>(name: &str, text: &'t str) -> Vec<&'t str> {
        Splitter::named(name).unwrap().words(text).collect()
    }

    #[test]
    fn every_pattern_compiles() {
        for name in Splitter::names() {
            assert!(Splitter::named(name).is_some(), "{name}");
        }
        assert!(Splitter::named("unheard-of").is_none());
    }

    #[test]
    fn published_examples() {
        let text = "I'm  12345 \n\n x!\n";
        assert_eq!(words("gpt-2", text), ["I", "'m", " ", " 12345", " \n\n", " x", "!", "\n"]);
        assert_eq!(
            words("smollm", text),
            ["I", "'m", "  ", "1", "2", "3", "4", "5", " \n\n", " x", "!", "\n"]
        );
        assert_eq!(
            words("qwen2", text),
            ["I", "'m", " ", " ", "1", "2", "3", "4", "5", " \n\n", " x", "!\n"]
        );
        assert_eq!(words("llama-bpe", "12345é"), ["123", "45", "é"]);
        assert_eq!(words("default", "a, 1234"), ["a", ",", " ", "123", "4"]);
    }
    /// Hugging Face's splitter with the published expressions cuts where ours do without looking ahead.
    #[test]
    fn published_patterns_cut_alike() {
        use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
        use tokenizers::{
            OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior,
        };
        for name in Splitter::names() {
            let (patterns, _) = word_patterns(name).unwrap();
            for text in [
                "I'm  12345 \n\n x!\n",
                "It's THEY'LL 3.14\t\tend   ",
                "Grüße, 世界! 🙂🙂 \r\n a1b2",
                "   $+<x>^~|  ½",
            ] {
                let mut cut = PreTokenizedString::from(text);
                for pattern in &patterns {
                    let pattern = SplitPattern::Regex(pattern.clone());
                    let isolated = SplitDelimiterBehavior::Isolated;
                    Split::new(pattern, isolated, false).unwrap().pre_tokenize(&mut cut).unwrap();
                }
                let theirs = cut.get_splits(OffsetReferential::Original, OffsetType::Byte);
                let theirs: Vec<&str> = theirs.iter().map(|(word, ..)| *word).collect();
                assert_eq!(words(name, text), theirs, "{name}: {text:?}");
            }
        }
    }
}
