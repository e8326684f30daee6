//! Sentences and sentence pairs for tasks without audio.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use partita_corpus::BadRow;
use partita_corpus::manifest::{Reader, Split, TextRow};
use partita_corpus::script;
use partita_corpus::split::primary_language;

use super::TextBatch;
use super::sampler::{Item, Position, Sampler, SamplerOptions};

/// A sentence with its translation, or alone (`tgt_lang` and `tgt` empty).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextExample {
    /// Language of `src`, without its region.
    pub src_lang: String,
    /// Language of `tgt`, without its region.
    pub tgt_lang: String,
    /// The sentence.
    pub src: String,
    /// Its translation.
    pub tgt: String,
}

/// All sentences of a run.
#[derive(Debug, Clone, Default)]
pub struct TextSet {
    examples: Vec<TextExample>,
    /// Rows that cannot be used.
    pub bad_rows: Vec<BadRow>,
    /// Rows that are longer than allowed.
    pub too_long: u64,
}

impl TextSet {
    /// Reads the rows of a split from text manifests. `langs`: languages that are taken, both sides
    /// of a pair among them; empty for all. `both_ways`: each pair also the other way round.
    /// `max_characters`: longest side.
    ///
    /// # Errors
    /// When a manifest cannot be read at all, or no sentence is left.
    pub fn open(
        manifests: &[PathBuf],
        split: Split,
        langs: &[String],
        both_ways: bool,
        max_characters: usize,
    ) -> Result<Self> {
        let mut set = Self::default();
        for path in manifests {
            for row in Reader::<TextRow>::open(path)? {
                match row.and_then(|(line, row)| fit(row).map_err(|reason| bad(path, line, reason)))
                {
                    Ok(row) if row.split == split => set.add(row, langs, both_ways, max_characters),
                    Ok(_) => {}
                    Err(bad) => set.bad_rows.push(bad),
                }
            }
        }
        if set.examples.is_empty() {
            let names: Vec<_> = manifests.iter().map(|path| path.display().to_string()).collect();
            bail!(
                "{}: no sentence to use (split {split:?}, {} bad rows)",
                names.join(", "),
                set.bad_rows.len()
            );
        }
        Ok(set)
    }

    /// The sentences.
    pub fn examples(&self) -> &[TextExample] {
        &self.examples
    }

    /// The sentences as a sampler sees them: sizes in characters of both sides, grouped by pair.
    pub fn items(&self) -> Vec<Item> {
        let item = |example: &TextExample| Item {
            size: (example.src.chars().count() + example.tgt.chars().count()) as f64,
            group: Some(format!("{}-{}", example.src_lang, example.tgt_lang)),
            block: 0,
        };
        self.examples.iter().map(item).collect()
    }

    fn add(&mut self, row: TextRow, langs: &[String], both_ways: bool, max_characters: usize) {
        let primary = |lang: &str| primary_language(lang).to_ascii_lowercase();
        let (src_lang, tgt_lang) = (primary(&row.src_lang), primary(&row.tgt_lang));
        let wanted = |lang: &String| langs.is_empty() || lang.is_empty() || langs.contains(lang);
        if !wanted(&src_lang) || !wanted(&tgt_lang) {
            return;
        }
        if [&row.src_text, &row.tgt_text].iter().any(|text| text.chars().count() > max_characters) {
            self.too_long += 1;
            return;
        }
        let (src, tgt) = (row.src_text, row.tgt_text);
        let example = TextExample { src_lang, tgt_lang, src, tgt };
        if both_ways && !example.tgt_lang.is_empty() {
            self.examples.push(TextExample {
                src_lang: example.tgt_lang.clone(),
                tgt_lang: example.src_lang.clone(),
                src: example.tgt.clone(),
                tgt: example.src.clone(),
            });
        }
        self.examples.push(example);
    }
}

/// A row in the scripts of its languages.
fn fit(row: TextRow) -> Result<TextRow, String> {
    for (lang, text) in [(&row.src_lang, &row.src_text), (&row.tgt_lang, &row.tgt_text)] {
        if !script::fits(lang, text) {
            return Err(format!("{lang}: {text:?}: not in the script of its language"));
        }
    }
    Ok(row)
}

fn bad(path: &std::path::Path, line: u64, reason: String) -> BadRow {
    BadRow { file: path.to_path_buf(), line, reason }
}

/// Batches of sentences without end, in an order of their own beside that of the clips.
#[derive(Debug, Clone)]
pub struct TextStream {
    set: Arc<TextSet>,
    sampler: Sampler,
}

impl TextStream {
    /// At the beginning of epoch 0. [`SamplerOptions::for_text`] has options for sentences.
    ///
    /// # Errors
    /// When options are impossible.
    pub fn new(set: Arc<TextSet>, options: SamplerOptions) -> Result<Self> {
        let sampler = Sampler::new(set.items(), options)?;
        Ok(Self { set, sampler })
    }

    /// The sampler, to see its counts.
    pub fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    /// Goes to a position.
    ///
    /// # Errors
    /// As [`Sampler::seek`].
    pub fn seek(&mut self, position: &Position) -> Result<()> {
        self.sampler.seek(position)
    }

    /// Where to go on.
    pub fn position(&self) -> Position {
        self.sampler.position()
    }

    /// Passes over the next batch.
    pub fn pass(&mut self) {
        self.sampler.skip();
    }

    /// The next batch.
    pub fn next_batch(&mut self) -> TextBatch {
        let plan = self.sampler.next_batch();
        let examples = plan.picks.iter().filter_map(|pick| self.set.examples.get(pick.item));
        TextBatch { examples: examples.cloned().collect(), next: self.sampler.position() }
    }
}
