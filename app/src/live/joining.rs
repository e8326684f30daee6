//! A text that was written anew, behind words of it that stay.

/// `committed`, and behind it what `text` says beyond the same words: letters and digits decide what
/// is the same, not case, spaces or punctuation. `None` where `text` does not begin with these words.
pub(super) fn join(committed: &str, text: &str) -> Option<String> {
    let mut rest = text.chars();
    for wanted in letters(committed) {
        if letters(rest.as_str()).next() != Some(wanted) {
            return None;
        }
        // One letter may have several in lower case; what is left of them is matched by none.
        rest.by_ref().find(|c| c.is_alphanumeric())?;
    }
    let rest = rest.as_str();
    let within_word = |end: Option<char>, next: Option<char>| {
        let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric());
        inside(end) && inside(next) && !next.is_some_and(super::agreement::is_unspaced)
    };
    if within_word(committed.chars().last(), rest.chars().next()) {
        return None;
    }
    // Words behind a comma that stays are not behind a full stop too.
    let closed = committed.trim_end().ends_with(|c: char| !c.is_alphanumeric());
    let begins = |c: char| c.is_alphanumeric() || c.is_whitespace();
    let rest = if closed { rest.trim_start_matches(|c| !begins(c)) } else { rest };
    let gap = closed && rest.starts_with(char::is_alphanumeric);
    Some(format!("{committed}{}{rest}", if gap { " " } else { "" }))
}

/// The first lower-case form of each letter and digit.
fn letters(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|c| c.is_alphanumeric()).filter_map(|c| c.to_lowercase().next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_stays_stays_and_the_rest_is_new() {
        let joined = |committed, text| join(committed, text);
        assert_eq!(joined("le chat,", "Le chat. Il dort.").unwrap(), "le chat, Il dort.");
        assert_eq!(joined("le chat", "Le chat. Il dort.").unwrap(), "le chat. Il dort.");
        assert_eq!(joined("I am", "I'm here."), None);
        assert_eq!(joined("we go", "We gone."), None);
        assert_eq!(joined("we go", "We"), None);
        assert_eq!(joined("we go", "We go").unwrap(), "we go");
        assert_eq!(joined("我们去", "我们去看山。").unwrap(), "我们去看山。");
        assert_eq!(joined("İstanbul", "İstanbul'da").unwrap(), "İstanbul'da");
    }

    proptest! {
        #[test]
        fn a_joined_text_begins_with_what_stays(
            committed in "[aAb,. éß山İ]{0,8}",
            text in "[aAb,. éß山İ]{0,12}",
        ) {
            if let Some(joined) = join(&committed, &text) {
                prop_assert!(joined.starts_with(&committed));
            }
            let longer = format!("{committed} {text}");
            prop_assert!(join(&committed, &longer).is_some(), "{committed:?} {longer:?}");
        }
    }
}
