//! Manifests of speech and parallel text, corpus readers, text normalisation, error rates.
//!
//! - [`manifest`]: the JSON-lines rows that training and evaluation read, their reader and writer.
//! - [`readers`]: other people's layouts (tables, Common Voice, sentence pairs) turned into rows.
//! - [`split`]: which rows are for training and which are held back, so that nothing is both, and
//!   the check for leaks.
//! - [`normalize`]: the text normalisers that published error rates of Whisper use.
//! - [`error_rate`]: word and character error rates with their counts.
//! - [`bleu`], [`chrf`]: scores of translations, with sacreBLEU's numbers.
//! - [`bootstrap`]: intervals of scores, and of differences; [`scored`]: those of means over corpora.
//! - [`script`]: whether a text is written in the script of its language.
//!
//! Nothing here reads audio: durations are those that the corpora declare.

pub mod bleu;
pub mod bootstrap;
pub mod chrf;
mod error;
pub mod error_rate;
mod lines;
pub mod manifest;
pub mod normalize;
pub mod readers;
pub mod scored;
pub mod script;
pub mod split;

pub use error::{BadRow, CorpusError};
