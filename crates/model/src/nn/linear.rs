//! A linear layer over float or quantized weights.

use super::{Mode, kernels};
use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{D, Module, Result, Tensor};
use std::sync::Arc;

/// What follows a [`Linear`]'s bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// Exact (erf) GELU.
    Gelu,
}

#[derive(Debug, Clone)]
enum Weight {
    /// `[out, in]`, differentiable.
    Float(Tensor),
    /// With the length of its rows, which may be padded with zeros.
    Quantized(QMatMul, usize),
}

/// `y = x Wᵀ + b`, with `W` of shape `[out, in]` held in floats or in quantized blocks.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Weight,
    bias: Option<Tensor>,
    mode: Mode,
}

impl Linear {
    /// A layer over float weights `[out, in]` and a bias `[out]`.
    pub fn float(weight: Tensor, bias: Option<Tensor>, mode: Mode) -> Self {
        Self { weight: Weight::Float(weight), bias, mode }
    }

    /// A layer over quantized weights `[out, in]` and an f32 bias `[out]`; inference only. Rows may
    /// be longer than the input: what they have beyond it must be zero.
    ///
    /// # Errors
    /// When `weight` is no matrix.
    pub fn quantized(weight: Arc<QTensor>, bias: Option<Tensor>) -> Result<Self> {
        let (_, inputs) = weight.shape().dims2()?;
        let weight = Weight::Quantized(QMatMul::from_arc(weight)?, inputs);
        Ok(Self { weight, bias, mode: Mode::Inference })
    }

    /// `[…, in]` to `[…, out]`.
    ///
    /// # Errors
    /// When the last dimension of `x` is not `in`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_with(x, Activation::None)
    }

    /// `[…, in]` to `[…, out]`, with an activation after the bias.
    ///
    /// # Errors
    /// When the last dimension of `x` is not `in`.
    pub fn forward_with(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        let y = match &self.weight {
            Weight::Float(weight) => product(x, weight)?,
            Weight::Quantized(weight, inputs) => weight.forward(&filled_up(x, *inputs)?)?,
        };
        let with_gelu = activation == Activation::Gelu;
        match &self.bias {
            Some(bias) => kernels::add_bias(y, bias, with_gelu, self.mode),
            None if with_gelu => kernels::gelu(y, self.mode),
            None => Ok(y),
        }
    }
}

/// Rows of `x` with zeros behind them, up to `width`.
fn filled_up(x: &Tensor, width: usize) -> Result<Tensor> {
    match x.dim(D::Minus1)? {
        found if found < width => x.pad_with_zeros(D::Minus1, 0, width - found),
        _ => Ok(x.clone()),
    }
}

/// `x Wᵀ` with all leading dimensions of `x` taken together: one product, not one a batch row.
fn product(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let mut shape = x.dims().to_vec();
    let (outputs, inputs) = weight.dims2()?;
    let y = x.reshape(((), inputs))?.matmul(&weight.t()?)?;
    if let Some(last) = shape.last_mut() {
        *last = outputs;
    }
    y.reshape(shape)
}
