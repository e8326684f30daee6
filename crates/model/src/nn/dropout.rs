//! Dropout that can be repeated.

use super::initial::named_seed;
use candle_core::{Result, Tensor};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Zeroes elements at random and scales the others up (Srivastava et al. 2014).
///
/// What is zeroed depends on a seed, on the layer's name, and on a moment that the trainer sets
/// before each pass ([`Parameters::set_moment`](super::Parameters::set_moment)): so a run that goes
/// on from a checkpoint draws what it would have drawn.
#[derive(Debug, Clone)]
pub struct Dropout {
    rate: f32,
    seed: u64,
    moment: Arc<AtomicU64>,
}

impl Dropout {
    /// Zeroes this share of elements, `0 <= rate < 1`.
    ///
    /// # Errors
    /// When the rate is not in that range.
    pub fn new(rate: f32, name: &str, seed: u64, moment: Arc<AtomicU64>) -> Result<Self> {
        if !(0.0..1.0).contains(&rate) {
            candle_core::bail!("a dropout of {rate}");
        }
        Ok(Self { rate, seed: named_seed(name, seed), moment })
    }

    /// Any shape, same shape out.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let moment = self.moment.load(Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = StdRng::seed_from_u64(self.seed ^ moment);
        let kept = 1.0 / (1.0 - self.rate);
        let draw = || if random.random::<f32>() < self.rate { 0.0 } else { kept };
        let mask: Vec<f32> = std::iter::repeat_with(draw).take(x.elem_count()).collect();
        x * Tensor::from_vec(mask, x.shape(), x.device())?.to_dtype(x.dtype())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn the_share_is_kept_and_moments_differ() {
        let moment = Arc::new(AtomicU64::new(0));
        let dropout = Dropout::new(0.25, "a", 7, moment.clone()).unwrap();
        let x = Tensor::ones((100, 400), DType::F32, &Device::Cpu).unwrap();
        let draw = || dropout.forward(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let first = draw();
        let zeros = first.iter().filter(|&&value| value == 0.0).count();
        assert!((9_600..10_400).contains(&zeros), "{zeros}");
        assert!(first.iter().all(|&value| value == 0.0 || (value - 4.0 / 3.0).abs() < 1e-6));
        assert_eq!(first, draw());
        moment.store(1, Ordering::Relaxed);
        assert_ne!(first, draw());
        assert!(Dropout::new(1.0, "a", 7, moment).is_err());
    }
}
