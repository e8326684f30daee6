//! Scaled dot-product attention.

use super::{Mode, kernels};
use candle_core::{Result, Tensor};

/// Scores held at a time, in f32 elements: about 6 MB, so that a block of queries stays in cache
/// and memory does not grow with the square of the audio's length.
const SCORES: usize = 3 << 19;

/// `[batch, time, heads * width]` to `[batch, heads, time, width]`.
///
/// # Errors
/// When the last dimension is not a multiple of `heads`.
pub fn split_heads(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, time, width) = x.dims3()?;
    x.reshape((batch, time, heads, width / heads.max(1)))?.transpose(1, 2)?.contiguous()
}

/// `[batch, heads, time, width]` back to `[batch, time, heads * width]`.
///
/// # Errors
/// When `x` does not have four dimensions.
pub fn merge_heads(x: &Tensor) -> Result<Tensor> {
    x.transpose(1, 2)?.contiguous()?.flatten_from(2)
}

/// `softmax(q kᵀ / sqrt(width) + mask) v`.
///
/// `q` `[batch, heads, queries, width]`, `k` and `v` `[batch, heads, keys, width]`, `mask`
/// broadcastable to `[batch, heads, queries, keys]` with 0 where a query may look and -inf where
/// it may not; returns `[batch, heads, queries, width]`. In inference the queries are taken in
/// blocks.
///
/// # Errors
/// When the shapes do not fit each other.
pub fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    mask: Option<&Tensor>,
    mode: Mode,
) -> Result<Tensor> {
    let (batch, heads, queries, width) = q.dims4()?;
    let scale = (width as f64).powf(-0.5);
    let keys_transposed = k.transpose(2, 3)?;
    let block = |q: &Tensor, mask: Option<&Tensor>| -> Result<Tensor> {
        let mut scores = q.matmul(&keys_transposed)?;
        // Of 0 and -inf the scale makes the same again.
        if let Some(mask) = mask {
            scores = scores.broadcast_add(mask)?;
        }
        kernels::softmax(scores, scale, mode)?.matmul(v)
    };
    let size = (SCORES / (batch * heads * k.dim(2)?).max(1)).max(16);
    if mode == Mode::Training || queries <= size || mask.is_some() {
        return block(q, mask);
    }
    let blocks = (0..queries)
        .step_by(size)
        .map(|start| block(&q.narrow(2, start, size.min(queries - start))?, None))
        .collect::<Result<Vec<_>>>()?;
    Tensor::cat(&blocks, 2)
}
