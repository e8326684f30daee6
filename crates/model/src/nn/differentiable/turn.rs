//! Rotary positions.

use super::{elements, read, row_width};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// Turns element `i` and `i + width / 2` of heads `[…, time, width]` by the angles of their time.
pub(super) struct Turn {
    /// `[time, width / 2]`, as the sines.
    pub(super) cosines: Tensor,
    pub(super) sines: Tensor,
}

impl Turn {
    /// By the angles, or back by them (`back` is -1).
    fn apply(&self, x: &[f32], width: usize, back: f32) -> Result<Vec<f32>> {
        let (time, half) = self.cosines.dims2()?;
        if half == 0 || width != 2 * half || !x.len().is_multiple_of(time * width) {
            bail!("{time} angles for rows of {width}, {} elements", x.len());
        }
        read(&self.cosines, |cosines| {
            read(&self.sines, |sines| {
                let mut y = vec![0f32; x.len()];
                let heads = y.par_chunks_mut(time * width).zip(x.par_chunks(time * width));
                heads.for_each(|(y, x)| {
                    let rows = y.chunks_exact_mut(width).zip(x.chunks_exact(width));
                    let angles = cosines.chunks_exact(half).zip(sines.chunks_exact(half));
                    for ((y, x), (cosines, sines)) in rows.zip(angles) {
                        let (y_low, y_high) = y.split_at_mut(half);
                        let (x_low, x_high) = x.split_at(half);
                        let outputs = y_low.iter_mut().zip(y_high);
                        let inputs = x_low.iter().zip(x_high);
                        let angles = cosines.iter().zip(sines);
                        for (((y_low, y_high), (low, high)), (cosine, sine)) in
                            outputs.zip(inputs).zip(angles)
                        {
                            let sine = sine * back;
                            *y_low = low * cosine - high * sine;
                            *y_high = high * cosine + low * sine;
                        }
                    }
                });
                Ok(y)
            })
        })
    }
}

impl CustomOp1 for Turn {
    fn name(&self) -> &'static str {
        "turn"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = elements(storage, layout, self.name())?;
        let y = self.apply(x, row_width(layout, None)?, 1.0)?;
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let width = row_width(x.layout(), None)?;
        let gradient = read(upstream, |upstream| self.apply(upstream, width, -1.0))?;
        Ok(Some(Tensor::from_vec(gradient, x.shape(), x.device())?))
    }
}
