//! One side of a comparison of files: weights in any format, or a graph with its weights.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, ensure};
use half::{bf16, f16};
use memmap2::Mmap;
use partita_model::files::{Value, WeightFile};

use crate::onnx::{OnnxFile, OnnxTensor};

/// A tensor by its name, its shape in PyTorch order, and its type as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its type.
    pub kind: String,
}

/// What can be compared with another.
pub trait Side: Sync {
    /// The file.
    fn path(&self) -> &Path;

    /// Its keys and values.
    fn metadata(&self) -> &BTreeMap<String, Value>;

    /// Its tensors, in the file's order.
    fn entries(&self) -> Vec<Entry>;

    /// A tensor's bytes as they are stored; `None` where they lie otherwise than as bytes.
    fn bytes(&self, name: &str) -> Option<&[u8]>;

    /// Elements of some rows of a matrix, of all of it without; `None` where the type cannot be
    /// decoded.
    fn floats(&self, name: &str, rows: Option<Range<usize>>) -> Option<Vec<f32>>;
}

/// Opens weights, or a graph: what [`crate::inspect::Listing::open`] opens.
///
/// # Errors
/// When it cannot be read, is of no known format, or contradicts itself.
pub fn open(path: &Path) -> Result<Box<dyn Side>> {
    Ok(match is_graph(path) {
        true => Box::new(Graph::open(path)?),
        false => Box::new(WeightFile::open(path)?),
    })
}

/// Whether a file begins as an ONNX graph does.
pub fn is_graph(path: &Path) -> bool {
    let mut start = Vec::new();
    if path.is_file()
        && let Ok(file) = File::open(path)
    {
        // Where it cannot be read, opening it says so.
        let _ = file.take(9).read_to_end(&mut start);
    }
    OnnxFile::looks_like(&start)
}

impl Side for WeightFile {
    fn path(&self) -> &Path {
        self.path()
    }

    fn metadata(&self) -> &BTreeMap<String, Value> {
        self.metadata()
    }

    fn entries(&self) -> Vec<Entry> {
        let entry = |tensor: &partita_model::files::TensorInfo| Entry {
            name: tensor.name.clone(),
            shape: tensor.shape.clone(),
            kind: tensor.kind.name(),
        };
        self.tensors().iter().map(entry).collect()
    }

    fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.bytes(name).ok()
    }

    fn floats(&self, name: &str, rows: Option<Range<usize>>) -> Option<Vec<f32>> {
        let Some(rows) = rows else { return Some(self.floats(name).ok()?.1) };
        let rows: Vec<u32> = rows.map(|row| row as u32).collect();
        self.rows(name, &rows).ok()
    }
}

/// An ONNX graph: its weights by name, and as keys what it takes, gives, and is made of.
struct Graph {
    path: PathBuf,
    metadata: BTreeMap<String, Value>,
    tensors: Vec<OnnxTensor>,
    places: BTreeMap<String, usize>,
    map: Mmap,
    /// Files beside it, by their names in it.
    beside: BTreeMap<String, Mmap>,
}

impl Graph {
    fn open(path: &Path) -> Result<Self> {
        let file = OnnxFile::open(path)?;
        let mut metadata = file.metadata();
        for (title, ports) in [("input", &file.inputs), ("output", &file.outputs)] {
            for port in ports {
                let value = format!("{} {}", port.kind, port.shape);
                metadata.insert(format!("{title}.{}", port.name), value.into());
            }
        }
        for (operator, count) in &file.operators {
            metadata.insert(format!("operator.{operator}"), Value::U64(*count));
        }
        let mut beside = BTreeMap::new();
        for name in &file.beside {
            let inside =
                Path::new(name).components().all(|one| matches!(one, Component::Normal(_)));
            ensure!(inside, "{}: weights at {name:?}, which is elsewhere", path.display());
            let other = path.parent().unwrap_or(Path::new("")).join(name);
            beside.insert(name.clone(), map(&other)?);
        }
        let places = file.tensors.iter().enumerate().map(|(at, one)| (one.name.clone(), at));
        let places = places.collect();
        Ok(Self {
            path: path.to_owned(),
            metadata,
            places,
            tensors: file.tensors,
            map: map(path)?,
            beside,
        })
    }

    fn tensor(&self, name: &str) -> Option<&OnnxTensor> {
        self.tensors.get(*self.places.get(name)?)
    }
}

fn map(path: &Path) -> Result<Mmap> {
    let shown = || path.display().to_string();
    let file = File::open(path).with_context(shown)?;
    // SAFETY: the file is only read; one that is cut short meanwhile ends the process, as with every
    // mapped file.
    unsafe { Mmap::map(&file) }.with_context(shown)
}

impl Side for Graph {
    fn path(&self) -> &Path {
        &self.path
    }

    fn metadata(&self) -> &BTreeMap<String, Value> {
        &self.metadata
    }

    fn entries(&self) -> Vec<Entry> {
        let entry = |tensor: &OnnxTensor| Entry {
            name: tensor.name.clone(),
            shape: tensor.shape.iter().map(|&dim| dim as usize).collect(),
            kind: tensor.kind.clone(),
        };
        self.tensors.iter().map(entry).collect()
    }

    fn bytes(&self, name: &str) -> Option<&[u8]> {
        let tensor = self.tensor(name)?;
        let (bytes, start) = match &tensor.beside {
            Some((file, start)) => (&self.beside.get(file)?[..], *start),
            None => (&self.map[..], tensor.offset?),
        };
        let start = usize::try_from(start).ok()?;
        bytes.get(start..start.checked_add(usize::try_from(tensor.bytes).ok()?)?)
    }

    fn floats(&self, name: &str, rows: Option<Range<usize>>) -> Option<Vec<f32>> {
        let tensor = self.tensor(name)?;
        let bytes = self.bytes(name)?;
        let Some(rows) = rows else { return decode(&tensor.kind, bytes) };
        let all = usize::try_from(*tensor.shape.first()?).ok()?.max(1);
        let row = bytes.len() / all;
        decode(&tensor.kind, bytes.get(rows.start.checked_mul(row)?..rows.end.checked_mul(row)?)?)
    }
}

/// Numbers of a type that fills whole bytes.
fn decode(kind: &str, bytes: &[u8]) -> Option<Vec<f32>> {
    fn numbers<const N: usize>(bytes: &[u8], number: fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks().0.iter().map(|&bytes| number(bytes)).collect()
    }
    Some(match kind {
        "F32" => numbers(bytes, f32::from_le_bytes),
        "F16" => numbers(bytes, |b| f16::from_le_bytes(b).to_f32()),
        "BF16" => numbers(bytes, |b| bf16::from_le_bytes(b).to_f32()),
        "F64" => numbers(bytes, |b| f64::from_le_bytes(b) as f32),
        "I8" => numbers(bytes, |b| i8::from_le_bytes(b).into()),
        "U8" | "BOOL" => numbers(bytes, |[b]| b.into()),
        "I32" => numbers(bytes, |b| i32::from_le_bytes(b) as f32),
        "I64" => numbers(bytes, |b| i64::from_le_bytes(b) as f32),
        _ => return None,
    })
}
