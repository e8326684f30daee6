//! Rotary position embeddings (Su et al. 2021).

use super::{Mode, differentiable};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::rotary_emb;

/// Which elements of a head are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopePairs {
    /// Element `i` and `i + width / 2`: Gemma, Qwen, and Hugging Face's files of Llama.
    Halves,
    /// Elements `2i` and `2i + 1`: GGUF files of Llama, whose rows are permuted for it.
    Interleaved,
}

/// Cosines and sines for a stretch of positions, `[time, head width / 2]` each.
#[derive(Debug, Clone)]
pub struct Rope {
    cosines: Tensor,
    sines: Tensor,
    pairs: RopePairs,
    mode: Mode,
}

impl Rope {
    /// For positions `start .. start + time`; pair `i` of a head turns by `position * speeds[i]`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn new(
        (start, time): (usize, usize),
        speeds: &[f64],
        pairs: RopePairs,
        mode: Mode,
        device: &Device,
    ) -> Result<Self> {
        let angles = || {
            let positions = start..start + time;
            positions.flat_map(|at| speeds.iter().map(move |speed| at as f64 * speed))
        };
        let table = |of: fn(f64) -> f64| {
            let values: Vec<f32> = angles().map(|angle| of(angle) as f32).collect();
            Tensor::from_vec(values, (time, speeds.len()), device)
        };
        Ok(Self { cosines: table(f64::cos)?, sines: table(f64::sin)?, pairs, mode })
    }

    /// Turns queries or keys `[batch, heads, time, width]`; same shape.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.contiguous()?;
        let (cosines, sines) = match x.dtype() {
            DType::F32 => (self.cosines.clone(), self.sines.clone()),
            other => (self.cosines.to_dtype(other)?, self.sines.to_dtype(other)?),
        };
        if (self.pairs, self.mode) == (RopePairs::Halves, Mode::Training)
            && differentiable::applies_to(&x)
        {
            return differentiable::turn(&x, &cosines, &sines);
        }
        // The fused forms have no backward pass.
        let turn = match (self.pairs, self.mode) {
            (RopePairs::Halves, Mode::Inference) => rotary_emb::rope,
            (RopePairs::Halves, Mode::Training) => rotary_emb::rope_slow,
            (RopePairs::Interleaved, Mode::Inference) => rotary_emb::rope_i,
            (RopePairs::Interleaved, Mode::Training) => rotary_emb::rope_i_slow,
        };
        turn(&x, &cosines, &sines)
    }
}
