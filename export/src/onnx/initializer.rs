//! Constants of a graph, and the forms that weights are stored in.

use anyhow::{Result, ensure};
use half::f16;

use super::quantize::{BLOCK, byte_scales, bytes, int8, int8_scales, nibble_scales, nibbles};
use crate::merged::Weight;

/// Types of elements, by ONNX's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Element {
    /// 32 bits.
    F32 = 1,
    /// 8 bits without sign.
    U8 = 2,
    /// 64 bits, whole numbers.
    I64 = 7,
    /// True or false.
    Bool = 9,
    /// 16 bits, IEEE.
    F16 = 10,
}

impl Element {
    /// Bytes of an element.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::U8 | Self::Bool => 1,
            Self::I64 => 8,
            Self::F16 => 2,
        }
    }
}

/// How the values of a weight are stored. A matrix `[outputs, inputs]` is also called `[n, k]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As they are, f32.
    Plain,
    /// As they are, f16.
    Half,
    /// A matrix with inputs and outputs exchanged: `[k, n]`, f32.
    Transposed,
    /// The same in f16.
    TransposedHalf,
    /// A matrix of 8-bit numbers with 128 for zero, `[k, n]`; a scale an output.
    Int8,
    /// A matrix of 8-bit numbers with 128 for zero, `[n, k]`; a scale a row.
    Int8Rows,
    /// The scales of either, `[n]` or `[n, 1]`.
    Int8Scales,
    /// 4-bit numbers with 8 for zero, `[n, blocks, 16]`; a scale for 32 inputs.
    Nibbles,
    /// Their scales, `[n, blocks]`.
    NibbleScales,
    /// 8-bit numbers with 128 for zero, `[n, blocks, 32]`; a scale for 32 inputs.
    Bytes,
    /// Their scales, `[n, blocks]`.
    ByteScales,
}

impl Form {
    /// Type of the elements.
    pub fn element(self) -> Element {
        match self {
            Self::Half | Self::TransposedHalf => Element::F16,
            Self::Int8 | Self::Int8Rows | Self::Nibbles | Self::Bytes => Element::U8,
            _ => Element::F32,
        }
    }

    /// The shape that a weight of `shape` has in this form.
    pub fn shape(self, shape: &[usize]) -> Vec<usize> {
        let blocks = |k: usize| k.div_ceil(BLOCK);
        match (self, shape) {
            (Self::Transposed | Self::TransposedHalf | Self::Int8, &[n, k]) => vec![k, n],
            (Self::Int8Scales, &[n, _]) => vec![n],
            (Self::Nibbles, &[n, k]) => vec![n, blocks(k), BLOCK / 2],
            (Self::Bytes, &[n, k]) => vec![n, blocks(k), BLOCK],
            (Self::NibbleScales | Self::ByteScales, &[n, k]) => vec![n, blocks(k)],
            _ => shape.to_vec(),
        }
    }

    /// The bytes of a weight of `shape` in this form.
    pub fn encode(self, shape: &[usize], values: &[f32]) -> Vec<u8> {
        let row = shape.last().copied().unwrap_or(1).max(1);
        match self {
            Self::Plain => floats(values),
            Self::Half => halves(values),
            Self::Transposed => floats(&transposed(row, values)),
            Self::TransposedHalf => halves(&transposed(row, values)),
            Self::Int8 => transposed(row, &int8(row, values)),
            Self::Int8Rows => int8(row, values),
            Self::Int8Scales => floats(&int8_scales(row, values)),
            Self::Nibbles => nibbles(row, values),
            Self::NibbleScales => floats(&nibble_scales(row, values)),
            Self::Bytes => bytes(row, values),
            Self::ByteScales => floats(&byte_scales(row, values)),
        }
    }
}

/// What an initializer holds.
#[derive(Debug, Clone)]
pub enum Content {
    /// Bytes that are at hand.
    Bytes(Vec<u8>),
    /// A weight of the model, fetched when it is written.
    Weight(Weight, Form),
}

/// A constant of a graph.
#[derive(Debug, Clone)]
pub struct Initializer {
    /// Its name.
    pub name: String,
    /// Type of its elements.
    pub element: Element,
    /// Its shape.
    pub shape: Vec<usize>,
    /// What it holds.
    pub content: Content,
}

impl Initializer {
    /// Bytes of all elements.
    pub fn bytes(&self) -> u64 {
        self.shape.iter().map(|&dim| dim as u64).product::<u64>() * self.element.bytes()
    }

    /// All elements, little endian; a weight comes from `fetch`.
    ///
    /// # Errors
    /// When the weight cannot be fetched, or is not as large as it should be.
    pub fn encode(&self, fetch: &dyn Fn(&Weight) -> Result<Vec<f32>>) -> Result<Vec<u8>> {
        let bytes = match &self.content {
            Content::Bytes(bytes) => bytes.clone(),
            Content::Weight(weight, form) => form.encode(&weight.shape, &fetch(weight)?),
        };
        let wanted = self.bytes();
        ensure!(bytes.len() as u64 == wanted, "`{}`: {} of {wanted} bytes", self.name, bytes.len());
        Ok(bytes)
    }
}

/// Little-endian bytes of 32-bit floats.
pub fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// What is beyond the range of 16 bits becomes its end: infinity would make everything NaN.
fn halves(values: &[f32]) -> Vec<u8> {
    let most = f16::MAX.to_f32();
    let half = |value: &f32| f16::from_f32(value.clamp(-most, most)).to_le_bytes();
    values.iter().flat_map(half).collect()
}

/// Rows of `row` elements as columns.
fn transposed<T: Copy + Default>(row: usize, values: &[T]) -> Vec<T> {
    let rows = values.len() / row;
    let mut out = vec![T::default(); values.len()];
    for (i, values) in values.chunks_exact(row).enumerate() {
        for (place, value) in out.iter_mut().skip(i).step_by(rows).zip(values) {
            *place = *value;
        }
    }
    out
}
