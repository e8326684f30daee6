//! Layers that every network of the project is made of.
//!
//! One definition serves training and inference. A [`Mode`] given when a layer is made picks the
//! form of its operations: in [`Mode::Inference`] the fused ones, which have no backward pass; in
//! [`Mode::Training`] the differentiable ones. A [`Linear`] holds float or quantized weights.

mod attention;
mod cache;
mod convolution;
mod kernels;
mod linear;
mod norm;
mod rms_norm;
mod source;

pub use attention::{attend, merge_heads, split_heads};
pub use cache::KvCache;
pub use convolution::Conv1d;
pub use kernels::{gelu, log_sum_exp, softmax};
pub use linear::{Activation, Linear};
pub use norm::LayerNorm;
pub use rms_norm::RmsNorm;
pub use source::{FileSource, Precision, ProcessorLevel, WeightSource};

/// Which form of an operation a layer uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Fused operations; some work in place and none keeps what a backward pass needs.
    Inference,
    /// Differentiable operations only.
    Training,
}
