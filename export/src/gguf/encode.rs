//! Values to blocks of a type, and what that costs; where it is known which columns matter, scales
//! are chosen for those.

use std::borrow::Cow;

use anyhow::{Context, Result, ensure};
use candle_core::quantized::{QStorage, QTensor};
use candle_core::{Device, Tensor};
use half::f16;
use partita_model::files::TensorKind;
use rayon::prelude::*;

/// Elements that are quantized at a time, at least a row.
pub const AT_ONCE: usize = 1 << 18;

/// What rounding cost: sums over elements.
#[derive(Debug, Clone, Copy, Default)]
pub struct Loss {
    /// Squares of what was meant.
    pub meant: f64,
    /// Squares of the difference.
    pub missed: f64,
    /// The largest difference.
    pub worst: f32,
    /// The same by how much columns matter, where that is known.
    pub weighted: Weighted,
}

/// Sums over elements, each times how much its column matters.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weighted {
    /// Squares of what was meant.
    pub meant: f64,
    /// Squares of the difference.
    pub missed: f64,
    /// Squares of the difference, had scales been chosen as if all columns mattered alike.
    pub missed_without: f64,
}

impl Loss {
    /// The difference's root mean square over that of the values.
    pub fn relative(&self) -> f64 {
        if self.meant > 0.0 { (self.missed / self.meant).sqrt() } else { 0.0 }
    }
}

impl Weighted {
    /// As [`Loss::relative`], as it is and as it would have been; `None` where nothing is known.
    pub fn relative(&self) -> Option<[f64; 2]> {
        let of = |missed: f64| (missed / self.meant).sqrt();
        (self.meant > 0.0).then(|| [of(self.missed), of(self.missed_without)])
    }
}

impl std::ops::AddAssign for Loss {
    fn add_assign(&mut self, other: Self) {
        self.meant += other.meant;
        self.missed += other.missed;
        self.worst = self.worst.max(other.worst);
        self.weighted.meant += other.weighted.meant;
        self.weighted.missed += other.weighted.missed;
        self.weighted.missed_without += other.weighted.missed_without;
    }
}

/// Blocks of one type.
#[derive(Debug, Clone, Copy)]
pub struct Blocks<'a> {
    /// Length of a row.
    pub row: usize,
    /// The type.
    pub kind: TensorKind,
    /// How much each column matters: mean squares of what comes in by it.
    pub importance: Option<&'a [f32]>,
}

impl Blocks<'_> {
    /// Encodes whole rows, many at a time.
    ///
    /// # Errors
    /// When the type is not written, or its blocks do not divide rows.
    pub fn encode(&self, values: &[f32]) -> Result<(Vec<u8>, Loss)> {
        let rows = (AT_ONCE / self.row).max(1);
        let parts = values.par_chunks(rows * self.row).map(|values| self.encode_rows(values));
        joined(parts.collect::<Result<_>>()?)
    }

    /// Encodes whole rows.
    ///
    /// # Errors
    /// As [`Blocks::encode`].
    pub fn encode_rows(&self, values: &[f32]) -> Result<(Vec<u8>, Loss)> {
        let (row, kind) = (self.row, self.kind);
        let tensor = Tensor::from_slice(values, (values.len() / row, row), &Device::Cpu)?;
        let plain = quantized(&tensor, values, kind)?;
        let mut loss = Loss::default();
        let Some(importance) = self.importance.filter(|_| has_scales(kind)) else {
            for (&meant, read) in values.iter().zip(floats(&plain)?) {
                loss.add(meant, read);
            }
            return Ok((plain.data()?.into_owned(), loss));
        };
        ensure!(importance.len() == row, "{} columns of {row} matter", importance.len());
        let calibrated = calibrated(&tensor, values, kind, importance)?;
        let read = floats(&calibrated)?.into_iter().zip(floats(&plain)?);
        for ((&meant, (read, without)), weight) in
            values.iter().zip(read).zip(importance.iter().cycle())
        {
            loss.add(meant, read);
            let square = |x: f32| f64::from(*weight) * f64::from(x).powi(2);
            loss.weighted.meant += square(meant);
            loss.weighted.missed += square(meant - read);
            loss.weighted.missed_without += square(meant - without);
        }
        Ok((calibrated.data()?.into_owned(), loss))
    }
}

impl Loss {
    fn add(&mut self, meant: f32, read: f32) {
        let missed = meant - read;
        self.meant += f64::from(meant).powi(2);
        self.missed += f64::from(missed).powi(2);
        self.worst = self.worst.max(missed.abs());
    }
}

fn floats(quantized: &QTensor) -> Result<Vec<f32>> {
    Ok(quantized.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1()?)
}

/// Whether a type's scales can be chosen by what matters. Those of Q8_0 follow from its largest value.
fn has_scales(kind: TensorKind) -> bool {
    matches!(
        kind,
        TensorKind::Q4_0
            | TensorKind::Q5_0
            | TensorKind::Q4_K
            | TensorKind::Q5_K
            | TensorKind::Q6_K
    )
}

/// As if all columns mattered alike.
fn quantized(tensor: &Tensor, values: &[f32], kind: TensorKind) -> Result<QTensor> {
    match kind {
        // Without weights candle looks for scales in fewer places, or takes the largest value's;
        // evenly weighted, the search by importance finds better ones.
        TensorKind::Q4_0 | TensorKind::Q5_0 | TensorKind::Q4_K | TensorKind::Q5_K => {
            let row = tensor.dims().last().copied().unwrap_or(0);
            calibrated(tensor, values, kind, &vec![1.0; row])
        }
        _ => {
            let candle = kind.candle().with_context(|| format!("{kind} is not written"))?;
            Ok(QTensor::quantize(tensor, candle)?)
        }
    }
}

/// With scales for what matters, as llama.cpp chooses them by an importance matrix.
fn calibrated(
    tensor: &Tensor,
    values: &[f32],
    kind: TensorKind,
    importance: &[f32],
) -> Result<QTensor> {
    let candle = kind.candle().with_context(|| format!("{kind} is not written"))?;
    let levels = match kind {
        TensorKind::Q4_0 => 8,
        TensorKind::Q5_0 => 16,
        _ => return Ok(QTensor::quantize_imatrix(tensor, importance, candle)?),
    };
    let mut bytes = Vec::new();
    for row in values.chunks(importance.len()) {
        let square = row.iter().map(|x| x * x).sum::<f32>() / row.len() as f32;
        let (blocks, weights) = (row.as_chunks::<32>().0, importance.as_chunks::<32>().0);
        for (block, importance) in blocks.iter().zip(weights) {
            // Large values count for more than their column alone says.
            let mut weights = *importance;
            for (weight, x) in weights.iter_mut().zip(block) {
                *weight *= (square + x * x).sqrt();
            }
            block_of(block, &weights, levels, &mut bytes);
        }
    }
    let storage = QStorage::from_data(Cow::Owned(bytes), &Device::Cpu, candle)?;
    Ok(QTensor::new(storage, tensor.shape())?)
}

/// A block of Q4_0 (8 levels to each side) or Q5_0 (16): 32 whole numbers times one scale.
fn block_of(block: &[f32; 32], weights: &[f32; 32], levels: i32, out: &mut Vec<u8>) {
    let scale = f16::from_f32(scale(block, weights, levels));
    let inverse = match scale.to_f32() {
        0.0 => 0.0,
        scale => 1.0 / scale,
    };
    let number = |x: f32| ((x * inverse).round() as i32).clamp(-levels, levels - 1) + levels;
    let numbers = block.map(|x| number(x) as u32);
    out.extend(scale.to_le_bytes());
    if levels == 16 {
        let high = |(i, number): (usize, &u32)| (number >> 4) << i;
        out.extend(numbers.iter().enumerate().map(high).sum::<u32>().to_le_bytes());
    }
    let (low, high) = numbers.split_at(16);
    out.extend(low.iter().zip(high).map(|(low, high)| (low & 15 | (high & 15) << 4) as u8));
}

/// The scale with the least weighted squares of the difference, of those that are best for the
/// numbers that nineteen scales near the largest value give.
fn scale(block: &[f32; 32], weights: &[f32; 32], levels: i32) -> f32 {
    let largest = block.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()));
    let Some(largest) = largest.filter(|x| x.abs() > f32::MIN_POSITIVE) else { return 0.0 };
    let (mut best, mut scale) = (0.0, 0.0);
    for step in -9..=9 {
        let inverse = -(levels as f32 + 0.1 * step as f32) / largest;
        let (mut product, mut square) = (0.0, 0.0);
        for (x, weight) in block.iter().zip(weights) {
            let number = (inverse * x).round().clamp(-levels as f32, (levels - 1) as f32);
            product += weight * x * number;
            square += weight * number * number;
        }
        if square > 0.0 && product * product > best * square {
            (best, scale) = (product * product / square, product / square);
        }
    }
    scale
}

/// Parts, one after the other.
pub fn joined(parts: Vec<(Vec<u8>, Loss)>) -> Result<(Vec<u8>, Loss)> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|(bytes, _)| bytes.len()).sum());
    let mut loss = Loss::default();
    for (part, lost) in parts {
        bytes.extend(part);
        loss += lost;
    }
    Ok((bytes, loss))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// About normal: sums of twelve draws.
    fn drawn(count: usize) -> Vec<f32> {
        let mut state = 1u32;
        let mut draw = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..count).map(|_| (0..12).map(|_| draw()).sum()).collect()
    }

    /// Why blocks are quantized with even weights.
    #[test]
    fn even_weights_lose_less_than_none() {
        let values = drawn(32 * 512);
        let tensor = Tensor::from_slice(&values, (32, 512), &Device::Cpu).unwrap();
        for kind in [TensorKind::Q4_0, TensorKind::Q5_0, TensorKind::Q4_K, TensorKind::Q5_K] {
            let (_, loss) = Blocks { row: 512, kind, importance: None }.encode(&values).unwrap();
            let plain = QTensor::quantize(&tensor, kind.candle().unwrap()).unwrap();
            let read = plain.dequantize(&Device::Cpu).unwrap();
            let missed = (read - &tensor).unwrap().sqr().unwrap().sum_all().unwrap();
            let missed = f64::from(missed.to_scalar::<f32>().unwrap());
            println!(
                "{kind}: {:.5} with even weights, {:.5} without",
                loss.relative(),
                (missed / loss.meant).sqrt()
            );
            assert!(loss.missed < missed, "{kind}: {} {missed}", loss.missed);
        }
    }

    #[test]
    fn what_matters_is_missed_by_less() {
        let values = drawn(32 * 512);
        // Every eighth column matters a hundred times as much; some hardly at all.
        let importance: Vec<f32> =
            (0..512).map(|i| [10.0, 0.1, 0.1, 0.1, 0.001, 0.1, 0.1, 0.1][i % 8]).collect();
        for kind in [
            TensorKind::Q4_0,
            TensorKind::Q5_0,
            TensorKind::Q4_K,
            TensorKind::Q5_K,
            TensorKind::Q6_K,
        ] {
            let blocks = Blocks { row: 512, kind, importance: Some(&importance) };
            let (bytes, loss) = blocks.encode(&values).unwrap();
            let [with, without] = loss.weighted.relative().unwrap();
            println!("{kind}: {with:.5}, {without:.5} without");
            assert!(with < 0.97 * without, "{kind}: {with} {without}");
            let (block, length) = kind.block().unwrap();
            assert_eq!(bytes.len() as u64, values.len() as u64 / block * length);
            // Of all columns alike, no more is lost than the others gain by.
            assert!(loss.relative() < 0.2, "{kind}: {}", loss.relative());
        }
        let none = Blocks { row: 512, kind: TensorKind::Q8_0, importance: Some(&importance) };
        assert_eq!(none.encode(&values).unwrap().1.weighted.relative(), None);
        let wrong = Blocks { row: 512, kind: TensorKind::Q4_0, importance: Some(&[1.0; 32]) };
        assert!(wrong.encode(&values).is_err());
    }

    #[test]
    fn blocks_of_nothing_are_nothing() {
        for kind in [TensorKind::Q4_0, TensorKind::Q5_0, TensorKind::Q4_K, TensorKind::Q6_K] {
            let blocks = Blocks { row: 256, kind, importance: Some(&[1.0; 256]) };
            let (_, loss) = blocks.encode(&[0.0; 512]).unwrap();
            assert_eq!((loss.meant, loss.missed), (0.0, 0.0), "{kind}");
        }
    }
}
