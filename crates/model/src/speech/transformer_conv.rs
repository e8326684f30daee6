//! PART's adapter.

use super::adapter::{AdapterConfig, strided};
use crate::error::ModelError;
use crate::nn::{Conv1d, FrameMask, Init, RmsNorm, TransformerLayer, WeightSource};
use candle_core::{Result, Tensor};

/// Transformer layers of the encoder's width, then a convolution of kernel 3 that shortens time
/// (PART, arXiv 2509.19745, which leaves width, stride and position of norms open), then an RMS
/// norm, so that the output's size is known.
#[derive(Debug, Clone)]
pub struct TransformerConv {
    layers: Vec<TransformerLayer>,
    convolution: Conv1d,
    norm: RmsNorm,
    stride: usize,
}

impl TransformerConv {
    /// `mm.a.blk.N.*` as in [`TransformerLayer::load`], `mm.a.conv.weight` `[LLM, encoder, 3]` and
    /// `.bias`, `mm.a.norm_out.weight` `[LLM]`.
    pub(super) fn load(
        source: &impl WeightSource,
        config: &AdapterConfig,
        (layers, heads, stride): (usize, usize, usize),
    ) -> std::result::Result<Self, ModelError> {
        let (width, outputs) = (config.encoder_width, config.llm_width);
        let layer =
            |i| TransformerLayer::load(source, &format!("mm.a.blk.{i}"), width, heads, true);
        let layers = (0..layers).map(layer).collect::<std::result::Result<_, _>>()?;
        let init = Init::fan_in(3 * width);
        let gain = Init::Constant(config.output_rms as f32);
        Ok(Self {
            layers,
            convolution: source.convolution("mm.a.conv", [outputs, width, 3], stride, init)?,
            norm: source.rms_norm_or("mm.a.norm_out", outputs, 1e-6, gain)?,
            stride,
        })
    }

    pub(super) fn forward(&self, x: &Tensor, lengths: &[usize]) -> Result<(Tensor, Vec<usize>)> {
        let mask = FrameMask::new(lengths, x.dim(1)?, x.device())?;
        let keys = mask.as_ref().map(|mask| mask.keys(x.dtype())).transpose()?;
        let mut x = x.clone();
        for layer in &self.layers {
            x = layer.forward(&x, keys.as_ref())?;
        }
        if let Some(mask) = mask {
            x = mask.clear(&x, 1)?;
        }
        let x = self.convolution.forward(&x.transpose(1, 2)?.contiguous()?)?;
        let x = self.norm.forward(&x.transpose(1, 2)?.contiguous()?)?;
        Ok((x, strided(lengths, self.stride)))
    }
}
