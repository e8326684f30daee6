//! Element-wise operations of the CPU that candle leaves to scalar code: softmax, GELU and bias, in
//! place and over all lanes that the processor has.
//!
//! Training has its own forms of them (`differentiable`), and other devices use candle's; the
//! results agree to about 1e-6.

use super::functions::{Gate, gate_one, gelu_one, softmax_row};
use super::{Mode, differentiable};
use candle_core::{CpuStorage, DType, InplaceOp1, InplaceOp2, Layout, Result, Tensor, bail};
use rayon::prelude::*;

/// Rows or chunks smaller than this are not worth a thread of their own.
const PARALLEL_GRAIN: usize = 16 * 1024;

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
