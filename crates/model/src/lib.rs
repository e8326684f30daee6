//! Networks, tokens, decoding, engines and weight files of Partita.

pub mod files;
