//! What takes time, each on a thread of its own.

pub mod files;
pub mod history;
pub mod measuring;
pub mod models;
pub mod offers;
