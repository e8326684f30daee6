//! Weights in another quantized type, with rows padded to what fast products take.
//!
//! Candle's fast quantized products want rows of a multiple of 256. Rows of 640 (Gemma 3 270M) or
//! 576 (SmolLM2) are filled up with zeros, which changes no result; [`super::Linear`] fills up
//! its input alike.

use crate::error::ModelError;
use crate::files::{FileError, TensorKind, WeightFile};
use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Tensor};
use std::borrow::Cow;

/// What row lengths must be a multiple of.
pub(super) const ROW: usize = 256;

/// Bytes of a `Q8_0` block: an f16 scale and 32 signed bytes.
const BLOCK: usize = 34;

/// A matrix of a file (or the rows of it that `rows` names, in that order) as `wanted`, with rows
/// padded to a multiple of [`ROW`] where `wanted` is a quantized type.
///
/// Q4_0, Q5_0 and Q8_0 become Q8_0 without loss; all else goes through floats.
pub(super) fn reblock(
    file: &WeightFile,
    name: &str,
    rows: Option<&[u32]>,
    wanted: GgmlDType,
    device: &Device,
) -> Result<QTensor, ModelError> {
    let stored = file.tensor(name)?;
    let [all, row] = stored.shape[..] else {
        let reason = format!("shape {:?} is no matrix", stored.shape);
        let (path, name) = (file.path().to_owned(), name.to_owned());
        return Err(FileError::Tensor { path, name, reason }.into());
    };
    let count = rows.map_or(all, <[u32]>::len);
    let padded = if wanted.block_size() > 1 { row.next_multiple_of(ROW) } else { row };
    if wanted == GgmlDType::Q8_0
        && let Some(repack) = repacking(stored.kind)
        && row.is_multiple_of(32)
    {
        let mut data = Vec::with_capacity(count * padded / 32 * BLOCK);
        let end = padded / 32 * BLOCK;
        let mut add = |bytes: &[u8]| {
            let start = data.len();
            repack(bytes, &mut data);
            data.resize(start + end, 0);
        };
        match rows {
            None => {
                let bytes = file.bytes(name)?;
                bytes.chunks_exact((bytes.len() / all.max(1)).max(1)).for_each(&mut add);
            }
            Some(rows) => rows.iter().try_for_each(|&at| {
                add(file.row_bytes(name, at)?);
                Ok::<_, ModelError>(())
            })?,
        }
        let storage = QStorage::from_data(Cow::Owned(data), device, wanted)?;
        return Ok(QTensor::new(storage, (count, padded))?);
    }
    let values = match rows {
        None => file.floats(name)?.1,
        Some(rows) => file.rows(name, rows)?,
    };
    let mut values = Tensor::from_vec(values, (count, row), &Device::Cpu)?;
    if padded > row {
        values = values.pad_with_zeros(1, 0, padded - row)?;
    }
    Ok(QTensor::quantize_onto(&values, wanted, device)?)
}

/// Adds the blocks of a row as `Q8_0`.
pub type Repack = fn(&[u8], &mut Vec<u8>);

/// How rows of a type become `Q8_0` without loss, where they can: `d * (q - middle)` with 4 or 5 bits
/// fits 8 bits. The function adds the blocks of a row (of whole blocks) to those that it is given.
pub fn repacking(kind: TensorKind) -> Option<Repack> {
    match kind {
        TensorKind::Q8_0 => Some(|row, out| out.extend_from_slice(row)),
        TensorKind::Q4_0 => Some(|row, out| {
            for block in row.as_chunks::<18>().0 {
                let [low, high, nibbles @ ..] = block;
                out.extend([*low, *high]);
                out.extend(nibbles.iter().map(|byte| (byte & 15).wrapping_sub(8)));
                out.extend(nibbles.iter().map(|byte| (byte >> 4).wrapping_sub(8)));
            }
        }),
        TensorKind::Q5_0 => Some(|row, out| {
            for block in row.as_chunks::<22>().0 {
                let [low, high, a, b, c, d, nibbles @ ..] = block;
                let fifth = u32::from_le_bytes([*a, *b, *c, *d]);
                let bit = |at: usize| (((fifth >> at) & 1) as u8) << 4;
                out.extend([*low, *high]);
                let lower = nibbles.iter().enumerate();
                out.extend(lower.map(|(i, byte)| ((byte & 15) | bit(i)).wrapping_sub(16)));
                let upper = nibbles.iter().enumerate();
                out.extend(upper.map(|(i, byte)| ((byte >> 4) | bit(i + 16)).wrapping_sub(16)));
            }
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::gguf::{GgufWriter, TensorSpec};
    use crate::nn::drawn::drawn;

    #[test]
    fn small_types_become_q8_0_without_loss_and_rows_are_padded() {
        let folder = tempfile::tempdir().unwrap();
        let values = drawn(1, 1.0, (6, 96));
        for kind in [GgmlDType::Q4_0, GgmlDType::Q5_0, GgmlDType::Q8_0] {
            let tensor = QTensor::quantize(&values, kind).unwrap();
            let path = folder.path().join("weights.gguf");
            let spec = TensorSpec {
                name: "w".to_owned(),
                shape: vec![6, 96],
                kind: TensorKind::from(kind),
            };
            let mut writer = GgufWriter::create(&path, &[], &[spec]).unwrap();
            writer.qtensor("w", &tensor).unwrap();
            writer.finish().unwrap();
            let file = WeightFile::open(&path).unwrap();
            let (_, stored) = file.floats("w").unwrap();
            let stored = Tensor::from_vec(stored, (6, 96), &Device::Cpu).unwrap();
            for rows in [None, Some(&[4u32, 1][..])] {
                let found = reblock(&file, "w", rows, GgmlDType::Q8_0, &Device::Cpu).unwrap();
                let found = found.dequantize(&Device::Cpu).unwrap();
                let wanted = match rows {
                    None => stored.clone(),
                    Some(rows) => {
                        let rows = Tensor::new(rows, &Device::Cpu).unwrap();
                        stored.index_select(&rows, 0).unwrap()
                    }
                };
                let wanted = wanted.pad_with_zeros(1, 0, 160).unwrap();
                assert_eq!(
                    found.to_vec2::<f32>().unwrap(),
                    wanted.to_vec2::<f32>().unwrap(),
                    "{kind:?}, {rows:?}"
                );
            }
        }
    }
}
