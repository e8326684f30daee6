//! Encoder frames to what a language model takes for tokens.

use super::{ConvGlu, TransformerConv, Ultravox};
use crate::error::ModelError;
use crate::nn::WeightSource;
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// The largest dimension that is believed.
const LIMIT: usize = 1 << 20;

/// What kind of network an adapter is, with its own dimensions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum AdapterShape {
    /// Ultravox v0.5's, which stock llama.cpp runs: stacked frames through a gated layer.
    Ultravox {
        /// Frames that become one; llama.cpp wants a divisor of 1500.
        stack: usize,
        /// Width between the two matrices.
        hidden: usize,
    },
    /// PART's (arXiv 2509.19745): Transformer layers and one convolution.
    TransformerConv {
        /// Transformer layers; PART has 2.
        layers: usize,
        /// Attention heads.
        heads: usize,
        /// Frames that become one.
        stride: usize,
    },
    /// BLSP's (arXiv 2309.00916): three gated convolutions and a bottleneck.
    ConvGlu {
        /// Strides of the convolutions; 2, 2, 2 as published.
        strides: [usize; 3],
        /// Inner width of the last residual.
        bottleneck: usize,
    },
}

impl AdapterShape {
    /// The default: 4 frames of 20 ms become one of 80 ms.
    pub const ULTRAVOX: Self = Self::Ultravox { stack: 4, hidden: 1024 };
    /// PART's with a total stride of 4.
    pub const TRANSFORMER_CONV: Self = Self::TransformerConv { layers: 2, heads: 8, stride: 4 };
    /// BLSP's with a total stride of 4 instead of 8.
    pub const CONV_GLU: Self = Self::ConvGlu { strides: [2, 2, 1], bottleneck: 512 };

    /// The kind's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ultravox { .. } => "ultravox",
            Self::TransformerConv { .. } => "transformer-conv",
            Self::ConvGlu { .. } => "conv-glu",
        }
    }

    /// Vectors for a clip of so many encoder frames.
    pub fn frames(&self, encoder_frames: usize) -> usize {
        let divided = |frames: usize, stride: &usize| frames.div_ceil((*stride).max(1));
        match self {
            Self::Ultravox { stack, .. } => divided(encoder_frames, stack),
            Self::TransformerConv { stride, .. } => divided(encoder_frames, stride),
            Self::ConvGlu { strides, .. } => strides.iter().fold(encoder_frames, divided),
        }
    }

    fn dimensions(&self) -> Vec<usize> {
        match self {
            Self::Ultravox { stack, hidden } => vec![*stack, *hidden],
            Self::TransformerConv { layers, heads, stride } => vec![*layers, *heads, *stride],
            Self::ConvGlu { strides, bottleneck } => [&strides[..], &[*bottleneck]].concat(),
        }
    }
}

/// The dimensions of an adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterConfig {
    /// Width of the encoder's frames.
    pub encoder_width: usize,
    /// Width of the language model, without any padding of its rows.
    pub llm_width: usize,
    /// The root mean square that an untrained adapter's output has: that of what the model's first
    /// block receives for tokens (for Gemma the table's times the root of its width). An output that
    /// is much smaller hardly gets a gradient.
    pub output_rms: f64,
    /// The kind of network.
    pub shape: AdapterShape,
}

impl AdapterConfig {
    /// # Errors
    /// When a dimension is zero or beyond belief, or the output's size is no positive number.
    fn check(&self) -> Result<(), ModelError> {
        let wrong = |reason| ModelError::Parameter { name: "mm.a".to_owned(), reason };
        let dimensions = [vec![self.encoder_width, self.llm_width], self.shape.dimensions()];
        if let Some(dim) = dimensions.iter().flatten().find(|dim| !(1..=LIMIT).contains(*dim)) {
            return Err(wrong(format!("a dimension of {dim} in {self:?}")));
        }
        if !(self.output_rms > 0.0 && self.output_rms.is_finite()) {
            return Err(wrong(format!("an output of size {}", self.output_rms)));
        }
        Ok(())
    }
}

/// A network between a speech encoder and a language model. Its tensors are `mm.a.*`.
#[derive(Debug, Clone)]
pub enum Adapter {
    /// See [`Ultravox`].
    Ultravox(Ultravox),
    /// See [`TransformerConv`].
    TransformerConv(TransformerConv),
    /// See [`ConvGlu`].
    ConvGlu(ConvGlu),
}

impl Adapter {
    /// Takes the adapter's weights from `source`; in training it may begin at random.
    ///
    /// # Errors
    /// When the dimensions make no sense, or a tensor is missing or has another shape.
    pub fn load(source: &impl WeightSource, config: &AdapterConfig) -> Result<Self, ModelError> {
        config.check()?;
        Ok(match &config.shape {
            AdapterShape::Ultravox { stack, hidden } => {
                Self::Ultravox(Ultravox::load(source, config, *stack, *hidden)?)
            }
            AdapterShape::TransformerConv { layers, heads, stride } => {
                let dimensions = (*layers, *heads, *stride);
                Self::TransformerConv(TransformerConv::load(source, config, dimensions)?)
            }
            AdapterShape::ConvGlu { strides, bottleneck } => {
                Self::ConvGlu(ConvGlu::load(source, config, *strides, *bottleneck)?)
            }
        })
    }

    /// Encoder output `[batch, time, encoder width]` of clips of `lengths` frames each to
    /// `[batch, time', LLM width]` and each clip's length in it ([`AdapterShape::frames`]). A clip
    /// gives what it gives alone, whatever finite numbers lie behind its end; vectors behind its
    /// new end mean nothing.
    ///
    /// # Errors
    /// When the shapes do not fit, there is not one length a clip, or a clip has no frames or more
    /// than the batch.
    pub fn forward(
        &self,
        frames: &Tensor,
        lengths: &[usize],
    ) -> candle_core::Result<(Tensor, Vec<usize>)> {
        if lengths.len() != frames.dim(0)? {
            candle_core::bail!("{} lengths for a batch of {}", lengths.len(), frames.dim(0)?);
        }
        match self {
            Self::Ultravox(adapter) => adapter.forward(frames, lengths),
            Self::TransformerConv(adapter) => adapter.forward(frames, lengths),
            Self::ConvGlu(adapter) => adapter.forward(frames, lengths),
        }
    }
}

/// Every clip's length behind a layer of this stride.
pub(super) fn strided(lengths: &[usize], stride: usize) -> Vec<usize> {
    lengths.iter().map(|length| length.div_ceil(stride)).collect()
}
