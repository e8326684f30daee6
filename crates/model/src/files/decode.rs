//! Stored bytes to `f32`.

use candle_core::CpuStorage;
use candle_core::quantized::GgmlDType;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;
use std::borrow::Cow;

use super::TensorKind;

/// Blocks decoded at a time: some ten thousand elements, so that copies stay small.
const BLOCKS: usize = 256;

/// Decodes or widens a tensor's bytes, whose length fits type and shape. Plain numbers may lie at
/// any address; ggml's blocks must be aligned to 8, as [`super::gguf`] has checked.
pub(super) fn floats(kind: TensorKind, bytes: &[u8]) -> Result<Vec<f32>, String> {
    Ok(match kind {
        TensorKind::F32 => plain(bytes, f32::from_le_bytes),
        TensorKind::F16 => halves(bytes, f16::from_le_bytes),
        TensorKind::BF16 => halves(bytes, bf16::from_le_bytes),
        TensorKind::F64 => plain(bytes, |b| f64::from_le_bytes(b) as f32),
        TensorKind::I8 => plain(bytes, |b| i8::from_le_bytes(b).into()),
        TensorKind::U8 => plain(bytes, |b| u8::from_le_bytes(b).into()),
        TensorKind::Bool => plain(bytes, |b| f32::from(b != [0])),
        TensorKind::I16 => plain(bytes, |b| i16::from_le_bytes(b).into()),
        TensorKind::U16 => plain(bytes, |b| u16::from_le_bytes(b).into()),
        TensorKind::I32 => plain(bytes, |b| i32::from_le_bytes(b) as f32),
        TensorKind::U32 => plain(bytes, |b| u32::from_le_bytes(b) as f32),
        TensorKind::I64 => plain(bytes, |b| i64::from_le_bytes(b) as f32),
        TensorKind::U64 => plain(bytes, |b| u64::from_le_bytes(b) as f32),
        other => match (other.candle(), other.block()) {
            (Some(dtype), Some((block, size))) => {
                blocks(bytes, dtype, block as usize, size as usize)?
            }
            _ => return Err(format!("{other} cannot be decoded")),
        },
    })
}

fn plain<const N: usize>(bytes: &[u8], decode: fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&chunk| decode(chunk)).collect()
}

/// Widens half precision through an aligned buffer, for the processor's own conversion of many
/// numbers at once.
fn halves<T: Copy + Default>(bytes: &[u8], decode: fn([u8; 2]) -> T) -> Vec<f32>
where
    [T]: HalfFloatSliceExt,
{
    const AT_ONCE: usize = 4096;
    let pairs: &[[u8; 2]] = bytes.as_chunks().0;
    let mut out = vec![0.0; pairs.len()];
    let mut aligned = [T::default(); AT_ONCE];
    for (pairs, out) in pairs.chunks(AT_ONCE).zip(out.chunks_mut(AT_ONCE)) {
        for (half, &pair) in aligned.iter_mut().zip(pairs) {
            *half = decode(pair);
        }
        aligned.get(..out.len()).unwrap_or_default().convert_to_f32_slice(out);
    }
    out
}

fn blocks(bytes: &[u8], dtype: GgmlDType, block: usize, size: usize) -> Result<Vec<f32>, String> {
    let mut out = vec![0.0; bytes.len() / size * block];
    let decode = |(bytes, out): (&[u8], &mut [f32])| match dtype
        .from_data(Cow::Borrowed(bytes))
        .dequantize(out.len())
    {
        Ok(CpuStorage::F32(floats)) if floats.len() == out.len() => {
            out.copy_from_slice(&floats);
            Ok(())
        }
        Ok(_) => Err("decoded to another type or length".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    bytes.par_chunks(size * BLOCKS).zip(out.par_chunks_mut(block * BLOCKS)).try_for_each(decode)?;
    Ok(out)
}
