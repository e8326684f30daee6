//! A sentence written twice of what was said once.

/// More words a second than anybody says.
const FASTEST: f64 = 5.0;
/// Fewest words that are a sentence written again, and no emphasis.
const FEWEST: usize = 4;

/// What stays of a text that repeats its end word by word and says more than `seconds` have room for:
/// all up to the end of the first copy. `None` for any other text.
pub(super) fn said_once(text: &str, seconds: f64) -> Option<&str> {
    let plain = |word: &str| word.to_lowercase().replace(|c: char| !c.is_alphanumeric(), "");
    let words: Vec<(&str, String)> =
        text.split_whitespace().map(|word| (word, plain(word))).collect();
    if words.len() as f64 <= FASTEST * seconds {
        return None;
    }
    let copies = |unit: usize| {
        let pairs = words.iter().rev().zip(words.iter().rev().skip(unit));
        pairs.take_while(|((_, a), (_, b))| a == b).count()
    };
    let unit = (FEWEST..=words.len() / 2).find(|&unit| copies(unit) >= unit)?;
    let (last, _) = words.get(words.len() - copies(unit) - 1)?;
    // Both are parts of one text.
    let end = last.as_ptr() as usize - text.as_ptr() as usize + last.len();
    text.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_can_have_said_twice_is_said_once() {
        let sentence = "the symbol of the cent, a hundred are a euro";
        let twice = format!("{sentence} The symbol of the cent, a hundred are a euro.");
        assert_eq!(said_once(&twice, 3.0), Some(sentence));
        let thrice = format!("Look: {twice} the symbol of the");
        assert_eq!(said_once(&thrice, 3.0), Some(&*format!("Look: {sentence}")));
        // There was time for both.
        assert_eq!(said_once(&twice, 6.0), None);
        assert_eq!(said_once(sentence, 1.0), None);
        assert_eq!(said_once("no no no no no no no", 1.0), None);
        assert_eq!(said_once("", 0.0), None);
    }
}
