//! Where a tensor lies in a file, and the checks that all formats share.

use super::TensorKind;
use super::error::{Fault, shown};

/// No known model has a tenth of this many tensors; it bounds what a hostile file can cost.
pub(super) const MOST_TENSORS: u64 = 1 << 20;

/// Most dimensions that are read, where the format itself allows more.
pub(super) const MOST_DIMS: usize = 8;

/// One stored tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name, as in the file.
    pub name: String,
    /// Dimensions in PyTorch order, outermost first (GGUF's own are reversed); empty for a scalar.
    pub shape: Vec<usize>,
    /// How the elements are stored.
    pub kind: TensorKind,
    /// First byte, counted from the start of the file (of its shard).
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
}

impl TensorInfo {
    /// Number of elements (1 for a scalar), saturating for types of unknown size.
    pub fn elements(&self) -> u64 {
        self.shape.iter().fold(1, |product, &dim| product.saturating_mul(dim as u64))
    }
}

/// The number of bytes that a tensor of this type and shape takes; `None` for types whose blocks
/// are not known. Overflow is an error even where another dimension is zero.
pub(super) fn span(kind: TensorKind, shape: &[usize]) -> Result<Option<u64>, String> {
    let elements = shape
        .iter()
        .try_fold(1usize, |product, &dim| product.checked_mul(dim.max(1)))
        .map(|product| if shape.contains(&0) { 0 } else { product as u64 })
        .ok_or_else(|| format!("shape {shape:?} overflows"))?;
    let Some((block, bytes)) = kind.block() else { return Ok(None) };
    if !elements.is_multiple_of(block) {
        let name = kind.name();
        return Err(format!("{elements} elements are not whole blocks of {block} ({name})"));
    }
    match (elements / block).checked_mul(bytes) {
        Some(span) => Ok(Some(span)),
        None => Err(format!("shape {shape:?} overflows")),
    }
}

/// The tensor of a name, by the positions that [`index_by_name`] gave.
pub(super) fn find(tensors: &[TensorInfo], by_name: &[u32], name: &str) -> Option<usize> {
    let key = |i: &u32| tensors.get(*i as usize).map(|tensor| tensor.name.as_str());
    let place = by_name.binary_search_by(|i| key(i).cmp(&Some(name))).ok()?;
    by_name.get(place).map(|&i| i as usize)
}

/// Positions of the tensors in the order of their names; two of the same name are an error.
pub(super) fn index_by_name(tensors: &[TensorInfo]) -> Result<Vec<u32>, Fault> {
    let mut order: Vec<u32> = (0..tensors.len() as u32).collect();
    let name = |i: &u32| tensors.get(*i as usize).map(|tensor| tensor.name.as_str());
    order.sort_unstable_by_key(name);
    if let Some([first, _]) = order.array_windows().find(|[a, b]| name(a) == name(b)) {
        let tensor = shown(name(first).unwrap_or_default());
        return Err(Fault::new(0, format!("two tensors are named `{tensor}`")));
    }
    Ok(order)
}
