//! Training of the speech model: what a recipe's words mean for its networks and data.

mod bases;
mod batch;
mod ctc;
mod data;
mod evaluation;
mod feed;
mod frames;
mod names;
mod networks;
mod notes;
mod objective;
mod probe;
mod start;
mod written;

pub use bases::{Files, open_bases};
pub use feed::Share;
pub(crate) use names::{module_name, own_name};
pub use objective::SpeechObjective;
