//! The normaliser for any language.

use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};
use unicode_segmentation::UnicodeSegmentation;

/// What [`basic`] does beyond lower case and the removal of brackets, symbols and punctuation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Basic {
    /// Also drop diacritics: `é` becomes `e`, `ß` becomes `ss` (the original's
    /// `remove_diacritics`).
    pub strip_diacritics: bool,
    /// Also put a space between any two characters (grapheme clusters), for error rates by
    /// character (the original's `split_letters`).
    pub split_letters: bool,
}

/// Compiles a pattern of this module.
#[allow(clippy::expect_used, reason = "the patterns are constants that every test run compiles")]
pub(super) fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant pattern compiles")
}

static IN_BRACKETS: LazyLock<Regex> = LazyLock::new(|| pattern(r"[<\[][^>\]]*[>\]]"));
static IN_PARENTHESES: LazyLock<Regex> = LazyLock::new(|| pattern(r"\(([^)]+?)\)"));

/// Lower case, without what stands in brackets; marks, symbols and punctuation become spaces
/// (marks only where Unicode has no composed letter), white space one space, none at the ends.
///
/// Note that the marks of Indic scripts are vowels: for those languages this normaliser, like the
/// original, takes away part of the words.
///
/// ```
/// use partita_corpus::normalize::{Basic, basic};
/// assert_eq!(basic("Ça va [rires] (un peu) — très bien!", Basic::default()), "ça va très bien");
/// let plain = Basic { strip_diacritics: true, ..Basic::default() };
/// assert_eq!(basic("Łódź, Straße", plain), "lodz strasse");
/// ```
pub fn basic(text: &str, options: Basic) -> String {
    let text = without_brackets(&text.to_lowercase());
    let text = if options.strip_diacritics {
        without_symbols_and_diacritics(&text, "")
    } else {
        text.nfkc().map(|c| if is_mark_symbol_or_punctuation(c) { ' ' } else { c }).collect()
    };
    let mut text = text.to_lowercase();
    if options.split_letters {
        text = text.graphemes(true).collect::<Vec<_>>().join(" ");
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Drops what stands in square, angle or round brackets, the brackets included.
pub(super) fn without_brackets(text: &str) -> String {
    let text = IN_BRACKETS.replace_all(text, "");
    IN_PARENTHESES.replace_all(&text, "").into_owned()
}

/// Marks, symbols and punctuation become spaces, diacritics go; characters of `keep` stay.
pub(super) fn without_symbols_and_diacritics(text: &str, keep: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.nfkd() {
        if keep.contains(c) {
            out.push(c);
        } else if let Some(letters) = without_stroke(c) {
            out.push_str(letters);
        } else if c.general_category() == GeneralCategory::NonspacingMark {
        } else if is_mark_symbol_or_punctuation(c) {
            out.push(' ');
        } else {
            out.push(c);
        }
    }
    out
}

fn is_mark_symbol_or_punctuation(c: char) -> bool {
    use GeneralCategoryGroup::{Mark, Punctuation, Symbol};
    matches!(c.general_category_group(), Mark | Symbol | Punctuation)
}

/// Letters that Unicode does not decompose.
fn without_stroke(c: char) -> Option<&'static str> {
    Some(match c {
        'œ' => "oe",
        'Œ' => "OE",
        'ø' => "o",
        'Ø' => "O",
        'æ' => "ae",
        'Æ' => "AE",
        'ß' => "ss",
        'ẞ' => "SS",
        'đ' | 'ð' => "d",
        'Đ' | 'Ð' => "D",
        'þ' | 'Þ' => "th",
        'ł' => "l",
        'Ł' => "L",
        _ => return None,
    })
}
