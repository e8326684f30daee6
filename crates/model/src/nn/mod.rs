//! Layers that every network of the project is made of.
//!
//! One definition serves training and inference. A [`Mode`] given when a layer is made picks the
//! form of its operations: in [`Mode::Inference`] the fused ones, which have no backward pass; in
//! [`Mode::Training`] the differentiable ones. A [`Linear`] holds float or quantized weights.

mod attention;
mod cache;
mod convolution;
mod delta;
mod differentiable;
#[cfg(test)]
#[path = "../../tests/drawn/mod.rs"]
mod drawn;
mod dropout;
mod functions;
mod initial;
mod kernels;
mod linear;
mod low_rank;
mod names;
mod norm;
mod observe;
mod padding;
mod parameters;
mod reblock;
mod rms_norm;
mod rope;
mod source;
mod training;
mod transformer;

pub use attention::{attend, merge_heads, split_heads};
pub use cache::KvCache;
pub use convolution::Conv1d;
pub use delta::{DeltaSource, change_name, changed_name};
pub(crate) use differentiable::cross_entropy;
pub use dropout::Dropout;
pub(crate) use functions::softmax_rows;
pub use functions::{Gate, log_sum_exp};
pub use initial::Init;
pub(crate) use kernels::add_bias;
pub use kernels::{gated, gelu, softmax};
pub use linear::{Activation, Linear};
pub use low_rank::{LowRank, LowRankSpec};
pub use names::NameSet;
pub use norm::LayerNorm;
pub use observe::{InputStatistics, ObservedSource};
pub use padding::FrameMask;
pub use parameters::{BaseValues, Parameters, Shaped};
pub use reblock::{Repack, repacking};
pub use rms_norm::RmsNorm;
pub use rope::{Rope, RopePairs};
pub use source::{FileSource, Precision, ProcessorLevel, WeightSource};
pub use training::TrainingSource;
pub use transformer::TransformerLayer;

/// Which form of an operation a layer uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Fused operations; some work in place and none keeps what a backward pass needs.
    Inference,
    /// Differentiable operations only.
    Training,
}
