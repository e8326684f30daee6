//! Layers for training.

use super::{Dropout, Init, Linear, LowRank, LowRankSpec, Mode, NameSet, Parameters, WeightSource};
use crate::error::ModelError;
use candle_core::{Tensor, Var};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Gives layers their weights from [`Parameters`]: as variables where they are to be trained, as
/// plain tensors without a gradient where not.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use partita_model::nn::{Init, NameSet, Parameters, TrainingSource, WeightSource};
///
/// let parameters = Parameters::new(7, &Device::Cpu);
/// let source = TrainingSource::new(&parameters, NameSet::parse(&["up.*"])?);
/// let up = source.linear_or("up", (4, 2), true, Init::fan_in(2))?;
/// let down = source.linear_or("down", (1, 4), false, Init::fan_in(4))?;
/// let x = Tensor::ones((3, 2), DType::F32, &Device::Cpu)?;
/// let gradients = down.forward(&up.forward(&x)?)?.sum_all()?.backward()?;
/// let trainable = source.trainable();
/// assert_eq!(trainable.len(), 2);
/// assert!(trainable.iter().all(|(_, variable)| gradients.get(variable).is_some()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TrainingSource<'a> {
    parameters: &'a Parameters,
    trainable: NameSet,
    low_rank: Option<LowRankSpec>,
    mode: Mode,
    given: Mutex<BTreeMap<String, Var>>,
}

impl<'a> TrainingSource<'a> {
    /// Tensors whose names are in `trainable` are trained, all others are frozen.
    pub fn new(parameters: &'a Parameters, trainable: NameSet) -> Self {
        let mode = Mode::Training;
        Self { parameters, trainable, low_rank: None, mode, given: Mutex::default() }
    }

    /// The same values for evaluation: fused operations, no gradients, no dropout. A network from it
    /// sees what training changes afterwards of tensors that were trainable when it was built.
    pub fn evaluating(parameters: &'a Parameters) -> Self {
        Self { mode: Mode::Inference, ..Self::new(parameters, NameSet::default()) }
    }

    /// Gives the spec's target layers a low-rank change. Like any tensor, its matrices are trained
    /// where their names (`NAME.weight.lora_a`, `NAME.weight.lora_b`) are in the trainable set.
    pub fn with_low_rank(mut self, spec: LowRankSpec) -> Self {
        self.low_rank = Some(spec);
        self
    }

    /// The variables that were given to networks so far, in the order of their names.
    pub fn trainable(&self) -> Vec<(String, Var)> {
        self.given().iter().map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// Patterns of the trainable set that no given tensor matches: most likely written wrongly.
    pub fn idle_patterns(&self) -> Vec<String> {
        let given = self.given();
        let idle = self.trainable.unmatched(given.keys().map(String::as_str));
        idle.into_iter().map(str::to_owned).collect()
    }

    fn given(&self) -> MutexGuard<'_, BTreeMap<String, Var>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn low_rank(
        &self,
        name: &str,
        (outputs, inputs): (usize, usize),
        spec: &LowRankSpec,
    ) -> Result<LowRank, ModelError> {
        let [a, b] = LowRank::names(name);
        let dropout = match self.mode {
            Mode::Training if spec.dropout > 0.0 => {
                let (seed, moment) = (self.parameters.seed(), self.parameters.moment());
                Some(Dropout::new(spec.dropout, name, seed, moment)?)
            }
            _ => None,
        };
        let a = self.tensor_or(&a, &[spec.rank, inputs], Init::fan_in(inputs))?;
        let b = self.tensor_or(&b, &[outputs, spec.rank], Init::Constant(0.0))?;
        Ok(LowRank::new(a, b, spec.alpha, dropout)?)
    }
}

impl WeightSource for TrainingSource<'_> {
    fn mode(&self) -> Mode {
        self.mode
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        self.tensor_or(name, shape, Init::Stored)
    }

    fn linear(&self, name: &str, shape: (usize, usize), bias: bool) -> Result<Linear, ModelError> {
        self.linear_or(name, shape, bias, Init::Stored)
    }

    fn tensor_or(&self, name: &str, shape: &[usize], init: Init) -> Result<Tensor, ModelError> {
        if !self.trainable.contains(name) {
            return self.parameters.constant(name, shape, init);
        }
        let var = self.parameters.variable(name, shape, init)?;
        self.given().insert(name.to_owned(), var.clone());
        Ok(var.into_inner())
    }

    fn linear_or(
        &self,
        name: &str,
        (outputs, inputs): (usize, usize),
        bias: bool,
        init: Init,
    ) -> Result<Linear, ModelError> {
        let weight = self.tensor_or(&format!("{name}.weight"), &[outputs, inputs], init)?;
        let bias = match bias {
            true => Some(self.tensor_or(&format!("{name}.bias"), &[outputs], init.bias())?),
            false => None,
        };
        let linear = Linear::float(weight, bias, self.mode);
        match &self.low_rank {
            Some(spec) if spec.targets.contains(name) => {
                Ok(linear.with_low_rank(self.low_rank(name, (outputs, inputs), spec)?))
            }
            _ => Ok(linear),
        }
    }
}
