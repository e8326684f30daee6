//! English number words and what they stand for.

/// What a word can be within a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberWord {
    /// `o`, `oh`, `zero`.
    Zero,
    /// `one` to `nineteen`.
    One(u128),
    /// `ones`, `third`, `nineteenth`: a number with an ending, which closes the number.
    OneSuffixed(u128, &'static str),
    /// `twenty` to `ninety`.
    Ten(u128),
    /// `twenties`, `twentieth`.
    TenSuffixed(u128, &'static str),
    /// `hundred` to `decillion`.
    Multiplier(u128),
    /// `hundreds`, `hundredth`.
    MultiplierSuffixed(u128, &'static str),
    /// `minus`, `negative`, `plus`, `positive`: a sign before the number.
    Sign(char),
    /// `dollars`, `cents`: a sign that is said after the number and written before it.
    Currency(char),
    /// `percent`.
    Percent,
    /// `per`, which is a percent sign before `cent`.
    Per,
    /// `and` within a number.
    And,
    /// `double`, `triple`: how often the next digit is said.
    Repeat(usize),
    /// The decimal point.
    Point,
}

const ONES: [&str; 19] = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 8] =
    ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
/// Hundred, then the powers of a thousand.
const MULTIPLIERS: [&str; 12] = [
    "hundred",
    "thousand",
    "million",
    "billion",
    "trillion",
    "quadrillion",
    "quintillion",
    "sextillion",
    "septillion",
    "octillion",
    "nonillion",
    "decillion",
];

impl NumberWord {
    /// The meaning of a lower-case word, if it has one within numbers.
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "o" | "oh" | "zero" => Self::Zero,
            "minus" | "negative" => Self::Sign('-'),
            "plus" | "positive" => Self::Sign('+'),
            "pound" | "pounds" => Self::Currency('£'),
            "euro" | "euros" => Self::Currency('€'),
            "dollar" | "dollars" => Self::Currency('$'),
            "cent" | "cents" => Self::Currency('¢'),
            "percent" => Self::Percent,
            "per" => Self::Per,
            "and" => Self::And,
            "double" => Self::Repeat(2),
            "triple" => Self::Repeat(3),
            "point" => Self::Point,
            "sixes" => Self::OneSuffixed(6, "s"),
            "zeroth" => Self::OneSuffixed(0, "th"),
            "first" => Self::OneSuffixed(1, "st"),
            "second" => Self::OneSuffixed(2, "nd"),
            "third" => Self::OneSuffixed(3, "rd"),
            "fifth" => Self::OneSuffixed(5, "th"),
            "twelfth" => Self::OneSuffixed(12, "th"),
            _ => return Self::regular(word),
        })
    }

    fn regular(word: &str) -> Option<Self> {
        if let Some(value) = one(word) {
            return Some(Self::One(value));
        }
        if let Some(value) = ten(word) {
            return Some(Self::Ten(value));
        }
        if let Some(value) = multiplier(word) {
            return Some(Self::Multiplier(value));
        }
        if let Some(stem) = word.strip_suffix("ies") {
            return ten(&format!("{stem}y")).map(|value| Self::TenSuffixed(value, "s"));
        }
        if let Some(stem) = word.strip_suffix("ieth") {
            return ten(&format!("{stem}y")).map(|value| Self::TenSuffixed(value, "th"));
        }
        if word == "eighth" {
            return Some(Self::OneSuffixed(8, "th"));
        }
        let (stem, suffix) = [("th", "th"), ("s", "s")]
            .iter()
            .find_map(|(ending, suffix)| word.strip_suffix(ending).map(|stem| (stem, *suffix)))?;
        if let Some(value) = multiplier(stem) {
            return Some(Self::MultiplierSuffixed(value, suffix));
        }
        // `sixes` and the ordinals up to `fifth` are irregular and were matched above.
        let regular = |value| suffix == "s" && value != 6 || suffix == "th" && value > 3;
        one(stem)
            .filter(|&value| regular(value) && (suffix == "s" || !matches!(value, 5 | 8 | 12)))
            .map(|value| Self::OneSuffixed(value, suffix))
    }
}

fn one(word: &str) -> Option<u128> {
    (1..).zip(ONES).find(|(_, name)| *name == word).map(|(value, _)| value)
}

fn ten(word: &str) -> Option<u128> {
    (2..).zip(TENS).find(|(_, name)| *name == word).map(|(value, _)| value * 10)
}

fn multiplier(word: &str) -> Option<u128> {
    let index = MULTIPLIERS.iter().position(|name| *name == word)?;
    if index == 0 { Some(100) } else { 1000_u128.checked_pow(u32::try_from(index).ok()?) }
}
