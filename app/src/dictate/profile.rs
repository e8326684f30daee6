//! What counts for the program that has the focus.

use super::desk::Window;
use crate::live::LiveOptions;
use crate::settings::{Delivery, Pace, Settings};

/// How text is made for one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Languages that may be spoken, as [`LiveOptions::languages`].
    pub languages: Vec<String>,
    /// Language to write, if it is not what is spoken.
    pub translate: Option<String>,
    /// How text gets there.
    pub delivery: Delivery,
    /// When it is typed.
    pub pace: Pace,
    /// Whether sentences begin with a capital letter; as recognised when absent.
    pub capitals: Option<bool>,
}

impl Choice {
    /// What the settings have for a window: the first profile that fits its class, and what
    /// counts everywhere for the rest.
    pub fn new(settings: &Settings, window: Option<&Window>) -> Self {
        let class = window.map(|window| window.class.to_lowercase());
        let profiles = settings.dictation.profiles.iter();
        let profile = class.and_then(|class| {
            profiles
                .filter(|profile| !profile.window_class.is_empty())
                .find(|profile| class.contains(&profile.window_class.to_lowercase()))
        });
        let own = |of: fn(&crate::settings::Profile) -> &String| {
            profile.map(of).filter(|value| !value.is_empty()).cloned()
        };
        let dictation = &settings.dictation;
        let everywhere = Some(dictation.translate.clone()).filter(|target| !target.is_empty());
        Self {
            languages: own(|profile| &profile.language)
                .map_or_else(|| settings.speech.languages.clone(), |language| vec![language]),
            translate: own(|profile| &profile.translate).or(everywhere),
            delivery: profile.and_then(|p| p.delivery).unwrap_or(dictation.delivery),
            pace: dictation.pace,
            capitals: profile.and_then(|profile| profile.capitals),
        }
    }

    /// Options of a session that listens for this program.
    pub fn live(&self, settings: &Settings) -> LiveOptions {
        LiveOptions {
            languages: self.languages.clone(),
            translate: self.translate.clone(),
            partials: self.pace == Pace::Words && self.translate.is_none(),
            ..settings.live()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Profile;

    #[test]
    fn the_first_profile_that_fits_counts() {
        let mut settings = Settings::default();
        settings.speech.languages = vec!["de".into(), "en".into()];
        settings.dictation.translate = "fr".into();
        let profile = |class: &str, language: &str| Profile {
            window_class: class.into(),
            language: language.into(),
            ..Profile::default()
        };
        settings.dictation.profiles =
            vec![profile("", "it"), profile("TERM", "en"), profile("xterm", "zh")];
        settings.dictation.profiles[1].capitals = Some(false);
        settings.dictation.profiles[1].delivery = Some(Delivery::Paste);
        let window = |class: &str| Window { id: 1, class: class.into() };
        let term = Choice::new(&settings, Some(&window("xterm XTerm")));
        assert_eq!(term.languages, ["en"]);
        assert_eq!((term.delivery, term.capitals), (Delivery::Paste, Some(false)));
        assert_eq!(term.translate.as_deref(), Some("fr"));
        for window in [Some(&window("gedit")), None] {
            let other = Choice::new(&settings, window);
            assert_eq!(other.languages, ["de", "en"]);
            assert_eq!((other.delivery, other.capitals), (Delivery::Type, None));
        }
        assert!(!term.live(&settings).partials);
    }
}
