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

    /// A language to speak in words, marked where the engine does not have it.
    pub fn name_spoken(&self, code: &str) -> String {
        match self.spoken.as_ref().is_none_or(|known| known.iter().any(|known| known == code)) {
            true => name(code).to_owned(),
            false => lacking(name(code)),
        }
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
        false => {
            chosen.iter().any(|chosen| chosen == code).then(|| (code.to_owned(), lacking(name)))
        }
    };
    let rest = LANGUAGES.iter().filter_map(offered);
    // Written into the file of settings by hand, perhaps.
    let foreign =
        |code: &&String| !code.is_empty() && !LANGUAGES.iter().any(|(own, _)| own == code);
    let foreign = chosen.iter().filter(foreign).map(|code| (code.clone(), lacking(code)));
    std::iter::once((String::new(), none.to_owned())).chain(rest).chain(foreign).collect()
}

fn lacking(name: &str) -> String {
    format!("{name} (not with this engine)")
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
        assert_eq!(offer.name_spoken("fr"), french.1);
        assert_eq!(offer.name_spoken("de"), "German");
        assert_eq!(Offer::default().name_spoken("fr"), "French");
        assert_eq!(codes(offer.to_write("None", "qq")), ["", "en", "qq"]);
    }
}
