//! The forms that weights are stored in: sizes, and how far their numbers are from what they were.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use half::f16;
use partita_export::onnx::Form;

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * 0.37).sin() * (1.0 + i as f32 * 0.01)).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

#[test]
fn forms_have_the_shapes_that_they_fill() {
    let shape = [3, 40];
    for form in [
        Form::Plain,
        Form::Half,
        Form::Transposed,
        Form::TransposedHalf,
        Form::Int8,
        Form::Int8Rows,
        Form::Int8Scales,
        Form::Nibbles,
        Form::NibbleScales,
        Form::Bytes,
        Form::ByteScales,
    ] {
        let elements: usize = form.shape(&shape).iter().product();
        let bytes = form.encode(&shape, &values(120)).len() as u64;
        assert_eq!(bytes, elements as u64 * form.element().bytes(), "{form:?}");
    }
}

#[test]
fn columns_become_rows() {
    let bytes = Form::Transposed.encode(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(floats(&bytes), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    let (rows, columns) = (values(12), [3, 4]);
    let straight = Form::Int8Rows.encode(&columns, &rows);
    let turned = Form::Int8.encode(&columns, &rows);
    for (i, number) in straight.iter().enumerate() {
        assert_eq!(turned[i % 4 * 3 + i / 4], *number);
    }
}

#[test]
fn what_is_too_large_for_16_bits_stays_finite() {
    let bytes = Form::Half.encode(&[3], &[1e6, -1e6, 1.0]);
    let found: Vec<f32> =
        bytes.chunks_exact(2).map(|pair| f16::from_le_bytes([pair[0], pair[1]]).to_f32()).collect();
    assert_eq!(found, [65504.0, -65504.0, 1.0]);
}

#[test]
fn eight_bits_are_off_by_half_a_step_at_most() {
    const ROW: usize = 50;
    let mut values = values(4 * ROW);
    values.extend([0.0; ROW]);
    let shape = [5, ROW];
    let scales = floats(&Form::Int8Scales.encode(&shape, &values));
    let numbers = Form::Int8Rows.encode(&shape, &values);
    for (i, (number, value)) in numbers.iter().zip(&values).enumerate() {
        let found = (f32::from(*number) - 128.0) * scales[i / ROW];
        assert!((found - value).abs() <= scales[i / ROW] * 0.5001, "{i}: {found} for {value}");
    }
}

#[test]
fn blocks_of_eight_bits_are_off_by_half_a_step_at_most() {
    const ROW: usize = 40;
    let (shape, values) = ([2, ROW], values(2 * ROW));
    let scales = floats(&Form::ByteScales.encode(&shape, &values));
    let numbers = Form::Bytes.encode(&shape, &values);
    assert_eq!((scales.len(), numbers.len()), (4, 4 * 32));
    for (i, value) in values.iter().enumerate() {
        let block = i / ROW * 2 + i % ROW / 32;
        let number = numbers[block * 32 + i % ROW % 32];
        let found = (f32::from(number) - 128.0) * scales[block];
        assert!((found - value).abs() <= scales[block] * 0.5001, "{i}: {found} for {value}");
    }
    assert!(numbers[32 + 8..64].iter().all(|&filling| filling == 128));
}

#[test]
fn four_bits_are_nearer_than_by_the_plain_scale() {
    const ROW: usize = 70;
    let (shape, values) = ([3, ROW], values(3 * ROW));
    let scales = floats(&Form::NibbleScales.encode(&shape, &values));
    let bytes = Form::Nibbles.encode(&shape, &values);
    // Two whole blocks a row, and one that is filled up.
    assert_eq!((scales.len(), bytes.len()), (9, 9 * 16));
    let mut squares = [0f32; 2];
    for (i, value) in values.iter().enumerate() {
        let (row, at) = (i / ROW, i % ROW);
        let block = row * 3 + at / 32;
        let byte = bytes[block * 16 + at % 32 / 2];
        let number = if at % 2 == 0 { byte & 15 } else { byte >> 4 };
        let found = (f32::from(number) - 8.0) * scales[block];
        assert!((found - value).abs() <= scales[block].abs() * 1.3, "{i}: {found} for {value}");
        let farther = |most: f32, &value: &f32| if value.abs() > most.abs() { value } else { most };
        let block = values[row * ROW..][..ROW].chunks(32).nth(at / 32).unwrap();
        let plain = block.iter().fold(0f32, farther) / -8.0;
        squares[0] += (found - value).powi(2);
        squares[1] += ((value / plain).round().clamp(-8.0, 7.0) * plain - value).powi(2);
    }
    println!("squares of errors: {squares:?}");
    assert!(squares[0] < 0.95 * squares[1], "{squares:?}");
    assert_eq!(Form::Nibbles.encode(&[1, 32], &[0.0; 32]), [0x88; 16]);
}
