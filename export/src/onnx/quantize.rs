//! Weights in 8 and 4 bits, as ONNX Runtime's integer products take them.
//!
//! 8 bits are stored without sign, 128 for zero: products of numbers without sign by numbers with
//! sign overflow on x86 without 8-bit dot products (`vpmaddubsw` adds two of them in 16 bits), and
//! browsers know the former only. 4 bits are MatMulNBits' default: 8 for zero, a scale a block.

/// Inputs that share a scale in 4 bits.
pub const BLOCK: usize = 32;
/// What stands for zero in 8 bits.
pub const ZERO: u8 = 128;

/// A scale a row: its largest element becomes ±127.
pub fn int8_scales(row: usize, values: &[f32]) -> Vec<f32> {
    let largest = |row: &[f32]| row.iter().fold(0f32, |most, value| most.max(value.abs()));
    values.chunks(row).map(|row| largest(row) / 127.0).collect()
}

/// Rows of 8-bit numbers with [`ZERO`] for zero.
pub fn int8(row: usize, values: &[f32]) -> Vec<u8> {
    let rows = values.chunks(row).zip(int8_scales(row, values));
    rows.flat_map(|(row, scale)| row.iter().map(move |&value| rounded(value, scale))).collect()
}

fn rounded(value: f32, scale: f32) -> u8 {
    let number = if scale > 0.0 { (value / scale).round().clamp(-127.0, 127.0) } else { 0.0 };
    (number as i32 + i32::from(ZERO)) as u8
}

/// A scale a block of a row: its largest element becomes ±127.
pub fn byte_scales(row: usize, values: &[f32]) -> Vec<f32> {
    blocks(row, values).flat_map(|block| int8_scales(block.len(), block)).collect()
}

/// Blocks of 32 bytes with [`ZERO`] for zero. What a last block lacks is zero.
pub fn bytes(row: usize, values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len());
    for (block, scale) in blocks(row, values).zip(byte_scales(row, values)) {
        bytes.extend(block.iter().map(|&value| rounded(value, scale)));
        bytes.extend((block.len()..BLOCK).map(|_| ZERO));
    }
    bytes
}

/// A scale a block of a row. Of nine, by which the element farthest from zero becomes -7.2 to -8.8,
/// each then the best for the numbers that it gives, the one whose numbers are nearest.
pub fn nibble_scales(row: usize, values: &[f32]) -> Vec<f32> {
    blocks(row, values).map(nibble_scale).collect()
}

fn nibble_scale(block: &[f32]) -> f32 {
    let farthest =
        block.iter().fold(0f32, |most, &value| if value.abs() > most.abs() { value } else { most });
    if farthest == 0.0 {
        return 0.0;
    }
    let (mut best, mut scale) = (0f32, farthest / -8.0);
    for step in -4..=4 {
        let inverse = (0.2 * step as f32 - 8.0) / farthest;
        let (mut products, mut squares) = (0f32, 0f32);
        for &value in block {
            let number = (value * inverse).round().clamp(-8.0, 7.0);
            products += value * number;
            squares += number * number;
        }
        // The error is the sum of squares of values less this.
        let explained = if squares > 0.0 { products * products / squares } else { 0.0 };
        if explained > best {
            (best, scale) = (explained, products / squares);
        }
    }
    scale
}

/// Blocks of 16 bytes: elements `2j` and `2j + 1` in byte `j`, the first in the lower half. What a
/// last block lacks is zero.
pub fn nibbles(row: usize, values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() / 2);
    for (block, scale) in blocks(row, values).zip(nibble_scales(row, values)) {
        let nibble = |i: usize| {
            let value = block.get(i).copied().unwrap_or(0.0);
            let number = if scale == 0.0 { 0.0 } else { (value / scale).round() };
            (number + 8.0).clamp(0.0, 15.0) as u8
        };
        bytes.extend((0..BLOCK / 2).map(|j| nibble(2 * j) | nibble(2 * j + 1) << 4));
    }
    bytes
}

fn blocks(row: usize, values: &[f32]) -> impl Iterator<Item = &[f32]> {
    values.chunks(row).flat_map(|row| row.chunks(BLOCK))
}
