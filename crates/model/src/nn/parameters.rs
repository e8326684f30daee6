//! The values that training changes.

use super::{Init, delta::changed_name};
use crate::error::ModelError;
use crate::files::{Format, WeightFile, write_safetensors};
use candle_core::{DType, Device, Tensor, Var};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where parameters begin that training has not touched: a base model's weights, by the names that
/// our networks ask for.
pub trait BaseValues: Send + Sync {
    /// A tensor's shape and values; `None` where there is none of this name.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    fn values(&self, name: &str) -> Result<Option<Shaped>, ModelError>;
}

/// A shape and as many values, row-major.
pub type Shaped = (Vec<usize>, Vec<f32>);

impl BaseValues for WeightFile {
    fn values(&self, name: &str) -> Result<Option<Shaped>, ModelError> {
        if self.contains(name) { Ok(Some(self.floats(name)?)) } else { Ok(None) }
    }
}

/// Named f32 variables (masters), made when a network first asks for them: from values that were
/// loaded, else from a base, else from what the layer begins with.
///
/// It outlives the networks: what is trainable is a matter of the
/// [`TrainingSource`](super::TrainingSource) that a network is built from, and building it again
/// from another keeps all values. A network keeps the base's value of what was frozen and untouched
/// when it was built, whatever is trained later.
pub struct Parameters {
    seed: u64,
    device: Device,
    frozen_type: DType,
    bases: Vec<Box<dyn BaseValues>>,
    /// What was ever trainable, was loaded, or began at random.
    masters: Mutex<BTreeMap<String, Var>>,
    /// What was read from a base and has not been trained.
    frozen: Mutex<BTreeMap<String, Tensor>>,
    moment: Arc<AtomicU64>,
}

impl Parameters {
    /// No parameters yet; random ones will depend on `seed` and their names.
    pub fn new(seed: u64, device: &Device) -> Self {
        Self {
            seed,
            device: device.clone(),
            frozen_type: DType::F32,
            bases: Vec::new(),
            masters: Mutex::default(),
            frozen: Mutex::default(),
            moment: Arc::default(),
        }
    }

    /// Also looks for first values in `base`, behind those given before.
    pub fn with_base(mut self, base: impl BaseValues + 'static) -> Self {
        self.bases.push(Box::new(base));
        self
    }

    /// Holds base weights that are not trained in this type (BF16 on a GPU); masters stay f32.
    pub fn with_frozen_type(mut self, dtype: DType) -> Self {
        self.frozen_type = dtype;
        self
    }

    /// The device that all values are on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The seed of random first values and of dropout.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Sets what dropout draws next: another number before each pass, the same one for a pass that
    /// is repeated.
    pub fn set_moment(&self, moment: u64) {
        self.moment.store(moment, Ordering::Relaxed);
    }

    pub(super) fn moment(&self) -> Arc<AtomicU64> {
        self.moment.clone()
    }

    /// The masters, by name: what [`Parameters::save`] writes.
    pub fn masters(&self) -> Vec<(String, Var)> {
        self.lock_masters().iter().map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// A variable for training.
    pub(super) fn variable(
        &self,
        name: &str,
        shape: &[usize],
        init: Init,
    ) -> Result<Var, ModelError> {
        let mut masters = self.lock_masters();
        if let Some(var) = masters.get(name) {
            expect_shape(name, var.dims(), shape)?;
            return Ok(var.clone());
        }
        let values = match self.base_values(name, shape)? {
            Some(values) => values,
            None => {
                let missing = || wrong(name, "stored nowhere, and must not begin at random");
                init.values(name, self.seed, shape.iter().product()).ok_or_else(missing)?
            }
        };
        let var = Var::from_tensor(&Tensor::from_vec(values, shape, &self.device)?)?;
        masters.insert(name.to_owned(), var.clone());
        self.lock_frozen().remove(name);
        Ok(var)
    }

    /// The same value without a gradient.
    pub(super) fn constant(
        &self,
        name: &str,
        shape: &[usize],
        init: Init,
    ) -> Result<Tensor, ModelError> {
        if !self.lock_masters().contains_key(name) {
            if let Some(tensor) = self.lock_frozen().get(name) {
                expect_shape(name, tensor.dims(), shape)?;
                return Ok(tensor.clone());
            }
            if let Some(values) = self.base_values(name, shape)? {
                let tensor = Tensor::from_vec(values, shape, &self.device)?;
                let tensor = tensor.to_dtype(self.frozen_type)?;
                self.lock_frozen().insert(name.to_owned(), tensor.clone());
                return Ok(tensor);
            }
        }
        Ok(self.variable(name, shape, init)?.as_detached_tensor())
    }

    fn base_values(&self, name: &str, shape: &[usize]) -> Result<Option<Vec<f32>>, ModelError> {
        for base in &self.bases {
            if let Some((found, values)) = base.values(name)? {
                expect_shape(name, &found, shape)?;
                return Ok(Some(values));
            }
        }
        Ok(None)
    }

    /// Writes all masters as safetensors, whole or not at all, with texts as metadata.
    ///
    /// # Errors
    /// Whatever the system refuses (a full disk); a file that was there stays.
    pub fn save(&self, path: &Path, metadata: &[(String, String)]) -> Result<(), ModelError> {
        let tensors: Vec<(String, Tensor)> =
            self.masters().into_iter().map(|(name, var)| (name, var.into_inner())).collect();
        Ok(write_safetensors(path, metadata, &tensors)?)
    }

    /// Takes over all tensors of a safetensors file. Networks that exist see the new values of
    /// masters.
    ///
    /// # Errors
    /// When the file cannot be read, or a tensor has another shape than the network wants; then no
    /// value has changed.
    pub fn load(&self, path: &Path) -> Result<(), ModelError> {
        let file = WeightFile::open(path)?;
        if file.format() != Format::Safetensors {
            let reason = format!("{}, not safetensors", file.format());
            return Err(ModelError::Companion { path: path.to_owned(), reason });
        }
        self.load_from(&file)
    }

    /// Takes over all tensors of a file as [`Parameters::load`] does; [changes](super::change_name) are
    /// added to the bases' values.
    ///
    /// # Errors
    /// As there, and when a change is of a tensor that no base has.
    pub fn load_from(&self, file: &WeightFile) -> Result<(), ModelError> {
        let mut masters = self.lock_masters();
        let mut loaded = Vec::with_capacity(file.tensors().len());
        for tensor in file.tensors() {
            let (shape, mut values) = file.floats(&tensor.name)?;
            let changed = changed_name(&tensor.name);
            let name = changed.unwrap_or(&tensor.name);
            if changed.is_some() {
                let base = self.base_values(name, &shape)?;
                let base = base.ok_or_else(|| wrong(name, "a change of what is stored nowhere"))?;
                values.iter_mut().zip(base).for_each(|(value, base)| *value += base);
            }
            if let Some(var) = masters.get(name) {
                expect_shape(name, &shape, var.dims())?;
            }
            loaded.push((name, Tensor::from_vec(values, shape, &self.device)?));
        }
        for (name, tensor) in loaded {
            match masters.get(name) {
                Some(var) => var.set(&tensor)?,
                None => {
                    masters.insert(name.to_owned(), Var::from_tensor(&tensor)?);
                    self.lock_frozen().remove(name);
                }
            }
        }
        Ok(())
    }

    /// Forgets all masters whose names begin so: they begin again when they are asked for.
    pub fn forget(&mut self, prefix: &str) {
        self.lock_masters().retain(|name, _| !name.starts_with(prefix));
    }

    fn lock_masters(&self) -> MutexGuard<'_, BTreeMap<String, Var>> {
        self.masters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_frozen(&self) -> MutexGuard<'_, BTreeMap<String, Tensor>> {
        self.frozen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wrong(name: &str, reason: impl Into<String>) -> ModelError {
    ModelError::Parameter { name: name.to_owned(), reason: reason.into() }
}

fn expect_shape(name: &str, found: &[usize], wanted: &[usize]) -> Result<(), ModelError> {
    if found == wanted {
        return Ok(());
    }
    Err(wrong(name, format!("shape {found:?}, wanted {wanted:?}")))
}
