//! The normaliser for English.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

use super::basic::{pattern, without_brackets, without_symbols_and_diacritics};
use super::numbers::digits_for_words;

/// Contractions and titles, in the order in which they are replaced.
const REPLACEMENTS: [(&str, &str); 54] = [
    (r"\bwon't\b", "will not"),
    (r"\bcan't\b", "can not"),
    (r"\blet's\b", "let us"),
    (r"\bain't\b", "aint"),
    (r"\by'all\b", "you all"),
    (r"\bwanna\b", "want to"),
    (r"\bkinda\b", "kind of"),
    (r"\bsorta\b", "sort of"),
    (r"\bdunno\b", "do not know"),
    (r"\bgotta\b", "got to"),
    (r"\bgonna\b", "going to"),
    (r"\bi'ma\b", "i am going to"),
    (r"\bimma\b", "i am going to"),
    (r"\bwoulda\b", "would have"),
    (r"\bcoulda\b", "could have"),
    (r"\bshoulda\b", "should have"),
    (r"\bcause\b", "because"),
    (r"\bma'am\b", "madam"),
    (r"\bmr\b", "mister "),
    (r"\bmrs\b", "missus "),
    (r"\bst\b", "saint "),
    (r"\bdr\b", "doctor "),
    (r"\bprof\b", "professor "),
    (r"\bcapt\b", "captain "),
    (r"\bgov\b", "governor "),
    (r"\bald\b", "alderman "),
    (r"\bgen\b", "general "),
    (r"\bsen\b", "senator "),
    (r"\brep\b", "representative "),
    (r"\bpres\b", "president "),
    (r"\brev\b", "reverend "),
    (r"\bhon\b", "honorable "),
    (r"\basst\b", "assistant "),
    (r"\bassoc\b", "associate "),
    (r"\blt\b", "lieutenant "),
    (r"\bcol\b", "colonel "),
    (r"\bjr\b", "junior "),
    (r"\bsr\b", "senior "),
    (r"\besq\b", "esquire "),
    (r"'d been\b", " had been"),
    (r"'s been\b", " has been"),
    (r"'d gone\b", " had gone"),
    (r"'s gone\b", " has gone"),
    (r"'d done\b", " had done"),
    (r"'s got\b", " has got"),
    (r"n't\b", " not"),
    (r"'re\b", " are"),
    (r"'s\b", " is"),
    (r"'d\b", " would"),
    (r"'ll\b", " will"),
    (r"'t\b", " not"),
    (r"'ve\b", " have"),
    (r"'m\b", " am"),
    // A comma between digits; the digit after it is put back.
    (r"(\d),(\d)", "${1}${2}"),
];

static REPLACERS: LazyLock<Vec<(Regex, &str)>> =
    LazyLock::new(|| REPLACEMENTS.iter().map(|(from, to)| (pattern(from), *to)).collect());
static HESITATION: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(hmm|mm|mhm|mmm|uh|um)\b"));
static SPACE_BEFORE_APOSTROPHE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\s+'"));
static FULL_STOP: LazyLock<Regex> = LazyLock::new(|| pattern(r"\.([^0-9]|$)"));
static SIGN_WITHOUT_NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"[.$¢€£]([^0-9])"));
static PERCENT_WITHOUT_NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"([^0-9])%"));

/// British spellings and their American forms (`data/README.md` says where they come from).
static SPELLINGS: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let table = include_str!("../../data/british-american.tsv");
    table.lines().filter_map(|line| line.split_once('\t')).collect()
});

/// English for comparison: contractions written out, hesitations dropped, number words as digits
/// (`twenty-one dollars` is `$21`), American spelling, no punctuation.
///
/// ```
/// use partita_corpus::normalize::english;
/// assert_eq!(english("Um, I won't pay one hundred and five pounds for grey colours!"),
///            "i will not pay £105 for gray colors");
/// ```
pub fn english(text: &str) -> String {
    let text = without_brackets(&text.to_lowercase());
    let text = HESITATION.replace_all(&text, "");
    let mut text = SPACE_BEFORE_APOSTROPHE.replace_all(&text, "'").into_owned();
    for (from, to) in REPLACERS.iter() {
        if let std::borrow::Cow::Owned(replaced) = from.replace_all(&text, *to) {
            text = replaced;
        }
    }
    let text = FULL_STOP.replace_all(&text, " ${1}");
    let text = without_symbols_and_diacritics(&text, ".%$¢€£");
    let text = digits_for_words(&text);
    let words = text.split_whitespace().map(|word| SPELLINGS.get(word).copied().unwrap_or(word));
    let text = words.collect::<Vec<_>>().join(" ");
    let text = SIGN_WITHOUT_NUMBER.replace_all(&text, " ${1}");
    let text = PERCENT_WITHOUT_NUMBER.replace_all(&text, "${1} ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spelling_table_is_whole() {
        assert_eq!(SPELLINGS.len(), 1739);
        assert_eq!(english("a programme about jewellery"), "a program about jewelry");
    }
}
