//! A CTC head whose classes are the language model's own words.

use crate::error::ModelError;
use crate::nn::{Init, Mode, WeightSource, add_bias, product};
use candle_core::{D, Result, Tensor};

/// Scores of a shortlist's tokens and of blank for each of an adapter's vectors:
/// `scale * h [E; blank]ᵀ + bias`, where `E` are the tokens' rows of the model's own table. So an
/// adapter that is trained by it learns to write vectors that look like the words they stand for.
///
/// Classes `0 .. shortlist` are the tokens in the rows' order, the last one is blank.
#[derive(Debug, Clone)]
pub struct CtcHead {
    /// `[shortlist, width]`
    rows: Tensor,
    /// `[width]`
    blank: Tensor,
    /// `[1]`
    scale: Tensor,
    /// `[shortlist + 1]`
    bias: Tensor,
    mode: Mode,
}

impl CtcHead {
    /// Over the `rows` `[shortlist, width]` of the table, which are not changed by it; takes
    /// `ctc.blank` `[width]`, `ctc.scale` `[1]` and `ctc.bias` `[shortlist + 1]` from `source`.
    ///
    /// In training they may begin so that the scores of vectors of size `input_rms` (root mean
    /// square) have a deviation of about 1.
    ///
    /// # Errors
    /// When the rows are no matrix, or a tensor is missing or has another shape.
    pub fn load(
        source: &impl WeightSource,
        rows: Tensor,
        input_rms: f64,
    ) -> std::result::Result<Self, ModelError> {
        let (shortlist, width) = rows.dims2()?;
        let rows = rows.detach();
        let mean = rows.to_dtype(candle_core::DType::F32)?.sqr()?.mean_all()?;
        let rows_rms = f64::from(mean.to_scalar::<f32>()?).sqrt();
        let deviation = rows_rms * input_rms * (width as f64).sqrt();
        let scale = if deviation > 0.0 { (1.0 / deviation) as f32 } else { 1.0 };
        Ok(Self {
            blank: source.tensor_or("ctc.blank", &[width], Init::Normal(rows_rms))?,
            scale: source.tensor_or("ctc.scale", &[1], Init::Constant(scale))?,
            bias: source.tensor_or("ctc.bias", &[shortlist + 1], Init::Constant(0.0))?,
            rows,
            mode: source.mode(),
        })
    }

    /// The class that stands for no token.
    pub fn blank(&self) -> u32 {
        self.rows.dims().first().map_or(0, |&rows| rows as u32)
    }

    /// `[batch, time, width]` to scores `[batch, time, shortlist + 1]` (logits, not normalised).
    ///
    /// # Errors
    /// When the width differs from the rows'.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, time, width) = x.dims3()?;
        let x = x.broadcast_mul(&self.scale.to_dtype(x.dtype())?)?;
        let x = x.reshape((batch * time, width))?;
        let tokens = product(&x, &self.rows)?;
        let blank = x.matmul(&self.blank.to_dtype(x.dtype())?.reshape((width, 1))?)?;
        let scores = Tensor::cat(&[tokens, blank], D::Minus1)?;
        add_bias(scores, &self.bias, false, self.mode)?.reshape((batch, time, ()))
    }
}
