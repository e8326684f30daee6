//! A CTC head whose classes are the language model's own words.

use super::SpeechConfig;
use crate::error::ModelError;
use crate::files::{FileError, WeightFile};
use crate::nn::{FrameMask, Init, Linear, Mode, WeightSource, add_bias, softmax};
use candle_core::{D, Device, Result, Tensor};

/// Scores of a shortlist's tokens and of blank for each of an adapter's vectors:
/// `scale * h [E; blank]ᵀ + bias`, where `E` are the tokens' rows of the model's own table. So an
/// adapter that is trained by it learns to write vectors that look like the words they stand for.
///
/// Classes `0 .. tokens` are the rows' tokens in their order, the last one is blank.
#[derive(Debug, Clone)]
pub struct CtcHead {
    /// `[tokens, width]`
    rows: Linear,
    tokens: usize,
    /// `[width]`
    blank: Tensor,
    /// `[1]`
    scale: Tensor,
    /// `[tokens + 1]`
    bias: Tensor,
    mode: Mode,
}

impl CtcHead {
    /// Name of the blank's vector: a file that has it holds a head.
    pub const BLANK: &'static str = "ctc.blank";
    const BIAS: &'static str = "ctc.bias";

    /// Number of words of the head in a file; `None` when there is none.
    ///
    /// # Errors
    /// When a tensor of the head is missing or has another shape.
    pub fn words(file: &WeightFile) -> std::result::Result<Option<usize>, ModelError> {
        if !file.contains(Self::BLANK) {
            return Ok(None);
        }
        match file.tensor(Self::BIAS)?.shape[..] {
            [classes] if classes > 0 => Ok(Some(classes - 1)),
            _ => Err(FileError::tensor(file.path(), Self::BIAS, "is no list of classes").into()),
        }
    }

    /// The head over the `words` that its file has ([`CtcHead::words`]), the first of a model's
    /// shortlist; a new one is over all that have rows in the language model's file. Marks that
    /// training appended have none; they are the last of the shortlist. `text` is that file and
    /// what takes rows from it.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape, or the shortlist holds fewer words.
    pub fn over_shortlist(
        source: &impl WeightSource,
        (rows, text): (&impl WeightSource, &WeightFile),
        config: &SpeechConfig,
        words: Option<usize>,
        device: &Device,
    ) -> std::result::Result<Self, ModelError> {
        const TABLE: &str = "token_embd";
        let ids = config.shortlist.ids();
        let words = match words {
            Some(words) => words,
            None => {
                let stored = text.tensor(&format!("{TABLE}.weight"))?.shape.first().copied();
                ids.partition_point(|&id| (id as usize) < stored.unwrap_or(0))
            }
        };
        let ids = ids.get(..words).ok_or_else(|| {
            let (name, all) = (Self::BIAS.to_owned(), ids.len());
            let reason = format!("is over {words} words, and {all} are known");
            ModelError::Parameter { name, reason }
        })?;
        let rows = rows.linear_of_rows(text, TABLE, ids, device)?;
        let (width, size) = (config.adapter.llm_width, config.adapter.output_rms);
        Self::load(source, rows, (words, width), size, device)
    }

    /// Over rows of the table, `[tokens, width]` and no bias, which are not changed by it
    /// ([`WeightSource::linear_of_rows`]); takes `ctc.blank` `[width]`, `ctc.scale` `[1]` and
    /// `ctc.bias` `[tokens + 1]` from `source`.
    ///
    /// In training they may begin so that the scores of vectors of size `input_rms` (root mean
    /// square) have a deviation of about 1.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(
        source: &impl WeightSource,
        rows: Linear,
        (tokens, width): (usize, usize),
        input_rms: f64,
        device: &Device,
    ) -> std::result::Result<Self, ModelError> {
        let rows_rms = match source.mode() {
            Mode::Inference => 1.0,
            Mode::Training => {
                let mean = rows.weight(device)?.detach().sqr()?.mean_all()?;
                f64::from(mean.to_scalar::<f32>()?).sqrt()
            }
        };
        let deviation = rows_rms * input_rms * (width as f64).sqrt();
        let scale = if deviation > 0.0 { (1.0 / deviation) as f32 } else { 1.0 };
        Ok(Self {
            blank: source.tensor_or(Self::BLANK, &[width], Init::Normal(rows_rms))?,
            scale: source.tensor_or("ctc.scale", &[1], Init::Constant(scale))?,
            bias: source.tensor_or(Self::BIAS, &[tokens + 1], Init::Constant(0.0))?,
            rows,
            tokens,
            mode: source.mode(),
        })
    }

    /// The class that stands for no token.
    pub fn blank(&self) -> u32 {
        self.tokens as u32
    }

    /// `[batch, time, width]` to scores `[batch, time, tokens + 1]` (logits, not normalised).
    ///
    /// # Errors
    /// When the width differs from the rows'.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, time, width) = x.dims3()?;
        let x = x.broadcast_mul(&self.scale.to_dtype(x.dtype())?)?;
        let x = x.reshape((batch * time, width))?;
        let tokens = self.rows.forward(&x)?;
        let blank = x.matmul(&self.blank.to_dtype(x.dtype())?.reshape((width, 1))?)?;
        let scores = Tensor::cat(&[tokens, blank], D::Minus1)?;
        add_bias(scores, &self.bias, false, self.mode)?.reshape((batch, time, ()))
    }

    /// How far vectors are from the words that they stand for: the squared distance of `x`
    /// `[batch, time, width]` from the mean of the words' vectors (and blank's) that `scores`
    /// ([`CtcHead::forward`] of it) make likely, summed over the clips' `frames`, as a share of
    /// `size²`. `scale` is what the language model multiplies rows of its table by, and `size` the
    /// root mean square of what comes out. The gradient is `x`'s alone.
    ///
    /// CTC alone asks for directions: a vector may be far from any word of the language model's and
    /// still score well. One that is near is read at once (LegoSLM, arXiv 2505.11352, gives the
    /// language model the means themselves).
    ///
    /// # Errors
    /// When the shapes do not fit each other.
    pub fn distance(
        &self,
        x: &Tensor,
        scores: &Tensor,
        frames: &[usize],
        (scale, size): (f64, f64),
    ) -> Result<Tensor> {
        let (batch, time, width) = x.dims3()?;
        let blank = self.blank.detach().to_dtype(x.dtype())?.reshape((1, width))?;
        let rows = self.rows.weight(x.device())?.detach().to_dtype(x.dtype())?;
        let likely = softmax(scores.detach(), 1.0, Mode::Inference)?;
        let likely = likely.reshape((batch * time, ()))?.to_dtype(x.dtype())?;
        let meant = (likely.matmul(&Tensor::cat(&[&rows, &blank], 0)?)? * scale)?;
        let off = (x - meant.reshape((batch, time, width))?)?.sqr()?.mean_keepdim(D::Minus1)?;
        let off = match FrameMask::new(frames, time, x.device())? {
            Some(mask) => mask.clear(&off, 1)?,
            None => off,
        };
        off.sum_all()? / (size * size)
    }
}
