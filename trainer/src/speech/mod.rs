//! Training of the speech model: what a recipe's words mean for its networks and data.

mod bases;
mod batch;
mod ctc;
mod data;
mod evaluation;
mod names;
mod objective;

pub use bases::{Files, open_bases};
pub use objective::SpeechObjective;
