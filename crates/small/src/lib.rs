//! Models of random numbers, small enough that everything about them can be tried in moments and
//! without a download. They prove plumbing, never quality.
//!
//! ```
//! use partita_small::{Llm, Tokenizer, drawn_weight};
//! use partita_model::{files::WeightFile, tokens::TextTokenizer};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("llm.gguf");
//! let llm = Llm { width: 32, blocks: 2, ..Llm::default() };
//! llm.write(&path, &Tokenizer::of_words(["one", "two"]), drawn_weight)?;
//! let tokenizer = TextTokenizer::from_gguf(&WeightFile::open(&path)?)?;
//! assert_eq!(tokenizer.encode("two one").len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod encoder;
mod llm;
mod tokenizer;

use std::path::Path;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use partita_model::files::gguf::write_gguf;
use partita_model::files::{FileError, Value};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

pub use encoder::{Encoder, layer};
pub use llm::Llm;
pub use tokenizer::Tokenizer;

/// A small model that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SmallError {
    /// A tensor could not be drawn.
    #[error("a random tensor: {0}")]
    Tensor(#[from] candle_core::Error),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Names of tensors with their shapes, in PyTorch's order.
pub type Shapes = Vec<(String, Vec<usize>)>;

/// Draws of about normal distribution, of mean 0 and this standard deviation, that are the same for
/// a name in every run.
///
/// # Errors
/// When there is no room.
pub fn drawn(name: &str, deviation: f32, shape: &[usize]) -> candle_core::Result<Tensor> {
    let seed =
        name.bytes().fold(7u64, |seed, byte| seed.wrapping_mul(131).wrapping_add(byte.into()));
    let mut random = StdRng::seed_from_u64(seed);
    // Twelve draws between 0 and 1: their sum has a variance of 1.
    let draw = |_| ((0..12).map(|_| random.random::<f32>()).sum::<f32>() - 6.0) * deviation;
    let values: Vec<f32> = (0..shape.iter().product()).map(draw).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// A weight of a size that suits its name and shape: norms are about 1, and what goes through a
/// matrix keeps its size.
///
/// # Errors
/// When there is no room.
pub fn drawn_weight(name: &str, shape: &[usize]) -> candle_core::Result<Tensor> {
    match shape {
        [_, _] if name.starts_with("token_embd") => drawn(name, 0.3, shape),
        [_, rest @ ..] if !rest.is_empty() => {
            drawn(name, 1.0 / (rest.iter().product::<usize>() as f32).sqrt(), shape)
        }
        _ if name.ends_with("bias") => drawn(name, 0.1, shape),
        _ => drawn(name, 0.1, shape)? + 1.0,
    }
}

/// Writes a GGUF file whose tensors are what `weight` makes of their names and shapes.
fn write(
    path: &Path,
    metadata: &[(String, Value)],
    shapes: &Shapes,
    weight: impl Fn(&str, &[usize]) -> candle_core::Result<Tensor>,
) -> Result<(), SmallError> {
    let make = |(name, shape): &(String, Vec<usize>)| -> Result<(String, QTensor), SmallError> {
        Ok((name.clone(), QTensor::quantize(&weight(name, shape)?, GgmlDType::F32)?))
    };
    let tensors = shapes.iter().map(make).collect::<Result<Vec<_>, _>>()?;
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
    Ok(write_gguf(path, metadata, &tensors)?)
}

/// Numbers under keys of one prefix.
fn numbers(prefix: &str, values: &[(&str, usize)]) -> Vec<(String, Value)> {
    values.iter().map(|(key, v)| (format!("{prefix}.{key}"), Value::U32(*v as u32))).collect()
}
