//! The token table: ids to vectors, and hidden states to logits over the ids that are wanted.

use super::config::LlmConfig;
use crate::error::ModelError;
use crate::files::WeightFile;
use crate::nn::{Linear, WeightSource};
use candle_core::{D, Device, Tensor};
use std::collections::HashMap;
use std::sync::Arc;

/// Rows that replace the file's: those of marks, which are trained.
#[derive(Debug, Clone)]
pub struct TrainedRows {
    ids: HashMap<u32, u32>,
    order: Vec<u32>,
    /// `[rows, width]`
    rows: Tensor,
}

impl TrainedRows {
    /// `rows` `[ids, width]`: row `i` is the vector of token `ids[i]`.
    pub fn new(ids: &[u32], rows: Tensor) -> Self {
        let places = ids.iter().copied().zip(0..).collect();
        Self { ids: places, order: ids.to_vec(), rows }
    }
}

/// Vectors of tokens, read from the mapped file as they are asked for.
#[derive(Debug, Clone)]
pub struct TokenTable {
    file: Arc<WeightFile>,
    trained: Option<TrainedRows>,
    width: usize,
    scale: f64,
    device: Device,
}

const TABLE: &str = "token_embd.weight";

impl TokenTable {
    /// The table of a file with this configuration.
    ///
    /// # Errors
    /// When the file has no such table, or one of another width.
    pub fn new(
        file: Arc<WeightFile>,
        config: &LlmConfig,
        trained: Option<TrainedRows>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        file.rows(TABLE, &[0])?;
        let (width, scale) = (config.width, config.embedding_scale);
        Ok(Self { file, trained, width, scale, device: device.clone() })
    }

    /// Vectors `[ids, width]`, scaled as the first block wants them.
    ///
    /// # Errors
    /// When an id is beyond the table.
    pub fn embed(&self, ids: &[u32]) -> Result<Tensor, ModelError> {
        let place = |id: &u32| self.trained.as_ref().and_then(|trained| trained.ids.get(id));
        let stored: Vec<u32> = ids.iter().filter(|id| place(id).is_none()).copied().collect();
        let rows = self.file.rows(TABLE, &stored)?;
        let stored = Tensor::from_vec(rows, (stored.len(), self.width), &self.device)?;
        let all = match &self.trained {
            Some(trained) if stored.dim(0)? < ids.len() => {
                // One gather over both: the gradient of trained rows is theirs alone.
                let mut next = trained.order.len() as u32;
                let mut index = |id: &u32| match place(id) {
                    Some(&place) => place,
                    None => {
                        next += 1;
                        next - 1
                    }
                };
                let index: Vec<u32> = ids.iter().map(&mut index).collect();
                let both = Tensor::cat(&[&trained.rows.to_dtype(stored.dtype())?, &stored], 0)?;
                both.index_select(&Tensor::new(index, &self.device)?, 0)?
            }
            _ => stored,
        };
        Ok((all * self.scale)?)
    }

    /// Root mean square of the scaled vectors of these tokens: what the first block is used to.
    ///
    /// # Errors
    /// When an id is beyond the table.
    pub fn root_mean_square(&self, ids: &[u32]) -> Result<f64, ModelError> {
        let mean = self.embed(ids)?.sqr()?.mean_all()?.to_scalar::<f32>()?;
        Ok(f64::from(mean).sqrt())
    }
}

/// Hidden states to logits over some tokens.
#[derive(Debug, Clone)]
pub struct Output {
    linear: Linear,
    /// All trained rows, and which of them are among the outputs; those come last. They are picked
    /// at each pass, since training changes them.
    trained: Option<(Tensor, Tensor)>,
    ids: Option<Vec<u32>>,
}

impl Output {
    /// Over all tokens, or over `shortlist` (ascending, without repeats).
    ///
    /// # Errors
    /// When a tensor is missing or has another shape, or an id is beyond the table.
    pub fn load(
        source: &dyn WeightSource,
        table: &TokenTable,
        config: &LlmConfig,
        shortlist: Option<&[u32]>,
    ) -> Result<Self, ModelError> {
        let name = if config.tied { "token_embd" } else { "output" };
        let shape = (config.vocabulary, config.width);
        let trained = table.trained.as_ref().filter(|_| config.tied);
        if shortlist.is_none() && trained.is_none() {
            return Ok(Self {
                linear: source.linear(name, shape, false)?,
                trained: None,
                ids: None,
            });
        }
        let all: Vec<u32>;
        let wanted = match shortlist {
            Some(ids) => ids,
            None => {
                all = (0..config.vocabulary as u32).collect();
                &all
            }
        };
        let is_trained = |id: &&u32| trained.is_some_and(|rows| rows.ids.contains_key(id));
        let mut ids: Vec<u32> = wanted.iter().filter(|id| !is_trained(id)).copied().collect();
        let linear = source.linear_of_rows(&table.file, name, &ids, &table.device)?;
        let last: Vec<u32> = wanted.iter().filter(is_trained).copied().collect();
        let rows = match trained {
            Some(rows) if !last.is_empty() => {
                let places: Vec<u32> =
                    last.iter().filter_map(|id| rows.ids.get(id).copied()).collect();
                Some((rows.rows.clone(), Tensor::new(places, &table.device)?))
            }
            _ => None,
        };
        ids.extend(last);
        Ok(Self { linear, trained: rows, ids: Some(ids) })
    }

    /// Tokens that the logits are of, in order; `None` when they are all tokens.
    pub fn ids(&self) -> Option<&[u32]> {
        self.ids.as_deref()
    }

    /// `[…, width]` to `[…, outputs]`.
    ///
    /// # Errors
    /// When the width differs.
    pub fn forward(&self, hidden: &Tensor) -> candle_core::Result<Tensor> {
        let logits = self.linear.forward(hidden)?;
        match &self.trained {
            None => Ok(logits),
            Some((rows, places)) => {
                let rows = rows.index_select(places, 0)?.to_dtype(hidden.dtype())?;
                let more = hidden.broadcast_matmul(&rows.t()?)?;
                Tensor::cat(&[&logits, &more], D::Minus1)
            }
        }
    }
}
