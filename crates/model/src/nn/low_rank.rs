//! Low-rank changes of a matrix.

use super::{Dropout, NameSet};
use crate::files::{FileError, WeightFile};
use candle_core::{Result as TensorResult, Tensor, bail};

const LOW_RANK_A: &str = ".lora_a";
const LOW_RANK_B: &str = ".lora_b";

/// Which matrices get a [`LowRank`] in training, and of what kind.
#[derive(Debug, Clone)]
pub struct LowRankSpec {
    /// Rows of A, columns of B.
    pub rank: usize,
    /// The change is scaled by `alpha / rank`.
    pub alpha: f64,
    /// Share of A's inputs that are zeroed in training.
    pub dropout: f32,
    /// Linear layers by name, without `.weight`.
    pub targets: NameSet,
}

/// `alpha / r · B A`, which is added to a matrix `[out, in]` (Hu et al. 2021).
///
/// Stored as `NAME.weight.lora_a` and `NAME.weight.lora_b`, llama.cpp's names.
#[derive(Debug, Clone)]
pub struct LowRank {
    /// `[r, in]`
    a: Tensor,
    /// `[out, r]`
    b: Tensor,
    scale: f64,
    dropout: Option<Dropout>,
}

impl LowRank {
    /// The metadata key of alpha, llama.cpp's.
    pub const ALPHA_KEY: &str = "adapter.lora.alpha";

    /// `a` `[r, in]`, `b` `[out, r]`.
    ///
    /// # Errors
    /// When the ranks differ or are zero.
    pub fn new(a: Tensor, b: Tensor, alpha: f64, dropout: Option<Dropout>) -> TensorResult<Self> {
        let ((rank, _), (_, other)) = (a.dims2()?, b.dims2()?);
        if rank != other || rank == 0 {
            bail!("a low-rank change of {:?} and {:?}", a.shape(), b.shape());
        }
        Ok(Self { a, b, scale: alpha / rank as f64, dropout })
    }

    /// The alpha that a file's low-rank changes were trained with, if it says.
    ///
    /// # Errors
    /// When it is no number that scales anything.
    pub fn alpha(file: &WeightFile) -> Result<Option<f64>, FileError> {
        let Some(value) = file.metadata().get(Self::ALPHA_KEY) else { return Ok(None) };
        let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
        match number.filter(|alpha| alpha.is_finite() && *alpha != 0.0) {
            None => Err(FileError::metadata(file.path(), Self::ALPHA_KEY, "is not a number")),
            alpha => Ok(alpha),
        }
    }

    /// Whether a tensor of this name belongs to a low-rank change.
    pub fn is_part(name: &str) -> bool {
        [LOW_RANK_A, LOW_RANK_B].iter().any(|end| name.ends_with(end))
    }

    /// The names of A and B for a linear layer's name.
    pub fn names(linear: &str) -> [String; 2] {
        [LOW_RANK_A, LOW_RANK_B].map(|end| format!("{linear}.weight{end}"))
    }

    /// What is added to `x Wᵀ`, for `x` `[…, in]`: `[…, out]`.
    ///
    /// # Errors
    /// When the last dimension of `x` is not `in`.
    pub fn forward(&self, x: &Tensor) -> TensorResult<Tensor> {
        let x = match &self.dropout {
            Some(dropout) => &dropout.forward(x)?,
            None => x,
        };
        // The smaller of the three to scale lies between the two products.
        let inner = (super::linear::product(x, &self.a)? * self.scale)?;
        super::linear::product(&inner, &self.b)
    }

    /// What is added to `W`, `[out, in]`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn delta(&self) -> TensorResult<Tensor> {
        self.b.matmul(&self.a)? * self.scale
    }
}
