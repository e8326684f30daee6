//! Totals of a file's tensors.

use std::collections::BTreeMap;

use super::{TensorInfo, TensorKind};

/// Totals of one element type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KindTotal {
    /// Number of tensors.
    pub tensors: u64,
    /// Number of elements.
    pub parameters: u64,
    /// Stored bytes, padding between tensors not counted.
    pub bytes: u64,
}

impl KindTotal {
    fn add(&mut self, tensor: &TensorInfo) {
        self.tensors += 1;
        self.parameters = self.parameters.saturating_add(tensor.elements());
        self.bytes = self.bytes.saturating_add(tensor.bytes);
    }
}

/// Totals over all tensors, and by type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Over all tensors.
    pub total: KindTotal,
    /// The same for each type that occurs.
    pub by_kind: BTreeMap<TensorKind, KindTotal>,
}

impl Summary {
    /// Adds up a list of tensors. Aliases (tied weights) are no tensors of their own.
    pub fn of(tensors: &[TensorInfo]) -> Self {
        let mut summary = Self::default();
        for tensor in tensors {
            summary.total.add(tensor);
            summary.by_kind.entry(tensor.kind).or_default().add(tensor);
        }
        summary
    }
}
