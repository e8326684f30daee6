//! What training drew: clips by language, how many were padded or noise, and sentences by language.

use std::collections::BTreeMap;

use partita_corpus::manifest::NO_LANGUAGE;
use serde::{Deserialize, Serialize};

use crate::data::{Example, TextExample};

/// Clips and sentences that were drawn, of one micro-batch, of a step, or of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Drawn {
    /// Clips by language; those without speech under [`NO_LANGUAGE`].
    pub clips: BTreeMap<String, u64>,
    /// Those among them that silence was added to.
    pub padded: u64,
    /// Sentences of tasks without audio by language; with a translation by both, as `de-en`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sentences: BTreeMap<String, u64>,
}

/// One more for each name.
fn tally(names: impl IntoIterator<Item = String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

fn add(counts: &mut BTreeMap<String, u64>, others: &BTreeMap<String, u64>) {
    for (name, count) in others {
        *counts.entry(name.clone()).or_default() += count;
    }
}

impl Drawn {
    /// The clips of a batch.
    pub fn of(examples: &[Example]) -> Self {
        let lang = |example: &Example| example.lang.as_deref().unwrap_or(NO_LANGUAGE).to_owned();
        let padded = examples.iter().filter(|example| example.is_padded()).count() as u64;
        Self { clips: tally(examples.iter().map(lang)), padded, ..Self::default() }
    }

    /// The sentences of a batch.
    pub fn of_text(examples: &[TextExample]) -> Self {
        let name = |example: &TextExample| match example.tgt_lang.as_str() {
            "" => example.src_lang.clone(),
            into => format!("{}-{into}", example.src_lang),
        };
        Self { sentences: tally(examples.iter().map(name)), ..Self::default() }
    }

    /// Adds others.
    pub fn join(&mut self, other: &Self) {
        add(&mut self.clips, &other.clips);
        add(&mut self.sentences, &other.sentences);
        self.padded += other.padded;
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.clips.is_empty() && self.sentences.is_empty()
    }

    /// How many clips there are.
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
        let list = |counts: &BTreeMap<String, u64>| {
            let counts: Vec<String> =
                counts.iter().map(|(name, n)| format!("{name} {n}")).collect();
            counts.join(", ")
        };
        let sentences = match self.sentences.is_empty() {
            true => String::new(),
            false => format!("; sentences: {}", list(&self.sentences)),
        };
        format!(
            "clips drawn: {}; {:.1} % padded, {:.1} % noise alone{sentences}",
            list(&self.clips),
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
        let sentence = |from: &str, into: &str| TextExample {
            src_lang: from.to_owned(),
            tgt_lang: into.to_owned(),
            src: String::new(),
            tgt: String::new(),
        };
        drawn.join(&Drawn::of_text(&[
            sentence("de", "en"),
            sentence("de", ""),
            sentence("de", "en"),
        ]));
        assert_eq!(drawn.count(), 4);
        assert!(drawn.render().ends_with("25.0 % noise alone; sentences: de 1, de-en 2"));
        assert!(Drawn::of(&[]).is_empty() && Drawn::default().padded_share() == 0.0);
    }
}
