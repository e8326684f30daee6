//! Writing safetensors.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use ::safetensors::Dtype;
use ::safetensors::tensor::TensorView;
use candle_core::{DType, Device, Tensor};

use super::{FileError, whole};

/// Writes tensors, those of f16 as they are and all others as f32, in the order of their names, with
/// texts as metadata.
///
/// # Errors
/// Doubled names or keys, data that cannot be fetched from its device, and whatever the system
/// refuses; nothing is left at `path` or beside it then, and a file that was there stays.
pub fn write_safetensors(
    path: &Path,
    metadata: &[(String, String)],
    tensors: &[(String, Tensor)],
) -> Result<(), FileError> {
    let mut stored = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let wrong = |error: candle_core::Error| FileError::tensor(path, name, error.to_string());
        let fetch = || tensor.to_device(&Device::Cpu)?.flatten_all();
        let (dtype, bytes) = match tensor.dtype() {
            DType::F16 => {
                let values = fetch().and_then(|t| t.to_vec1::<half::f16>()).map_err(wrong)?;
                (Dtype::F16, values.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
            _ => {
                let fetch = || fetch()?.to_dtype(DType::F32)?.to_vec1::<f32>();
                let values = fetch().map_err(wrong)?;
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                (Dtype::F32, bytes)
            }
        };
        stored.push((name.as_str(), tensor.dims().to_vec(), dtype, bytes));
    }
    stored.sort_by_key(|(name, ..)| *name);
    if let Some([(name, ..), _]) = stored.array_windows().find(|[(a, ..), (b, ..)]| a == b) {
        return Err(FileError::tensor(path, name, "given twice"));
    }
    let mut views = Vec::with_capacity(stored.len());
    for (name, shape, dtype, bytes) in &stored {
        let view = TensorView::new(*dtype, shape.clone(), bytes);
        let view = view.map_err(|error| FileError::tensor(path, name, error.to_string()))?;
        views.push((*name, view));
    }
    let texts: HashMap<String, String> = metadata.iter().cloned().collect();
    if texts.len() < metadata.len() {
        return Err(FileError::metadata(path, "(header)", "a key is given twice"));
    }
    // The crate's own writer of files neither syncs them nor gives them the usual rights.
    let info = (!texts.is_empty()).then_some(texts);
    let bytes = ::safetensors::serialize(views, info)
        .map_err(|error| FileError::io(path, io::Error::other(error.to_string())))?;
    let mut file =
        whole::beside(path, ".safetensors.part").map_err(|cause| FileError::io(path, cause))?;
    file.write_all(&bytes).map_err(|cause| FileError::io(path, cause))?;
    whole::place(file, path).map_err(|cause| FileError::io(path, cause))
}
