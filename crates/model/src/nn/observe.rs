//! What comes into linear layers, for quantization that spares what matters.

use super::{Linear, Mode, WeightSource};
use crate::error::ModelError;
use crate::files::WeightFile;
use candle_core::{D, DType, Device, Tensor};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Squares of a layer's inputs, by channel.
#[derive(Debug, Default)]
pub struct InputStatistics {
    sums: Mutex<(Vec<f64>, u64)>,
}

impl InputStatistics {
    /// Adds inputs `[…, in]`.
    ///
    /// # Errors
    /// When they are no numbers that can be squared.
    pub(super) fn add(&self, x: &Tensor) -> candle_core::Result<()> {
        let width = x.dim(D::Minus1)?;
        let x = x.detach().to_dtype(DType::F32)?.reshape(((), width))?;
        let squares = x.sqr()?.sum(0)?.to_vec1::<f32>()?;
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.0.resize(width, 0.0);
        sums.1 += x.dim(0)? as u64;
        for (sum, square) in sums.0.iter_mut().zip(squares) {
            *sum += f64::from(square);
        }
        Ok(())
    }

    /// The mean square of each input channel; `None` where nothing has come in.
    pub fn mean_squares(&self) -> Option<Vec<f32>> {
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let (sums, rows) = (&sums.0, sums.1 as f64);
        (rows > 0.0).then(|| sums.iter().map(|sum| (sum / rows) as f32).collect())
    }
}

/// A source whose linear layers count their inputs.
#[derive(Debug)]
pub struct ObservedSource<S> {
    base: S,
    layers: RefCell<BTreeMap<String, Arc<InputStatistics>>>,
}

impl<S: WeightSource> ObservedSource<S> {
    /// Over another source.
    pub fn new(base: S) -> Self {
        Self { base, layers: RefCell::default() }
    }

    /// The layers that were made so far, by name.
    pub fn layers(&self) -> BTreeMap<String, Arc<InputStatistics>> {
        self.layers.borrow().clone()
    }
}

impl<S: WeightSource> WeightSource for ObservedSource<S> {
    fn mode(&self) -> Mode {
        self.base.mode()
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        self.base.tensor(name, shape)
    }

    fn linear(&self, name: &str, shape: (usize, usize), bias: bool) -> Result<Linear, ModelError> {
        let layer = self.base.linear(name, shape, bias)?;
        let mut layers = self.layers.borrow_mut();
        Ok(layer.observed(layers.entry(name.to_owned()).or_default().clone()))
    }

    fn linear_of_rows(
        &self,
        file: &WeightFile,
        name: &str,
        rows: &[u32],
        device: &Device,
    ) -> Result<Linear, ModelError> {
        self.base.linear_of_rows(file, name, rows, device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_are_counted_by_channel_over_all_rows() {
        let weight = Tensor::zeros((1, 3), DType::F32, &Device::Cpu).unwrap();
        let statistics = Arc::new(InputStatistics::default());
        let layer = Linear::float(weight, None, Mode::Inference).observed(statistics.clone());
        assert_eq!(statistics.mean_squares(), None);
        for rows in [vec![1f32, 0.0, -2.0, 3.0, 0.0, 2.0], vec![2.0, 1.0, 2.0, 0.0, 1.0, 2.0]] {
            let x = Tensor::from_vec(rows, (1, 2, 3), &Device::Cpu).unwrap();
            layer.forward(&x).unwrap();
        }
        assert_eq!(statistics.mean_squares(), Some(vec![3.5, 0.5, 4.0]));
        // A copy of the layer counts together with it.
        layer.clone().forward(&Tensor::zeros((4, 3), DType::F32, &Device::Cpu).unwrap()).unwrap();
        assert_eq!(statistics.mean_squares(), Some(vec![1.75, 0.25, 2.0]));
    }
}
