//! Softmax.

use super::{elements, read, row_width, sum_of, with_sums};
use crate::nn::functions::softmax_row;
use crate::nn::kernels::for_rows;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

/// `softmax(x * scale)` over the last dimension.
pub(super) struct Softmax {
    pub(super) scale: f32,
}

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = row_width(layout, None)?;
        let mut y = elements(storage, layout, self.name())?.to_vec();
        let arch = pulp::Arch::new();
        for_rows(&mut y, width, |rows| {
            arch.dispatch(|| {
                rows.chunks_exact_mut(width).for_each(|row| softmax_row(row, self.scale));
            });
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, y: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let width = row_width(y.layout(), None)?;
        let gradient = read(y, |y| {
            read(upstream, |upstream| {
                let mut gradient = upstream.to_vec();
                with_sums(&mut gradient, width, |start, rows, _| {
                    let y = &y[start..start + rows.len()];
                    for (row, y) in rows.chunks_exact_mut(width).zip(y.chunks_exact(width)) {
                        let dot = sum_of(row, y, |g, y| g * y);
                        row.iter_mut().zip(y).for_each(|(g, y)| *g = self.scale * y * (*g - dot));
                    }
                });
                Ok(gradient)
            })
        })?;
        Ok(Some(Tensor::from_vec(gradient, y.shape(), y.device())?))
    }
}
