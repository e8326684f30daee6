//! English number words to digits: "two hundred and five" → `205`, "nineteen oh five" → `1905`,
//! "three point five million dollars" → `$3500000`, "twenty-first" → `21st`.
//!
//! The rules, with their oddities, are those of Whisper's `EnglishNumberNormalizer`: error rates
//! are comparable only when both sides are read the same way.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::basic::pattern;
use super::number_words::NumberWord;

static AND_A_HALF: LazyLock<Regex> = LazyLock::new(|| pattern(r"\band\s+a\s+half\b"));
static LETTER_DIGIT: LazyLock<Regex> = LazyLock::new(|| pattern(r"([a-z])([0-9])"));
static DIGIT_LETTER: LazyLock<Regex> = LazyLock::new(|| pattern(r"([0-9])([a-z])"));
static SUFFIX: LazyLock<Regex> = LazyLock::new(|| pattern(r"([0-9])\s+(st|nd|rd|th|s)\b"));
static NUMERIC: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[0-9]+(\.[0-9]+)?$"));
static MONEY_AND_CENTS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"([€£$])([0-9]+) (?:and )?¢([0-9]{1,2})\b"));
static ONLY_CENTS: LazyLock<Regex> = LazyLock::new(|| pattern(r"[€£$]0.([0-9]{1,2})\b"));
static A_ONE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b1(s?)\b"));

/// Replaces the number words of a lower-case text without punctuation by digits.
pub(super) fn digits_for_words(text: &str) -> String {
    let text = prepare(text);
    let words: Vec<&str> = text.split_whitespace().collect();
    finish(&Reader::default().read(&words).join(" "))
}

/// Writes "and a half" as "point five" after a number and separates digits from letters.
fn prepare(text: &str) -> String {
    let mut parts = Vec::new();
    let mut segments = AND_A_HALF.split(text).peekable();
    while let Some(segment) = segments.next() {
        let Some(last) = segment.split_whitespace().next_back() else { continue };
        parts.push(segment);
        if segments.peek().is_some() {
            use NumberWord::{Multiplier, One, Ten, Zero};
            let after_number =
                matches!(NumberWord::of(last), Some(One(_) | Ten(_) | Zero | Multiplier(_)));
            parts.push(if after_number { "point five" } else { "and a half" });
        }
    }
    let text = parts.join(" ");
    let text = LETTER_DIGIT.replace_all(&text, "${1} ${2}");
    let text = DIGIT_LETTER.replace_all(&text, "${1} ${2}");
    SUFFIX.replace_all(&text, "${1}${2}").into_owned()
}

/// Joins amounts with their cents; `1` is written "one", as it mostly is no number.
fn finish(text: &str) -> String {
    let number = |digits: &str| digits.parse::<u8>().unwrap_or_default();
    let text = MONEY_AND_CENTS.replace_all(text, |found: &Captures<'_>| {
        format!("{}{}.{:02}", &found[1], &found[2], number(&found[3]))
    });
    let text =
        ONLY_CENTS.replace_all(&text, |found: &Captures<'_>| format!("¢{}", number(&found[1])));
    A_ONE.replace_all(&text, "one${1}").into_owned()
}

/// A number while it is being read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    /// A number that may still be added to or multiplied.
    Integer(u128),
    /// Digits one after the other: `one oh one`, decimals, and what is too long for an integer.
    Digits(String),
}

impl Value {
    fn text(&self) -> String {
        match self {
            Self::Integer(value) => value.to_string(),
            Self::Digits(digits) => digits.clone(),
        }
    }

    /// Digits in the file's own words: whole numbers without leading zeros, and without decimals
    /// where these are zero.
    fn parse(digits: &str) -> Self {
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
        if decimals.bytes().any(|digit| digit != b'0') {
            return Self::Digits(digits.to_owned());
        }
        let whole = whole.trim_start_matches('0');
        // 30 digits leave room for a multiplication; longer ones are no number that is spoken.
        match whole.parse() {
            Ok(value) if whole.len() <= 30 => Self::Integer(value),
            _ if whole.is_empty() => Self::Integer(0),
            _ => Self::Digits(whole.to_owned()),
        }
    }

    /// The product, if it is a whole number: `2.5` × 1000, not `2.5` × 1.
    fn times(&self, multiplier: u128) -> Option<u128> {
        match self {
            Self::Integer(value) => value.checked_mul(multiplier),
            Self::Digits(digits) => {
                let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
                let scale = 10_u128.checked_pow(u32::try_from(decimals.len()).ok()?)?;
                let all: u128 = format!("{whole}{decimals}").parse().ok()?;
                let product = all.checked_mul(multiplier)?;
                (product % scale == 0).then_some(product / scale)
            }
        }
    }
}

/// Reads words from left to right and writes words and finished numbers.
#[derive(Default)]
struct Reader {
    out: Vec<String>,
    value: Option<Value>,
    prefix: Option<char>,
}

impl Reader {
    fn read(mut self, words: &[&str]) -> Vec<String> {
        let mut skip = false;
        for (index, &word) in words.iter().enumerate() {
            if std::mem::take(&mut skip) {
                continue;
            }
            let previous = index.checked_sub(1).and_then(|i| words.get(i)).copied();
            let next = words.get(index + 1).copied();
            if !self.numeric(word) {
                match NumberWord::of(word) {
                    Some(meaning) => skip = self.number_word(word, meaning, previous, next),
                    None => self.plain(word),
                }
            }
        }
        self.close();
        self.out
    }

    /// Writes the number read so far.
    fn close(&mut self) {
        if let Some(value) = self.value.take() {
            self.write(&value.text());
        }
    }

    fn write(&mut self, text: &str) {
        let prefix = self.prefix.take().map(String::from).unwrap_or_default();
        self.out.push(prefix + text);
        self.value = None;
    }

    fn plain(&mut self, word: &str) {
        self.close();
        self.write(word);
    }

    fn digits_so_far(&self) -> String {
        match &self.value {
            // The original takes a zero for nothing here.
            None | Some(Value::Integer(0)) => String::new(),
            Some(value) => value.text(),
        }
    }

    /// Takes a word that is written in digits, perhaps with a currency sign before it.
    fn numeric(&mut self, word: &str) -> bool {
        let sign = word.chars().next().filter(|c| "-+£€$¢".contains(*c));
        let digits = sign.map_or(word, |sign| &word[sign.len_utf8()..]);
        if !NUMERIC.is_match(digits) {
            return false;
        }
        match &mut self.value {
            Some(Value::Digits(before)) if before.ends_with('.') => {
                before.push_str(word);
                return true;
            }
            _ => self.close(),
        }
        self.prefix = sign.or(self.prefix);
        self.value = Some(Value::parse(digits));
        true
    }

    /// Takes a number word; says whether the next word was taken with it.
    fn number_word(
        &mut self,
        word: &str,
        meaning: NumberWord,
        previous: Option<&str>,
        next: Option<&str>,
    ) -> bool {
        let before = previous.and_then(NumberWord::of);
        let after = next.and_then(NumberWord::of);
        let next_is_numeric = next.is_some_and(|next| NUMERIC.is_match(next));
        match meaning {
            NumberWord::Zero => self.value = Some(Value::Digits(self.digits_so_far() + "0")),
            NumberWord::One(value) => self.value = Some(self.with_ones(value, before)),
            NumberWord::OneSuffixed(value, suffix) => {
                let value = self.with_ones(value, before);
                self.write(&(value.text() + suffix));
            }
            NumberWord::Ten(value) => self.value = Some(self.with_tens(value)),
            NumberWord::TenSuffixed(value, suffix) => {
                let value = self.with_tens(value);
                self.write(&(value.text() + suffix));
            }
            NumberWord::Multiplier(multiplier) => {
                let product = self.multiply(multiplier);
                self.value = Some(product);
            }
            NumberWord::MultiplierSuffixed(multiplier, suffix) => {
                let product = self.multiply(multiplier);
                self.write(&(product.text() + suffix));
            }
            NumberWord::Sign(sign) => {
                self.close();
                if after.is_some() || next_is_numeric {
                    self.prefix = Some(sign);
                } else {
                    self.write(word);
                }
            }
            NumberWord::Currency(sign) if self.value.is_some() => {
                self.prefix = Some(sign);
                self.close();
            }
            NumberWord::Percent if self.value.is_some() => self.close_with("%"),
            NumberWord::Per if self.value.is_some() && next == Some("cent") => {
                self.close_with("%");
                return true;
            }
            NumberWord::Currency(_) | NumberWord::Percent | NumberWord::Per => self.plain(word),
            NumberWord::And | NumberWord::Repeat(_) | NumberWord::Point
                if after.is_none() && !next_is_numeric =>
            {
                self.plain(word);
            }
            NumberWord::And if matches!(before, Some(NumberWord::Multiplier(_))) => {}
            NumberWord::And => self.plain(word),
            NumberWord::Repeat(times) => {
                let digit = match after {
                    Some(NumberWord::Zero) => 0,
                    Some(NumberWord::One(value)) => value,
                    _ => {
                        self.plain(word);
                        return false;
                    }
                };
                let digits = digit.to_string().repeat(times);
                self.value = Some(Value::Digits(self.digits_so_far() + &digits));
                return true;
            }
            NumberWord::Point => {
                use NumberWord::{One, Ten, Zero};
                if next_is_numeric || matches!(after, Some(One(_) | Ten(_) | Zero)) {
                    self.value = Some(Value::Digits(self.digits_so_far() + "."));
                }
            }
        }
        false
    }

    fn close_with(&mut self, suffix: &str) {
        if let Some(value) = self.value.take() {
            self.write(&(value.text() + suffix));
        }
    }

    /// The number so far with one to nineteen after it: added where there is room for it
    /// (`twenty` `one`), else written after it (`nineteen` `five`).
    fn with_ones(&self, ones: u128, before: Option<NumberWord>) -> Value {
        let room = if ones < 10 { 10 } else { 100 };
        match &self.value {
            None => Value::Integer(ones),
            Some(value @ Value::Integer(so_far)) => {
                let after_one = matches!(before, Some(NumberWord::One(_)));
                match so_far.checked_add(ones) {
                    Some(sum) if so_far % room == 0 && !after_one => Value::Integer(sum),
                    _ => Value::Digits(format!("{}{ones}", value.text())),
                }
            }
            Some(Value::Digits(digits)) => {
                // Twenty and one within digits: the last zero makes room.
                let after_ten = matches!(before, Some(NumberWord::Ten(_)));
                let digits = match digits.strip_suffix('0') {
                    Some(rest) if after_ten && ones < 10 => rest,
                    _ => digits,
                };
                Value::Digits(format!("{digits}{ones}"))
            }
        }
    }

    fn with_tens(&self, tens: u128) -> Value {
        match &self.value {
            None => Value::Integer(tens),
            Some(Value::Integer(so_far)) if so_far % 100 == 0 => {
                Value::Integer(so_far.saturating_add(tens))
            }
            Some(value) => Value::Digits(format!("{}{tens}", value.text())),
        }
    }

    /// The number so far times the multiplier: all of a decimal number, else what is below a
    /// thousand (`two thousand three` × hundred). What has no whole product is written as it is.
    fn multiply(&mut self, multiplier: u128) -> Value {
        let product = match &self.value {
            None => Some(multiplier),
            Some(value @ (Value::Digits(_) | Value::Integer(0))) => value.times(multiplier),
            Some(Value::Integer(value)) => {
                let residual = value % 1000;
                residual.checked_mul(multiplier).and_then(|p| p.checked_add(value - residual))
            }
        };
        Value::Integer(product.unwrap_or_else(|| {
            self.close();
            multiplier
        }))
    }
}
