//! AdamW (Loshchilov and Hutter 2019) over named f32 variables in groups.
//!
//! Parameters are f32 whatever the network computes in: updates smaller than bf16 can hold would
//! be lost. On the processor a step works in place, a few passes over memory and no allocation.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Result as TensorResult, Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::accumulation::Accumulator;
use crate::in_place::{FirstMoment, Pairwise, SecondMoment, Weights};

/// What is set for a group of parameters, next to its learning rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hyperparameters {
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the mean square.
    pub epsilon: f64,
    /// Share of a weight taken away in a step of learning rate 1. Norms, biases and the rows of
    /// marks are left alone ([`decays`]).
    pub weight_decay: f64,
}

/// Parameters that share a learning rate.
#[derive(Debug, Clone)]
pub struct Group {
    /// The name that learning rates are given under.
    pub name: String,
    /// Their settings.
    pub hyperparameters: Hyperparameters,
    /// Names, unique over all groups, and variables.
    pub parameters: Vec<(String, Var)>,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Norm of the gradient of the mean loss, before clipping.
    pub norm: f64,
    /// Whether the gradient was made shorter.
    pub clipped: bool,
    /// Whether nothing was changed because loss or gradient were not finite.
    pub skipped: bool,
}

/// What has to be kept beside the moments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerState {
    /// Steps that each parameter has seen since it became trainable.
    pub steps: BTreeMap<String, u64>,
    /// Steps that were skipped.
    pub skipped: u64,
    /// Those among them since the last good one.
    pub skipped_in_a_row: u32,
}

#[derive(Debug)]
struct Entry {
    name: String,
    group: usize,
    decays: bool,
    variable: Var,
    first: Var,
    second: Var,
    steps: u64,
}

/// The optimiser.
#[derive(Debug)]
pub struct AdamW {
    clip_norm: f64,
    skip_limit: u32,
    groups: Vec<(String, Hyperparameters)>,
    entries: Vec<Entry>,
    skipped: u64,
    skipped_in_a_row: u32,
}

/// Whether weight decay applies: to matrices and kernels, but not to norms and biases (vectors)
/// and not to the rows of marks.
pub fn decays(name: &str, dims: &[usize]) -> bool {
    dims.len() > 1 && name.split('.').next() != Some("marks")
}

impl AdamW {
    /// Without parameters yet. Gradients longer than `clip_norm` are shortened to it (infinity:
    /// never); after `skip_limit` skipped steps in a row a step fails.
    pub fn new(clip_norm: f64, skip_limit: u32) -> Self {
        Self {
            clip_norm,
            skip_limit,
            groups: Vec::new(),
            entries: Vec::new(),
            skipped: 0,
            skipped_in_a_row: 0,
        }
    }

    /// Sets what is trained from now on. Parameters that were trained before keep their moments;
    /// new ones begin with none, and with a bias correction of their own.
    ///
    /// # Errors
    /// When a name occurs twice, or a parameter is not f32.
    pub fn set_groups(&mut self, groups: Vec<Group>) -> Result<()> {
        let mut known: BTreeMap<String, Entry> =
            self.entries.drain(..).map(|entry| (entry.name.clone(), entry)).collect();
        self.groups.clear();
        for (index, group) in groups.into_iter().enumerate() {
            self.groups.push((group.name, group.hyperparameters));
            for (name, variable) in group.parameters {
                if variable.dtype() != DType::F32 {
                    bail!("parameter `{name}` is {:?}; only f32 is trained", variable.dtype());
                }
                if self.entries.iter().any(|entry| entry.name == name) {
                    bail!("parameter `{name}` is given twice");
                }
                let moments = match known.remove(&name) {
                    Some(old) => (old.first, old.second, old.steps),
                    None => (zeros(&variable)?, zeros(&variable)?, 0),
                };
                let (first, second, steps) = moments;
                let decays = decays(&name, variable.dims());
                self.entries.push(Entry {
                    name,
                    group: index,
                    decays,
                    variable,
                    first,
                    second,
                    steps,
                });
            }
        }
        Ok(())
    }

    /// An accumulator for the parameters in use.
    pub fn accumulator(&self) -> Accumulator {
        Accumulator::new(self.entries.iter().map(|entry| entry.variable.clone()).collect())
    }

    /// Updates every parameter that has a gradient, with its group's learning rate; those without
    /// one stay as they are, moments too. A gradient or loss that is not finite changes nothing.
    ///
    /// # Errors
    /// When a group has no learning rate, when the gradients are not of this optimiser's
    /// parameters, or after too many skipped steps in a row.
    pub fn step(&mut self, gradients: &Accumulator, rates: &BTreeMap<String, f64>) -> Result<Step> {
        if gradients.variables().len() != self.entries.len() {
            bail!("gradients of other parameters");
        }
        let rates: Vec<f64> = self
            .groups
            .iter()
            .map(|(name, _)| rates.get(name).copied())
            .collect::<Option<_>>()
            .context("a group of parameters has no learning rate")?;
        let norm = gradients.norm()?;
        if !norm.is_finite() || !gradients.loss().is_finite() {
            return self.skip(norm);
        }
        self.skipped_in_a_row = 0;
        let clipped = norm > self.clip_norm;
        let scale = gradients.scale() * if clipped { self.clip_norm / norm } else { 1.0 };
        for (entry, gradient) in self.entries.iter_mut().zip(gradients.sums()) {
            let (Some(gradient), Some((_, settings)), Some(rate)) =
                (gradient, self.groups.get(entry.group), rates.get(entry.group))
            else {
                continue;
            };
            entry.steps += 1;
            entry
                .update(gradient, scale, *rate, settings)
                .with_context(|| format!("parameter `{}`", entry.name))?;
        }
        Ok(Step { norm, clipped, skipped: false })
    }

    fn skip(&mut self, norm: f64) -> Result<Step> {
        self.skipped += 1;
        self.skipped_in_a_row += 1;
        if self.skipped_in_a_row >= self.skip_limit {
            bail!("{} steps in a row without a finite loss and gradient", self.skipped_in_a_row);
        }
        Ok(Step { norm, clipped: false, skipped: true })
    }

    /// The moments, as `NAME.first` and `NAME.second`. They share memory with the optimiser.
    pub fn moments(&self) -> Vec<(String, Var)> {
        self.entries
            .iter()
            .flat_map(|entry| {
                let name = |part| format!("{}.{part}", entry.name);
                [(name("first"), entry.first.clone()), (name("second"), entry.second.clone())]
            })
            .collect()
    }

    /// What to keep beside the moments.
    pub fn state(&self) -> OptimizerState {
        OptimizerState {
            steps: self.entries.iter().map(|entry| (entry.name.clone(), entry.steps)).collect(),
            skipped: self.skipped,
            skipped_in_a_row: self.skipped_in_a_row,
        }
    }

    /// Takes a state up again; the moments' values are set apart, through [`AdamW::moments`].
    ///
    /// # Errors
    /// When the state is of other parameters than those in use.
    pub fn restore(&mut self, state: &OptimizerState) -> Result<()> {
        for entry in &mut self.entries {
            entry.steps = *state
                .steps
                .get(&entry.name)
                .with_context(|| format!("no optimiser state for parameter `{}`", entry.name))?;
        }
        if state.steps.len() != self.entries.len() {
            bail!("optimiser state of parameters that are not trained here");
        }
        self.skipped = state.skipped;
        self.skipped_in_a_row = state.skipped_in_a_row;
        Ok(())
    }
}

fn zeros(like: &Var) -> TensorResult<Var> {
    Var::zeros(like.shape(), DType::F32, like.device())
}

impl Entry {
    fn factors(
        &self,
        scale: f64,
        rate: f64,
        settings: &Hyperparameters,
    ) -> (FirstMoment, SecondMoment, Weights) {
        let steps = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let Hyperparameters { beta1, beta2, epsilon, weight_decay } = *settings;
        let first = FirstMoment { keep: beta1 as f32, add: ((1.0 - beta1) * scale) as f32 };
        let second =
            SecondMoment { keep: beta2 as f32, add: (1.0 - beta2) as f32, scale: scale as f32 };
        let weights = Weights {
            first: (rate / (1.0 - beta1.powi(steps))) as f32,
            second: (1.0 / (1.0 - beta2.powi(steps))) as f32,
            epsilon: epsilon as f32,
            keep: (1.0 - if self.decays { rate * weight_decay } else { 0.0 }) as f32,
        };
        (first, second, weights)
    }

    fn update(
        &self,
        gradient: &Tensor,
        scale: f64,
        rate: f64,
        settings: &Hyperparameters,
    ) -> TensorResult<()> {
        let (first, second, weights) = self.factors(scale, rate, settings);
        if !self.variable.device().is_cpu() {
            return self.update_by_tensors(gradient, &first, &second, &weights);
        }
        let gradient = gradient.contiguous()?;
        let FirstMoment { keep, add } = first;
        let mean = |m: &mut f32, g: f32| *m = keep * *m + add * g;
        self.first.inplace_op2(&gradient, &Pairwise(mean))?;
        let SecondMoment { keep, add, scale } = second;
        let square = |v: &mut f32, g: f32| *v = keep * *v + add * (scale * g) * (scale * g);
        self.second.inplace_op2(&gradient, &Pairwise(square))?;
        self.variable.inplace_op3(&self.first, &self.second, &weights)
    }

    /// The same with the tensor library's own operations, which every device has.
    fn update_by_tensors(
        &self,
        gradient: &Tensor,
        first: &FirstMoment,
        second: &SecondMoment,
        weights: &Weights,
    ) -> TensorResult<()> {
        let times = |tensor: &Tensor, factor: f32| tensor.affine(f64::from(factor), 0.0);
        let mean = (times(&self.first, first.keep)? + times(gradient, first.add)?)?;
        let squares = times(&times(gradient, second.scale)?.sqr()?, second.add)?;
        let squares = (times(&self.second, second.keep)? + squares)?;
        let below = (times(&squares, weights.second)?.sqrt()? + f64::from(weights.epsilon))?;
        let change = (times(&mean, weights.first)? / below)?;
        let updated = (times(&self.variable, weights.keep)? - change)?;
        self.first.set(&mean)?;
        self.second.set(&squares)?;
        self.variable.set(&updated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_place::CHUNK;
    use candle_core::Device;

    #[test]
    fn both_ways_of_a_step_agree() {
        // More than a chunk, and not a multiple of it.
        let size = 2 * CHUNK + 77;
        let wave = |by: f64| {
            let values = (0..size).map(|i| (i as f64 * by).sin() as f32).collect();
            Var::from_tensor(&Tensor::from_vec(values, (size, 1), &Device::Cpu).unwrap()).unwrap()
        };
        let entry = || {
            let (variable, first, second) = (wave(0.1), wave(0.7), wave(0.0));
            let name = "w".to_owned();
            Entry { name, group: 0, decays: true, variable, first, second, steps: 3 }
        };
        let settings =
            Hyperparameters { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1 };
        let gradient = wave(0.3);
        let (fused, plain) = (entry(), entry());
        fused.update(&gradient, 0.5, 0.01, &settings).unwrap();
        let (first, second, weights) = fused.factors(0.5, 0.01, &settings);
        plain.update_by_tensors(&gradient, &first, &second, &weights).unwrap();
        let pairs = [
            (&fused.variable, &plain.variable),
            (&fused.first, &plain.first),
            (&fused.second, &plain.second),
        ];
        for (a, b) in pairs {
            let size = (a.abs().unwrap() + 1.0).unwrap();
            let apart = ((a.as_tensor() - b.as_tensor()).unwrap().abs().unwrap() / size).unwrap();
            let furthest = apart.max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(furthest < 5e-7, "{furthest}");
        }
        assert_ne!(
            fused.variable.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            wave(0.1).flatten_all().unwrap().to_vec1::<f32>().unwrap()
        );
    }
}
