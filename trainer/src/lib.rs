//! Prepares data for, and trains, the speech language models of Partita.
//!
//! - [`prepare`]: corpora of any known layout into manifests.
//! - [`check`]: what a corpus holds and what is wrong with it.
//! - [`sources`]: the tables of both, and the splits of their rows.
//! - [`data`]: batches of features and of sentences, as training wants them.
//! - [`drawn`]: which clips training took.
//! - [`recipe`]: what is trained, as a TOML file; [`stages`]: how far it has come.
//! - [`training_loop`]: trains any [`objective::Objective`] by a recipe, with an
//!   [`optimizer`] over [`accumulation`]s of gradients and learning rates on a [`schedule`].
//! - [`parallel`]: several processes that train together.
//! - [`speech`]: the speech model as such an objective.
//! - [`train`]: the commands that begin and resume a run.
//! - [`pack`]: a trained model made small.
//! - [`run_folder`]: where a run lives: its recipe, [`metrics`] and [`checkpoint`]s.
//! - [`evaluate`]: what a trained model writes for the clips of a manifest, and how good it is.
//! - [`gradients`]: how far the gradients of tasks and languages agree.
//! - [`report`]: a page about a run; [`reproduce`]: PART against its baseline and ablations.

pub mod accumulation;
mod audio;
mod best;
pub mod check;
pub mod checkpoint;
mod counts;
pub mod data;
pub mod drawn;
pub mod evaluate;
pub mod gradients;
mod in_place;
mod journal;
mod memory;
pub mod metrics;
pub mod objective;
pub mod optimizer;
pub mod output;
pub mod pack;
pub mod parallel;
pub mod prepare;
pub mod progress;
pub mod recipe;
pub mod report;
pub mod reproduce;
pub mod run_folder;
pub mod schedule;
pub mod sources;
pub mod speech;
pub mod stages;
mod tensorboard;
pub mod train;
pub mod training_loop;
