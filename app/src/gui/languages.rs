//! Languages to choose from, in words.

use partita_model::languages::LANGUAGES;
pub use partita_model::languages::name;

/// What the engine in use has; `None` where that is not known yet, and everything is offered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// Languages that it understands.
    pub spoken: Option<Vec<String>>,
    /// Languages that it translates into.
    pub written: Option<Vec<String>>,
}

impl Offer {
    /// Languages to speak, as codes and names, behind a first choice that stands for none. What is
    /// `chosen` stays in the list and is marked where the engine does not have it.
    pub fn to_speak(&self, none: &str, chosen: &[String]) -> Vec<(String, String)> {
        options(none, self.spoken.as_deref(), chosen)
    }

    /// Languages to translate into, as [`to_speak`](Self::to_speak) has those to speak.
    pub fn to_write(&self, none: &str, chosen: &str) -> Vec<(String, String)> {
        options(none, self.written.as_deref(), &[chosen.to_owned()])
    }
}

fn options(none: &str, known: Option<&[String]>, chosen: &[String]) -> Vec<(String, String)> {
    let has = |code: &str| known.is_none_or(|known| known.iter().any(|known| known == code));
    let offered = |&(code, name): &(&str, &str)| match has(code) {
        true => Some((code.to_owned(), name.to_owned())),
        false => chosen
            .iter()
            .any(|chosen| chosen == code)
            .then(|| (code.to_owned(), format!("{name} (not with this engine)"))),
    };
    let rest = LANGUAGES.iter().filter_map(offered);
    std::iter::once((String::new(), none.to_owned())).chain(rest).collect()
}

/// Languages in words: `any`, one, or several.
pub fn listed(codes: &[String]) -> String {
    match codes {
        [] => "Any language".to_owned(),
        codes => codes.iter().map(|code| name(code)).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_has_is_offered_and_what_was_chosen_stays() {
        let all = Offer::default().to_speak("Any", &[]);
        assert_eq!(all.len(), LANGUAGES.len() + 1);
        let offer = Offer {
            spoken: Some(vec!["de".to_owned(), "en".to_owned()]),
            written: Some(vec!["en".to_owned()]),
        };
        let codes = |options: Vec<(String, String)>| -> Vec<String> {
            options.into_iter().map(|(code, _)| code).collect()
        };
        assert_eq!(codes(offer.to_speak("Any", &["de".to_owned()])), ["", "en", "de"]);
        assert_eq!(codes(offer.to_write("None", "")), ["", "en"]);
        let with = offer.to_write("None", "fr");
        let french = with.iter().find(|(code, _)| code == "fr").unwrap();
        assert_eq!(french.1, "French (not with this engine)");
    }
}
