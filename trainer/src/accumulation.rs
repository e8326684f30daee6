//! Gradients summed over micro-batches, normalised over all their target tokens together.

use anyhow::{Context, Result, bail};
use candle_core::{CpuStorage, Device, Storage, Tensor, Var};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::parallel::{Exact, Processes};

/// Elements that one thread sums at a time. Fixed, so that the order of additions is too.
const CHUNK: usize = 1 << 14;

/// Sums the gradients of losses that are themselves sums over target tokens. The division by the
/// number of tokens is left to who uses the sums ([`Accumulator::scale`]): dividing each
/// micro-batch by its own number would weigh the tokens of short clips more.
#[derive(Debug)]
pub struct Accumulator {
    variables: Vec<Var>,
    sums: Vec<Option<Tensor>>,
    tokens: u64,
    loss: f64,
}

/// What a process has accumulated, besides the sums.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Accumulated {
    /// Which variables have a gradient.
    present: Vec<bool>,
    tokens: u64,
    loss: Exact,
}

impl Accumulator {
    /// Nothing summed yet, for these variables.
    pub fn new(variables: Vec<Var>) -> Self {
        let sums = vec![None; variables.len()];
        Self { variables, sums, tokens: 0, loss: 0.0 }
    }

    /// Runs the backward pass of a micro-batch. `sum` is one f32 number, the loss summed over
    /// `tokens` target tokens. Returns its value.
    ///
    /// # Errors
    /// When `sum` is not a single f32, or an operation on its way has no backward pass.
    pub fn add(&mut self, sum: &Tensor, tokens: u64) -> Result<f64> {
        if sum.elem_count() != 1 {
            bail!("a loss must be one number, not of shape {:?}", sum.dims());
        }
        let value = f64::from(sum.reshape(())?.to_scalar::<f32>().context("reading the loss")?);
        let mut gradients = sum.backward()?;
        for (variable, total) in self.variables.iter().zip(&mut self.sums) {
            if let Some(gradient) = gradients.remove(variable) {
                *total = Some(match total.take() {
                    Some(total) => (total + gradient)?,
                    None => gradient.contiguous()?,
                });
            }
        }
        self.tokens += tokens;
        self.loss += value;
        Ok(value)
    }

    /// The sums, in the order of the variables; `None` where no loss depended on one.
    pub fn sums(&self) -> &[Option<Tensor>] {
        &self.sums
    }

    /// The variables.
    pub fn variables(&self) -> &[Var] {
        &self.variables
    }

    /// Target tokens so far.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The mean loss of a target token so far.
    pub fn loss(&self) -> f64 {
        self.loss * self.scale()
    }

    /// What turns the sums into the gradient of the mean loss of a token.
    pub fn scale(&self) -> f64 {
        1.0 / self.tokens.max(1) as f64
    }

    /// The Euclidean norm of the gradient of the mean loss, over all variables together.
    ///
    /// # Errors
    /// When a device fails.
    pub fn norm(&self) -> Result<f64> {
        let mut squares = 0.0;
        for sum in self.sums.iter().flatten() {
            squares += sum_of_squares(sum)?;
        }
        Ok(squares.sqrt() * self.scale())
    }

    /// What there is to tell other processes.
    pub(crate) fn accumulated(&self) -> Accumulated {
        let present = self.sums.iter().map(Option::is_some).collect();
        Accumulated { present, tokens: self.tokens, loss: self.loss.into() }
    }

    /// Sums over all processes; `all` is what each of them has accumulated.
    pub(crate) fn join(&mut self, all: &[Accumulated], processes: &dyn Processes) -> Result<()> {
        if processes.size() == 1 {
            return Ok(());
        }
        for (index, (variable, total)) in self.variables.iter().zip(&mut self.sums).enumerate() {
            if !all.iter().any(|one| one.present.get(index) == Some(&true)) {
                continue;
            }
            let own = match total.take() {
                Some(total) => total.contiguous()?,
                // Adding it changes no bit of what others have; 0 would change -0.
                None => Tensor::full(-0.0_f32, variable.shape(), variable.device())?,
            };
            *total = Some(processes.sum(&own)?);
        }
        self.tokens = all.iter().map(|one| one.tokens).sum();
        self.loss = all.iter().map(|one| f64::from(one.loss)).sum();
        Ok(())
    }

    /// Forgets the sums and keeps the variables.
    pub fn clear(&mut self) {
        self.sums.fill(None);
        (self.tokens, self.loss) = (0, 0.0);
    }
}

/// The sum of squares of all elements; in f64 on the processor, as f32 elsewhere.
fn sum_of_squares(tensor: &Tensor) -> Result<f64> {
    if let Device::Cpu = tensor.device() {
        let (storage, layout) = tensor.storage_and_layout();
        if let (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) =
            (&*storage, layout.contiguous_offsets())
        {
            let values = values.get(start..end).unwrap_or_default();
            let parts: Vec<f64> = values
                .par_chunks(CHUNK)
                .map(|part| part.iter().map(|x| f64::from(*x) * f64::from(*x)).sum())
                .collect();
            return Ok(parts.iter().sum());
        }
    }
    Ok(f64::from(tensor.sqr()?.sum_all()?.to_scalar::<f32>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The squared error of `x·w`, summed.
    fn loss(w: &Var, rows: &[[f32; 2]]) -> Tensor {
        let x = Tensor::from_slice(rows.as_flattened(), (rows.len(), 2), &Device::Cpu).unwrap();
        let y = x.matmul(&w.as_tensor().reshape((2, 1)).unwrap()).unwrap();
        y.sqr().unwrap().sum_all().unwrap()
    }

    #[test]
    fn two_uneven_halves_are_the_whole() {
        let w = Var::new(&[0.5_f32, -2.0], &Device::Cpu).unwrap();
        let rows = [[1.0, 2.0], [3.0, -1.0], [0.5, 0.25], [-2.0, 1.0], [1.5, 1.0]];
        let mut whole = Accumulator::new(vec![w.clone()]);
        whole.add(&loss(&w, &rows), 5).unwrap();
        let mut parts = Accumulator::new(vec![w.clone()]);
        parts.add(&loss(&w, &rows[..1]), 1).unwrap();
        parts.add(&loss(&w, &rows[1..]), 4).unwrap();
        assert_eq!((whole.tokens(), whole.loss()), (parts.tokens(), parts.loss()));
        let sum = |a: &Accumulator| a.sums()[0].as_ref().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(sum(&whole), sum(&parts));
        // By hand: d/dw Σ (x·w)² = 2 Σ (x·w) x.
        let expected: Vec<f32> = (0..2)
            .map(|k| rows.iter().map(|x| 2.0 * (0.5 * x[0] - 2.0 * x[1]) * x[k]).sum())
            .collect();
        assert_eq!(sum(&whole), expected);
        let norm = expected.iter().map(|x| f64::from(x * x)).sum::<f64>().sqrt() / 5.0;
        assert!((whole.norm().unwrap() - norm).abs() < 1e-6);
        parts.clear();
        assert_eq!((parts.tokens(), parts.norm().unwrap()), (0, 0.0));
    }

    #[test]
    fn a_loss_of_several_numbers_is_refused() {
        let w = Var::new(&[0.5_f32, -2.0], &Device::Cpu).unwrap();
        let error = Accumulator::new(vec![w.clone()]).add(w.as_tensor(), 1).unwrap_err();
        assert!(error.to_string().contains("[2]"), "{error}");
    }
}
