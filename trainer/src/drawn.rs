//! Which clips training drew: counts by language, of padded ones and of noise.

use std::collections::BTreeMap;

use partita_corpus::manifest::NO_LANGUAGE;
use serde::{Deserialize, Serialize};

use crate::data::Example;

/// Clips that were drawn, of one micro-batch, of a step, or of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Drawn {
    /// Clips by language; those without speech under [`NO_LANGUAGE`].
    pub clips: BTreeMap<String, u64>,
    /// Those among them that silence was added to.
    pub padded: u64,
}

impl Drawn {
    /// The clips of a batch.
    pub fn of(examples: &[Example]) -> Self {
        let mut drawn = Self::default();
        for example in examples {
            let lang = example.lang.as_deref().unwrap_or(NO_LANGUAGE);
            *drawn.clips.entry(lang.to_owned()).or_default() += 1;
            drawn.padded += u64::from(example.is_padded());
        }
        drawn
    }

    /// Adds others.
    pub fn join(&mut self, other: &Self) {
        for (lang, count) in &other.clips {
            *self.clips.entry(lang.clone()).or_default() += count;
        }
        self.padded += other.padded;
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.clips.is_empty()
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.clips.values().sum()
    }

    /// Share of clips that silence was added to, 0 to 1.
    pub fn padded_share(&self) -> f64 {
        self.padded as f64 / self.count().max(1) as f64
    }

    /// Share of clips that hold only noise, 0 to 1.
    pub fn noise_share(&self) -> f64 {
        let noise = self.clips.get(NO_LANGUAGE).copied().unwrap_or(0);
        noise as f64 / self.count().max(1) as f64
    }

    /// All of it in a line for people.
    pub fn render(&self) -> String {
        let clips: Vec<String> =
            self.clips.iter().map(|(lang, count)| format!("{lang} {count}")).collect();
        format!(
            "clips drawn: {}; {:.1} % padded, {:.1} % noise alone",
            clips.join(", "),
            100.0 * self.padded_share(),
            100.0 * self.noise_share()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(lang: Option<&str>, seconds: f64, frames: usize) -> Example {
        Example {
            id: String::new(),
            mel: Vec::new(),
            frames,
            seconds,
            lang: lang.map(str::to_owned),
            text: String::new(),
            translations: BTreeMap::new(),
        }
    }

    #[test]
    fn clips_are_counted_by_language() {
        let first = [clip(Some("de"), 2.0, 200), clip(Some("de"), 2.0, 3000)];
        let second = [clip(Some("en"), 30.0, 3000), clip(None, 1.0, 100)];
        let mut drawn = Drawn::of(&first);
        drawn.join(&Drawn::of(&second));
        assert_eq!((drawn.count(), drawn.padded), (4, 1));
        assert_eq!((drawn.padded_share(), drawn.noise_share()), (0.25, 0.25));
        assert_eq!(
            drawn.render(),
            "clips drawn: de 2, en 1, none 1; 25.0 % padded, 25.0 % noise alone"
        );
        assert!(Drawn::of(&[]).is_empty() && Drawn::default().padded_share() == 0.0);
    }
}
