//! Networks as ONNX graphs, run by ONNX Runtime.
//!
//! The library is loaded when the first graph is opened. Graphs are files of others: what they take
//! and give is held against what is expected before anything is run, and again when it was run.

mod graph;
mod provider;

pub(crate) use graph::{Graph, Outlet, Type};
pub use provider::Provider;

use std::path::PathBuf;

/// What graphs are run by.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// The shared library of ONNX Runtime.
    pub library: PathBuf,
    /// What computes.
    pub provider: Provider,
    /// Threads of each graph.
    pub threads: usize,
}
