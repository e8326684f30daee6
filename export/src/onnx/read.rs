//! ONNX files of anyone, looked into: what goes in and out, operators, weights.
//!
//! The message is walked where it lies; of its weights only names, types, shapes and places are kept.
//! Every length is checked against what is there, and everything that is kept has a name, so memory stays
//! below [`OnnxFile::SHARE`] bytes for each of the file's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use partita_model::files::{FileError, Value};
use prost::encoding::decode_varint;

use super::message::{Field, entry, fields, text};

/// What an ONNX file holds.
#[derive(Debug, Default)]
pub struct OnnxFile {
    /// Version of the format.
    pub ir_version: u64,
    /// The program that wrote it, and its version.
    pub producer: String,
    /// Versions of the sets of operators, by their domains (empty for ONNX's own).
    pub operator_sets: BTreeMap<String, u64>,
    /// Notes.
    pub notes: BTreeMap<String, String>,
    /// What the graph takes: name, type and shape.
    pub inputs: Vec<Port>,
    /// What it gives.
    pub outputs: Vec<Port>,
    /// How often each operator occurs, in graphs inside of operators too.
    pub operators: BTreeMap<String, u64>,
    /// Weights: initializers and constants.
    pub tensors: Vec<OnnxTensor>,
    /// Files beside it that hold weights.
    pub beside: BTreeSet<String>,
}

/// An input or an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub kind: String,
    /// `[batch, 80, time]`
    pub shape: String,
}

/// A weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnnxTensor {
    /// Its name; a constant's is that of the value it makes.
    pub name: String,
    /// The type of its elements.
    pub kind: String,
    /// Its shape.
    pub shape: Vec<u64>,
    /// Where its bytes begin, where they are in the file and not beside it or in another form.
    pub offset: Option<u64>,
    /// Its bytes.
    pub bytes: u64,
    /// The file beside that holds its bytes, if one does, and where they begin in it.
    pub beside: Option<(String, u64)>,
}

/// Types of elements by ONNX's numbers, and their bits; texts have none.
const ELEMENTS: [(&str, u64); 25] = [
    ("undefined", 0),
    ("F32", 32),
    ("U8", 8),
    ("I8", 8),
    ("U16", 16),
    ("I16", 16),
    ("I32", 32),
    ("I64", 64),
    ("STRING", 0),
    ("BOOL", 8),
    ("F16", 16),
    ("F64", 64),
    ("U32", 32),
    ("U64", 64),
    ("C64", 64),
    ("C128", 128),
    ("BF16", 16),
    ("F8_E4M3", 8),
    ("F8_E4M3FNUZ", 8),
    ("F8_E5M2", 8),
    ("F8_E5M2FNUZ", 8),
    ("U4", 4),
    ("I4", 4),
    ("F4", 4),
    ("F8_E8M0", 8),
];

/// Graphs inside of operators inside of graphs.
const DEEPEST: usize = 16;
/// Most dimensions of a weight.
const MOST_DIMENSIONS: usize = 16;

impl OnnxFile {
    /// Bytes that looking into a file holds at most for each of its own. Weights of one letter and
    /// nothing else come near.
    pub const SHARE: usize = 96;

    /// Whether the bytes, nine at least, begin as an ONNX file does: with the version of the format.
    /// A safetensors file whose header's length begins alike has `{` for its ninth.
    pub fn looks_like(bytes: &[u8]) -> bool {
        matches!(bytes, [0x08, 1..=100, ..]) && bytes.get(8) != Some(&b'{')
    }

    /// Maps the file and looks into it.
    ///
    /// # Errors
    /// When it cannot be read, is no ONNX, or contradicts itself or its size.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = || path.display().to_string();
        let io = |cause| FileError::Io { path: PathBuf::from(path), cause };
        let file = std::fs::File::open(path).map_err(io)?;
        // SAFETY: the file is only read; one that is cut short meanwhile ends the process, as with
        // every mapped file.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
        Self::parse(&map).with_context(shown)
    }

    /// Looks into the bytes of a file.
    ///
    /// # Errors
    /// When they are no ONNX, or contradict themselves.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut file = Self::default();
        let mut graphs = 0;
        let mut producer = [String::new(), String::new()];
        for field in fields(bytes) {
            match field? {
                (1, Field::Number(version)) => file.ir_version = version,
                (2, Field::Bytes(name)) => producer[0] = text(name)?,
                (3, Field::Bytes(version)) => producer[1] = text(version)?,
                (7, Field::Bytes(graph)) => {
                    ensure!(graphs == 0, "several graphs: no ONNX model");
                    graphs += 1;
                    file.graph(graph, bytes, 0)?;
                }
                (8, Field::Bytes(set)) => {
                    let (domain, version) = operator_set(set)?;
                    file.operator_sets.insert(domain, version);
                }
                (14, Field::Bytes(note)) => {
                    let (key, value) = entry(note)?;
                    file.notes.insert(key, value);
                }
                _ => {}
            }
        }
        ensure!(graphs == 1, "no graph: no ONNX model");
        file.producer = producer.join(" ").trim().to_owned();
        Ok(file)
    }

    /// What is told of it, as keys and values: notes, versions, who wrote it, files beside it.
    pub fn metadata(&self) -> BTreeMap<String, Value> {
        let mut found: BTreeMap<String, Value> =
            self.notes.iter().map(|(key, note)| (key.clone(), note.clone().into())).collect();
        for (domain, version) in &self.operator_sets {
            let key = if domain.is_empty() { "ai.onnx" } else { domain };
            found.insert(format!("opset.{key}"), Value::U64(*version));
        }
        if !self.producer.is_empty() {
            found.insert("producer".to_owned(), self.producer.clone().into());
        }
        if !self.beside.is_empty() {
            let beside: Vec<String> = self.beside.iter().cloned().collect();
            found.insert("external_data".to_owned(), beside.into());
        }
        found
    }

    fn graph(&mut self, graph: &[u8], file: &[u8], depth: usize) -> Result<()> {
        ensure!(depth < DEEPEST, "graphs {DEEPEST} deep");
        for field in fields(graph) {
            match field? {
                (1, Field::Bytes(node)) => self.node(node, file, depth)?,
                (5, Field::Bytes(initializer)) => self.tensor(initializer, None, file)?,
                (11, Field::Bytes(input)) if depth == 0 => self.inputs.push(port(input)?),
                (12, Field::Bytes(output)) if depth == 0 => self.outputs.push(port(output)?),
                _ => {}
            }
        }
        if depth == 0 {
            // Older files list weights among what goes in.
            let weights: BTreeSet<&str> =
                self.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
            self.inputs.retain(|input| !weights.contains(input.name.as_str()));
        }
        Ok(())
    }

    fn node(&mut self, node: &[u8], file: &[u8], depth: usize) -> Result<()> {
        let (mut made, mut name, mut domain) = (None, String::new(), String::new());
        for field in fields(node) {
            match field? {
                (2, Field::Bytes(output)) if made.is_none() => made = Some(text(output)?),
                (4, Field::Bytes(operator)) => name = text(operator)?,
                (7, Field::Bytes(set)) => domain = text(set)?,
                _ => {}
            }
        }
        ensure!(!name.is_empty(), "a node without an operator");
        let name = if domain.is_empty() { name } else { format!("{domain}.{name}") };
        *self.operators.entry(name).or_default() += 1;
        for field in fields(node) {
            let (5, Field::Bytes(attribute)) = field? else { continue };
            for field in fields(attribute) {
                match field? {
                    // One constant is named by what the node makes; lists of them by themselves.
                    (5, Field::Bytes(tensor)) => self.tensor(tensor, made.take(), file)?,
                    (10, Field::Bytes(tensor)) => self.tensor(tensor, None, file)?,
                    (6 | 11, Field::Bytes(graph)) => self.graph(graph, file, depth + 1)?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn tensor(&mut self, tensor: &[u8], made: Option<String>, file: &[u8]) -> Result<()> {
        let (mut name, mut element, mut shape) = (String::new(), 0, Vec::new());
        let (mut raw, mut typed, mut outside) = (None, 0u64, BTreeMap::new());
        for field in fields(tensor) {
            match field? {
                (1, Field::Number(dim)) => shape.push(dim),
                (1, Field::Bytes(mut packed)) => {
                    while !packed.is_empty() && shape.len() <= MOST_DIMENSIONS {
                        shape.push(decode_varint(&mut packed)?);
                    }
                }
                (2, Field::Number(number)) => element = number,
                (8, Field::Bytes(own)) => name = text(own)?,
                (9, Field::Bytes(bytes)) => raw = Some(bytes),
                // Numbers in fields of their types.
                (4..=7 | 10 | 11, Field::Bytes(bytes)) => typed += bytes.len() as u64,
                (4..=7 | 10 | 11, Field::Number(_)) => typed += 1,
                (13, Field::Bytes(place)) => {
                    let (key, value) = entry(place)?;
                    outside.insert(key, value);
                }
                _ => {}
            }
        }
        let name = made.unwrap_or(name);
        ensure!(!name.is_empty(), "weight {} has no name", self.tensors.len());
        let dimensions = shape.len();
        ensure!(
            dimensions <= MOST_DIMENSIONS,
            "weight {name:?} has {dimensions} dimensions or more"
        );
        let known = usize::try_from(element).ok().and_then(|element| ELEMENTS.get(element));
        let (kind, bits) =
            known.map_or((format!("type {element}"), 0), |&(kind, bits)| (kind.to_owned(), bits));
        let elements = shape.iter().try_fold(1u64, |all, &dim| all.checked_mul(dim));
        let wanted = elements.and_then(|elements| elements.checked_mul(bits));
        let wanted = wanted.context("a weight of more elements than can be counted")?.div_ceil(8);
        let bytes = match (raw, outside.get("location")) {
            (_, Some(location)) => {
                self.beside.insert(location.clone());
                wanted
            }
            (Some(raw), None) if bits > 0 && raw.len() as u64 != wanted => {
                bail!("weight {name:?} has {} bytes and should have {wanted}", raw.len())
            }
            (Some(raw), None) => raw.len() as u64,
            (None, None) if bits > 0 => wanted.min(typed.saturating_mul(16)),
            (None, None) => typed,
        };
        let inside = raw.filter(|_| !outside.contains_key("location"));
        let offset = inside.map(|raw| (raw.as_ptr() as usize - file.as_ptr() as usize) as u64);
        let begin = match outside.get("offset") {
            Some(begin) => begin.parse().with_context(|| format!("weight {name:?}: {begin:?}"))?,
            None => 0,
        };
        let beside = outside.remove("location").map(|location| (location, begin));
        self.tensors.push(OnnxTensor { name, kind, shape, offset, bytes, beside });
        Ok(())
    }
}

fn operator_set(message: &[u8]) -> Result<(String, u64)> {
    let (mut domain, mut version) = (String::new(), 0);
    for field in fields(message) {
        match field? {
            (1, Field::Bytes(name)) => domain = text(name)?,
            (2, Field::Number(number)) => version = number,
            _ => {}
        }
    }
    Ok((domain, version))
}

fn port(message: &[u8]) -> Result<Port> {
    let (mut name, mut kind, mut shape) = (String::new(), "?".to_owned(), "?".to_owned());
    for field in fields(message) {
        match field? {
            (1, Field::Bytes(own)) => name = text(own)?,
            (2, Field::Bytes(value)) => {
                for field in fields(value) {
                    let (1, Field::Bytes(tensor)) = field? else { continue };
                    (kind, shape) = tensor_type(tensor)?;
                }
            }
            _ => {}
        }
    }
    ensure!(!name.is_empty(), "an input or output without a name");
    Ok(Port { name, kind, shape })
}

fn tensor_type(message: &[u8]) -> Result<(String, String)> {
    let (mut kind, mut dims) = ("?".to_owned(), None);
    for field in fields(message) {
        match field? {
            (1, Field::Number(element)) => {
                let known = usize::try_from(element).ok().and_then(|at| ELEMENTS.get(at));
                kind = known.map_or(format!("type {element}"), |(kind, _)| (*kind).to_owned());
            }
            (2, Field::Bytes(shape)) => {
                let mut all = Vec::new();
                for field in fields(shape) {
                    let (1, Field::Bytes(dim)) = field? else { continue };
                    let mut extent = "?".to_owned();
                    for field in fields(dim) {
                        match field? {
                            (1, Field::Number(fixed)) => extent = fixed.to_string(),
                            (2, Field::Bytes(name)) => extent = text(name)?,
                            _ => {}
                        }
                    }
                    all.push(extent);
                }
                dims = Some(all);
            }
            _ => {}
        }
    }
    Ok((kind, dims.map_or_else(|| "?".to_owned(), |dims| format!("[{}]", dims.join(", ")))))
}
