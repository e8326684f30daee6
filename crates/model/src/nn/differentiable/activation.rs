//! GELU, biases and gates.

use super::{PIECE, elements, read, row_width, with_sums};
use crate::nn::functions::{Gate, gate_one, gate_slope, gelu_one, gelu_slope};
use crate::nn::kernels::for_rows;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// GELU in its exact (erf) form.
pub(super) struct Gelu;

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

/// `x + bias` over the last dimension, then GELU if asked for.
pub(super) struct AddBias {
    pub(super) gelu: bool,
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

/// `activation(gate) * up`, element by element.
pub(super) struct Gated {
    pub(super) kind: Gate,
}

impl CustomOp2 for Gated {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let gate = elements(storage, layout, self.name())?;
        let up = elements(up, up_layout, self.name())?;
        if layout.shape() != up_layout.shape() {
            bail!("gated wants {:?} twice, not {:?}", layout.shape(), up_layout.shape());
        }
        let mut y = vec![0f32; gate.len()];
        let arch = pulp::Arch::new();
        let pieces = y.par_chunks_mut(PIECE).zip(gate.par_chunks(PIECE)).zip(up.par_chunks(PIECE));
        pieces.for_each(|((y, gate), up)| {
            arch.dispatch(|| {
                for ((y, &gate), up) in y.iter_mut().zip(gate).zip(up) {
                    *y = gate_one(gate, self.kind) * up;
                }
            });
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _: &Tensor,
        upstream: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (by_gate, by_up) = read(gate, |gate| {
            read(up, |up| {
                read(upstream, |upstream| {
                    let mut by_gate = vec![0f32; gate.len()];
                    let mut by_up = vec![0f32; gate.len()];
                    let arch = pulp::Arch::new();
                    let inputs = gate.par_chunks(PIECE).zip(up.par_chunks(PIECE));
                    let pieces = by_gate.par_chunks_mut(PIECE).zip(by_up.par_chunks_mut(PIECE));
                    let pieces = pieces.zip(inputs).zip(upstream.par_chunks(PIECE));
                    pieces.for_each(|(((by_gate, by_up), (gate, up)), upstream)| {
                        arch.dispatch(|| {
                            let outputs = by_gate.iter_mut().zip(by_up);
                            let inputs = gate.iter().zip(up).zip(upstream);
                            for ((by_gate, by_up), ((&gate, up), pull)) in outputs.zip(inputs) {
                                let (value, slope) = gate_slope(gate, self.kind);
                                *by_gate = pull * up * slope;
                                *by_up = pull * value;
                            }
                        });
                    });
                    Ok((by_gate, by_up))
                })
            })
        })?;
        let tensor = |values| Tensor::from_vec(values, gate.shape(), gate.device());
        Ok((Some(tensor(by_gate)?), Some(tensor(by_up)?)))
    }
}
