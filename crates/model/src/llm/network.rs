//! The network as a whole, and what it remembers.

use super::block::Block;
use super::config::LlmConfig;
use super::table::{Output, TokenTable, TrainedRows};
use crate::error::ModelError;
use crate::files::WeightFile;
use crate::nn::{FileSource, KvCache, Mode, Precision, RmsNorm, Rope, WeightSource};
use candle_core::{Device, Tensor};
use std::sync::Arc;

/// A decoder-only language model.
#[derive(Debug, Clone)]
pub struct Llm {
    config: LlmConfig,
    table: TokenTable,
    blocks: Vec<Block>,
    norm: RmsNorm,
    output: Output,
    mode: Mode,
    device: Device,
}

/// Keys and values of what a model has read.
#[derive(Debug, Default)]
pub struct LlmState {
    caches: Vec<KvCache>,
}

impl LlmState {
    /// Positions read so far.
    pub fn len(&self) -> usize {
        self.caches.first().map_or(0, KvCache::len)
    }

    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all but the first `length` positions. Windows of sliding layers are masks over full
    /// caches, so any length can be gone back to.
    pub fn truncate(&mut self, length: usize) {
        self.caches.iter_mut().for_each(|cache| cache.truncate(length));
    }

    /// A state of its own at the same place.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn fork(&self) -> candle_core::Result<Self> {
        let caches = self.caches.iter().map(KvCache::fork).collect::<candle_core::Result<_>>()?;
        Ok(Self { caches })
    }

    /// Makes row `i` of the batch the former row `rows[i]`.
    ///
    /// # Errors
    /// When an index is not smaller than the batch.
    pub fn select(&mut self, rows: &[u32], device: &Device) -> candle_core::Result<()> {
        let rows = Tensor::new(rows, device)?;
        self.caches.iter_mut().try_for_each(|cache| cache.select(&rows))
    }
}

impl Llm {
    /// Takes blocks and norms from `source`, and the table from `file`.
    ///
    /// The logits are over all tokens, or over `shortlist` (ascending); `trained` rows replace
    /// those of the file.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape, or an id is beyond the table.
    pub fn load(
        source: &dyn WeightSource,
        file: Arc<WeightFile>,
        config: LlmConfig,
        (shortlist, trained): (Option<&[u32]>, Option<TrainedRows>),
        device: &Device,
    ) -> Result<Self, ModelError> {
        let table = TokenTable::new(file, &config, trained, device)?;
        let blocks = (0..config.layers).map(|i| Block::load(source, i, &config));
        Ok(Self {
            blocks: blocks.collect::<Result<_, _>>()?,
            norm: source.rms_norm("output_norm", config.width, config.epsilon as f32)?,
            output: Output::load(source, &table, &config, shortlist)?,
            table,
            config,
            mode: source.mode(),
            device: device.clone(),
        })
    }

    /// Opens a GGUF file for inference.
    ///
    /// # Errors
    /// When the file is no supported language model, or incomplete.
    pub fn open(
        file: Arc<WeightFile>,
        precision: Precision,
        shortlist: Option<&[u32]>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let config = LlmConfig::from_gguf(&file)?;
        let source = FileSource::new(&file, device, precision);
        Self::load(&source, file.clone(), config, (shortlist, None), device)
    }

    /// What it is made of.
    pub fn config(&self) -> &LlmConfig {
        &self.config
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Its token table.
    pub fn table(&self) -> &TokenTable {
        &self.table
    }

    /// Tokens that the logits are of, in order; `None` when they are all tokens.
    pub fn output_ids(&self) -> Option<&[u32]> {
        self.output.ids()
    }

    /// A state that has read nothing.
    pub fn start(&self) -> LlmState {
        LlmState { caches: self.blocks.iter().map(|_| KvCache::default()).collect() }
    }

    /// Vectors `[1, ids, width]` of tokens, as [`Llm::forward`] takes them.
    ///
    /// # Errors
    /// When an id is beyond the table.
    pub fn embed(&self, ids: &[u32]) -> Result<Tensor, ModelError> {
        Ok(self.table.embed(ids)?.unsqueeze(0)?)
    }

    /// Reads vectors `[batch, time, width]` after those in `state` (after nothing without one);
    /// returns normalised hidden states of the same shape.
    ///
    /// Rows of a batch that are shorter are padded behind: what comes behind is never looked at.
    ///
    /// # Errors
    /// When the shape does not fit, or the device has no room.
    pub fn forward(
        &self,
        x: &Tensor,
        mut state: Option<&mut LlmState>,
    ) -> candle_core::Result<Tensor> {
        let (_, time, _) = x.dims3()?;
        let past = state.as_ref().map_or(0, |state| state.len());
        let config = &self.config;
        let rope = |window| {
            let speeds = config.rope_speeds(window);
            Rope::new((past, time), &speeds, config.rope_pairs, self.mode, &self.device)
        };
        let everything = (rope(None)?, self.mask(time, past, usize::MAX)?);
        let nearby = match config.window {
            Some(window) => Some((rope(Some(window))?, self.mask(time, past, window.positions)?)),
            None => None,
        };
        let mut x = x.clone();
        for (index, block) in self.blocks.iter().enumerate() {
            let (rope, mask) = match (&nearby, config.window_of(index)) {
                (Some(nearby), Some(_)) => nearby,
                _ => &everything,
            };
            let cache = state.as_mut().and_then(|state| state.caches.get_mut(index));
            x = block.forward(&x, rope, mask.as_ref(), cache)?;
        }
        self.norm.forward(&x)
    }

    /// Logits `[…, outputs]` of hidden states `[…, width]`.
    ///
    /// # Errors
    /// When the width differs.
    pub fn logits(&self, hidden: &Tensor) -> candle_core::Result<Tensor> {
        self.output.forward(hidden)
    }

    /// `[time, past + time]`: 0 where a position may look, -inf where it lies ahead or further back
    /// than the window; `None` where all is seen.
    fn mask(&self, time: usize, past: usize, window: usize) -> candle_core::Result<Option<Tensor>> {
        if time <= 1 && past + time <= window {
            return Ok(None);
        }
        let row = |i: usize| {
            let at = past + i;
            let seen = move |j: usize| j <= at && at - j < window;
            (0..past + time).map(move |j| if seen(j) { 0.0 } else { f32::NEG_INFINITY })
        };
        let values: Vec<f32> = (0..time).flat_map(row).collect();
        Tensor::from_vec(values, (time, past + time), &self.device).map(Some)
    }
}
