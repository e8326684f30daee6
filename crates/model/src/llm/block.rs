//! One block: attention over what came before, then a gated feed-forward network.

use super::config::LlmConfig;
use crate::error::ModelError;
use crate::nn::{
    Gate, KvCache, Linear, Mode, RmsNorm, Rope, WeightSource, attend, gated, merge_heads,
    split_heads,
};
use candle_core::{Result, Tensor};

#[derive(Debug, Clone)]
pub(super) struct Block {
    attention_norm: RmsNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    head_norms: Option<(RmsNorm, RmsNorm)>,
    out: Linear,
    attention_post_norm: Option<RmsNorm>,
    norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
    post_norm: Option<RmsNorm>,
    heads: usize,
    key_heads: usize,
    activation: Gate,
    mode: Mode,
}

impl Block {
    /// Takes the weights of block `index` under llama.cpp's names.
    pub(super) fn load(
        source: &dyn WeightSource,
        index: usize,
        config: &LlmConfig,
    ) -> std::result::Result<Self, ModelError> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let LlmConfig { width, feed_forward, head_width, biases, .. } = *config;
        let epsilon = config.epsilon as f32;
        let (queries, keys) = (config.heads * head_width, config.key_heads * head_width);
        let norm = |part: &str, width| source.rms_norm(&name(part), width, epsilon);
        let post_norm = |part| config.post_norms.then(|| norm(part, width)).transpose();
        let head_norms = match config.head_norms {
            true => Some((norm("attn_q_norm", head_width)?, norm("attn_k_norm", head_width)?)),
            false => None,
        };
        Ok(Self {
            attention_norm: norm("attn_norm", width)?,
            query: source.linear(&name("attn_q"), (queries, width), biases)?,
            key: source.linear(&name("attn_k"), (keys, width), biases)?,
            value: source.linear(&name("attn_v"), (keys, width), biases)?,
            head_norms,
            out: source.linear(&name("attn_output"), (width, queries), false)?,
            attention_post_norm: post_norm("post_attention_norm")?,
            norm: norm("ffn_norm", width)?,
            gate: source.linear(&name("ffn_gate"), (feed_forward, width), false)?,
            up: source.linear(&name("ffn_up"), (feed_forward, width), false)?,
            down: source.linear(&name("ffn_down"), (width, feed_forward), false)?,
            post_norm: post_norm("post_ffw_norm")?,
            heads: config.heads,
            key_heads: config.key_heads,
            activation: config.gate,
            mode: source.mode(),
        })
    }

    /// `[batch, time, width]` to the same; `mask` `[time, past + time]`.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        rope: &Rope,
        mask: Option<&Tensor>,
        cache: Option<&mut KvCache>,
    ) -> Result<Tensor> {
        let y = self.attend(&self.attention_norm.forward(x)?, rope, mask, cache)?;
        let x = (x + normalise(y, self.attention_post_norm.as_ref())?)?;
        let y = self.norm.forward(&x)?;
        let gate = self.gate.forward(&y)?;
        let y = gated(gate, &self.up.forward(&y)?, self.activation, self.mode)?;
        x + normalise(self.down.forward(&y)?, self.post_norm.as_ref())?
    }

    fn attend(
        &self,
        x: &Tensor,
        rope: &Rope,
        mask: Option<&Tensor>,
        cache: Option<&mut KvCache>,
    ) -> Result<Tensor> {
        let mut q = split_heads(&self.query.forward(x)?, self.heads)?;
        let mut k = split_heads(&self.key.forward(x)?, self.key_heads)?;
        let v = split_heads(&self.value.forward(x)?, self.key_heads)?;
        if let Some((query_norm, key_norm)) = &self.head_norms {
            (q, k) = (query_norm.forward(&q)?, key_norm.forward(&k)?);
        }
        let (q, k) = (rope.apply(&q)?, rope.apply(&k)?);
        let (k, v) = match cache {
            Some(cache) => cache.append(&k, &v)?,
            None => (k, v),
        };
        // Query heads that share keys become rows of one product.
        let (batch, heads, time, width) = q.dims4()?;
        let sharing = heads / self.key_heads;
        let q = q.reshape((batch, self.key_heads, sharing * time, width))?;
        let mask = match mask {
            Some(mask) if sharing > 1 => Some(mask.repeat((sharing, 1))?),
            other => other.cloned(),
        };
        let y = attend(&q, &k, &v, mask.as_ref(), self.mode)?;
        self.out.forward(&merge_heads(&y.reshape((batch, heads, time, width))?)?)
    }
}

fn normalise(x: Tensor, norm: Option<&RmsNorm>) -> Result<Tensor> {
    match norm {
        Some(norm) => norm.forward(&x),
        None => Ok(x),
    }
}
