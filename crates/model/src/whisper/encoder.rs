//! Whisper's speech encoder.

use super::config::WhisperConfig;
use crate::error::ModelError;
use crate::nn::{
    Activation, Conv1d, LayerNorm, Linear, Mode, WeightSource, attend, gelu, merge_heads,
    split_heads,
};
use candle_core::Tensor;

/// Log-mel frames to vectors: two convolutions, then pre-norm Transformer layers with full
/// attention.
///
/// Tensors carry llama.cpp's names (`a.conv1d.1`, `a.blk.N.attn_q`, …), so the encoder of an
/// exported speech model loads the same way.
#[derive(Debug, Clone)]
pub struct Encoder {
    conv1: Conv1d,
    conv2: Conv1d,
    /// `[positions, width]`
    positions: Tensor,
    layers: Vec<Layer>,
    norm: LayerNorm,
    mode: Mode,
}

#[derive(Debug, Clone)]
struct Layer {
    attention_norm: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    norm: LayerNorm,
    up: Linear,
    down: Linear,
    heads: usize,
    mode: Mode,
}

impl Layer {
    fn load(
        source: &impl WeightSource,
        index: usize,
        config: &WhisperConfig,
    ) -> Result<Self, ModelError> {
        let width = config.width;
        let name = |part: &str| format!("a.blk.{index}.{part}");
        let square = (width, width);
        Ok(Self {
            attention_norm: source.layer_norm(&name("ln1"), width)?,
            query: source.linear(&name("attn_q"), square, true)?,
            key: source.linear(&name("attn_k"), square, false)?,
            value: source.linear(&name("attn_v"), square, true)?,
            out: source.linear(&name("attn_out"), square, true)?,
            norm: source.layer_norm(&name("ln2"), width)?,
            up: source.linear(&name("ffn_up"), (4 * width, width), true)?,
            down: source.linear(&name("ffn_down"), (width, 4 * width), true)?,
            heads: config.heads,
            mode: source.mode(),
        })
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let y = self.attention_norm.forward(x)?;
        let q = split_heads(&self.query.forward(&y)?, self.heads)?;
        let k = split_heads(&self.key.forward(&y)?, self.heads)?;
        let v = split_heads(&self.value.forward(&y)?, self.heads)?;
        let y = merge_heads(&attend(&q, &k, &v, None, self.mode)?)?;
        let x = (x + self.out.forward(&y)?)?;
        let y = self.up.forward_with(&self.norm.forward(&x)?, Activation::Gelu)?;
        x + self.down.forward(&y)?
    }
}

impl Encoder {
    /// Takes the encoder's weights from `source`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(source: &impl WeightSource, config: &WhisperConfig) -> Result<Self, ModelError> {
        let width = config.width;
        let layers = (0..config.encoder_layers).map(|i| Layer::load(source, i, config));
        Ok(Self {
            conv1: source.convolution("a.conv1d.1", (width, config.mel_bins), 1)?,
            conv2: source.convolution("a.conv1d.2", (width, width), 2)?,
            positions: source.tensor("a.position_embd.weight", &[config.audio_positions, width])?,
            layers: layers.collect::<Result<_, _>>()?,
            norm: source.layer_norm("a.post_ln", width)?,
            mode: source.mode(),
        })
    }

    /// Log-mel `[batch, bins, frames]` (100 Hz) to `[batch, ceil(frames / 2), width]` (50 Hz);
    /// any number of frames up to twice the encoder's positions.
    ///
    /// # Errors
    /// When there are more frames than that, or other bins.
    pub fn forward(&self, mel: &Tensor) -> candle_core::Result<Tensor> {
        let x = gelu(self.conv1.forward(mel)?, self.mode)?;
        let x = gelu(self.conv2.forward(&x)?, self.mode)?;
        let x = x.transpose(1, 2)?;
        let positions = self.positions.narrow(0, 0, x.dim(1)?)?;
        let mut x = x.broadcast_add(&positions)?;
        for layer in &self.layers {
            x = layer.forward(&x)?;
        }
        self.norm.forward(&x)
    }
}
