//! How texts are cut into tokens for BLEU: sacreBLEU's `13a`, `zh` and `char`.

use crate::split::primary_language;

/// A way to cut a text into tokens. Scores of different ones cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tokenizer {
    /// `13a`: that of the NIST script mteval-v13a, for languages with spaces.
    Mteval13a,
    /// `zh`: every Chinese character for itself, everything else as in `13a`.
    Chinese,
    /// `char`: every character for itself.
    Characters,
}

/// The tokenizer for translations into a language: `zh` for Chinese and Cantonese, `char` for
/// Japanese and other languages without spaces, else `13a`.
///
/// For Japanese, sacreBLEU itself proposes MeCab with a dictionary of 50 MB, which would have to be
/// fetched; `char` needs none. Scores of the two cannot be compared, and signatures name which it
/// was.
///
/// ```
/// use partita_corpus::bleu::tokenizer_for;
/// assert_eq!(tokenizer_for("de").name(), "13a");
/// assert_eq!(tokenizer_for("zh-TW").name(), "zh");
/// assert_eq!(tokenizer_for("ja").tokens("猫だ。"), ["猫", "だ", "。"]);
/// ```
pub fn tokenizer_for(lang: &str) -> Tokenizer {
    match primary_language(lang).to_ascii_lowercase().as_str() {
        "zh" | "yue" => Tokenizer::Chinese,
        lang if crate::normalize::counts_characters(lang) => Tokenizer::Characters,
        _ => Tokenizer::Mteval13a,
    }
}

impl Tokenizer {
    /// sacreBLEU's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mteval13a => "13a",
            Self::Chinese => "zh",
            Self::Characters => "char",
        }
    }

    /// The tokens of a text.
    ///
    /// ```
    /// use partita_corpus::bleu::Tokenizer;
    /// assert_eq!(Tokenizer::Mteval13a.tokens("It's $1,000.50."), ["It's", "$", "1,000.50", "."]);
    /// assert_eq!(Tokenizer::Chinese.tokens("他有3.5元。"), ["他", "有", "3.5", "元", "。"]);
    /// ```
    pub fn tokens(self, text: &str) -> Vec<String> {
        let own = |tokens: &str| tokens.split(is_space).map(str::to_owned).collect::<Vec<_>>();
        let mut tokens = match self {
            Self::Mteval13a => {
                own(&western(&format!(" {} ", plain(text.trim_end_matches(is_space)))))
            }
            Self::Chinese => {
                let mut apart = String::with_capacity(3 * text.len());
                for c in text.trim_matches(is_space).chars() {
                    match is_chinese(c) {
                        true => apart.extend([' ', c, ' ']),
                        false => apart.push(c),
                    }
                }
                own(&western(&apart))
            }
            Self::Characters => text.chars().filter(|&c| !is_space(c)).map(String::from).collect(),
        };
        tokens.retain(|token| !token.is_empty());
        tokens
    }
}

/// White space as Python sees it: Unicode's, and four separators of ASCII.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Undoes line breaks and the entities of SGML.
fn plain(text: &str) -> String {
    let text = text.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    let text = text.replace("&quot;", "\"").replace("&amp;", "&");
    text.replace("&lt;", "<").replace("&gt;", ">")
}

/// Puts spaces around punctuation: always but for periods, commas and hyphens; around periods and
/// commas unless digits stand on both sides; around a hyphen behind a digit.
fn western(text: &str) -> String {
    let mut apart = String::with_capacity(2 * text.len());
    for c in text.chars() {
        match c {
            '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/' => {
                apart.extend([' ', c, ' ']);
            }
            _ => apart.push(c),
        }
    }
    let point = |c| matches!(c, '.' | ',');
    let digit = |c: char| c.is_ascii_digit();
    let apart = at_pairs(&apart, |a, b| !digit(a) && point(b), ["", " ", " "]);
    let apart = at_pairs(&apart, |a, b| point(a) && !digit(b), [" ", " ", ""]);
    at_pairs(&apart, |a, b| digit(a) && b == '-', ["", " ", " "])
}

/// Puts these before, between and behind pairs of characters that fit, from left to right; pairs do
/// not overlap.
fn at_pairs(text: &str, fits: impl Fn(char, char) -> bool, put: [&str; 3]) -> String {
    let [before, between, behind] = put;
    let mut out = String::with_capacity(text.len() + text.len() / 2);
    let mut characters = text.chars().peekable();
    while let Some(first) = characters.next() {
        match characters.next_if(|&second| fits(first, second)) {
            Some(second) => {
                out.push_str(before);
                out.push(first);
                out.push_str(between);
                out.push(second);
                out.push_str(behind);
            }
            None => out.push(first),
        }
    }
    out
}

/// The characters that `zh` takes for Chinese, punctuation and symbols among them.
///
/// Two ranges are not what their author meant: Python reads `\u20000` as U+2000 and a zero, so that
/// extension B became everything from U+2001 to U+2A6D, quotation marks and dashes included. All
/// published scores have it so.
fn is_chinese(c: char) -> bool {
    matches!(c,
        '\u{3400}'..='\u{4db5}' | '\u{4e00}'..='\u{9fbb}' | '\u{f900}'..='\u{fa2d}'
        | '\u{fa30}'..='\u{fa6a}' | '\u{fa70}'..='\u{fad9}' | '\u{2001}'..='\u{2a6d}'
        | '\u{2f81}'..='\u{2fa1}' | '\u{ff00}'..='\u{ffef}' | '\u{2e80}'..='\u{2eff}'
        | '\u{3000}'..='\u{303f}' | '\u{31c0}'..='\u{31ef}' | '\u{2f00}'..='\u{2fdf}'
        | '\u{2ff0}'..='\u{2fff}' | '\u{3100}'..='\u{312f}' | '\u{31a0}'..='\u{31bf}'
        | '\u{fe10}'..='\u{fe1f}' | '\u{fe30}'..='\u{fe4f}' | '\u{3200}'..='\u{33ff}')
}
