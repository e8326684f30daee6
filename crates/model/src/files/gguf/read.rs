//! Our own header parser: candle's reads arrays into one enum per element, and refuses a whole
//! file for one tensor of a type it cannot decode.

use std::collections::BTreeMap;

use super::{ALIGNMENT, ALIGNMENT_KEY, MAGIC, MOST_DIMS, VERSION, value_id};
use crate::files::cursor::Cursor;
use crate::files::error::{Fault, shown};
use crate::files::tensor::{MOST_TENSORS, span};
use crate::files::{Array, TensorInfo, TensorKind, Value};

/// Real files have below a hundred keys; it bounds what a hostile file can cost.
const MOST_KEYS: u64 = 1 << 16;

/// A string length, a type and one byte of value.
const LEAST_KEY: u64 = 8 + 4 + 1;

/// A string length, the number of dimensions, a type and an offset.
const LEAST_TENSOR: u64 = 8 + 4 + 4 + 8;

/// What a GGUF file says of itself.
pub(in crate::files) struct Header {
    pub version: u32,
    pub metadata: BTreeMap<String, Value>,
    /// Offsets are from the start of the file, and inside it.
    pub tensors: Vec<TensorInfo>,
}

/// Reads the header of a whole file's bytes and checks every tensor's place in it.
pub(in crate::files) fn parse(bytes: &[u8]) -> Result<Header, Fault> {
    let mut cursor = Cursor::new(bytes);
    if cursor.take(4, "magic")? != MAGIC {
        return Err(Fault::new(0, "not a GGUF file"));
    }
    let version = cursor.u32("version")?;
    if version.swap_bytes() <= VERSION && version != 0 {
        return Err(Fault::new(4, "a big-endian GGUF file; only little-endian ones are read"));
    }
    if !(2..=VERSION).contains(&version) {
        return Err(Fault::new(4, format!("GGUF version {version}; only 2 and 3 are read")));
    }
    let tensor_count = cursor.u64("tensor count")?;
    let key_count = cursor.u64("key count")?;
    if tensor_count > MOST_TENSORS {
        let reason = format!("{tensor_count} tensors declared, more than {MOST_TENSORS}");
        return Err(Fault::new(8, reason));
    }
    if key_count > MOST_KEYS {
        return Err(Fault::new(16, format!("{key_count} keys declared, more than {MOST_KEYS}")));
    }
    cursor.expect_room(key_count, LEAST_KEY, "keys")?;

    let mut metadata = BTreeMap::new();
    for i in 0..key_count {
        let at = cursor.at();
        let key = string(&mut cursor, "key name").map_err(|fault| fault.within(place("key", i)))?;
        let value = value(&mut cursor)
            .map_err(|fault| fault.within(format_args!("key `{}`", shown(&key))))?;
        if metadata.contains_key(&key) {
            return Err(Fault::new(at, format!("key `{}` occurs twice", shown(&key))));
        }
        metadata.insert(key, value);
    }

    let count = cursor.expect_room(tensor_count, LEAST_TENSOR, "tensors")?;
    let mut tensors = Vec::with_capacity(count);
    for i in 0..tensor_count {
        tensors.push(tensor(&mut cursor).map_err(|fault| fault.within(place("tensor", i)))?);
    }
    let alignment = alignment(&metadata)?;
    locate(&mut tensors, cursor.at().next_multiple_of(alignment), alignment, bytes.len() as u64)?;
    Ok(Header { version, metadata, tensors })
}

fn place(what: &str, index: u64) -> String {
    format!("{what} {index}")
}

fn string(cursor: &mut Cursor, what: &str) -> Result<String, Fault> {
    let length = cursor.u64(what)?;
    Ok(cursor.text(length, what)?.to_owned())
}

fn boolean(cursor: &mut Cursor) -> Result<bool, Fault> {
    match cursor.u8("bool")? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Fault::new(cursor.at() - 1, format!("bool is {other}, not 0 or 1"))),
    }
}

fn value(cursor: &mut Cursor) -> Result<Value, Fault> {
    let at = cursor.at();
    Ok(match cursor.u32("value type")? {
        value_id::U8 => Value::U8(cursor.u8("u8")?),
        value_id::I8 => Value::I8(cursor.u8("i8")? as i8),
        value_id::U16 => Value::U16(cursor.u16("u16")?),
        value_id::I16 => Value::I16(cursor.u16("i16")? as i16),
        value_id::U32 => Value::U32(cursor.u32("u32")?),
        value_id::I32 => Value::I32(cursor.u32("i32")? as i32),
        value_id::U64 => Value::U64(cursor.u64("u64")?),
        value_id::I64 => Value::I64(cursor.u64("i64")? as i64),
        value_id::F32 => Value::F32(f32::from_bits(cursor.u32("f32")?)),
        value_id::F64 => Value::F64(f64::from_bits(cursor.u64("f64")?)),
        value_id::BOOL => Value::Bool(boolean(cursor)?),
        value_id::STRING => Value::String(string(cursor, "string")?),
        value_id::ARRAY => Value::Array(array(cursor)?),
        other => return Err(Fault::new(at, format!("unknown value type {other}"))),
    })
}

fn array(cursor: &mut Cursor) -> Result<Array, Fault> {
    let at = cursor.at();
    let kind = cursor.u32("array type")?;
    let count = cursor.u64("array length")?;
    let width = match kind {
        value_id::U8 | value_id::I8 | value_id::BOOL => 1,
        value_id::U16 | value_id::I16 => 2,
        value_id::U32 | value_id::I32 | value_id::F32 => 4,
        value_id::U64 | value_id::I64 | value_id::F64 | value_id::STRING => 8,
        value_id::ARRAY => return Err(Fault::new(at, "arrays of arrays are not read")),
        other => return Err(Fault::new(at, format!("unknown array element type {other}"))),
    };
    let length = cursor.expect_room(count, width, "array elements")?;

    // Strings and truth values can be at fault one by one; numbers are taken in one piece.
    if kind == value_id::STRING {
        let mut items = Vec::with_capacity(length);
        for i in 0..count {
            let item = string(cursor, "string").map_err(|f| f.within(place("element", i)))?;
            items.push(item);
        }
        return Ok(Array::String(items));
    }
    if kind == value_id::BOOL {
        let mut items = Vec::with_capacity(length);
        for i in 0..count {
            items.push(boolean(cursor).map_err(|fault| fault.within(place("element", i)))?);
        }
        return Ok(Array::Bool(items));
    }
    let raw = cursor.take(count * width, "array")?;
    Ok(match kind {
        value_id::U8 => Array::U8(raw.to_vec()),
        value_id::I8 => Array::I8(numbers(raw, i8::from_le_bytes)),
        value_id::U16 => Array::U16(numbers(raw, u16::from_le_bytes)),
        value_id::I16 => Array::I16(numbers(raw, i16::from_le_bytes)),
        value_id::U32 => Array::U32(numbers(raw, u32::from_le_bytes)),
        value_id::I32 => Array::I32(numbers(raw, i32::from_le_bytes)),
        value_id::F32 => Array::F32(numbers(raw, f32::from_le_bytes)),
        value_id::U64 => Array::U64(numbers(raw, u64::from_le_bytes)),
        value_id::I64 => Array::I64(numbers(raw, i64::from_le_bytes)),
        _ => Array::F64(numbers(raw, f64::from_le_bytes)),
    })
}

fn numbers<const N: usize, T>(raw: &[u8], decode: fn([u8; N]) -> T) -> Vec<T> {
    raw.as_chunks().0.iter().map(|&chunk| decode(chunk)).collect()
}

/// One tensor description; its offset still counts from the start of the data section.
fn tensor(cursor: &mut Cursor) -> Result<TensorInfo, Fault> {
    let at = cursor.at();
    let name = string(cursor, "tensor name")?;
    let fault = |reason: String| Fault::new(at, format!("`{}`: {reason}", shown(&name)));
    let dims = cursor.u32("number of dimensions")?;
    if dims as usize > MOST_DIMS {
        return Err(fault(format!("{dims} dimensions, more than {MOST_DIMS}")));
    }
    let mut shape = Vec::with_capacity(dims as usize);
    for _ in 0..dims {
        // No known file has empty tensors, and candle cannot hold them.
        match usize::try_from(cursor.u64("dimension")?) {
            Ok(dim) if dim > 0 => shape.push(dim),
            _ => return Err(fault("a dimension is 0 or beyond all memory".to_owned())),
        }
    }
    let kind = TensorKind::from_ggml(cursor.u32("tensor type")?);
    let offset = cursor.u64("tensor offset")?;
    if let (Some((block, _)), row) = (kind.block(), shape.first().copied().unwrap_or(1) as u64)
        && !row.is_multiple_of(block)
    {
        let name = kind.name();
        return Err(fault(format!("rows of {row} are not whole blocks of {block} ({name})")));
    }
    shape.reverse();
    let bytes = span(kind, &shape).map_err(fault)?.unwrap_or(0);
    Ok(TensorInfo { name, shape, kind, offset, bytes })
}

fn alignment(metadata: &BTreeMap<String, Value>) -> Result<u64, Fault> {
    let Some(value) = metadata.get(ALIGNMENT_KEY) else { return Ok(ALIGNMENT) };
    // Eight is the least that the format allows, and what reading blocks in place needs.
    match value {
        Value::U32(n) if n.is_power_of_two() && (8..=1 << 20).contains(n) => Ok((*n).into()),
        other => Err(Fault::new(0, format!("{ALIGNMENT_KEY} is {other:?}, not 8, 16, 32, …"))),
    }
}

/// Turns offsets into places in the file, and checks that tensors are aligned, inside the file
/// and apart from each other. A tensor of an unknown type reaches to the next one.
fn locate(tensors: &mut [TensorInfo], start: u64, alignment: u64, end: u64) -> Result<(), Fault> {
    for tensor in tensors.iter_mut() {
        let name = || shown(&tensor.name);
        if !tensor.offset.is_multiple_of(alignment) {
            let reason = format!("offset {} is not a multiple of {alignment}", tensor.offset);
            return Err(Fault::new(start, format!("tensor `{}`: {reason}", name())));
        }
        let place = start.checked_add(tensor.offset);
        let inside = place.and_then(|p| p.checked_add(tensor.bytes)).is_some_and(|p| p <= end);
        let (Some(place), true) = (place, inside) else {
            let left = end.saturating_sub(start.saturating_add(tensor.offset));
            let reason = format!(
                "tensor `{}`: needs {} bytes at offset {} of the data, {left} left",
                name(),
                tensor.bytes,
                tensor.offset
            );
            return Err(Fault::new(start, reason));
        };
        tensor.offset = place;
    }

    let mut order: Vec<u32> = (0..tensors.len() as u32).collect();
    order.sort_unstable_by_key(|&i| tensors.get(i as usize).map(|t| (t.offset, t.bytes)));
    let mut next: Option<(u64, usize)> = None;
    for &i in order.iter().rev() {
        let limit = next.map_or(end, |(offset, _)| offset);
        let Some(tensor) = tensors.get_mut(i as usize) else { continue };
        if matches!(tensor.kind, TensorKind::Unknown(_)) {
            tensor.bytes = limit.saturating_sub(tensor.offset);
        }
        if tensor.bytes > 0 && tensor.offset + tensor.bytes > limit {
            let (at, this) = (tensor.offset, shown(&tensor.name));
            let other = next.and_then(|(_, i)| tensors.get(i)).map(|t| shown(&t.name));
            let reason = format!("tensor `{this}` overlaps `{}`", other.unwrap_or_default());
            return Err(Fault::new(at, reason));
        }
        if tensor.bytes > 0 {
            next = Some((tensor.offset, i as usize));
        }
    }
    Ok(())
}
