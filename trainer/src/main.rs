//! Prepares data for, and trains, the speech language models of Partita.
fn main() {}
