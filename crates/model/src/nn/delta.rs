//! A base model and what training changed of it.

use super::{Linear, LowRank, Mode, WeightSource};
use crate::error::ModelError;
use crate::files::{FileError, WeightFile};
use candle_core::{Device, Tensor};

/// Weights of a base, with those of a second file instead of or beside them: its tensors of the same
/// names instead, its changes ([`change_name`]) added to the tensors that they are named
/// after, its low-rank changes beside the linear layers that they are named after. For inference with
/// what [`Parameters::save`](super::Parameters::save) wrote, or what was made smaller of it.
#[derive(Debug)]
pub struct DeltaSource<'a, S> {
    base: S,
    delta: &'a WeightFile,
    device: Device,
    alpha: Option<f64>,
}

const CHANGE: &str = ".change";

/// Name of what a tensor gained by training: a small number in each place, which takes fewer bits than
/// the tensor itself.
pub fn change_name(name: &str) -> String {
    format!("{name}{CHANGE}")
}

/// The name of the tensor that this is the [change](change_name) of, if it is one.
pub fn changed_name(name: &str) -> Option<&str> {
    name.strip_suffix(CHANGE)
}

impl<'a, S: WeightSource> DeltaSource<'a, S> {
    /// `delta` over `base`, on the base's device.
    ///
    /// # Errors
    /// When the file's alpha ([`LowRank::ALPHA_KEY`]) is no number.
    pub fn new(base: S, delta: &'a WeightFile, device: &Device) -> Result<Self, ModelError> {
        let alpha = LowRank::alpha(delta)?;
        Ok(Self { base, delta, device: device.clone(), alpha })
    }

    fn stored(&self, name: &str) -> Result<Tensor, ModelError> {
        let (shape, values) = self.delta.floats(name)?;
        Ok(Tensor::from_vec(values, shape, &self.device)?)
    }

    fn is_changed(&self, name: &str) -> bool {
        self.delta.contains(name) || self.delta.contains(&change_name(name))
    }

    fn low_rank(
        &self,
        name: &str,
        (outputs, inputs): (usize, usize),
    ) -> Result<Option<LowRank>, ModelError> {
        let [a_name, b_name] = LowRank::names(name);
        if !self.delta.contains(&a_name) {
            return Ok(None);
        }
        let (a, b) = (self.stored(&a_name)?, self.stored(&b_name)?);
        let wrong = |name: String, reason: String| {
            let path = self.delta.path().to_owned();
            ModelError::from(FileError::Tensor { path, name, reason })
        };
        let rank = a.dims().first().copied().unwrap_or(0);
        if a.dims() != [rank, inputs] || b.dims() != [outputs, rank] || rank == 0 {
            let (a, b) = (a.shape(), b.shape());
            let reason = format!("{a:?} and {b:?} do not change [{outputs}, {inputs}]");
            return Err(wrong(a_name, reason));
        }
        let Some(alpha) = self.alpha else {
            let (path, key) = (self.delta.path().to_owned(), LowRank::ALPHA_KEY.to_owned());
            return Err(FileError::Metadata { path, key, reason: "missing".to_owned() }.into());
        };
        Ok(Some(LowRank::new(a, b, alpha, None)?))
    }
}

impl<S: WeightSource> WeightSource for DeltaSource<'_, S> {
    fn mode(&self) -> Mode {
        self.base.mode()
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        let stored = |name: &str| {
            let tensor = self.stored(name)?;
            if tensor.dims() == shape {
                return Ok(tensor);
            }
            let (path, name) = (self.delta.path().to_owned(), name.to_owned());
            let reason = format!("shape {:?}, wanted {shape:?}", tensor.dims());
            Err(ModelError::from(FileError::Tensor { path, name, reason }))
        };
        let change = change_name(name);
        if self.delta.contains(name) {
            stored(name)
        } else if self.delta.contains(&change) {
            Ok((self.base.tensor(name, shape)? + stored(&change)?)?)
        } else {
            self.base.tensor(name, shape)
        }
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

    fn linear(
        &self,
        name: &str,
        (outputs, inputs): (usize, usize),
        bias: bool,
    ) -> Result<Linear, ModelError> {
        let (weight_name, bias_name) = (format!("{name}.weight"), format!("{name}.bias"));
        let bias_of = || self.tensor(&bias_name, &[outputs]);
        let linear = if self.is_changed(&weight_name) {
            let weight = self.tensor(&weight_name, &[outputs, inputs])?;
            Linear::float(weight, bias.then(bias_of).transpose()?, self.mode())
        } else {
            let linear = self.base.linear(name, (outputs, inputs), bias)?;
            let changed = bias && self.is_changed(&bias_name);
            if changed { linear.with_bias(Some(bias_of()?)) } else { linear }
        };
        match self.low_rank(name, (outputs, inputs))? {
            // One product instead of three, where the weight is in floats anyway.
            Some(low_rank) if linear.is_float() => {
                Ok(linear.with_low_rank(low_rank).merged()?.settled())
            }
            Some(low_rank) => Ok(linear.with_low_rank(low_rank)),
            None => Ok(linear),
        }
    }
}
