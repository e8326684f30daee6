//! BLSP's adapter.

use super::adapter::{AdapterConfig, strided};
use crate::error::ModelError;
use crate::nn::{Activation, Conv1d, FrameMask, Init, LayerNorm, Linear, WeightSource};
use candle_core::{Result, Tensor, bail};

/// Three convolutions of kernel 5, each gated by the second half of its channels (GLU), then a
/// residual bottleneck with GELU, then layer normalisation (BLSP, arXiv 2309.00916).
#[derive(Debug, Clone)]
pub struct ConvGlu {
    convolutions: Vec<(Conv1d, usize)>,
    down: Linear,
    up: Linear,
    norm: LayerNorm,
}

impl ConvGlu {
    /// `mm.a.conv.{1,2,3}.weight` `[2 * encoder, encoder, 5]` twice and `[2 * LLM, encoder, 5]`,
    /// and `.bias`; `mm.a.bottleneck.down.weight` `[bottleneck, LLM]`, `mm.a.bottleneck.up.weight`
    /// `[LLM, bottleneck]`; `mm.a.norm_out.weight` and `.bias` `[LLM]`.
    pub(super) fn load(
        source: &impl WeightSource,
        config: &AdapterConfig,
        strides: [usize; 3],
        bottleneck: usize,
    ) -> std::result::Result<Self, ModelError> {
        let (width, outputs) = (config.encoder_width, config.llm_width);
        let convolution = |(i, stride): (usize, usize)| {
            let channels = if i == 2 { 2 * outputs } else { 2 * width };
            let (name, init) = (format!("mm.a.conv.{}", i + 1), Init::fan_in(5 * width));
            Ok((source.convolution(&name, [channels, width, 5], stride, init)?, stride))
        };
        let matrix = |name, outputs, inputs| {
            source.linear_or(name, (outputs, inputs), false, Init::fan_in(inputs))
        };
        let gain = Init::Constant(config.output_rms as f32);
        let convolutions = strides.into_iter().enumerate().map(convolution);
        Ok(Self {
            convolutions: convolutions.collect::<std::result::Result<_, ModelError>>()?,
            down: matrix("mm.a.bottleneck.down", bottleneck, outputs)?,
            up: matrix("mm.a.bottleneck.up", outputs, bottleneck)?,
            norm: source.layer_norm_or("mm.a.norm_out", outputs, gain)?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor, lengths: &[usize]) -> Result<(Tensor, Vec<usize>)> {
        let mut x = x.transpose(1, 2)?.contiguous()?;
        let mut lengths = lengths.to_vec();
        for (convolution, stride) in &self.convolutions {
            // Each reads frames to its right: behind a clip's end they must be zero.
            if let Some(mask) = FrameMask::new(&lengths, x.dim(2)?, x.device())? {
                x = mask.clear(&x, 2)?;
            }
            let halves = convolution.forward(&x)?.chunk(2, 1)?;
            let [value, gate] = halves.as_slice() else { bail!("a gated layer of odd width") };
            x = (value * candle_nn::ops::sigmoid(gate)?)?;
            lengths = strided(&lengths, *stride);
        }
        let x = x.transpose(1, 2)?.contiguous()?;
        let inner = self.down.forward_with(&x, Activation::Gelu)?;
        let x = (&x + self.up.forward(&inner)?)?;
        Ok((self.norm.forward(&x)?, lengths))
    }
}
