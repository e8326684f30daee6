//! One door to all formats.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Tensor};
use memmap2::Mmap;

use super::error::{Fault, shown};
use super::tensor::{find, index_by_name};
use super::{FileError, TensorInfo, TensorKind, Value};
use super::{ctranslate2, decode, gguf, safetensors};

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// ggml's container, of this version.
    Gguf(u32),
    /// safetensors, one file or several shards.
    Safetensors,
    /// CTranslate2's `model.bin`.
    CTranslate2,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gguf(version) => write!(f, "GGUF v{version}"),
            Self::Safetensors => f.write_str("safetensors"),
            Self::CTranslate2 => f.write_str("CTranslate2"),
        }
    }
}

/// An opened weight file (or a folder of shards): header read and checked, data mapped.
///
/// The mapping trusts that no other program shortens the file while it is open, as every reader
/// by mapping does; files of the model store are never written in place.
#[derive(Debug)]
pub struct WeightFile {
    pub(super) path: PathBuf,
    format: Format,
    pub(super) metadata: BTreeMap<String, Value>,
    pub(super) tensors: Vec<TensorInfo>,
    /// Positions in `tensors` in the order of names.
    pub(super) by_name: Vec<u32>,
    aliases: BTreeMap<String, String>,
    pub(super) parts: Vec<Part>,
}

/// One mapped file.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    pub(super) map: Mmap,
    /// Position of its first tensor; tensors of one part are neighbours.
    pub(super) first: usize,
}

impl WeightFile {
    /// Opens a file, telling its format by its content, or a folder that holds
    /// `model.safetensors`, `model.safetensors.index.json` with its shards, or CTranslate2's
    /// `model.bin`. Of a GGUF file in shards, the first one stands for all. Only headers are read.
    ///
    /// # Errors
    /// Whatever the system refuses, unknown formats, and files that contradict their format or
    /// their own length.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let io = |cause| FileError::io(path, cause);
        if fs::metadata(path).map_err(io)?.is_dir() {
            let known = ["model.safetensors", "model.safetensors.index.json", "model.bin"];
            let Some(found) = known.iter().map(|n| path.join(n)).find(|file| file.exists()) else {
                let reason = format!("a folder without {}", known.join(", "));
                return Err(FileError::Unrecognized { path: path.to_owned(), reason });
            };
            return Self::open(&found);
        }
        if path.to_string_lossy().ends_with(".safetensors.index.json") {
            return Self::open_shards(path);
        }
        Self::open_one(path)?.with_shards()
    }

    /// One file, whatever others belong to it.
    pub(super) fn open_one(path: &Path) -> Result<Self, FileError> {
        let map = map(path)?;
        let mut file = Self {
            path: path.to_owned(),
            format: Format::Safetensors,
            metadata: BTreeMap::new(),
            tensors: Vec::new(),
            by_name: Vec::new(),
            aliases: BTreeMap::new(),
            parts: Vec::new(),
        };
        let fault = |fault: Fault| fault.in_file(path);
        if map.starts_with(gguf::MAGIC) {
            let header = gguf::parse(&map).map_err(fault)?;
            file.format = Format::Gguf(header.version);
            (file.metadata, file.tensors) = (header.metadata, header.tensors);
        } else if safetensors::looks_like(&map) {
            let header = safetensors::parse(&map).map_err(fault)?;
            (file.metadata, file.tensors) = (header.metadata, header.tensors);
        } else if ctranslate2::looks_like(&map) {
            let header = ctranslate2::parse(&map).map_err(fault)?;
            file.format = Format::CTranslate2;
            (file.metadata, file.tensors) = (header.metadata, header.tensors);
            file.aliases = header.aliases;
        } else {
            let reason = unrecognized(&map).to_owned();
            return Err(FileError::Unrecognized { path: path.to_owned(), reason });
        }
        file.by_name = index_by_name(&file.tensors).map_err(fault)?;
        file.parts.push(Part { path: path.to_owned(), map, first: 0 });
        Ok(file)
    }

    /// The file that was opened; inside a folder, the one that was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All files of it: the one of [`WeightFile::path`], or its shards in order.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.parts.iter().map(|part| part.path.as_path())
    }

    /// The format found.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Typed metadata, by key.
    pub fn metadata(&self) -> &BTreeMap<String, Value> {
        &self.metadata
    }

    fn metadata_as<'a, T>(
        &'a self,
        key: &str,
        what: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<T, FileError> {
        let fault = |reason| FileError::metadata(&self.path, key, reason);
        let value = self.metadata.get(key).ok_or_else(|| fault("missing".to_owned()))?;
        read(value).ok_or_else(|| fault(format!("is not {what}")))
    }

    /// A key that must hold a non-negative integer of any width.
    ///
    /// # Errors
    /// The key is missing or of another type.
    pub fn metadata_u64(&self, key: &str) -> Result<u64, FileError> {
        self.metadata_as(key, "a non-negative integer", Value::as_u64)
    }

    /// A key that must hold a floating-point number.
    ///
    /// # Errors
    /// The key is missing or of another type.
    pub fn metadata_f64(&self, key: &str) -> Result<f64, FileError> {
        self.metadata_as(key, "a number", Value::as_f64)
    }

    /// A key that must hold a string.
    ///
    /// # Errors
    /// The key is missing or of another type.
    pub fn metadata_str(&self, key: &str) -> Result<&str, FileError> {
        self.metadata_as(key, "a string", Value::as_str)
    }

    /// All stored tensors, in the file's order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// Second names of stored tensors (tied weights), to their targets. CTranslate2 only.
    pub fn aliases(&self) -> &BTreeMap<String, String> {
        &self.aliases
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        let name = self.aliases.get(name).map_or(name, String::as_str);
        find(&self.tensors, &self.by_name, name)
    }

    pub(super) fn part(&self, tensor: usize) -> Option<&Part> {
        self.parts.iter().rev().find(|part| part.first <= tensor)
    }

    /// Whether a tensor (or alias) of this name is there.
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// A tensor by name or alias.
    ///
    /// # Errors
    /// There is none.
    pub fn tensor(&self, name: &str) -> Result<&TensorInfo, FileError> {
        Ok(self.stored(name)?.0)
    }

    fn stored(&self, name: &str) -> Result<(&TensorInfo, &[u8]), FileError> {
        let found = || {
            let index = self.find(name)?;
            let (tensor, part) = (self.tensors.get(index)?, self.part(index)?);
            let end = usize::try_from(tensor.offset.checked_add(tensor.bytes)?).ok()?;
            Some((tensor, part.map.get(tensor.offset as usize..end)?))
        };
        found()
            .ok_or_else(|| FileError::MissingTensor { path: self.path.clone(), name: shown(name) })
    }

    /// A tensor's bytes as stored, borrowed from the mapping. Only GGUF aligns them.
    ///
    /// # Errors
    /// There is no such tensor.
    pub fn bytes(&self, name: &str) -> Result<&[u8], FileError> {
        Ok(self.stored(name)?.1)
    }

    /// A tensor's shape and its elements as `f32`, row-major: widened, or decoded from ggml's
    /// blocks. Integers come as they are, without any scale kept elsewhere in the file.
    ///
    /// # Errors
    /// There is no such tensor, or its type cannot be decoded.
    pub fn floats(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>), FileError> {
        let (tensor, bytes) = self.stored(name)?;
        let floats = decode::floats(tensor.kind, bytes)
            .map_err(|reason| FileError::tensor(&self.path, name, reason))?;
        Ok((tensor.shape.clone(), floats))
    }

    /// One row of a matrix as stored.
    ///
    /// # Errors
    /// There is no such tensor, it is no matrix, or it has no such row.
    pub fn row_bytes(&self, name: &str, row: u32) -> Result<&[u8], FileError> {
        let (tensor, bytes) = self.stored(name)?;
        let wrong = |reason| FileError::tensor(&self.path, name, reason);
        let [rows, _] = tensor.shape[..] else {
            return Err(wrong(format!("shape {:?} is no matrix", tensor.shape)));
        };
        let length = bytes.len() / rows.max(1);
        let start = (row as usize).checked_mul(length);
        start
            .filter(|_| length * rows == bytes.len() && (row as usize) < rows)
            .and_then(|start| bytes.get(start..start + length))
            .ok_or_else(|| wrong(format!("no row {row} of {rows}")))
    }

    /// Some rows of a matrix as `f32`, one after the other; only they are decoded.
    ///
    /// # Errors
    /// There is no such tensor, it is no matrix, its type cannot be decoded, or a row is beyond it.
    pub fn rows(&self, name: &str, rows: &[u32]) -> Result<Vec<f32>, FileError> {
        let (tensor, _) = self.stored(name)?;
        let mut floats = Vec::with_capacity(rows.len() * tensor.shape.last().unwrap_or(&0));
        for &row in rows {
            let row = decode::floats(tensor.kind, self.row_bytes(name, row)?)
                .map_err(|reason| FileError::tensor(&self.path, name, reason))?;
            floats.extend(row);
        }
        Ok(floats)
    }

    /// A tensor for candle's quantized layers. GGUF keeps the stored type (F32, F16, BF16 and the
    /// quantized ones); everything else becomes F32. A scalar gets the shape `[1]`.
    ///
    /// # Errors
    /// There is no such tensor, its type cannot be decoded, or the device refuses it.
    pub fn qtensor(&self, name: &str, device: &Device) -> Result<QTensor, FileError> {
        let (tensor, bytes) = self.stored(name)?;
        let shape = if tensor.shape.is_empty() { vec![1] } else { tensor.shape.clone() };
        let stored = matches!(self.format, Format::Gguf(_)).then(|| tensor.kind.candle());
        let made = match stored.flatten() {
            Some(dtype) => QStorage::from_data(Cow::Borrowed(bytes), device, dtype)
                .and_then(|storage| QTensor::new(storage, shape)),
            None => {
                let (_, floats) = self.floats(name)?;
                Tensor::from_vec(floats, shape, &Device::Cpu)
                    .and_then(|floats| QTensor::quantize_onto(&floats, GgmlDType::F32, device))
            }
        };
        made.map_err(|error| FileError::tensor(&self.path, name, error.to_string()))
    }

    /// How many tensors are stored in types that cannot be decoded here.
    pub fn undecodable(&self) -> usize {
        let readable = |kind: TensorKind| decode::floats(kind, &[]).is_ok();
        self.tensors.iter().filter(|tensor| !readable(tensor.kind)).count()
    }
}

/// Maps a file that is there and not empty.
pub(super) fn map(path: &Path) -> Result<Mmap, FileError> {
    let io = |cause| FileError::io(path, cause);
    let file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(io(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    if metadata.len() == 0 {
        return Err(io(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is empty")));
    }
    // SAFETY: the mapping is read-only, and is sound as long as no other program shortens the
    // file; the type's documentation says so.
    unsafe { Mmap::map(&file) }.map_err(io)
}

/// Names what a file is that is none of ours, for the common mistakes.
fn unrecognized(bytes: &[u8]) -> &'static str {
    if bytes.starts_with(b"PK\x03\x04") {
        "a zip archive (a PyTorch checkpoint or a wheel?); GGUF, safetensors or CTranslate2 wanted"
    } else if bytes.starts_with(b"lmgg") {
        "a legacy ggml file (whisper.cpp's); GGUF, safetensors or CTranslate2 wanted"
    } else if bytes.starts_with(b"version https://git-lfs") {
        "a Git LFS pointer: the weights themselves were not downloaded"
    } else if bytes.starts_with(b"<!") || bytes.starts_with(b"<html") {
        "a web page: the weights themselves were not downloaded"
    } else {
        "neither GGUF, safetensors nor CTranslate2"
    }
}
