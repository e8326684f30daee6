//! The part of a vocabulary that some languages need, and the proof that their text is written as
//! before.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use partita_corpus::readers::{Entry, discover};
use partita_model::speech::TrainedModel;
use partita_model::tokens::{Lang, Marks, Shortlist, ShortlistBuilder, TextTokenizer};
use serde::Serialize;

use super::tokenizer::{Tokens, reserved};
use crate::interrupt;

/// Which languages, and where their text is.
#[derive(Debug, Clone)]
pub struct Options {
    /// The languages.
    pub languages: Vec<Lang>,
    /// Corpora of any layout that `partita-train prepare` reads.
    pub text: Vec<PathBuf>,
    /// Tokens seen less often are left out.
    pub least: u64,
}

/// One line in so many is kept out of the count, to prove on.
const HELD_OUT: u64 = 50;
/// Most lines of a language to prove on.
const MOST_HELD_OUT: usize = 5000;

/// Text of the languages: what is counted, and what the proof is made on.
pub struct Text {
    /// Tokens that the text needs, with all that merging passes through.
    needed: Shortlist,
    languages: Vec<Lang>,
    held_out: Vec<String>,
    counted: u64,
}

/// What cutting a vocabulary did.
#[derive(Debug, Clone, Serialize)]
pub struct Proof {
    /// Its languages.
    pub languages: Vec<String>,
    /// Lines that were counted.
    pub lines: u64,
    /// Tokens before.
    pub tokens_before: usize,
    /// Tokens now.
    pub tokens: usize,
    /// Lines that were not counted, on which the rest was measured.
    pub held_out: usize,
    /// Those of them that have other tokens than before, ids mapped.
    pub different: usize,
    /// Their share.
    pub different_share: f64,
    /// Tokens of these lines before, and now.
    pub lengths: [usize; 2],
    /// Lines that no longer read the same when decoded; must be none.
    pub unreadable: usize,
    /// Bytes of the table's rows that are gone.
    pub bytes_saved: u64,
}

impl Text {
    /// Reads all text of the languages. Where lines are written with a space before them (`spaced`),
    /// they are counted with it too, and proved on with it.
    ///
    /// # Errors
    /// When there is no text of one of them, or a source cannot be read.
    pub fn read(options: &Options, tokenizer: &TextTokenizer, spaced: bool) -> Result<Self> {
        let mut builder = ShortlistBuilder::new(tokenizer);
        let mut held_out: Vec<String> = Vec::new();
        let mut counts = vec![(0u64, 0usize); options.languages.len()];
        for source in &options.text {
            for table in discover(source, "")?.tables {
                for row in table.rows()?.flatten() {
                    interrupt::check()?;
                    for (lang, line) in lines(&row.entry) {
                        let place = options.languages.iter().position(|known| known.code() == lang);
                        let Some((lines, held)) = place.and_then(|place| counts.get_mut(place))
                        else {
                            continue;
                        };
                        let spaced = spaced.then(|| format!(" {line}"));
                        if hash(line).is_multiple_of(HELD_OUT) {
                            if *held < MOST_HELD_OUT {
                                held_out.push(spaced.unwrap_or_else(|| line.to_owned()));
                                *held += 1;
                            }
                        } else {
                            builder.add_text(line);
                            spaced.iter().for_each(|line| builder.add_text(line));
                            *lines += 1;
                        }
                    }
                }
            }
        }
        for (lang, (lines, _)) in options.languages.iter().zip(&counts) {
            if *lines == 0 {
                bail!("no text in `{lang}` to count tokens on; name some with --vocab-text");
            }
        }
        held_out.sort_unstable();
        held_out.dedup();
        let counted = counts.iter().map(|(lines, _)| lines).sum();
        let needed = builder.finish(&Marks::for_tokenizer(tokenizer), options.least);
        Ok(Self { needed, languages: options.languages.clone(), held_out, counted })
    }

    /// The tokens to keep of `all`: what the text needs, what `named` keys of the file name, the rows
    /// of marks to come; of a trained model only what it was trained to write, and all of that where
    /// it knows no other language.
    ///
    /// # Errors
    /// When the result is no list.
    pub fn tokens(
        &self,
        all: Tokens,
        tokenizer: &TextTokenizer,
        model: Option<&TrainedModel>,
        named: &[u32],
    ) -> Result<Tokens> {
        let written = model.map(|model| &model.config.shortlist);
        let is_written = |id: &u32| written.is_none_or(|list| list.short(*id).is_some());
        let mut ids: Vec<u32> = self.needed.ids().iter().copied().filter(is_written).collect();
        // Whatever a model was trained to write may come, also what this text happens not to have.
        if let Some(model) = model.filter(|model| self.covers(model)) {
            ids.extend(model.config.shortlist.ids());
        }
        ids.extend(Marks::for_tokenizer(tokenizer).ids());
        ids.extend(reserved().filter_map(|name| tokenizer.id(&name)));
        ids.extend(named);
        // Appended marks have no names in the base.
        ids.extend(all.ids().iter().filter(|&&id| id as usize >= tokenizer.vocabulary()));
        ids.sort_unstable();
        ids.dedup();
        Ok(all.only(ids))
    }

    /// Tokens that the text needs, with all that merging passes through.
    pub fn needed(&self) -> &[u32] {
        self.needed.ids()
    }

    /// Whether the languages are all that a model knows.
    fn covers(&self, model: &TrainedModel) -> bool {
        model.languages.iter().chain(&model.targets).all(|lang| self.languages.contains(lang))
    }

    /// Compares the tokens of held-out text from before and from a file's own tokenizer.
    ///
    /// # Errors
    /// After [`interrupt::stop`].
    pub fn prove(
        &self,
        before: (&TextTokenizer, Option<&Shortlist>),
        after: (&TextTokenizer, Option<&Shortlist>),
        tokens: &Tokens,
        row_bytes: u64,
    ) -> Result<Proof> {
        let encode =
            |(tokenizer, list): (&TextTokenizer, Option<&Shortlist>), line: &str| match list {
                Some(list) => list.encode(tokenizer, line),
                None => tokenizer.encode(line),
            };
        let (mut different, mut unreadable, mut lengths) = (0, 0, [0, 0]);
        for line in &self.held_out {
            let (old, new) = (encode(before, line), encode(after, line));
            let mapped: Option<Vec<u32>> = old.iter().map(|&id| tokens.new_id(id)).collect();
            different += usize::from(mapped.as_ref() != Some(&new));
            unreadable += usize::from(before.0.decode(&old) != after.0.decode(&new));
            let [all_old, all_new] = &mut lengths;
            *all_old += old.len();
            *all_new += new.len();
            interrupt::check()?;
        }
        let gone = tokens.before().saturating_sub(tokens.ids().len());
        let held_out = self.held_out.len();
        Ok(Proof {
            languages: self.languages.iter().map(|lang| lang.code().to_owned()).collect(),
            lines: self.counted,
            tokens_before: tokens.before(),
            tokens: tokens.ids().len(),
            held_out,
            different,
            different_share: different as f64 / held_out.max(1) as f64,
            lengths,
            unreadable,
            bytes_saved: gone as u64 * row_bytes,
        })
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lines, tokens, tokens_before, held_out, different, .. } = self;
        let [before, now] = self.lengths;
        writeln!(
            f,
            "vocabulary for {}: {tokens} of {tokens_before} tokens, counted on {lines} lines, {:.1} MB of rows saved",
            self.languages.join(", "),
            self.bytes_saved as f64 / 1e6
        )?;
        writeln!(
            f,
            "  {held_out} lines held out: {different} ({:.2} %) have other tokens than before ({now} tokens, {before} before), {} read otherwise",
            100.0 * self.different_share,
            self.unreadable
        )
    }
}

/// Texts of a row with their languages.
fn lines(entry: &Entry) -> Vec<(&str, &str)> {
    let all: Vec<(&str, &str)> = match entry {
        Entry::Speech(row) => {
            let translations = row.translations.iter();
            let own = std::iter::once((row.lang.as_str(), row.text.as_str()));
            own.chain(translations.map(|(lang, text)| (lang.as_str(), text.as_str()))).collect()
        }
        Entry::Text(row) => {
            vec![(row.src_lang.as_str(), row.src_text.as_str()), (&row.tgt_lang, &row.tgt_text)]
        }
    };
    all.into_iter().filter(|(_, text)| !text.is_empty()).collect()
}

/// FNV-1a: the same lines are held out in every run and on every machine.
fn hash(line: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    // Its low bits alone are those of the last bytes: a line's punctuation.
    let hash = line.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    hash >> 32 ^ hash
}

/// The corpora that a run was trained on, as its recipe names them.
///
/// # Errors
/// When the recipe is none.
pub fn text_of_run(folder: &Path) -> Result<Vec<PathBuf>> {
    let path = folder.join("config.toml");
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(Vec::new()) };
    let recipe: toml::Table = text.parse().with_context(|| path.display().to_string())?;
    let data = recipe.get("data");
    let named = ["speech", "text"].into_iter().filter_map(|key| data?.get(key)?.as_array());
    let paths = named.flatten().filter_map(|path| path.as_str()).map(PathBuf::from);
    Ok(paths.filter(|path| path.exists()).collect())
}
