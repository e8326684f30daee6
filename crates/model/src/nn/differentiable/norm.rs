//! Norms.

use super::{elements, read, row_width, sum_of, with_sums};
use crate::nn::kernels::for_rows;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

/// The mean of a row.
#[inline(always)]
fn mean(row: &[f32]) -> f32 {
    sum_of(row, row, |x, _| x) / row.len() as f32
}

/// Layer norm without a bias, or root-mean-square norm.
pub(super) struct Norm {
    pub(super) epsilon: f32,
    pub(super) centred: bool,
}

impl Norm {
    /// What is subtracted from a row's elements, and what the differences are multiplied by.
    #[inline(always)]
    fn of(&self, row: &[f32]) -> (f32, f32) {
        let mean = if self.centred { mean(row) } else { 0.0 };
        let squares = sum_of(row, row, |x, _| (x - mean) * (x - mean));
        (mean, 1.0 / (squares / row.len() as f32 + self.epsilon).sqrt())
    }
}

impl CustomOp2 for Norm {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
        gain: &CpuStorage,
        gain_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let gain = elements(gain, gain_layout, self.name())?;
        let width = row_width(layout, Some(gain.len()))?;
        let mut y = elements(storage, layout, self.name())?.to_vec();
        let arch = pulp::Arch::new();
        for_rows(&mut y, width, |rows| {
            arch.dispatch(|| {
                for row in rows.chunks_exact_mut(width) {
                    let (mean, inverse) = self.of(row);
                    row.iter_mut()
                        .zip(gain)
                        .for_each(|(x, gain)| *x = (*x - mean) * inverse * gain);
                }
            });
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gain: &Tensor,
        _: &Tensor,
        upstream: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let width = row_width(x.layout(), None)?;
        let (gradient, sums) = read(x, |x| {
            read(gain, |gain| {
                read(upstream, |upstream| {
                    let mut gradient = upstream.to_vec();
                    let sums = with_sums(&mut gradient, width, |start, rows, sums| {
                        let x = &x[start..start + rows.len()];
                        let mut normed = vec![0f32; width];
                        for (row, x) in rows.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                            let (middle, inverse) = self.of(x);
                            for ((n, x), (sum, g)) in
                                normed.iter_mut().zip(x).zip(sums.iter_mut().zip(row.iter()))
                            {
                                *n = (x - middle) * inverse;
                                *sum += g * *n;
                            }
                            row.iter_mut().zip(gain).for_each(|(g, gain)| *g *= gain);
                            let along = sum_of(row, &normed, |g, n| g * n) / width as f32;
                            let shift = if self.centred { mean(row) } else { 0.0 };
                            row.iter_mut()
                                .zip(&normed)
                                .for_each(|(g, n)| *g = inverse * (*g - shift - n * along));
                        }
                    });
                    Ok((gradient, sums))
                })
            })
        })?;
        let gradient = Tensor::from_vec(gradient, x.shape(), x.device())?;
        Ok((Some(gradient), Some(Tensor::from_vec(sums, gain.shape(), gain.device())?)))
    }
}
