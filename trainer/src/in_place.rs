//! A step of AdamW on the processor: in place, a pass over memory for each of the three tensors.

use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result as TensorResult};
use rayon::prelude::*;

/// Elements that one thread works on at a time.
pub(crate) const CHUNK: usize = 1 << 14;

/// `m ← keep·m + add·g`.
pub(crate) struct FirstMoment {
    pub(crate) keep: f32,
    pub(crate) add: f32,
}

/// `v ← keep·v + add·(scale·g)²`.
pub(crate) struct SecondMoment {
    pub(crate) keep: f32,
    pub(crate) add: f32,
    pub(crate) scale: f32,
}

/// `w ← keep·w − first·m / (√(second·v) + ε)`.
pub(crate) struct Weights {
    pub(crate) first: f32,
    pub(crate) second: f32,
    pub(crate) epsilon: f32,
    pub(crate) keep: f32,
}

/// The elements of a contiguous f32 tensor.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> TensorResult<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => {
            Ok(values.get(start..end).unwrap_or_default())
        }
        _ => candle_core::bail!("not a contiguous f32 tensor"),
    }
}

fn values_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> TensorResult<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => {
            Ok(values.get_mut(start..end).unwrap_or_default())
        }
        _ => candle_core::bail!("not a contiguous f32 tensor"),
    }
}

/// Changes each element of the first tensor given the second's.
pub(crate) struct Pairwise<F>(pub(crate) F);

impl<F: Fn(&mut f32, f32) + Sync> InplaceOp2 for Pairwise<F> {
    fn name(&self) -> &'static str {
        "moment"
    }

    fn cpu_fwd(
        &self,
        moment: &mut CpuStorage,
        l1: &Layout,
        gradient: &CpuStorage,
        l2: &Layout,
    ) -> TensorResult<()> {
        let (moment, gradient) = (values_mut(moment, l1)?, values(gradient, l2)?);
        let chunks = moment.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
        chunks.for_each(|(moment, gradient)| {
            moment.iter_mut().zip(gradient).for_each(|(m, g)| (self.0)(m, *g));
        });
        Ok(())
    }
}

impl InplaceOp3 for Weights {
    fn name(&self) -> &'static str {
        "weights"
    }

    fn cpu_fwd(
        &self,
        weights: &mut CpuStorage,
        l1: &Layout,
        first: &CpuStorage,
        l2: &Layout,
        second: &CpuStorage,
        l3: &Layout,
    ) -> TensorResult<()> {
        let (weights, first, second) =
            (values_mut(weights, l1)?, values(first, l2)?, values(second, l3)?);
        let moments = first.par_chunks(CHUNK).zip(second.par_chunks(CHUNK));
        weights.par_chunks_mut(CHUNK).zip(moments).for_each(|(weights, (first, second))| {
            for ((w, m), v) in weights.iter_mut().zip(first).zip(second) {
                *w = self.keep * *w - self.first * m / ((self.second * v).sqrt() + self.epsilon);
            }
        });
        Ok(())
    }
}
