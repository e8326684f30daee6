//! Prepares data for, and trains, the speech language models of Partita.
//!
//! - [`prepare`]: corpora of any known layout into manifests.
//! - [`check`]: what a corpus holds and what is wrong with it.
//! - [`sources`]: the tables of both, and the splits of their rows.
//! - [`data`]: batches of features and of sentences, as training wants them.

mod audio;
pub mod check;
pub mod data;
pub mod output;
pub mod prepare;
pub mod sources;
