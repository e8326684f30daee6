//! Whisper's text decoder.

use super::config::WhisperConfig;
use crate::error::ModelError;
use crate::nn::{
    Activation, FileSource, KvCache, LayerNorm, Linear, Mode, WeightSource, attend, merge_heads,
    split_heads,
};
use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{D, DType, Device, Module, Tensor};
use std::sync::Arc;

/// Tokens to hidden states and logits, looking at the encoder's output.
#[derive(Debug, Clone)]
pub struct Decoder {
    /// `[table rows, width]`, also the output projection.
    table: Arc<QTensor>,
    output: QMatMul,
    /// `[positions, width]`
    positions: Tensor,
    layers: Vec<Layer>,
    norm: LayerNorm,
    vocabulary: usize,
    device: Device,
}

#[derive(Debug, Clone)]
struct Attention {
    norm: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
}

#[derive(Debug, Clone)]
struct Layer {
    own: Attention,
    cross: Attention,
    norm: LayerNorm,
    up: Linear,
    down: Linear,
    heads: usize,
}

/// What a decoder remembers of one window of audio and the text written for it so far.
#[derive(Debug)]
pub struct DecoderState {
    own: Vec<KvCache>,
    /// Keys and values of the audio, `[1, heads, frames, width]` a layer.
    cross: Arc<Vec<(Tensor, Tensor)>>,
}

impl DecoderState {
    /// Tokens seen so far.
    pub fn len(&self) -> usize {
        self.own.first().map_or(0, KvCache::len)
    }

    /// Whether no token has been seen.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Texts written side by side.
    pub fn batch(&self) -> usize {
        self.own.first().map_or(1, KvCache::batch)
    }

    /// Forgets all but the first `length` tokens.
    pub fn truncate(&mut self, length: usize) {
        self.own.iter_mut().for_each(|cache| cache.truncate(length));
    }

    /// A state of its own at the same place; the audio's part is shared.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn fork(&self) -> candle_core::Result<Self> {
        let own = self.own.iter().map(KvCache::fork).collect::<candle_core::Result<_>>()?;
        Ok(Self { own, cross: self.cross.clone() })
    }

    /// Makes row `i` of the batch the former row `rows[i]`.
    ///
    /// # Errors
    /// When an index is not smaller than the batch.
    pub fn select(&mut self, rows: &[u32], device: &Device) -> candle_core::Result<()> {
        let rows = Tensor::new(rows, device)?;
        self.own.iter_mut().try_for_each(|cache| cache.select(&rows))
    }
}

impl Attention {
    fn load(source: &FileSource, name: &str, width: usize) -> Result<Self, ModelError> {
        let square = (width, width);
        Ok(Self {
            norm: source.layer_norm(&format!("{name}_norm"), width)?,
            query: source.linear(&format!("{name}_q"), square, true)?,
            key: source.linear(&format!("{name}_k"), square, false)?,
            value: source.linear(&format!("{name}_v"), square, true)?,
            out: source.linear(&format!("{name}_out"), square, true)?,
        })
    }
}

impl Layer {
    fn load(source: &FileSource, index: usize, config: &WhisperConfig) -> Result<Self, ModelError> {
        let width = config.width;
        let name = |part: &str| format!("d.blk.{index}.{part}");
        Ok(Self {
            own: Attention::load(source, &name("attn"), width)?,
            cross: Attention::load(source, &name("cross"), width)?,
            norm: source.layer_norm(&name("ffn_norm"), width)?,
            up: source.linear(&name("ffn_up"), (4 * width, width), true)?,
            down: source.linear(&name("ffn_down"), (width, 4 * width), true)?,
            heads: config.heads,
        })
    }

    fn forward(
        &self,
        x: &Tensor,
        mask: Option<&Tensor>,
        cache: &mut KvCache,
        (audio_keys, audio_values): &(Tensor, Tensor),
    ) -> candle_core::Result<Tensor> {
        let y = self.own.norm.forward(x)?;
        let q = split_heads(&self.own.query.forward(&y)?, self.heads)?;
        let k = split_heads(&self.own.key.forward(&y)?, self.heads)?;
        let v = split_heads(&self.own.value.forward(&y)?, self.heads)?;
        let (k, v) = cache.append(&k, &v)?;
        let y = merge_heads(&attend(&q, &k, &v, mask, Mode::Inference)?)?;
        let x = (x + self.own.out.forward(&y)?)?;

        // All hypotheses look at the same audio: their queries become rows of one product.
        let y = self.cross.query.forward(&self.cross.norm.forward(&x)?)?;
        let (batch, time, width) = y.dims3()?;
        let q = split_heads(&y.reshape((1, batch * time, width))?, self.heads)?;
        let y = merge_heads(&attend(&q, audio_keys, audio_values, None, Mode::Inference)?)?;
        let x = (x + self.cross.out.forward(&y.reshape((batch, time, width))?)?)?;

        let y = self.up.forward_with(&self.norm.forward(&x)?, Activation::Gelu)?;
        x + self.down.forward(&y)?
    }
}

impl Decoder {
    /// Takes the decoder's weights from `source`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(source: &FileSource, config: &WhisperConfig) -> Result<Self, ModelError> {
        let width = config.width;
        let table = source.matrix("d.token_embd.weight", &[config.table_rows(), width])?;
        let table = Arc::new(table);
        let layers = (0..config.decoder_layers).map(|i| Layer::load(source, i, config));
        Ok(Self {
            output: QMatMul::from_arc(table.clone())?,
            table,
            positions: source.tensor("d.position_embd.weight", &[config.text_positions, width])?,
            layers: layers.collect::<Result<_, _>>()?,
            norm: source.layer_norm("d.output_norm", width)?,
            vocabulary: config.vocabulary,
            device: source.device().clone(),
        })
    }

    /// Prepares for writing the text of `audio` `[1, frames, width]`.
    ///
    /// # Errors
    /// When the width differs from the decoder's.
    pub fn start(&self, audio: &Tensor) -> candle_core::Result<DecoderState> {
        let keys_and_values = |layer: &Layer| {
            let keys = split_heads(&layer.cross.key.forward(audio)?, layer.heads)?;
            let values = split_heads(&layer.cross.value.forward(audio)?, layer.heads)?;
            Ok((keys, values))
        };
        let cross = self.layers.iter().map(keys_and_values).collect::<candle_core::Result<_>>()?;
        Ok(DecoderState {
            own: self.layers.iter().map(|_| KvCache::default()).collect(),
            cross: Arc::new(cross),
        })
    }

    /// Reads `tokens` (`batch` rows of equal length, one after the other) after those already in
    /// `state`; returns hidden states `[batch, time, width]`.
    ///
    /// # Errors
    /// When the rows are uneven, a token is unknown, or more positions are needed than there are.
    pub fn forward(
        &self,
        tokens: &[u32],
        batch: usize,
        state: &mut DecoderState,
    ) -> candle_core::Result<Tensor> {
        let past = state.len();
        let time = tokens.len() / batch.max(1);
        let tokens = Tensor::from_slice(tokens, (batch, time), &self.device)?;
        let x = self.table.embedding(&tokens)?.to_dtype(DType::F32)?;
        let mut x = x.broadcast_add(&self.positions.narrow(0, past, time)?)?;
        let mask = match time {
            0 | 1 => None,
            _ => Some(causal_mask(time, past, &self.device)?),
        };
        let caches = state.own.iter_mut().zip(state.cross.iter());
        for (layer, (cache, audio)) in self.layers.iter().zip(caches) {
            x = layer.forward(&x, mask.as_ref(), cache, audio)?;
        }
        self.norm.forward(&x)
    }

    /// Logits `[batch][vocabulary]` at position `at` of hidden states `[batch, time, width]`.
    ///
    /// # Errors
    /// When `at` is beyond the states.
    pub fn logits(&self, hidden: &Tensor, at: usize) -> candle_core::Result<Vec<Vec<f32>>> {
        let last = hidden.narrow(1, at, 1)?.squeeze(1)?.contiguous()?;
        let logits = self.output.forward(&last)?;
        logits.narrow(D::Minus1, 0, self.vocabulary)?.to_vec2()
    }
}

/// `[time, past + time]`: 0 where a position may look, -inf where it lies ahead.
fn causal_mask(time: usize, past: usize, device: &Device) -> candle_core::Result<Tensor> {
    let row = |i: usize| {
        (0..past + time).map(move |j| if j > past + i { f32::NEG_INFINITY } else { 0.0 })
    };
    let values: Vec<f32> = (0..time).flat_map(row).collect();
    Tensor::from_vec(values, (time, past + time), device)
}
