//! safetensors: a u64 header length, a JSON header, the tensors' bytes without gaps.
//!
//! The `safetensors` crate supplies the element types. Its own header reader is not used: it
//! takes the last of two tensors of one name, does not name the tensor at fault, and buffers the
//! header several times over. A test compares the two readers' verdicts on damaged files.

use std::collections::BTreeMap;
use std::fmt;

use ::safetensors::Dtype;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::error::{Fault, shown};
use super::tensor::{MOST_DIMS, MOST_TENSORS, span};
use super::{TensorInfo, TensorKind, Value};

/// Longest header, as in the reference implementation.
const LONGEST_HEADER: u64 = 100_000_000;
const LENGTH_FIELD: u64 = 8;
const MOST_KEYS: usize = 1 << 16;

#[derive(Default)]
pub(super) struct Header {
    pub metadata: BTreeMap<String, Value>,
    /// In the order of their bytes; offsets are from the start of the file, and inside it.
    pub tensors: Vec<TensorInfo>,
}

/// Whether bytes begin as such a file does: a length, then JSON.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    bytes.get(LENGTH_FIELD as usize) == Some(&b'{')
}

/// Reads the header of a whole file's bytes and checks every tensor's place in it.
pub(super) fn parse(bytes: &[u8]) -> Result<Header, Fault> {
    let mut cursor = super::cursor::Cursor::new(bytes);
    let length = cursor.u64("header length")?;
    if length > LONGEST_HEADER {
        let reason = format!("header of {length} bytes declared, more than {LONGEST_HEADER}");
        return Err(Fault::new(0, reason));
    }
    let json = cursor.text(length, "header")?;
    let mut header: Header = serde_json::from_str(json)
        .map_err(|error| Fault::new(LENGTH_FIELD, format!("header: {error}")))?;
    place(&mut header.tensors, cursor.at(), cursor.left())?;
    Ok(header)
}

/// Checks that tensors follow each other without gaps to the end of the file, each as long as
/// its type and shape say, and turns offsets into places in the file.
fn place(tensors: &mut [TensorInfo], start: u64, available: u64) -> Result<(), Fault> {
    tensors.sort_by_key(|tensor| (tensor.offset, tensor.bytes));
    let mut end = 0;
    for tensor in tensors {
        let fault = |reason: String| {
            Fault::new(LENGTH_FIELD, format!("tensor `{}`: {reason}", shown(&tensor.name)))
        };
        let (first, length) = (tensor.offset, tensor.bytes);
        if first != end {
            return Err(fault(format!("begins at byte {first} of the data, not at {end}")));
        }
        if length > available - end {
            let left = available - end;
            return Err(fault(format!("needs {length} bytes at {first} of the data, {left} left")));
        }
        let needed = span(tensor.kind, &tensor.shape).map_err(fault)?;
        if needed != Some(length) {
            return Err(fault(format!(
                "{length} bytes declared, {} of shape {:?} takes {}",
                tensor.kind,
                tensor.shape,
                needed.unwrap_or_default()
            )));
        }
        end += length;
        tensor.offset = start + first;
    }
    if end != available {
        let reason = format!("the tensors take {end} bytes, the file has {available} for them");
        return Err(Fault::new(start + end, reason));
    }
    Ok(())
}

/// One tensor of the header.
#[derive(serde::Deserialize)]
struct Entry {
    dtype: Dtype,
    shape: Shape,
    data_offsets: (u64, u64),
}

/// Dimensions, refused beyond a few before they are collected.
struct Shape(Vec<usize>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Dims;
        impl<'de> Visitor<'de> for Dims {
            type Value = Shape;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MOST_DIMS} dimensions")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut dims: A) -> Result<Shape, A::Error> {
                let mut shape = Vec::new();
                while let Some(dim) = dims.next_element()? {
                    if shape.len() == MOST_DIMS {
                        return Err(A::Error::invalid_length(shape.len() + 1, &self));
                    }
                    shape.push(dim);
                }
                Ok(Shape(shape))
            }
        }
        deserializer.deserialize_seq(Dims)
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header::default();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        if !header.metadata.is_empty() {
                            return Err(A::Error::duplicate_field("__metadata__"));
                        }
                        let strings = map.next_value::<Option<Strings>>()?;
                        header.metadata = strings.map_or_else(BTreeMap::new, |strings| strings.0);
                        continue;
                    }
                    if header.tensors.len() as u64 == MOST_TENSORS {
                        return Err(A::Error::custom(format!("more than {MOST_TENSORS} tensors")));
                    }
                    let wrong = |reason: String| {
                        A::Error::custom(format!("tensor `{}`: {reason}", shown(&name)))
                    };
                    let entry: Entry = map.next_value().map_err(|e| wrong(e.to_string()))?;
                    let (first, end) = entry.data_offsets;
                    let bytes = end.checked_sub(first).ok_or_else(|| {
                        wrong(format!("ends at {end} before it begins at {first}"))
                    })?;
                    let kind = kind(entry.dtype)
                        .ok_or_else(|| wrong(format!("type {:?} is not read", entry.dtype)))?;
                    let shape = entry.shape.0;
                    header.tensors.push(TensorInfo { name, shape, kind, offset: first, bytes });
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// The free-form metadata: strings only, no key twice.
struct Strings(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Strings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Strings;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strings, A::Error> {
                let mut pairs = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    if pairs.len() == MOST_KEYS {
                        return Err(A::Error::custom(format!("more than {MOST_KEYS} keys")));
                    }
                    let name = shown(&key);
                    if pairs.insert(key, Value::String(value)).is_some() {
                        return Err(A::Error::custom(format!("key `{name}` occurs twice")));
                    }
                }
                Ok(Strings(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

fn kind(dtype: Dtype) -> Option<TensorKind> {
    Some(match dtype {
        Dtype::BOOL => TensorKind::Bool,
        Dtype::F4 => TensorKind::F4,
        Dtype::F6_E2M3 => TensorKind::F6_E2M3,
        Dtype::F6_E3M2 => TensorKind::F6_E3M2,
        Dtype::U8 => TensorKind::U8,
        Dtype::I8 => TensorKind::I8,
        Dtype::F8_E5M2 => TensorKind::F8_E5M2,
        Dtype::F8_E4M3 => TensorKind::F8_E4M3,
        Dtype::F8_E8M0 => TensorKind::F8_E8M0,
        Dtype::F8_E4M3FNUZ => TensorKind::F8_E4M3FNUZ,
        Dtype::F8_E5M2FNUZ => TensorKind::F8_E5M2FNUZ,
        Dtype::I16 => TensorKind::I16,
        Dtype::U16 => TensorKind::U16,
        Dtype::F16 => TensorKind::F16,
        Dtype::BF16 => TensorKind::BF16,
        Dtype::I32 => TensorKind::I32,
        Dtype::U32 => TensorKind::U32,
        Dtype::F32 => TensorKind::F32,
        Dtype::C64 => TensorKind::C64,
        Dtype::F64 => TensorKind::F64,
        Dtype::I64 => TensorKind::I64,
        Dtype::U64 => TensorKind::U64,
        _ => return None,
    })
}
