//! The operations of [`kernels`](super::kernels) for training on the CPU: each with its own backward
//! pass, over all lanes and threads, where candle's are many passes of scalar code on one thread.
//!
//! Sums over rows are taken in pieces of fixed size, in a fixed order: results do not depend on the
//! number of threads.

mod activation;
mod cross_entropy;
mod norm;
mod softmax;
mod turn;

pub(crate) use cross_entropy::cross_entropy;

use super::functions::Gate;
use activation::{AddBias, Gated, Gelu};
use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor, WithDType, bail};
use norm::Norm;
use rayon::prelude::*;
use softmax::Softmax;
use turn::Turn;

/// Elements that one thread takes at a time.
const PIECE: usize = 16 * 1024;

/// Whether the operations here apply to `x`.
pub(in crate::nn) fn applies_to(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// `softmax(x * scale)` over the last dimension.
pub(in crate::nn) fn softmax(x: &Tensor, scale: f32) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Softmax { scale })
}

/// GELU in its exact (erf) form.
pub(in crate::nn) fn gelu(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Gelu)
}

/// `x + bias` over the last dimension, then GELU if asked for.
pub(in crate::nn) fn add_bias(x: &Tensor, bias: &Tensor, gelu: bool) -> Result<Tensor> {
    x.contiguous()?.apply_op2(bias, AddBias { gelu })
}

/// `(x - m) / sqrt(mean((x - m)²) + epsilon) * gain` over the last dimension, where `m` is the
/// row's mean if `centred`, else 0.
pub(in crate::nn) fn norm(
    x: &Tensor,
    gain: &Tensor,
    epsilon: f32,
    centred: bool,
) -> Result<Tensor> {
    x.contiguous()?.apply_op2(gain, Norm { epsilon, centred })
}

/// `activation(gate) * up`, element by element.
pub(in crate::nn) fn gated(gate: &Tensor, up: &Tensor, kind: Gate) -> Result<Tensor> {
    gate.contiguous()?.apply_op2(&up.contiguous()?, Gated { kind })
}

/// Rotary positions: halves of heads `[…, time, width]` turned by `[time, width / 2]` angles.
pub(in crate::nn) fn turn(x: &Tensor, cosines: &Tensor, sines: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Turn { cosines: cosines.clone(), sines: sines.clone() })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::drawn::drawn;
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
            // Of nothing but zeros, zeros are wanted.
            all.max(D::Minus1).unwrap().to_scalar::<f32>().unwrap().max(f32::MIN_POSITIVE)
        };
        let off = difference(&theirs, &ours) / largest(&theirs);
        assert!(off < 2e-6, "{name} is off by {off}");
        let pull = drawn(1, 1.0, ours.shape());
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
        let random = |seed, shape: &[usize]| Var::from_tensor(&drawn(seed, 2.0, shape)).unwrap();
        // Some rows in one piece, and more than a piece of them.
        for shape in [[2usize, 3, 7], [1, 1, 33], [5, 120, 96]] {
            let (x, width) = (random(2, &shape), shape[2]);
            let (gain, bias) = (random(3, &[width]), random(4, &[width]));
            let slow_softmax = || candle_nn::ops::softmax(&(x.as_tensor() * 0.3)?, D::Minus1);
            agree("softmax", std::slice::from_ref(&x), || softmax(&x, 0.3), slow_softmax);
            agree("gelu", std::slice::from_ref(&x), || gelu(&x), || x.gelu_erf());
            let both = [x.clone(), bias.clone()];
            agree("bias", &both, || add_bias(&x, &bias, false), || x.broadcast_add(&bias));
            let slow = || x.broadcast_add(&bias)?.gelu_erf();
            agree("bias and gelu", &both, || add_bias(&x, &bias, true), slow);
            let up = random(5, &shape);
            let both = [x.clone(), up.clone()];
            let slow = || x.silu()? * up.as_tensor();
            agree("silu gate", &both, || gated(&x, &up, Gate::Silu), slow);
            let slow = || x.gelu()? * up.as_tensor();
            agree("gelu gate", &both, || gated(&x, &up, Gate::Gelu), slow);
            let both = [x.clone(), gain.clone()];
            let slow = || candle_nn::ops::rms_norm_slow(&x, &gain, 1e-3);
            agree("RMS norm", &both, || norm(&x, &gain, 1e-3, false), slow);
            let zero = bias.zeros_like().unwrap();
            let slow = || candle_nn::ops::layer_norm_slow(&x, &gain, &zero, 1e-3);
            agree("layer norm", &both, || norm(&x, &gain, 1e-3, true), slow);
        }
    }

    #[test]
    fn positions_and_losses_are_candles() {
        for (heads, time, width) in [(1, 1, 2), (3, 5, 8), (2, 40, 64)] {
            let x = Var::from_tensor(&drawn(6, 2.0, (2, heads, time, width))).unwrap();
            let angle = |step: f64| {
                let all = Tensor::arange(0f32, (time * width / 2) as f32, &Device::Cpu).unwrap();
                all.affine(step, 0.3).unwrap().reshape((time, width / 2)).unwrap()
            };
            let (cosines, sines) = (angle(0.1).cos().unwrap(), angle(0.1).sin().unwrap());
            let slow = || candle_nn::rotary_emb::rope_slow(&x, &cosines, &sines);
            agree("turn", std::slice::from_ref(&x), || turn(&x, &cosines, &sines), slow);
        }
        for (rows, classes) in [(1, 1), (1, 3), (4, 9), (70, 300)] {
            let x = Var::from_tensor(&drawn(7, 3.0, (rows, classes))).unwrap();
            let targets: Vec<u32> = (0..rows).map(|row| (row * 7 % classes) as u32).collect();
            let all = Tensor::new(targets.as_slice(), &Device::Cpu).unwrap();
            let slow = || candle_nn::loss::cross_entropy(&x, &all)? * rows as f64;
            let ours = || cross_entropy(&x, &targets);
            agree("cross-entropy", std::slice::from_ref(&x), ours, slow);
        }
        let x = Tensor::ones((2, 3), DType::F32, &Device::Cpu).unwrap();
        assert!(cross_entropy(&x, &[0, 3]).is_err() && cross_entropy(&x, &[0]).is_err());
        assert!(turn(&x, &x, &x).is_err());
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
