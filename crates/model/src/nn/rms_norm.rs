//! Root-mean-square normalisation.

use super::{Mode, differentiable};
use candle_core::{D, Result, Tensor, bail};

/// `x / sqrt(mean(x²) + epsilon) * gain` over the last dimension (Zhang and Sennrich 2019).
#[derive(Debug, Clone)]
pub struct RmsNorm {
    gain: Tensor,
    epsilon: f32,
    mode: Mode,
}

impl RmsNorm {
    /// `gain` of shape `[width]`, as multiplied (Gemma's stored `w` is `1 + w` here).
    pub fn new(gain: Tensor, epsilon: f32, mode: Mode) -> Self {
        Self { gain, epsilon, mode }
    }

    /// `[…, width]` to the same shape.
    ///
    /// # Errors
    /// When the last dimension of `x` is not that of the gain.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self.mode {
            Mode::Inference => {
                let gain = self.gain.to_dtype(x.dtype())?;
                candle_nn::ops::rms_norm(&x.contiguous()?, &gain, self.epsilon)
            }
            Mode::Training => {
                if x.dim(D::Minus1)? != self.gain.dims1()? {
                    bail!("rows {:?} do not fit a gain {:?}", x.shape(), self.gain.shape());
                }
                let gain = self.gain.to_dtype(x.dtype())?;
                if differentiable::applies_to(x) {
                    return differentiable::norm(x, &gain, self.epsilon, false);
                }
                candle_nn::ops::rms_norm_slow(x, &gain, self.epsilon)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    const WIDTH: usize = 5;

    fn values(count: usize, step: f32) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * step).sin() * 3.0).collect()
    }

    /// By the definition, in f64.
    fn expected(rows: &[f32], gain: &[f32], epsilon: f64) -> Vec<f32> {
        let normed = rows.chunks(WIDTH).flat_map(|row| {
            let squares: f64 = row.iter().map(|&x| f64::from(x).powi(2)).sum();
            let size = (squares / WIDTH as f64 + epsilon).sqrt();
            row.iter().zip(gain).map(move |(&x, &g)| (f64::from(x) / size * f64::from(g)) as f32)
        });
        normed.collect()
    }

    #[test]
    fn rows_are_normed() {
        let (x, gain) = (values(3 * WIDTH, 0.7), values(WIDTH, 1.3));
        let expected = expected(&x, &gain, 0.01);
        let x = Tensor::from_vec(x, (3, WIDTH), &Device::Cpu).unwrap();
        let gain = Tensor::from_vec(gain, WIDTH, &Device::Cpu).unwrap();
        for mode in [Mode::Inference, Mode::Training] {
            let found = RmsNorm::new(gain.clone(), 0.01, mode).forward(&x).unwrap();
            let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (a, b) in expected.iter().zip(&found) {
                assert!((a - b).abs() < 2e-6, "{mode:?}: {a} {b}");
            }
        }
    }

    #[test]
    fn a_trained_gain_gets_its_gradient_and_is_seen_when_it_changes() {
        let x = Tensor::from_vec(values(8, 0.7), (1, 8), &Device::Cpu).unwrap();
        let gain = Var::ones(8, candle_core::DType::F32, &Device::Cpu).unwrap();
        let norm = RmsNorm::new(gain.as_tensor().clone(), 1e-6, Mode::Training);
        let before = norm.forward(&x).unwrap();
        let gradients = before.sum_all().unwrap().backward().unwrap();
        // The derivative by a gain of one is the output itself.
        let gradient = gradients.get(&gain).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(gradient, before.squeeze(0).unwrap().to_vec1::<f32>().unwrap());
        gain.set(&(gain.as_tensor() * 2.0).unwrap()).unwrap();
        let doubled = norm.forward(&x).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(doubled, (before * 2.0).unwrap().to_vec2::<f32>().unwrap());
    }

    #[test]
    fn widths_that_do_not_fit_are_refused() {
        let gain = Tensor::ones(4, candle_core::DType::F32, &Device::Cpu).unwrap();
        let x = Tensor::ones((1, 6), candle_core::DType::F32, &Device::Cpu).unwrap();
        for mode in [Mode::Inference, Mode::Training] {
            let norm = RmsNorm::new(gain.clone(), 1e-6, mode);
            assert!(norm.forward(&x).is_err());
        }
    }
}
