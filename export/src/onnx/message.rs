//! Messages of protobuf, walked where they lie: nothing of them is copied or kept.

use anyhow::{Context, Result, bail};
use prost::encoding::{WireType, decode_key, decode_varint};

/// A field of a message.
pub enum Field<'a> {
    /// A number.
    Number(u64),
    /// Text, bytes, packed numbers, or a message.
    Bytes(&'a [u8]),
    /// A number of fixed width.
    Fixed,
}

/// The fields of a message, with their numbers; an error, where it is broken off, is the last.
pub fn fields(message: &[u8]) -> impl Iterator<Item = Result<(u32, Field<'_>)>> {
    let mut rest = message;
    let mut failed = false;
    std::iter::from_fn(move || {
        if rest.is_empty() || failed {
            return None;
        }
        let found = next(&mut rest);
        failed = found.is_err();
        Some(found)
    })
}

fn next<'a>(rest: &mut &'a [u8]) -> Result<(u32, Field<'a>)> {
    let (tag, wire) = decode_key(rest)?;
    let field = match wire {
        WireType::Varint => Field::Number(decode_varint(rest)?),
        WireType::SixtyFourBit => take(rest, 8).map(|_| Field::Fixed)?,
        WireType::ThirtyTwoBit => take(rest, 4).map(|_| Field::Fixed)?,
        WireType::LengthDelimited => {
            let length = decode_varint(rest)?;
            Field::Bytes(take(rest, length)?)
        }
        WireType::StartGroup | WireType::EndGroup => bail!("a group, which ONNX does not have"),
    };
    Ok((tag, field))
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8]> {
    let left = rest.len();
    let cut = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
    let (taken, behind) = cut.with_context(|| format!("a field of {length} bytes, {left} left"))?;
    *rest = behind;
    Ok(taken)
}

/// A text.
///
/// # Errors
/// When it is no UTF-8.
pub fn text(bytes: &[u8]) -> Result<String> {
    Ok(std::str::from_utf8(bytes).context("a name that is no UTF-8")?.to_owned())
}

/// A key and a value.
///
/// # Errors
/// When the message is broken off or its texts are no UTF-8.
pub fn entry(message: &[u8]) -> Result<(String, String)> {
    let mut entry = [String::new(), String::new()];
    for field in fields(message) {
        match field? {
            (1, Field::Bytes(key)) => entry[0] = text(key)?,
            (2, Field::Bytes(value)) => entry[1] = text(value)?,
            _ => {}
        }
    }
    let [key, value] = entry;
    Ok((key, value))
}
