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
    let rounded = |value: f32, scale: f32| {
        let number = if scale > 0.0 { (value / scale).round().clamp(-127.0, 127.0) } else { 0.0 };
        (number as i32 + i32::from(ZERO)) as u8
    };
    let rows = values.chunks(row).zip(int8_scales(row, values));
    rows.flat_map(|(row, scale)| row.iter().map(move |&value| rounded(value, scale))).collect()
}

/// A scale a block of a row: the element farthest from zero becomes -8.
pub fn nibble_scales(row: usize, values: &[f32]) -> Vec<f32> {
    let farthest = |block: &[f32]| {
        block.iter().fold(0f32, |most, &value| if value.abs() > most.abs() { value } else { most })
    };
    blocks(row, values).map(|block| farthest(block) / -8.0).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * 0.37).sin() * (1.0 + i as f32 * 0.01)).collect()
    }

    #[test]
    fn eight_bits_are_off_by_half_a_step_at_most() {
        let mut values = values(200);
        values.extend([0.0; 50]);
        let scales = int8_scales(50, &values);
        assert_eq!(scales.len(), 5);
        for (i, (number, value)) in int8(50, &values).iter().zip(&values).enumerate() {
            let scale = scales[i / 50];
            let found = (f32::from(*number) - f32::from(ZERO)) * scale;
            assert!((found - value).abs() <= scale * 0.5001, "{i}: {found} for {value}");
        }
    }

    #[test]
    fn four_bits_are_off_by_half_a_step_save_at_the_other_end() {
        const ROW: usize = 70;
        let values = values(3 * ROW);
        let (scales, bytes) = (nibble_scales(ROW, &values), nibbles(ROW, &values));
        assert_eq!((scales.len(), bytes.len()), (9, 9 * 16));
        for (i, value) in values.iter().enumerate() {
            let (row, at) = (i / ROW, i % ROW);
            let block = row * 3 + at / BLOCK;
            let byte = bytes[block * 16 + at % BLOCK / 2];
            let number = if at % 2 == 0 { byte & 15 } else { byte >> 4 };
            let found = (f32::from(number) - 8.0) * scales[block];
            // Elements near the other end would need +8, and there is +7.
            let step = scales[block].abs();
            assert!((found - value).abs() <= step * 1.001, "{i}: {found} for {value}");
        }
        assert_eq!(nibbles(32, &[0.0; 32]), [0x88; 16]);
    }
}
