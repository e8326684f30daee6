//! How far the gradients of tasks and languages agree (the analysis of PART): the cosine between
//! the gradients of every two cells, such as `asr de` and `st de-en`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor, Var};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::accumulation::Accumulator;

/// Gathers gradients over given variables, cell by cell. It keeps one number a parameter and
/// cell, so it is meant for a module of a few million parameters (PART's: the adapter).
///
/// ```
/// use candle_core::{Device, Var};
/// use partita_train::gradients::Probe;
///
/// let w = Var::new(&[1_f32, 2.0], &Device::Cpu)?;
/// let mut probe = Probe::new(vec![w.clone()]);
/// probe.add("double", &(w.as_tensor() * 2.0)?.sum_all()?, 1)?;
/// probe.add("minus", &w.neg()?.sum_all()?, 1)?;
/// let cosines = probe.finish();
/// assert_eq!(cosines.labels, ["double", "minus"]);
/// assert!((cosines.values[0][1] + 1.0).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Probe {
    variables: Vec<Var>,
    cells: BTreeMap<String, Vec<f32>>,
}

/// Cosines between gradients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cosines {
    /// The cells, in alphabetical order.
    pub labels: Vec<String>,
    /// Cosine of row and column; 0 where a gradient is zero.
    pub values: Vec<Vec<f64>>,
    /// Length of each cell's gradient.
    pub norms: Vec<f64>,
}

impl Probe {
    /// Over these variables.
    pub fn new(variables: Vec<Var>) -> Self {
        Self { variables, cells: BTreeMap::new() }
    }

    /// Adds a batch to a cell. `sum` is the loss summed over `tokens` target tokens. Each batch
    /// counts by its mean, so that one of long texts does not outweigh the others.
    ///
    /// # Errors
    /// When `sum` is not a single f32, or an operation on its way has no backward pass.
    pub fn add(&mut self, cell: &str, sum: &Tensor, tokens: u64) -> Result<()> {
        let mut gradients = Accumulator::new(self.variables.clone());
        gradients.add(sum, tokens).with_context(|| format!("cell `{cell}`"))?;
        let scale = gradients.scale() as f32;
        let size = self.variables.iter().map(|variable| variable.elem_count()).sum();
        let total = self.cells.entry(cell.to_owned()).or_insert_with(|| vec![0.0; size]);
        let mut rest = total.as_mut_slice();
        for (variable, gradient) in self.variables.iter().zip(gradients.sums()) {
            let (part, after) = rest.split_at_mut(variable.elem_count());
            rest = after;
            if let Some(gradient) = gradient {
                let gradient = gradient.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
                let gradient = gradient.flatten_all()?.to_vec1::<f32>()?;
                part.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += scale * g);
            }
        }
        Ok(())
    }

    /// The cosines of all cells so far.
    pub fn finish(&self) -> Cosines {
        let cells: Vec<&[f32]> = self.cells.values().map(Vec::as_slice).collect();
        let products: Vec<Vec<f64>> =
            cells.par_iter().map(|a| cells.iter().map(|b| product(a, b)).collect()).collect();
        let norms: Vec<f64> = cells.iter().map(|cell| product(cell, cell).sqrt()).collect();
        let cosine = |(product, norm): (&f64, &f64), other: f64| {
            if norm * other > 0.0 { (product / (norm * other)).clamp(-1.0, 1.0) } else { 0.0 }
        };
        let values = products
            .iter()
            .zip(&norms)
            .map(|(row, norm)| row.iter().zip(&norms).map(|pair| cosine(pair, *norm)).collect())
            .collect();
        Cosines { labels: self.cells.keys().cloned().collect(), values, norms }
    }
}

fn product(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_of_gradients_known_by_hand() {
        let device = Device::Cpu;
        let (u, w) =
            (Var::new(&[1_f32], &device).unwrap(), Var::new(&[1_f32, 1.0], &device).unwrap());
        let mut probe = Probe::new(vec![u.clone(), w.clone()]);
        // Gradients over (u, w₁, w₂): (3, 0, 4), twice by halves; (0, 5, 0); (-3, 0, 4); none.
        let dot = |var: &Var, by: &[f32]| {
            (var.as_tensor() * Tensor::new(by, &device).unwrap()).unwrap().sum_all().unwrap()
        };
        let a = (dot(&u, &[3.0]) + dot(&w, &[0.0, 4.0])).unwrap();
        probe.add("a", &a, 1).unwrap();
        probe.add("a", &(&a * 10.0).unwrap(), 10).unwrap();
        probe.add("b", &dot(&w, &[0.0, 5.0]).neg().unwrap(), 1).unwrap();
        probe.add("c", &(dot(&u, &[-3.0]) + dot(&w, &[0.0, 4.0])).unwrap(), 1).unwrap();
        probe.add("d", &(dot(&u, &[1.0]) * 0.0).unwrap(), 1).unwrap();
        let cosines = probe.finish();
        assert_eq!(cosines.labels, ["a", "b", "c", "d"]);
        let expected = [
            [1.0, -0.8, 0.28, 0.0],
            [-0.8, 1.0, -0.8, 0.0],
            [0.28, -0.8, 1.0, 0.0],
            [0.0, 0.0, 0.0, 0.0],
        ];
        for (row, expected) in cosines.values.iter().zip(expected) {
            for (value, expected) in row.iter().zip(expected) {
                assert!((value - expected).abs() < 1e-6, "{:?}", cosines.values);
            }
        }
        assert!((cosines.norms[0] - 10.0).abs() < 1e-5);
    }
}
