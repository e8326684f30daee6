//! `partita models`.
