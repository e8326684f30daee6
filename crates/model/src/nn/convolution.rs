//! One-dimensional convolution.

use candle_core::{Result, Tensor};

/// Convolution over time with bias: `[batch, in, time]` to `[batch, out, time / stride]`.
#[derive(Debug, Clone)]
pub struct Conv1d {
    weight: Tensor,
    bias: Tensor,
    padding: usize,
    stride: usize,
}

impl Conv1d {
    /// `weight` `[out, in, kernel]`, `bias` `[out]`; zero padding on both sides.
    ///
    /// # Errors
    /// When `bias` is not a vector.
    pub fn new(weight: Tensor, bias: Tensor, padding: usize, stride: usize) -> Result<Self> {
        let outputs = bias.dims1()?;
        Ok(Self { weight, bias: bias.reshape((1, outputs, 1))?, padding, stride })
    }

    /// `[batch, in, time]` to `[batch, out, (time + 2 padding - kernel) / stride + 1]`.
    ///
    /// # Errors
    /// When the channels of `x` do not fit the weight.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.conv1d(&self.weight, self.padding, self.stride, 1, 1)?.broadcast_add(&self.bias)
    }
}
