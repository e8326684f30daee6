//! Layer normalisation.

use super::{Mode, differentiable, kernels};
use candle_core::{Result, Tensor};

/// Layer normalisation over the last dimension, with gain and bias (Ba et al. 2016).
#[derive(Debug, Clone)]
pub struct LayerNorm {
    gain: Tensor,
    bias: Tensor,
    epsilon: f32,
    mode: Mode,
}

impl LayerNorm {
    /// `gain` and `bias` of shape `[width]`.
    pub fn new(gain: Tensor, bias: Tensor, epsilon: f32, mode: Mode) -> Self {
        Self { gain, bias, epsilon, mode }
    }

    /// `[…, width]` to the same shape.
    ///
    /// # Errors
    /// When the last dimension of `x` is not `width`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self.mode {
            Mode::Inference => {
                let (gain, bias) = (self.gain.to_dtype(x.dtype())?, self.bias.to_dtype(x.dtype())?);
                candle_nn::ops::layer_norm(x, &gain, &bias, self.epsilon)
            }
            Mode::Training if differentiable::applies_to(x) => {
                let gain = self.gain.to_dtype(x.dtype())?;
                let x = differentiable::norm(x, &gain, self.epsilon, true)?;
                kernels::add_bias(x, &self.bias, false, self.mode)
            }
            Mode::Training => {
                let (gain, bias) = (self.gain.to_dtype(x.dtype())?, self.bias.to_dtype(x.dtype())?);
                candle_nn::ops::layer_norm_slow(x, &gain, &bias, self.epsilon)
            }
        }
    }
}
