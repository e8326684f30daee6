//! The operations of [`kernels`](super::kernels) for training on the CPU: each with its own backward
//! pass, over all lanes and threads, where candle's are many passes of scalar code on one thread.
//!
//! Sums over rows are taken in pieces of fixed size, in a fixed order: results do not depend on the
//! number of threads.

use super::kernels::{for_rows, gelu_one, gelu_slope, softmax_row};
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, DType, Layout, Result, Shape, Storage, Tensor, WithDType,
    bail,
};
use rayon::prelude::*;

/// Elements that one thread takes at a time.
const PIECE: usize = 16 * 1024;

/// Whether the operations here apply to `x`.
pub(super) fn applies_to(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// `softmax(x * scale)` over the last dimension.
pub(super) fn softmax(x: &Tensor, scale: f32) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Softmax { scale })
}

/// GELU in its exact (erf) form.
pub(super) fn gelu(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Gelu)
}

/// `x + bias` over the last dimension, then GELU if asked for.
pub(super) fn add_bias(x: &Tensor, bias: &Tensor, gelu: bool) -> Result<Tensor> {
    x.contiguous()?.apply_op2(bias, AddBias { gelu })
}

/// `(x - m) / sqrt(mean((x - m)²) + epsilon) * gain` over the last dimension, where `m` is the
/// row's mean if `centred`, else 0.
pub(super) fn norm(x: &Tensor, gain: &Tensor, epsilon: f32, centred: bool) -> Result<Tensor> {
    x.contiguous()?.apply_op2(gain, Norm { epsilon, centred })
}

/// The elements of a contiguous f32 tensor.
fn elements<'a>(storage: &'a CpuStorage, layout: &Layout, name: &str) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&f32::cpu_storage_as_slice(storage)?[start..end]),
        None => bail!("{name} wants contiguous f32"),
    }
}

/// The same, of a tensor on the CPU.
fn read<R>(x: &Tensor, work: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => work(elements(storage, layout, "a backward pass")?),
        _ => bail!("a backward pass on the CPU got a tensor of another device"),
    }
}

/// The last dimension, and a check that a vector of parameters has as many elements.
fn row_width(layout: &Layout, parameters: Option<usize>) -> Result<usize> {
    let width = layout.dims().last().copied().unwrap_or(0);
    match parameters {
        Some(count) if count != width => bail!("rows of {width} and {count} parameters"),
        _ => Ok(width),
    }
}

/// Makes `work` of pieces of whole rows in place; each gives sums over its rows, which are added up.
fn with_sums(
    data: &mut [f32],
    width: usize,
    work: impl Fn(usize, &mut [f32], &mut [f32]) + Send + Sync,
) -> Vec<f32> {
    let mut total = vec![0f32; width];
    if width == 0 {
        return total;
    }
    let rows = (PIECE / width).max(1) * width;
    let arch = pulp::Arch::new();
    let pieces = data.par_chunks_mut(rows).enumerate().map(|(piece, data)| {
        let mut sums = vec![0f32; width];
        arch.dispatch(|| work(piece * rows, data, &mut sums));
        sums
    });
    for sums in pieces.collect::<Vec<_>>() {
        total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
    }
    total
}

struct Softmax {
    scale: f32,
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

/// The sum of `term(a, b)` over pairs of elements, in lanes side by side.
#[inline(always)]
fn sum_of(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    const LANES: usize = 16;
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += term(*a, *b);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| term(*a, *b)).sum();
    rest + sums.iter().sum::<f32>()
}

/// The mean of a row.
#[inline(always)]
fn mean(row: &[f32]) -> f32 {
    sum_of(row, row, |x, _| x) / row.len() as f32
}

struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut y = elements(storage, layout, self.name())?.to_vec();
        let arch = pulp::Arch::new();
        for_rows(&mut y, 1, |y| arch.dispatch(|| y.iter_mut().for_each(|y| *y = gelu_one(*y))));
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let gradient = read(x, |x| {
            read(upstream, |upstream| {
                let mut gradient = upstream.to_vec();
                with_sums(&mut gradient, 1, |start, gradient, _| {
                    let x = &x[start..start + gradient.len()];
                    gradient.iter_mut().zip(x).for_each(|(g, x)| *g *= gelu_slope(*x));
                });
                Ok(gradient)
            })
        })?;
        Ok(Some(Tensor::from_vec(gradient, x.shape(), x.device())?))
    }
}

struct AddBias {
    gelu: bool,
}

impl CustomOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let bias = elements(bias, bias_layout, self.name())?;
        let width = row_width(layout, Some(bias.len()))?;
        let mut y = elements(storage, layout, self.name())?.to_vec();
        let arch = pulp::Arch::new();
        for_rows(&mut y, width, |rows| {
            arch.dispatch(|| {
                for row in rows.chunks_exact_mut(width) {
                    if self.gelu {
                        row.iter_mut().zip(bias).for_each(|(y, b)| *y = gelu_one(*y + b));
                    } else {
                        row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
                    }
                }
            });
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        upstream: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let width = row_width(x.layout(), None)?;
        let (gradient, sums) = read(x, |x| {
            read(bias, |bias| {
                read(upstream, |upstream| {
                    let mut gradient = upstream.to_vec();
                    let sums = with_sums(&mut gradient, width, |start, rows, sums| {
                        let x = &x[start..start + rows.len()];
                        for (row, x) in rows.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                            if self.gelu {
                                let with_bias = x.iter().zip(bias).map(|(x, b)| x + b);
                                row.iter_mut()
                                    .zip(with_bias)
                                    .for_each(|(g, x)| *g *= gelu_slope(x));
                            }
                            sums.iter_mut().zip(row).for_each(|(sum, g)| *sum += *g);
                        }
                    });
                    Ok((gradient, sums))
                })
            })
        })?;
        let gradient = Tensor::from_vec(gradient, x.shape(), x.device())?;
        Ok((Some(gradient), Some(Tensor::from_vec(sums, bias.shape(), bias.device())?)))
    }
}

struct Norm {
    epsilon: f32,
    centred: bool,
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

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{D, Device, Var};

    fn difference(a: &Tensor, b: &Tensor) -> f32 {
        assert_eq!(a.dims(), b.dims());
        let off = (a - b).unwrap().abs().unwrap().flatten_all().unwrap();
        off.max(D::Minus1).unwrap().to_scalar().unwrap()
    }

    /// Values and gradients of both forms, by all inputs, under a pull in some direction.
    fn agree(
        name: &str,
        inputs: &[Var],
        ours: impl Fn() -> Result<Tensor>,
        theirs: impl Fn() -> Result<Tensor>,
    ) {
        let (ours, theirs) = (ours().unwrap(), theirs().unwrap());
        let largest = |x: &Tensor| {
            let all = x.abs().unwrap().flatten_all().unwrap();
            all.max(D::Minus1).unwrap().to_scalar::<f32>().unwrap()
        };
        let off = difference(&theirs, &ours) / largest(&theirs);
        assert!(off < 2e-6, "{name} is off by {off}");
        let pull = Tensor::randn(0f32, 1.0, ours.shape(), &Device::Cpu).unwrap();
        let gradients = |y: Tensor| (y * &pull).unwrap().sum_all().unwrap().backward().unwrap();
        let (ours, theirs) = (gradients(ours), gradients(theirs));
        for (i, input) in inputs.iter().enumerate() {
            let (ours, theirs) = (ours.get(input).unwrap(), theirs.get(input).unwrap());
            let off = difference(theirs, ours) / largest(theirs);
            assert!(off < 1e-5, "{name}: gradient {i} is off by {off}");
        }
    }

    #[test]
    fn values_and_gradients_are_candles() {
        let random = |shape: &[usize]| Var::randn(0f32, 2.0, shape, &Device::Cpu).unwrap();
        // Some rows in one piece, and more than a piece of them.
        for shape in [[2usize, 3, 7], [1, 1, 33], [5, 120, 96]] {
            let (x, width) = (random(&shape), shape[2]);
            let (gain, bias) = (random(&[width]), random(&[width]));
            let slow_softmax = || candle_nn::ops::softmax(&(x.as_tensor() * 0.3)?, D::Minus1);
            agree("softmax", std::slice::from_ref(&x), || softmax(&x, 0.3), slow_softmax);
            agree("gelu", std::slice::from_ref(&x), || gelu(&x), || x.gelu_erf());
            let both = [x.clone(), bias.clone()];
            agree("bias", &both, || add_bias(&x, &bias, false), || x.broadcast_add(&bias));
            let slow = || x.broadcast_add(&bias)?.gelu_erf();
            agree("bias and gelu", &both, || add_bias(&x, &bias, true), slow);
            let both = [x.clone(), gain.clone()];
            let slow = || candle_nn::ops::rms_norm_slow(&x, &gain, 1e-3);
            agree("RMS norm", &both, || norm(&x, &gain, 1e-3, false), slow);
            let zero = bias.zeros_like().unwrap();
            let slow = || candle_nn::ops::layer_norm_slow(&x, &gain, &zero, 1e-3);
            agree("layer norm", &both, || norm(&x, &gain, 1e-3, true), slow);
        }
    }

    #[test]
    fn scores_that_are_masked_get_no_weight_and_no_gradient() {
        let hidden = f32::NEG_INFINITY;
        let x = Var::new(&[[1f32, hidden, 2.0, hidden]], &Device::Cpu).unwrap();
        let y = softmax(&x, 0.5).unwrap();
        let squares = y.sqr().unwrap().sum_all().unwrap();
        let gradients = squares.backward().unwrap();
        let gradient = gradients.get(&x).unwrap().to_vec2::<f32>().unwrap();
        let y = y.to_vec2::<f32>().unwrap();
        assert_eq!([y[0][1], y[0][3], gradient[0][1], gradient[0][3]], [0.0; 4]);
        assert!((y[0][0] + y[0][2] - 1.0).abs() < 1e-6 && gradient[0][0] != 0.0);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let x = Tensor::ones((2, 3), DType::F32, &Device::Cpu).unwrap();
        let four = Tensor::ones(4, DType::F32, &Device::Cpu).unwrap();
        assert!(add_bias(&x, &four, false).is_err() && norm(&x, &four, 1e-5, true).is_err());
    }
}
