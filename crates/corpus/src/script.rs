//! Whether a text is written in the script of its language: finds swapped columns, wrong language
//! labels and romanised text without any language model.

use unicode_script::{Script, UnicodeScript};

use crate::split::primary_language;

/// The scripts in which a language is written, or `None` for a language that is not known here.
pub fn scripts_of(lang: &str) -> Option<&'static [Script]> {
    use Script::*;
    Some(match primary_language(lang).to_ascii_lowercase().as_str() {
        "af" | "br" | "ca" | "cs" | "cy" | "da" | "de" | "en" | "es" | "et" | "eu" | "fi"
        | "fr" | "ga" | "gl" | "ha" | "hr" | "hu" | "id" | "is" | "it" | "la" | "lb" | "lt"
        | "lv" | "ms" | "mt" | "nb" | "nl" | "nn" | "no" | "pl" | "pt" | "ro" | "rw" | "sk"
        | "sl" | "so" | "sq" | "sv" | "sw" | "tl" | "tr" | "vi" | "yo" | "zu" => &[Latin],
        "be" | "bg" | "kk" | "ky" | "mk" | "mn" | "ru" | "tg" | "tt" | "uk" => &[Cyrillic],
        "az" | "bs" | "sr" | "uz" => &[Cyrillic, Latin],
        "ar" | "fa" | "ps" | "sd" | "ug" | "ur" => &[Arabic],
        "he" | "yi" => &[Hebrew],
        "el" => &[Greek],
        "hy" => &[Armenian],
        "ka" => &[Georgian],
        "zh" | "yue" | "wuu" | "nan" => &[Han, Bopomofo],
        "ja" => &[Han, Hiragana, Katakana],
        "ko" => &[Hangul, Han],
        "hi" | "mr" | "ne" | "sa" => &[Devanagari],
        "bn" | "as" => &[Bengali],
        "gu" => &[Gujarati],
        "kn" => &[Kannada],
        "ml" => &[Malayalam],
        "pa" => &[Gurmukhi, Arabic],
        "si" => &[Sinhala],
        "ta" => &[Tamil],
        "te" => &[Telugu],
        "am" => &[Ethiopic],
        "km" => &[Khmer],
        "lo" => &[Lao],
        "my" => &[Myanmar],
        "th" => &[Thai],
        "bo" => &[Tibetan],
        _ => return None,
    })
}

/// Whether at least half of a text's letters are of its language's scripts. True where the
/// language is not known here and where the text has no letters (`"3.14"`).
///
/// ```
/// use partita_corpus::script::fits;
/// assert!(fits("ru", "Привет, Bob!"));
/// assert!(!fits("ru", "Privet, Bob!"));
/// assert!(fits("zh", "12:30"));
/// ```
pub fn fits(lang: &str, text: &str) -> bool {
    let Some(scripts) = scripts_of(lang) else { return true };
    let (mut letters, mut fitting) = (0_usize, 0_usize);
    for c in text.chars().filter(|c| c.is_alphabetic()) {
        let script = c.script();
        if script == Script::Common || script == Script::Inherited {
            continue;
        }
        letters += 1;
        fitting += usize::from(scripts.contains(&script));
    }
    fitting * 2 >= letters
}
