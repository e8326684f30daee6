//! Random numbers that are the same in every run: a test must not fail by chance.

use candle_core::{Device, Shape, Tensor};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Draws of about normal distribution, of mean 0 and this standard deviation.
pub fn drawn(seed: u64, deviation: f32, shape: impl Into<Shape>) -> Tensor {
    let shape = shape.into();
    let mut random = StdRng::seed_from_u64(seed);
    // Twelve draws between 0 and 1: their sum has a variance of 1.
    let draw = |_| ((0..12).map(|_| random.random::<f32>()).sum::<f32>() - 6.0) * deviation;
    let values: Vec<f32> = (0..shape.elem_count()).map(draw).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}
