//! Inspects, quantizes, exports and compares the models of Partita.
//!
//! What the program `partita-export` does is here; `main.rs` only reads its command line.

pub mod bases;
pub mod clips;
pub mod compare;
pub mod diff;
pub mod gguf;
pub mod inspect;
pub mod interrupt;
pub mod merged;
pub mod onnx;
pub mod pending;
pub mod scratch;
pub mod side;
