//! Writing GGUF version 3, tensor by tensor, so that a model need not sit in memory twice.

use std::collections::HashSet;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use candle_core::quantized::QTensor;
use tempfile::NamedTempFile;

use super::{ALIGNMENT, ALIGNMENT_KEY, MAGIC, MOST_DIMS, VERSION, value_id};
use crate::files::tensor::span;
use crate::files::{Array, FileError, TensorKind, Value, whole};

/// Longest tensor name that llama.cpp loads, in bytes.
const LONGEST_NAME: usize = 63;
const QUANTIZATION_KEY: &str = "general.quantization_version";

/// A tensor to come, announced in the file's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// At most 63 bytes.
    pub name: String,
    /// PyTorch order, at most 4 dimensions; the last must be whole blocks of `kind`.
    pub shape: Vec<usize>,
    /// A type with a ggml id.
    pub kind: TensorKind,
}

/// Writes one GGUF file: header first, then each announced tensor in turn, then
/// [`finish`](Self::finish). Until then everything is in a temporary file of the same folder,
/// which disappears when the writer is dropped: the target appears whole or not at all.
#[derive(Debug)]
pub struct GgufWriter {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
    /// Tensors still to come, the next one last, with their lengths in bytes.
    waiting: Vec<(String, u64)>,
}

impl GgufWriter {
    /// Starts a file at `path` and writes its header. `general.quantization_version` is added
    /// when it is missing and a tensor is quantized.
    ///
    /// # Errors
    /// Doubled or over-long names, shapes that are no whole blocks, types without a ggml id, an
    /// alignment other than 32, and whatever the system refuses.
    pub fn create(
        path: &Path,
        metadata: &[(String, Value)],
        tensors: &[TensorSpec],
    ) -> Result<Self, FileError> {
        check_metadata(path, metadata)?;
        let spans = tensors.iter().map(|spec| check(path, spec)).collect::<Result<Vec<_>, _>>()?;
        let mut names = HashSet::new();
        if let Some(spec) = tensors.iter().find(|spec| !names.insert(spec.name.as_str())) {
            return Err(FileError::tensor(path, &spec.name, "announced twice"));
        }
        let file = whole::beside(path, ".gguf.part").map_err(|cause| FileError::io(path, cause))?;
        let waiting = tensors.iter().zip(&spans).map(|(spec, &span)| (spec.name.clone(), span));
        let mut writer = Self {
            path: path.to_owned(),
            file: BufWriter::with_capacity(1 << 16, file),
            waiting: waiting.rev().collect(),
        };
        let header = header(metadata, tensors, &spans);
        writer.write(&header)?;
        Ok(writer)
    }

    /// Writes the data of the next announced tensor, in the stored type's own byte layout.
    ///
    /// # Errors
    /// Another name or length than announced, and whatever the system refuses (a full disk).
    pub fn tensor(&mut self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        let Some((expected, span)) = self.waiting.pop() else {
            return Err(FileError::tensor(&self.path, name, "not announced"));
        };
        if expected != name {
            let reason = format!("written out of turn, `{expected}` comes next");
            return Err(FileError::tensor(&self.path, name, reason));
        }
        if span != bytes.len() as u64 {
            let reason = format!("{} bytes given, {span} announced", bytes.len());
            return Err(FileError::tensor(&self.path, name, reason));
        }
        self.write(bytes)
    }

    /// Writes the next announced tensor from candle's.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor); data that cannot be fetched from its device.
    pub fn qtensor(&mut self, name: &str, tensor: &QTensor) -> Result<(), FileError> {
        let bytes =
            tensor.data().map_err(|e| FileError::tensor(&self.path, name, e.to_string()))?;
        self.tensor(name, &bytes)
    }

    /// Puts the finished file in its place, replacing one of the same name.
    ///
    /// # Errors
    /// Announced tensors that were never written, and whatever the system refuses.
    pub fn finish(self) -> Result<(), FileError> {
        if let Some((name, _)) = self.waiting.last() {
            return Err(FileError::tensor(&self.path, name, "announced but never written"));
        }
        let path = self.path;
        let file =
            self.file.into_inner().map_err(|error| FileError::io(&path, error.into_error()))?;
        whole::place(file, &path).map_err(|cause| FileError::io(&path, cause))
    }

    /// Writes bytes and pads them to the alignment.
    fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let padding = bytes.len().next_multiple_of(ALIGNMENT as usize) - bytes.len();
        let mut put = || -> io::Result<()> {
            self.file.write_all(bytes)?;
            self.file.write_all([0; ALIGNMENT as usize].get(..padding).unwrap_or_default())
        };
        put().map_err(|cause| FileError::io(&self.path, cause))
    }
}

/// Writes a whole file from candle's tensors, in the order given.
///
/// # Errors
/// As [`GgufWriter`]'s; nothing is left at `path` or beside it, and a file that was there stays.
pub fn write_gguf(
    path: &Path,
    metadata: &[(String, Value)],
    tensors: &[(&str, &QTensor)],
) -> Result<(), FileError> {
    let spec = |(name, tensor): &(&str, &QTensor)| TensorSpec {
        name: (*name).to_owned(),
        shape: tensor.shape().dims().to_vec(),
        kind: tensor.dtype().into(),
    };
    let specs: Vec<_> = tensors.iter().map(spec).collect();
    let mut writer = GgufWriter::create(path, metadata, &specs)?;
    for (name, tensor) in tensors {
        writer.qtensor(name, tensor)?;
    }
    writer.finish()
}

fn check_metadata(path: &Path, metadata: &[(String, Value)]) -> Result<(), FileError> {
    let mut keys = HashSet::new();
    for (key, value) in metadata {
        let wrong = |reason| Err(FileError::metadata(path, key, reason));
        if !keys.insert(key.as_str()) {
            return wrong("given twice");
        }
        if key.is_empty() || key.len() > 65_535 {
            return wrong("a key has 1 to 65535 bytes");
        }
        if key == ALIGNMENT_KEY && *value != Value::U32(ALIGNMENT as u32) {
            return wrong("only an alignment of 32 (u32) is written");
        }
    }
    Ok(())
}

/// Checks one announcement and gives the tensor's length in bytes.
fn check(path: &Path, spec: &TensorSpec) -> Result<u64, FileError> {
    let fault = |reason: String| FileError::tensor(path, &spec.name, reason);
    if spec.name.is_empty() || spec.name.len() > LONGEST_NAME {
        return Err(fault(format!("a name has 1 to {LONGEST_NAME} bytes")));
    }
    if spec.shape.len() > MOST_DIMS {
        return Err(fault(format!("{} dimensions, more than {MOST_DIMS}", spec.shape.len())));
    }
    if spec.shape.contains(&0) {
        return Err(fault("a dimension is 0".to_owned()));
    }
    let kind = spec.kind.name();
    let (Some(_), Some((block, _))) = (spec.kind.ggml(), spec.kind.block()) else {
        return Err(fault(format!("{kind} cannot be written to GGUF")));
    };
    let row = spec.shape.last().copied().unwrap_or(1) as u64;
    if !row.is_multiple_of(block) {
        return Err(fault(format!("rows of {row} are not whole blocks of {block} ({kind})")));
    }
    span(spec.kind, &spec.shape).map_err(fault)?.ok_or_else(|| fault(format!("unknown {kind}")))
}

fn header(metadata: &[(String, Value)], tensors: &[TensorSpec], spans: &[u64]) -> Vec<u8> {
    let quantization = (QUANTIZATION_KEY.to_owned(), Value::U32(2));
    let needed = tensors.iter().any(|spec| spec.kind.is_quantized())
        && !metadata.iter().any(|(key, _)| key == QUANTIZATION_KEY);
    let added = needed.then_some(&quantization);

    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64 + u64::from(needed)).to_le_bytes());
    for (key, value) in metadata.iter().chain(added) {
        put_string(&mut out, key);
        put_value(&mut out, value);
    }
    let mut offset = 0u64;
    for (spec, span) in tensors.iter().zip(spans) {
        put_string(&mut out, &spec.name);
        out.extend((spec.shape.len() as u32).to_le_bytes());
        for &dim in spec.shape.iter().rev() {
            out.extend((dim as u64).to_le_bytes());
        }
        out.extend(spec.kind.ggml().unwrap_or(u32::MAX).to_le_bytes());
        out.extend(offset.to_le_bytes());
        offset = offset.saturating_add(*span).next_multiple_of(ALIGNMENT);
    }
    out
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    macro_rules! plain {
        ($id:ident, $value:expr) => {{
            out.extend(value_id::$id.to_le_bytes());
            out.extend($value.to_le_bytes());
        }};
    }
    match value {
        Value::U8(v) => plain!(U8, v),
        Value::I8(v) => plain!(I8, v),
        Value::U16(v) => plain!(U16, v),
        Value::I16(v) => plain!(I16, v),
        Value::U32(v) => plain!(U32, v),
        Value::I32(v) => plain!(I32, v),
        Value::U64(v) => plain!(U64, v),
        Value::I64(v) => plain!(I64, v),
        Value::F32(v) => plain!(F32, v),
        Value::F64(v) => plain!(F64, v),
        Value::Bool(v) => plain!(BOOL, u8::from(*v)),
        Value::String(v) => {
            out.extend(value_id::STRING.to_le_bytes());
            put_string(out, v);
        }
        Value::Array(v) => {
            out.extend(value_id::ARRAY.to_le_bytes());
            put_array(out, v);
        }
    }
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    macro_rules! plain {
        ($id:ident, $items:expr) => {{
            out.extend(value_id::$id.to_le_bytes());
            out.extend(($items.len() as u64).to_le_bytes());
            $items.iter().for_each(|v| out.extend(v.to_le_bytes()));
        }};
    }
    match array {
        Array::U8(items) => plain!(U8, items),
        Array::I8(items) => plain!(I8, items),
        Array::U16(items) => plain!(U16, items),
        Array::I16(items) => plain!(I16, items),
        Array::U32(items) => plain!(U32, items),
        Array::I32(items) => plain!(I32, items),
        Array::U64(items) => plain!(U64, items),
        Array::I64(items) => plain!(I64, items),
        Array::F32(items) => plain!(F32, items),
        Array::F64(items) => plain!(F64, items),
        Array::Bool(items) => {
            plain!(BOOL, items.iter().map(|&v| u8::from(v)).collect::<Vec<_>>());
        }
        Array::String(items) => {
            out.extend(value_id::STRING.to_le_bytes());
            out.extend((items.len() as u64).to_le_bytes());
            items.iter().for_each(|item| put_string(out, item));
        }
    }
}
