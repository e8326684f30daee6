//! CTranslate2's `model.bin`, binary version 6.
//!
//! Little endian: u32 version; string name of the model's specification; u32 revision; u32 number
//! of variables; each variable: string name, u8 rank, u32 dimensions, u8 type, u32 length, data;
//! u32 number of aliases; each: string alias, string target. A string is a u16 length that counts
//! its closing NUL, then the bytes. Nothing is aligned, and nothing follows the aliases.

use std::collections::BTreeMap;

use super::cursor::Cursor;
use super::error::{Fault, shown};
use super::tensor::{MOST_DIMS, MOST_TENSORS, find, index_by_name, span};
use super::{TensorInfo, TensorKind, Value};

const VERSION: u32 = 6;

/// An empty name with its NUL, rank, type and length.
const LEAST_VARIABLE: u64 = 2 + 1 + 1 + 1 + 4;
const LEAST_ALIAS: u64 = 2 * (2 + 1);

pub(super) struct Header {
    pub metadata: BTreeMap<String, Value>,
    pub tensors: Vec<TensorInfo>,
    /// Alias to target, such as a tied output projection.
    pub aliases: BTreeMap<String, String>,
}

/// Whether bytes begin as such a file does; the format has no magic.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    let mut cursor = Cursor::new(bytes);
    let version = cursor.u32("version");
    version.is_ok_and(|version| (1..100).contains(&version))
        && string(&mut cursor, "specification")
            .is_ok_and(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Reads a whole file's bytes; data stays where it is.
pub(super) fn parse(bytes: &[u8]) -> Result<Header, Fault> {
    let mut cursor = Cursor::new(bytes);
    let version = cursor.u32("version")?;
    if version != VERSION {
        let reason = format!("CTranslate2 binary version {version}; only {VERSION} is read");
        return Err(Fault::new(0, reason));
    }
    let specification = string(&mut cursor, "specification")?;
    let revision = cursor.u32("revision")?;

    let count = cursor.u32("number of variables")?;
    if u64::from(count) > MOST_TENSORS {
        let reason = format!("{count} variables declared, more than {MOST_TENSORS}");
        return Err(Fault::new(cursor.at() - 4, reason));
    }
    let room = cursor.expect_room(count.into(), LEAST_VARIABLE, "variables")?;
    let mut tensors = Vec::with_capacity(room);
    for i in 0..count {
        let tensor = variable(&mut cursor);
        tensors.push(tensor.map_err(|fault| fault.within(format_args!("variable {i}")))?);
    }
    let aliases = aliases(&mut cursor, &tensors)?;
    if cursor.left() > 0 {
        let reason = format!("{} bytes follow the aliases", cursor.left());
        return Err(Fault::new(cursor.at(), reason));
    }
    let metadata = BTreeMap::from([
        ("ctranslate2.binary_version".to_owned(), Value::U32(version)),
        ("ctranslate2.revision".to_owned(), Value::U32(revision)),
        ("ctranslate2.specification".to_owned(), specification.into()),
    ]);
    Ok(Header { metadata, tensors, aliases })
}

fn string<'a>(cursor: &mut Cursor<'a>, what: &str) -> Result<&'a str, Fault> {
    let at = cursor.at();
    let length = cursor.u16(what)?;
    let text = cursor.text(length.into(), what)?;
    match text.strip_suffix('\0') {
        Some(text) if !text.contains('\0') => Ok(text),
        _ => Err(Fault::new(at, format!("{what} does not end in its only NUL"))),
    }
}

fn variable(cursor: &mut Cursor) -> Result<TensorInfo, Fault> {
    let at = cursor.at();
    let name = string(cursor, "name")?;
    let fault = |reason: String| Fault::new(at, format!("`{}`: {reason}", shown(name)));
    let within = |fault: Fault| fault.within(format_args!("`{}`", shown(name)));

    let rank = cursor.u8("rank").map_err(within)?;
    if usize::from(rank) > MOST_DIMS {
        return Err(fault(format!("{rank} dimensions, more than {MOST_DIMS}")));
    }
    let dims = cursor.take(u64::from(rank) * 4, "dimensions").map_err(within)?;
    let dims = dims.as_chunks().0.iter().map(|&dim| u32::from_le_bytes(dim) as usize);
    let shape: Vec<usize> = dims.collect();
    let kind = match cursor.u8("type").map_err(within)? {
        0 => TensorKind::F32,
        1 => TensorKind::I8,
        2 => TensorKind::I16,
        3 => TensorKind::I32,
        4 => TensorKind::F16,
        5 => TensorKind::BF16,
        other => return Err(fault(format!("unknown type {other}"))),
    };
    let length = u64::from(cursor.u32("length").map_err(within)?);
    let needed = span(kind, &shape).map_err(fault)?;
    if needed != Some(length) {
        let needed = needed.unwrap_or_default();
        return Err(fault(format!(
            "{length} bytes declared, {kind} of shape {shape:?} takes {needed}"
        )));
    }
    let offset = cursor.at();
    cursor.take(length, "data").map_err(within)?;
    Ok(TensorInfo { name: name.to_owned(), shape, kind, offset, bytes: length })
}

fn aliases(cursor: &mut Cursor, tensors: &[TensorInfo]) -> Result<BTreeMap<String, String>, Fault> {
    let count = cursor.u32("number of aliases")?;
    cursor.expect_room(count.into(), LEAST_ALIAS, "aliases")?;
    if u64::from(count) > tensors.len() as u64 {
        let reason = format!("{count} aliases declared for {} variables", tensors.len());
        return Err(Fault::new(cursor.at() - 4, reason));
    }
    let by_name = index_by_name(tensors)?;
    let is_tensor = |name| find(tensors, &by_name, name).is_some();
    let mut aliases = BTreeMap::new();
    for i in 0..count {
        let at = cursor.at();
        let within = |fault: Fault| fault.within(format_args!("alias {i}"));
        let alias = string(cursor, "alias").map_err(within)?;
        let target = string(cursor, "target").map_err(within)?;
        if !is_tensor(target) {
            let reason =
                format!("alias `{}` of `{}`, which is missing", shown(alias), shown(target));
            return Err(Fault::new(at, reason));
        }
        if is_tensor(alias) || aliases.insert(alias.to_owned(), target.to_owned()).is_some() {
            return Err(Fault::new(at, format!("alias `{}` names two tensors", shown(alias))));
        }
    }
    Ok(aliases)
}
