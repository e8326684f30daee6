//! A Transformer layer over frames of audio.

use super::{
    Activation, Init, LayerNorm, Linear, Mode, WeightSource, attend, merge_heads, split_heads,
};
use crate::error::ModelError;
use candle_core::Tensor;

/// Self-attention, then two linear layers with GELU, each behind a norm and beside a residual:
/// Whisper's encoder layer. Every frame looks at every frame; keys have no bias; the inner width is
/// four times the outer.
#[derive(Debug, Clone)]
pub struct TransformerLayer {
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

impl TransformerLayer {
    /// Takes `NAME.ln1`, `NAME.attn_q`, `NAME.attn_k`, `NAME.attn_v`, `NAME.attn_out`, `NAME.ln2`,
    /// `NAME.ffn_up` and `NAME.ffn_down` (llama.cpp's names). A layer that is `fresh` may be
    /// trained from nothing; any other must be stored.
    ///
    /// # Errors
    /// When the heads do not divide the width, or a tensor is missing or has another shape.
    pub fn load(
        source: &impl WeightSource,
        name: &str,
        width: usize,
        heads: usize,
        fresh: bool,
    ) -> Result<Self, ModelError> {
        if heads == 0 || !width.is_multiple_of(heads) {
            let reason = format!("{heads} heads do not divide a width of {width}");
            return Err(ModelError::Parameter { name: name.to_owned(), reason });
        }
        let begin = |init: Init| if fresh { init } else { Init::Stored };
        let norm = |part| {
            source.layer_norm_or(&format!("{name}.{part}"), width, begin(Init::Constant(1.0)))
        };
        let linear = |part, outputs, inputs, bias| {
            let init = begin(Init::fan_in(inputs));
            source.linear_or(&format!("{name}.{part}"), (outputs, inputs), bias, init)
        };
        Ok(Self {
            attention_norm: norm("ln1")?,
            query: linear("attn_q", width, width, true)?,
            key: linear("attn_k", width, width, false)?,
            value: linear("attn_v", width, width, true)?,
            out: linear("attn_out", width, width, true)?,
            norm: norm("ln2")?,
            up: linear("ffn_up", 4 * width, width, true)?,
            down: linear("ffn_down", width, 4 * width, true)?,
            heads,
            mode: source.mode(),
        })
    }

    /// `[batch, time, width]` to the same shape; `mask` as of [`attend`].
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, x: &Tensor, mask: Option<&Tensor>) -> candle_core::Result<Tensor> {
        let y = self.attention_norm.forward(x)?;
        let q = split_heads(&self.query.forward(&y)?, self.heads)?;
        let k = split_heads(&self.key.forward(&y)?, self.heads)?;
        let v = split_heads(&self.value.forward(&y)?, self.heads)?;
        let y = merge_heads(&attend(&q, &k, &v, mask, self.mode)?)?;
        let x = (x + self.out.forward(&y)?)?;
        let y = self.up.forward_with(&self.norm.forward(&x)?, Activation::Gelu)?;
        x + self.down.forward(&y)?
    }
}
