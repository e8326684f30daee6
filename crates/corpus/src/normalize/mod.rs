//! Text normalisation before error rates are counted, as Whisper's authors do it.
//!
//! Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision", appendix C:
//! error rates are compared after a normaliser took away what is a matter of style. Two of them:
//! [`english`], with contractions, numbers and spellings, and [`basic`] for all other languages.
//! The results are those of the authors' `whisper.normalizers` but for white space at both ends,
//! which is dropped here (see the golden tests for the few differences that remain).

mod basic;
mod english;
mod number_words;
mod numbers;

pub use basic::{Basic, basic};
pub use english::english;

use crate::split::primary_language;

/// Whether error rates of a language are counted in characters (grapheme clusters), because it is
/// written without spaces: Chinese, Cantonese, Japanese, Thai, Lao, Burmese, Khmer, Tibetan.
pub fn counts_characters(lang: &str) -> bool {
    let lang = primary_language(lang);
    ["zh", "yue", "ja", "th", "lo", "my", "km", "bo"].iter().any(|l| lang.eq_ignore_ascii_case(l))
}

/// The normaliser of a language: [`english`] for English, else [`basic`]; languages without
/// spaces come with a space between any two characters, so that words are characters.
///
/// ```
/// use partita_corpus::normalize::normalize;
/// assert_eq!(normalize("en", "Mr. Brown hasn't paid twenty-one dollars."),
///            "mister brown has not paid $21");
/// assert_eq!(normalize("fr", "C'est « déjà » l'été !"), "c est déjà l été");
/// assert_eq!(normalize("zh", "你好，世界"), "你 好 世 界");
/// ```
pub fn normalize(lang: &str, text: &str) -> String {
    if primary_language(lang).eq_ignore_ascii_case("en") {
        english(text)
    } else {
        basic(text, Basic { split_letters: counts_characters(lang), ..Basic::default() })
    }
}
