//! Inspects, quantizes and exports the models of Partita.
fn main() {}
