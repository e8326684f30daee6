//! Spoken commands: "comma" becomes `,` and "new line" a new line.

use super::words::phrase;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The table of languages; its head says what it holds.
const BUILT_IN: &str = include_str!("../../../assets/dictation.toml");

/// How what is written joins its neighbours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// No space before it.
    #[default]
    Left,
    /// No space behind it.
    Right,
    /// No space on either side.
    Both,
    /// Spaces on both sides.
    None,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    say: Vec<String>,
    /// What is written.
    pub write: String,
    /// How it joins its neighbours.
    #[serde(default)]
    pub join: Join,
    /// The words of `say` as they are compared.
    #[serde(skip)]
    phrases: Vec<Vec<String>>,
}

/// The commands of all languages.
#[derive(Debug)]
pub struct Commands(BTreeMap<String, Vec<Command>>);

impl Commands {
    /// Those that come with the program.
    pub fn built_in() -> &'static Self {
        static TABLE: LazyLock<Commands> = LazyLock::new(|| {
            Commands::parse(BUILT_IN).unwrap_or_else(|error| {
                tracing::error!("spoken commands: {error}");
                Commands(BTreeMap::new())
            })
        });
        &TABLE
    }

    /// Reads a table.
    ///
    /// # Errors
    /// With the line at fault.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        let mut table: BTreeMap<String, Vec<Command>> = toml::from_str(text)?;
        for command in table.values_mut().flatten() {
            command.phrases = command.say.iter().map(|say| phrase(say)).collect();
        }
        Ok(Self(table))
    }

    /// Languages that have commands.
    pub fn languages(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The commands of a language, none if it has none.
    pub fn of(&self, language: &str) -> &[Command] {
        self.0.get(language).map_or(&[], Vec::as_slice)
    }
}

impl Command {
    /// What may be said for it, as words that are compared.
    pub(super) fn phrases(&self) -> impl Iterator<Item = &[String]> {
        self.phrases.iter().map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_table_has_what_each_language_needs() {
        let commands = Commands::parse(BUILT_IN).unwrap();
        let languages: Vec<_> = commands.languages().collect();
        assert_eq!(languages, ["de", "en", "es", "fr", "it", "nl", "pt", "ru", "zh"]);
        for language in languages {
            let of = commands.of(language);
            for needed in ["\n", "\n\n"] {
                assert!(of.iter().any(|command| command.write == needed), "{language} {needed:?}");
            }
            for needed in [",，", ".。", "?？", "!！", "(（", ")）", "“„«", "”“»"] {
                let has = |c: &Command| c.write.chars().any(|c| needed.contains(c));
                assert!(of.iter().any(has), "{language} {needed}");
            }
            let mut said = HashSet::new();
            for phrase in of.iter().flat_map(Command::phrases) {
                assert!(!phrase.is_empty() && said.insert(phrase), "{language} {phrase:?}");
            }
        }
    }
}
