//! A base with what training changed of it, as plain tensors.

use anyhow::Result;
use candle_core::Device;
use partita_model::files::{TensorInfo, WeightFile};
use partita_model::nn::{DeltaSource, FileSource, Precision, WeightSource};

/// Tensors of a base as training left them: replaced ones, and matrices with their low-rank
/// changes added.
pub struct ChangedBase<'a> {
    base: &'a WeightFile,
    trained: &'a WeightFile,
    source: DeltaSource<'a, FileSource<'a>>,
    is_alone: bool,
}

impl<'a> ChangedBase<'a> {
    /// `trained` over `base`.
    ///
    /// # Errors
    /// When the trained file's metadata makes no sense.
    pub fn new(base: &'a WeightFile, trained: &'a WeightFile) -> Result<Self> {
        let source = FileSource::new(base, &Device::Cpu, Precision::Float);
        Ok(Self {
            base,
            trained,
            source: DeltaSource::new(source, trained, &Device::Cpu)?,
            is_alone: false,
        })
    }

    /// A base that nothing was trained over.
    ///
    /// # Errors
    /// As [`ChangedBase::new`].
    pub fn alone(base: &'a WeightFile) -> Result<Self> {
        Ok(Self { is_alone: true, ..Self::new(base, base)? })
    }

    /// The base.
    pub fn base(&self) -> &'a WeightFile {
        self.base
    }

    /// Whether training changed a tensor of the base: what it trained is named after it.
    pub fn is_changed(&self, name: &str) -> bool {
        let changes = |other: &TensorInfo| {
            other
                .name
                .strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        !self.is_alone && self.trained.tensors().iter().any(changes)
    }

    /// Values of a tensor of the base's shape, row by row.
    ///
    /// # Errors
    /// When it is missing or what changes it has another shape.
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        if !self.is_changed(name) {
            return Ok(self.base.floats(name)?.1);
        }
        let shape = &self.base.tensor(name)?.shape;
        let tensor = match (&shape[..], name.strip_suffix(".weight")) {
            (&[outputs, inputs], Some(layer)) => {
                self.source.linear(layer, (outputs, inputs), false)?.weight(&Device::Cpu)?
            }
            _ => self.source.tensor(name, shape)?,
        };
        Ok(tensor.flatten_all()?.to_vec1()?)
    }
}
