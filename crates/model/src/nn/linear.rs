//! A linear layer over float or quantized weights.

use super::{InputStatistics, LowRank, Mode, kernels};
use candle_core::backend::BackendStorage;
use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, D, DType, Device, Layout, MetalStorage, Module, Result,
    Shape, Storage, Tensor, bail,
};
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

/// What training added to the weight.
#[derive(Debug, Clone)]
enum Change {
    /// Added to the product.
    Beside(LowRank),
    /// Already in the weight; the weight without it is kept.
    Merged(LowRank, Weight),
}

/// `y = x Wᵀ + b`, with `W` of shape `[out, in]` held in floats or in quantized blocks, and perhaps
/// a low-rank change of it: `y = x (W + alpha/r B A)ᵀ + b`.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Weight,
    change: Option<Change>,
    bias: Option<Tensor>,
    mode: Mode,
    observer: Option<Arc<InputStatistics>>,
}

impl Linear {
    /// A layer over float weights `[out, in]` and a bias `[out]`.
    pub fn float(weight: Tensor, bias: Option<Tensor>, mode: Mode) -> Self {
        Self { weight: Weight::Float(weight), change: None, bias, mode, observer: None }
    }

    /// A layer over quantized weights `[out, in]` and an f32 bias `[out]`; inference only. Rows may
    /// be longer than the input: what they have beyond it must be zero.
    ///
    /// # Errors
    /// When `weight` is no matrix.
    pub fn quantized(weight: Arc<QTensor>, bias: Option<Tensor>) -> Result<Self> {
        let (_, inputs) = weight.shape().dims2()?;
        let weight = Weight::Quantized(QMatMul::from_arc(weight)?, inputs);
        Ok(Self { weight, change: None, bias, mode: Mode::Inference, observer: None })
    }

    /// Whether the weight is held in floats.
    pub fn is_float(&self) -> bool {
        matches!(self.weight, Weight::Float(_))
    }

    /// The same layer with another bias `[out]`.
    pub fn with_bias(self, bias: Option<Tensor>) -> Self {
        Self { bias, ..self }
    }

    /// The same layer with its inputs counted.
    pub fn observed(self, observer: Arc<InputStatistics>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// The same layer with this low-rank change beside its weight, instead of one that it had.
    pub fn with_low_rank(self, low_rank: LowRank) -> Self {
        Self { change: Some(Change::Beside(low_rank)), ..self.unmerged() }
    }

    /// The same layer with its low-rank change inside the weight: one product instead of three.
    ///
    /// A quantized weight becomes f32, since rounding the sum again would lose some of the change.
    /// The weight before is kept beside the new one, so [`Linear::unmerged`] is exact.
    ///
    /// # Errors
    /// When the change has another shape than the weight, or the device has no room.
    pub fn merged(&self) -> Result<Self> {
        let Some(Change::Beside(low_rank)) = &self.change else { return Ok(self.clone()) };
        let delta = low_rank.delta()?;
        let weight = match &self.weight {
            Weight::Float(weight) => weight.clone(),
            Weight::Quantized(QMatMul::QTensor(weight), _) => weight.dequantize(delta.device())?,
            Weight::Quantized(QMatMul::Tensor(weight) | QMatMul::TensorF16(weight), _) => {
                weight.to_dtype(DType::F32)?
            }
        };
        let dtype = weight.dtype();
        let sum = (weight.to_dtype(DType::F32)? + delta.to_dtype(DType::F32)?)?;
        let change = Change::Merged(low_rank.clone(), self.weight.clone());
        let weight = Weight::Float(sum.to_dtype(dtype)?);
        Ok(Self { weight, change: Some(change), ..self.clone() })
    }

    /// The same layer with its low-rank change beside the weight, which is the one before
    /// [`Linear::merged`], bit by bit.
    pub fn unmerged(&self) -> Self {
        let (weight, change) = match &self.change {
            Some(Change::Merged(low_rank, weight)) => {
                (weight.clone(), Some(Change::Beside(low_rank.clone())))
            }
            other => (self.weight.clone(), other.clone()),
        };
        Self { weight, change, ..self.clone() }
    }

    /// The same layer without the way back that [`Linear::merged`] keeps, and the memory it takes.
    pub fn settled(self) -> Self {
        let change = self.change.filter(|change| !matches!(change, Change::Merged(..)));
        Self { change, ..self }
    }

    /// The weight that is used, as f32 `[out, in]`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn weight(&self, device: &Device) -> Result<Tensor> {
        match &self.weight {
            Weight::Float(weight) => weight.to_device(device)?.to_dtype(DType::F32),
            Weight::Quantized(QMatMul::QTensor(weight), _) => weight.dequantize(device),
            Weight::Quantized(QMatMul::Tensor(weight) | QMatMul::TensorF16(weight), _) => {
                weight.to_device(device)?.to_dtype(DType::F32)
            }
        }
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
        if let Some(observer) = &self.observer {
            observer.add(x)?;
        }
        let mut y = match &self.weight {
            Weight::Float(weight) => product(x, weight)?,
            Weight::Quantized(weight, inputs) => weight.forward(&filled_up(x, *inputs)?)?,
        };
        if let Some(Change::Beside(low_rank)) = &self.change {
            y = (y + low_rank.forward(x)?)?;
        }
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

/// `x Wᵀ` in the type of `x`, with all leading dimensions of `x` taken together: one product, not
/// one a batch row.
pub(crate) fn product(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let mut shape = x.dims().to_vec();
    let (outputs, inputs) = weight.dims2()?;
    let weight = weight.to_dtype(x.dtype())?;
    let x = x.reshape(((), inputs))?;
    let y = if x.track_op() && !weight.track_op() {
        x.apply_op1(FrozenProduct { weight })?
    } else {
        x.matmul(&weight.t()?)?
    };
    if let Some(last) = shape.last_mut() {
        *last = outputs;
    }
    y.reshape(shape)
}

/// `x Wᵀ` for a `W` that is not trained. candle's own backward pass of a product computes the
/// gradients of both factors, wanted or not: half of the work for nothing, where a language model is
/// frozen.
struct FrozenProduct {
    weight: Tensor,
}

impl FrozenProduct {
    fn of<S: BackendStorage>(
        &self,
        x: &S,
        layout: &Layout,
        weight: &S,
        weight_layout: &Layout,
    ) -> Result<(S, Shape)> {
        let ((rows, inputs), (outputs, _)) = (layout.shape().dims2()?, self.weight.dims2()?);
        let transposed = weight_layout.transpose(0, 1)?;
        let y = x.matmul(weight, (1, rows, outputs, inputs), layout, &transposed)?;
        Ok((y, (rows, outputs).into()))
    }
}

impl CustomOp1 for FrozenProduct {
    fn name(&self) -> &'static str {
        "frozen-product"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (weight, weight_layout) = self.weight.storage_and_layout();
        match &*weight {
            Storage::Cpu(weight) => self.of(x, layout, weight, weight_layout),
            _ => bail!("a weight on another device than its input"),
        }
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (weight, weight_layout) = self.weight.storage_and_layout();
        match &*weight {
            Storage::Cuda(weight) => self.of(x, layout, weight, weight_layout),
            _ => bail!("a weight on another device than its input"),
        }
    }

    fn metal_fwd(&self, x: &MetalStorage, layout: &Layout) -> Result<(MetalStorage, Shape)> {
        let (weight, weight_layout) = self.weight.storage_and_layout();
        match &*weight {
            Storage::Metal(weight) => self.of(x, layout, weight, weight_layout),
            _ => bail!("a weight on another device than its input"),
        }
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(upstream.matmul(&self.weight)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::drawn::drawn;
    use candle_core::Var;

    #[test]
    fn a_frozen_weight_passes_gradients_on_and_gets_none() {
        let x = Var::from_tensor(&drawn(1, 1.0, (3, 2, 5))).unwrap();
        let weight = drawn(2, 1.0, (4, 5));
        let trained = Var::from_tensor(&weight.copy().unwrap()).unwrap();
        let run = |weight: &Tensor| {
            let layer = Linear::float(weight.clone(), None, Mode::Training);
            let y = layer.forward(&x).unwrap();
            let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            let values = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let found = (values(&y), values(gradients.get(&x).unwrap()));
            (found, gradients.get(weight).is_some())
        };
        let ((y, by_x), with) = run(&weight);
        let ((expected, expected_by_x), with_trained) = run(&trained);
        assert_eq!((with, with_trained), (false, true));
        assert_eq!(y, expected);
        assert!(by_x.iter().zip(&expected_by_x).all(|(a, b)| (a - b).abs() < 1e-4));
    }
}
