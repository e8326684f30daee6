//! Training of the speech model: what a recipe's words mean for its networks and data.

mod bases;
mod batch;
mod ctc;
mod data;
mod evaluation;
mod feed;
mod names;
mod notes;
mod objective;

pub use bases::{Files, open_bases};
pub use feed::Share;
pub use objective::SpeechObjective;
