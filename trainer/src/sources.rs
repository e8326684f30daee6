//! The sources of a command: which tables they hold, and which split each row is of.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use partita_corpus::BadRow;
use partita_corpus::manifest::Split;
use partita_corpus::readers::{Entry, Layout, Located, Table, discover};
use partita_corpus::split::{Keys, SplitPlan, SplitPlanner};
use serde::Serialize;

/// What a source is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Whatever the header lines say.
    #[default]
    Auto,
    /// Our data folders: recordings, synthetic speech, noise, sentence pairs, sentences.
    Data,
    /// Mozilla Common Voice.
    CommonVoice,
    /// CoVoST 2, joined to Common Voice beside it.
    Covost,
    /// FLEURS.
    Fleurs,
    /// LibriSpeech.
    Librispeech,
    /// Multilingual LibriSpeech.
    Mls,
    /// WenetSpeech.
    Wenetspeech,
    /// Manifests (`*.jsonl`), ours, NeMo's or SLAM-LLM's.
    Manifest,
    /// Tables of sentence pairs.
    Pairs,
    /// Lists of sentences.
    Sentences,
}

impl Kind {
    fn takes(self, layout: Layout) -> bool {
        match self {
            Self::Auto => true,
            Self::Data => matches!(
                layout,
                Layout::Recordings
                    | Layout::Synthetic
                    | Layout::Noise
                    | Layout::Pairs
                    | Layout::Sentences
            ),
            Self::CommonVoice => layout == Layout::CommonVoice,
            Self::Covost => layout == Layout::CoVost,
            Self::Fleurs => layout == Layout::Fleurs,
            Self::Librispeech => layout == Layout::LibriSpeech,
            Self::Mls => layout == Layout::Mls,
            Self::Wenetspeech => layout == Layout::WenetSpeech,
            Self::Manifest => {
                matches!(layout, Layout::Speech | Layout::Text | Layout::Nemo | Layout::Slam)
            }
            Self::Pairs => layout == Layout::Pairs,
            Self::Sentences => layout == Layout::Sentences,
        }
    }
}

/// A file that was passed over.
#[derive(Debug, Clone, Serialize)]
pub struct Skipped {
    /// The file.
    pub file: PathBuf,
    /// Why.
    pub reason: String,
}

/// The tables of all sources.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Tables in the order in which they are read.
    pub tables: Vec<Table>,
    /// Files that look like tables and are none.
    pub skipped: Vec<Skipped>,
}

impl Sources {
    /// Finds the tables.
    ///
    /// # Errors
    /// When a source cannot be read, or holds no table of this kind.
    pub fn find(sources: &[PathBuf], kind: Kind, lang: &str) -> Result<Self> {
        let mut all = Self::default();
        for source in sources {
            let found = discover(source, lang)?;
            let before = all.tables.len();
            for table in found.tables {
                let known = all.tables.iter().any(|other| other.path == table.path);
                if kind.takes(table.layout) && !known {
                    all.tables.push(table);
                }
            }
            if all.tables.len() == before && kind != Kind::Auto {
                let name = kind.to_possible_value().map(|v| v.get_name().to_owned());
                bail!("{}: no table of kind {}", source.display(), name.unwrap_or_default());
            }
            let skipped = found.skipped.into_iter().map(|(file, reason)| Skipped { file, reason });
            all.skipped.extend(skipped);
        }
        Ok(all)
    }

    /// Calls `each` with every row of every table, good or bad, and the table's index.
    ///
    /// # Errors
    /// When a table cannot be opened any more, or `each` fails.
    pub fn for_each<F>(&self, mut each: F) -> Result<()>
    where
        F: FnMut(usize, Result<Located, BadRow>) -> Result<()>,
    {
        for (index, table) in self.tables.iter().enumerate() {
            for row in table.rows().context("cannot begin a table")? {
                each(index, row)?;
            }
        }
        Ok(())
    }

    /// Reads all rows once and learns which of them belong together.
    ///
    /// # Errors
    /// As [`Sources::for_each`].
    pub fn split_plan(&self) -> Result<SplitPlan> {
        let mut planner = SplitPlanner::default();
        self.for_each(|_, row| {
            if let Ok(row) = row {
                let split = split_of(&row.entry);
                planner.learn(&keys_of(&row.entry), row.split_stated.then_some(split));
            }
            Ok(())
        })?;
        Ok(planner.finish())
    }
}

/// What a row of either kind shares with others.
pub fn keys_of(entry: &Entry) -> Keys {
    match entry {
        Entry::Speech(row) => row.into(),
        Entry::Text(row) => row.into(),
    }
}

/// The split that a row has now.
pub fn split_of(entry: &Entry) -> Split {
    match entry {
        Entry::Speech(row) => row.split,
        Entry::Text(row) => row.split,
    }
}

/// Gives a row its split where its corpus states none.
pub fn assign_split(row: &mut Located, plan: &SplitPlan) {
    if !row.split_stated {
        let split = plan.split(&keys_of(&row.entry));
        match &mut row.entry {
            Entry::Speech(row) => row.split = split,
            Entry::Text(row) => row.split = split,
        }
    }
}
