//! Whisper's speech encoder.

use super::config::WhisperConfig;
use crate::error::ModelError;
use crate::nn::{Conv1d, FrameMask, Init, LayerNorm, Mode, TransformerLayer, WeightSource, gelu};
use candle_core::{Result, Tensor, bail};

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
    layers: Vec<TransformerLayer>,
    norm: LayerNorm,
    mode: Mode,
}

impl Encoder {
    /// Takes the encoder's weights from `source`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(
        source: &impl WeightSource,
        config: &WhisperConfig,
    ) -> std::result::Result<Self, ModelError> {
        let width = config.width;
        let convolution = |name, inputs, stride| {
            source.convolution(name, [width, inputs, 3], stride, Init::Stored)
        };
        let layer =
            |i| TransformerLayer::load(source, &format!("a.blk.{i}"), width, config.heads, false);
        Ok(Self {
            conv1: convolution("a.conv1d.1", config.mel_bins, 1)?,
            conv2: convolution("a.conv1d.2", width, 2)?,
            positions: source.tensor("a.position_embd.weight", &[config.audio_positions, width])?,
            layers: (0..config.encoder_layers).map(layer).collect::<std::result::Result<_, _>>()?,
            norm: source.layer_norm("a.post_ln", width)?,
            mode: source.mode(),
        })
    }

    /// The number of Transformer layers.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Vectors that the encoder gives for a clip of so many mel frames.
    pub fn frames(mel_frames: usize) -> usize {
        mel_frames.div_ceil(2)
    }

    /// Log-mel `[batch, bins, frames]` (100 Hz) to `[batch, ceil(frames / 2), width]` (50 Hz);
    /// any number of frames up to twice the encoder's positions. All clips fill the batch.
    ///
    /// # Errors
    /// When there are more frames than that, or other bins.
    pub fn forward(&self, mel: &Tensor) -> Result<Tensor> {
        let (batch, _, frames) = mel.dims3()?;
        self.forward_batch(mel, &vec![frames; batch])
    }

    /// As [`Encoder::forward`], for clips of `frames` mel frames each, whatever finite numbers lie
    /// behind their ends: a clip gives there what it gives alone. Clip `i` has
    /// `ceil(frames[i] / 2)` vectors; those behind them mean nothing.
    ///
    /// # Errors
    /// As [`Encoder::forward`]; when there is not one length a clip, or a clip has no frames or
    /// more than the batch.
    pub fn forward_batch(&self, mel: &Tensor, frames: &[usize]) -> Result<Tensor> {
        self.upper_layers(&self.lower_layers(mel, frames, 0)?, frames, 0)
    }

    /// The convolutions and the first `layers` Transformer layers of [`Encoder::forward_batch`]:
    /// what can be kept between passes while those layers are frozen.
    ///
    /// # Errors
    /// As [`Encoder::forward_batch`]; when there are fewer layers.
    pub fn lower_layers(&self, mel: &Tensor, frames: &[usize], layers: usize) -> Result<Tensor> {
        let (batch, _, time) = mel.dims3()?;
        if frames.len() != batch {
            bail!("{} lengths for a batch of {batch}", frames.len());
        }
        let Some(layers) = self.layers.get(..layers) else {
            bail!("{layers} layers of an encoder of {}", self.layers.len());
        };
        // Each convolution reads a frame to its right: behind a clip's end there must be the zeros
        // that lie behind a whole batch.
        let x = match FrameMask::new(frames, time, mel.device())? {
            None => gelu(self.conv1.forward(mel)?, self.mode)?,
            Some(mask) => {
                let x = self.conv1.forward(&mask.clear(mel, 2)?)?;
                mask.clear(&gelu(x, self.mode)?, 2)?
            }
        };
        let x = gelu(self.conv2.forward(&x)?, self.mode)?;
        let x = x.transpose(1, 2)?;
        let positions = self.positions.narrow(0, 0, x.dim(1)?)?;
        let x = x.broadcast_add(&positions.to_dtype(x.dtype())?)?;
        self.run(x, layers, frames)
    }

    /// The rest of [`Encoder::forward_batch`] behind the first `from` Transformer layers, whose
    /// output is `x` `[batch, positions, width]`; `frames` are mel frames as there.
    ///
    /// # Errors
    /// As [`Encoder::lower_layers`].
    pub fn upper_layers(&self, x: &Tensor, frames: &[usize], from: usize) -> Result<Tensor> {
        if frames.len() != x.dim(0)? {
            bail!("{} lengths for a batch of {}", frames.len(), x.dim(0)?);
        }
        let Some(layers) = self.layers.get(from..) else {
            bail!("layer {from} of an encoder of {}", self.layers.len());
        };
        self.norm.forward(&self.run(x.clone(), layers, frames)?)
    }

    fn run(&self, mut x: Tensor, layers: &[TransformerLayer], frames: &[usize]) -> Result<Tensor> {
        let own: Vec<usize> = frames.iter().map(|&frames| Self::frames(frames)).collect();
        let mask = FrameMask::new(&own, x.dim(1)?, x.device())?;
        let mask = mask.map(|mask| mask.keys(x.dtype())).transpose()?;
        for layer in layers {
            x = layer.forward(&x, mask.as_ref())?;
        }
        Ok(x)
    }
}
