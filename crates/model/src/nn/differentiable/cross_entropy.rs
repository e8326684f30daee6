//! Cross-entropy.

use super::{PIECE, applies_to, elements, read, row_width};
use crate::nn::functions::{log_sum_exp, softmax_rows};
use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// `-Σ ln softmax(logits)[row, targets[row]]` over the rows of `logits` `[rows, classes]`: a scalar.
///
/// # Errors
/// When a target is no class, or there are not as many targets as rows.
pub(crate) fn cross_entropy(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    let (rows, classes) = logits.dims2()?;
    if rows != targets.len() || targets.iter().any(|&target| target as usize >= classes) {
        bail!("{} targets do not fit scores {:?}", targets.len(), logits.shape());
    }
    if applies_to(logits) {
        let targets = targets.to_vec();
        return logits.contiguous()?.apply_op1(CrossEntropy { targets })?.sum_all();
    }
    let targets = Tensor::from_slice(targets, (rows, 1), logits.device())?;
    candle_nn::ops::log_softmax(logits, D::Minus1)?.gather(&targets, 1)?.sum_all()?.neg()
}

/// `[rows, classes]` to `[rows]`.
struct CrossEntropy {
    targets: Vec<u32>,
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = row_width(layout, None)?;
        let logits = elements(storage, layout, self.name())?;
        let rows = logits.par_chunks_exact(width).zip(&self.targets);
        let losses: Vec<f32> =
            rows.map(|(row, &target)| log_sum_exp(row) - row[target as usize]).collect();
        let shape = Shape::from(losses.len());
        Ok((CpuStorage::F32(losses), shape))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let width = row_width(logits.layout(), None)?;
        let gradient = read(logits, |logits| {
            read(upstream, |upstream| {
                let mut gradient = logits.to_vec();
                let many = (PIECE / width).max(1);
                let pieces = gradient.par_chunks_mut(many * width);
                let pieces =
                    pieces.zip(self.targets.par_chunks(many)).zip(upstream.par_chunks(many));
                pieces.for_each(|((rows, targets), pulls)| {
                    softmax_rows(rows, width);
                    for ((row, &target), pull) in
                        rows.chunks_exact_mut(width).zip(targets).zip(pulls)
                    {
                        row[target as usize] -= 1.0;
                        row.iter_mut().for_each(|g| *g *= pull);
                    }
                });
                Ok(gradient)
            })
        })?;
        Ok(Some(Tensor::from_vec(gradient, logits.shape(), logits.device())?))
    }
}
