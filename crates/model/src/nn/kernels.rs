//! Element-wise operations of the CPU that candle leaves to scalar code: `exp`, `erf`, and with
//! them softmax and GELU, in place and over all lanes that the processor has.
//!
//! Training has its own forms of them (`differentiable`), and other devices use candle's; the
//! results agree to about 1e-6.

use super::{Mode, differentiable};
use candle_core::{CpuStorage, DType, InplaceOp1, InplaceOp2, Layout, Result, Tensor, bail};
use rayon::prelude::*;

/// Rows or chunks smaller than this are not worth a thread of their own.
const PARALLEL_GRAIN: usize = 16 * 1024;

/// Lanes summed side by side; two AVX-512 registers, four of AVX2.
const LANES: usize = 32;

/// `e^x` for `x <= 88`, relative error below 2e-7 (Cephes' polynomial, range reduced by ln 2).
#[inline(always)]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it leaves the nearest integer
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 0.166_666_66;
    p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    let scale = f32::from_bits(((n as i32 + 127) as u32) << 23);
    y * scale
}

/// `e^x`, and 0 where that is below 2e-35.
#[inline(always)]
fn exp_or_zero(x: f32) -> f32 {
    let y = exp(x);
    if x < -80.0 { 0.0 } else { y }
}

/// `erf(x / sqrt 2)` by Abramowitz and Stegun 7.1.26 (|error| < 2e-7), and `e^(-x²/2)`.
#[inline(always)]
fn erf_and_bell(x: f32) -> (f32, f32) {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let mut p = 1.061_405_4;
    p = p * t - 1.453_152_1;
    p = p * t + 1.421_413_8;
    p = p * t - 0.284_496_72;
    p = p * t + 0.254_829_6;
    let bell = exp(-z * z);
    ((1.0 - p * t * bell).copysign(x), bell)
}

/// `x * sigmoid(x)` or, by the same door, the tanh form of GELU:
/// `x/2 (1 + tanh(z)) = x * sigmoid(2z)` with `z = sqrt(2/pi) (x + 0.044715 x^3)`.
#[inline(always)]
pub(super) fn gate_one(x: f32, gate: Gate) -> f32 {
    let z = match gate {
        Gate::Silu => x,
        Gate::Gelu => 1.595_769 * (x + 0.044_715 * x * x * x),
    };
    x / (1.0 + exp(-z))
}

/// The value of [`gate_one`] and its derivative.
#[inline(always)]
pub(super) fn gate_slope(x: f32, gate: Gate) -> (f32, f32) {
    let (z, slope) = match gate {
        Gate::Silu => (x, 1.0),
        Gate::Gelu => {
            let square = 0.044_715 * x * x;
            (1.595_769 * x * (1.0 + square), 1.595_769 * (1.0 + 3.0 * square))
        }
    };
    let open = 1.0 / (1.0 + exp(-z));
    (x * open, open + x * open * (1.0 - open) * slope)
}

/// Exact-form GELU, `x/2 (1 + erf(x/sqrt 2))`.
#[inline(always)]
pub(super) fn gelu_one(x: f32) -> f32 {
    0.5 * x * (1.0 + erf_and_bell(x).0)
}

/// The derivative of [`gelu_one`].
#[inline(always)]
pub(super) fn gelu_slope(x: f32) -> f32 {
    const BELL: f32 = 0.398_942_3; // 1 / sqrt(2 pi)
    let (erf, bell) = erf_and_bell(x);
    0.5 * (1.0 + erf) + x * bell * BELL
}

/// Softmax of one row, in place. What is far below the largest gets exactly 0, not a denormal number
/// that slows down every product after it.
#[inline(always)]
pub(super) fn softmax_row(row: &mut [f32], scale: f32) {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let mut chunks = row.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    let rest = chunks.remainder().iter();
    let max = lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max) * scale;
    let mut sums = [0f32; LANES];
    let mut chunks = row.chunks_exact_mut(LANES);
    for chunk in &mut chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *x = exp_or_zero(*x * scale - max);
            *sum += *x;
        }
    }
    let mut sum: f32 = sums.iter().sum();
    for x in chunks.into_remainder() {
        *x = exp_or_zero(*x * scale - max);
        sum += *x;
    }
    let inverse = 1.0 / sum;
    for x in row {
        *x *= inverse;
    }
}

/// `ln(sum(e^x))` of all values; -inf for none.
pub fn log_sum_exp(values: &[f32]) -> f32 {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let max = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            if max == f32::NEG_INFINITY {
                return max;
            }
            let mut sums = [0f32; LANES];
            let chunks = values.chunks_exact(LANES);
            let rest: f32 = chunks.remainder().iter().map(|x| exp(x - max)).sum();
            for chunk in chunks {
                for (sum, x) in sums.iter_mut().zip(chunk) {
                    *sum += exp(x - max);
                }
            }
            max + (rest + sums.iter().sum::<f32>()).ln()
        },
    )
}

/// Softmax of each row of `width` elements, in place, on this thread.
pub(crate) fn softmax_rows(data: &mut [f32], width: usize) {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || data.chunks_exact_mut(width.max(1)).for_each(|row| softmax_row(row, 1.0)),
    )
}

/// The contiguous `f32` elements of a tensor's storage.
fn contiguous<'a>(
    storage: &'a mut CpuStorage,
    layout: &Layout,
    name: &str,
) -> Result<&'a mut [f32]> {
    let (CpuStorage::F32(data), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
        bail!("{name} wants contiguous f32");
    };
    Ok(&mut data[start..end])
}

/// Runs `work` on chunks of whole rows, on several threads where there is enough to do.
pub(super) fn for_rows(data: &mut [f32], width: usize, work: impl Fn(&mut [f32]) + Send + Sync) {
    if width == 0 {
        return;
    }
    let rows = (PARALLEL_GRAIN / width).max(1) * width;
    if data.len() <= rows {
        work(data);
    } else {
        data.par_chunks_mut(rows).for_each(work);
    }
}

struct Softmax {
    scale: f32,
}

impl InplaceOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let width = layout.dims().last().copied().unwrap_or(0);
        let data = contiguous(storage, layout, self.name())?;
        let arch = pulp::Arch::new();
        for_rows(data, width, |rows| {
            arch.dispatch(|| {
                rows.chunks_exact_mut(width).for_each(|row| softmax_row(row, self.scale))
            })
        });
        Ok(())
    }
}

struct Gelu;

impl InplaceOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let data = contiguous(storage, layout, self.name())?;
        let arch = pulp::Arch::new();
        for_rows(data, 1, |part| arch.dispatch(|| part.iter_mut().for_each(|x| *x = gelu_one(*x))));
        Ok(())
    }
}

struct AddBias {
    gelu: bool,
}

impl InplaceOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(
        &self,
        storage: &mut CpuStorage,
        layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<()> {
        let (CpuStorage::F32(bias), Some((start, end))) = (bias, bias_layout.contiguous_offsets())
        else {
            bail!("add-bias wants a contiguous f32 bias");
        };
        let bias = &bias[start..end];
        if layout.dims().last() != Some(&bias.len()) {
            bail!("a bias of {} does not fit {:?}", bias.len(), layout.shape());
        }
        let data = contiguous(storage, layout, self.name())?;
        let arch = pulp::Arch::new();
        for_rows(data, bias.len(), |rows| {
            arch.dispatch(|| {
                for row in rows.chunks_exact_mut(bias.len()) {
                    if self.gelu {
                        row.iter_mut().zip(bias).for_each(|(x, b)| *x = gelu_one(*x + b));
                    } else {
                        row.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
                    }
                }
            })
        });
        Ok(())
    }
}

struct Gated {
    gate: Gate,
}

impl InplaceOp2 for Gated {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn cpu_fwd(
        &self,
        storage: &mut CpuStorage,
        layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> Result<()> {
        let (CpuStorage::F32(up), Some((start, end))) = (up, up_layout.contiguous_offsets()) else {
            bail!("gated wants contiguous f32");
        };
        let data = contiguous(storage, layout, self.name())?;
        if data.len() != end - start {
            bail!("gated wants {:?} twice, not {:?}", layout.shape(), up_layout.shape());
        }
        let arch = pulp::Arch::new();
        let work = |(data, up): (&mut [f32], &[f32])| {
            arch.dispatch(|| {
                data.iter_mut().zip(up).for_each(|(x, up)| *x = gate_one(*x, self.gate) * up);
            });
        };
        let up = &up[start..end];
        if data.len() <= PARALLEL_GRAIN {
            work((data, up));
        } else {
            data.par_chunks_mut(PARALLEL_GRAIN).zip(up.par_chunks(PARALLEL_GRAIN)).for_each(work);
        }
        Ok(())
    }
}

/// Whether our own kernels apply to `x`.
fn on_cpu(x: &Tensor, mode: Mode) -> bool {
    mode == Mode::Inference && x.device().is_cpu() && x.dtype() == DType::F32 && x.is_contiguous()
}

/// `softmax(x * scale)` over the last dimension; any shape, same shape out.
///
/// In inference on the CPU `x` itself is overwritten: pass a tensor that nobody else holds.
pub fn softmax(x: Tensor, scale: f64, mode: Mode) -> Result<Tensor> {
    if on_cpu(&x, mode) {
        x.inplace_op1(&Softmax { scale: scale as f32 })?;
        return Ok(x);
    }
    if mode == Mode::Training && differentiable::applies_to(&x) {
        return differentiable::softmax(&x, scale as f32);
    }
    let x = (x * scale)?;
    match mode {
        Mode::Inference => candle_nn::ops::softmax_last_dim(&x),
        Mode::Training => candle_nn::ops::softmax(&x, candle_core::D::Minus1),
    }
}

/// GELU in its exact (erf) form; any shape.
///
/// In inference on the CPU `x` itself is overwritten: pass a tensor that nobody else holds.
pub fn gelu(x: Tensor, mode: Mode) -> Result<Tensor> {
    if on_cpu(&x, mode) {
        x.inplace_op1(&Gelu)?;
        return Ok(x);
    }
    if mode == Mode::Training && differentiable::applies_to(&x) {
        return differentiable::gelu(&x);
    }
    x.gelu_erf()
}

/// The activation of a feed-forward gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// GELU in its tanh form (Gemma).
    Gelu,
    /// `x * sigmoid(x)` (Llama, Qwen).
    Silu,
}

/// `activation(gate) * up`, element by element (Shazeer 2020); `gate` and `up` of one shape.
///
/// In inference on the CPU `gate` itself is overwritten: pass a tensor that nobody else holds.
///
/// # Errors
/// When the shapes differ.
pub fn gated(gate: Tensor, up: &Tensor, kind: Gate, mode: Mode) -> Result<Tensor> {
    if on_cpu(&gate, mode) && up.is_contiguous() {
        gate.inplace_op2(up, &Gated { gate: kind })?;
        return Ok(gate);
    }
    if mode == Mode::Training && differentiable::applies_to(&gate) {
        return differentiable::gated(&gate, up, kind);
    }
    match kind {
        Gate::Gelu => gate.gelu()? * up,
        Gate::Silu => gate.silu()? * up,
    }
}

/// `x + bias` over the last dimension, then GELU if asked for; `x` may be overwritten.
pub(crate) fn add_bias(x: Tensor, bias: &Tensor, with_gelu: bool, mode: Mode) -> Result<Tensor> {
    if on_cpu(&x, mode) {
        x.inplace_op2(bias, &AddBias { gelu: with_gelu })?;
        return Ok(x);
    }
    let bias = bias.to_dtype(x.dtype())?;
    if mode == Mode::Training && differentiable::applies_to(&x) {
        return differentiable::add_bias(&x, &bias, with_gelu);
    }
    let x = x.broadcast_add(&bias)?;
    if with_gelu { x.gelu_erf() } else { Ok(x) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::drawn::drawn;
    use candle_core::{D, Device};

    fn difference(a: &Tensor, b: &Tensor) -> f32 {
        let d = (a - b).unwrap().abs().unwrap().flatten_all().unwrap();
        d.max(D::Minus1).unwrap().to_scalar().unwrap()
    }

    #[test]
    fn softmax_agrees_with_candle() {
        for width in [1usize, 7, 32, 33, 1500] {
            let x = drawn(1, 8.0, (3, 5, width));
            let expected = candle_nn::ops::softmax(&(&x * 0.125).unwrap(), D::Minus1).unwrap();
            let found = softmax(x.copy().unwrap(), 0.125, Mode::Inference).unwrap();
            assert!(difference(&expected, &found) < 1e-6, "width {width}");
        }
    }

    #[test]
    fn softmax_of_masked_scores_is_zero_there() {
        let x = Tensor::new(&[[1f32, f32::NEG_INFINITY, 2.0]], &Device::Cpu).unwrap();
        let found = softmax(x, 1.0, Mode::Inference).unwrap().to_vec2::<f32>().unwrap();
        assert!(found[0][1] < 1e-30 && (found[0][2] - 0.731_058_6).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn gelu_agrees_with_candle() {
        let x = Tensor::arange(0f32, 4001.0, &Device::Cpu).unwrap().affine(0.005, -10.0).unwrap();
        let found = gelu(x.copy().unwrap(), Mode::Inference).unwrap();
        assert!(difference(&x.gelu_erf().unwrap(), &found) < 2e-6);
    }

    #[test]
    fn gates_agree_with_candle() {
        let x =
            Tensor::arange(0f32, 40_010.0, &Device::Cpu).unwrap().affine(0.0005, -10.0).unwrap();
        let up = x.affine(-0.3, 0.5).unwrap();
        for kind in [Gate::Gelu, Gate::Silu] {
            let expected = gated(x.clone(), &up, kind, Mode::Training).unwrap();
            let found = gated(x.copy().unwrap(), &up, kind, Mode::Inference).unwrap();
            assert!(difference(&expected, &found) < 1e-5, "{kind:?}");
        }
    }
}
