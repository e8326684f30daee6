//! Training of the speech model: what a recipe's words mean for its networks and data.

mod bases;
mod batch;
mod data;
mod evaluation;
mod names;
mod objective;
mod probe;

pub use bases::{Files, open_bases};
pub(crate) use names::module_name;
pub use objective::SpeechObjective;
