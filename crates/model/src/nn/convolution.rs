//! One-dimensional convolution.

use super::Mode;
use candle_core::{Result, Tensor, bail};

/// Convolution over time with bias: `[batch, in, time]` to `[batch, out, time / stride]`.
#[derive(Debug, Clone)]
pub struct Conv1d {
    weight: Tensor,
    bias: Tensor,
    padding: usize,
    stride: usize,
    mode: Mode,
}

impl Conv1d {
    /// `weight` `[out, in, kernel]`, `bias` `[out]`; zero padding on both sides.
    ///
    /// # Errors
    /// When `bias` is not a vector.
    pub fn new(
        weight: Tensor,
        bias: Tensor,
        padding: usize,
        stride: usize,
        mode: Mode,
    ) -> Result<Self> {
        let outputs = bias.dims1()?;
        Ok(Self { weight, bias: bias.reshape((1, outputs, 1))?, padding, stride, mode })
    }

    /// `[batch, in, time]` to `[batch, out, (time + 2 padding - kernel) / stride + 1]`.
    ///
    /// # Errors
    /// When the channels of `x` do not fit the weight.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = match self.mode {
            Mode::Inference => {
                let weight = self.weight.to_dtype(x.dtype())?;
                x.conv1d(&weight, self.padding, self.stride, 1, 1)?
            }
            Mode::Training => self.as_product(x)?,
        };
        y.broadcast_add(&self.bias.to_dtype(y.dtype())?)
    }

    /// The same as one matrix product. candle 0.11's own backward pass gives wrong gradients of the
    /// weight on the CPU (they differ from differences in every case of the test below), and runs
    /// over the input in scalar loops.
    fn as_product(&self, x: &Tensor) -> Result<Tensor> {
        let (outputs, inputs, kernel) = self.weight.dims3()?;
        let (batch, channels, time) = x.dims3()?;
        if channels != inputs || time + 2 * self.padding < kernel || self.stride == 0 {
            bail!("{:?} does not fit a convolution {:?}", x.shape(), self.weight.shape());
        }
        let frames = (time + 2 * self.padding - kernel) / self.stride + 1;
        // Each place in the kernel reads every stride-th frame from its own first one on.
        let read = kernel - 1 + self.stride * frames;
        let right = read.saturating_sub(time + self.padding);
        let x = x.pad_with_zeros(2, self.padding, right)?;
        let place = |at| {
            let x = x.narrow(2, at, self.stride * frames)?;
            x.reshape((batch, channels, frames, self.stride))?.narrow(3, 0, 1)
        };
        let places = (0..kernel).map(place).collect::<Result<Vec<_>>>()?;
        let columns = Tensor::cat(&places, 3)?.transpose(1, 2)?;
        let columns = columns.reshape((batch * frames, inputs * kernel))?;
        let weight = self.weight.to_dtype(x.dtype())?.reshape((outputs, inputs * kernel))?;
        columns.matmul(&weight.t()?)?.reshape((batch, frames, outputs))?.transpose(1, 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::drawn::drawn;
    use candle_core::{D, Var};

    /// Values against candle's own form; gradients against differences. The layer is linear in its
    /// input and in its weight, so a difference is exact however large the step.
    #[test]
    fn a_product_is_a_convolution() {
        for (kernel, stride, time) in
            [(3, 1, 9), (3, 2, 8), (3, 2, 9), (5, 2, 7), (5, 1, 5), (3, 4, 1), (3, 4, 11)]
        {
            let x = Var::from_tensor(&drawn(1, 1.0, (2, 3, time))).unwrap();
            let weight = Var::from_tensor(&drawn(2, 1.0, (4, 3, kernel))).unwrap();
            let bias = drawn(3, 1.0, 4);
            let run = |x: &Tensor, weight: &Tensor, mode| {
                let layer = Conv1d::new(weight.clone(), bias.clone(), kernel / 2, stride, mode);
                layer.unwrap().forward(x).unwrap()
            };
            let theirs = run(&x, &weight, Mode::Inference);
            let ours = run(&x, &weight, Mode::Training);
            assert_eq!(ours.dims(), [2, 4, time.div_ceil(stride)]);
            let off = (&theirs - &ours).unwrap().abs().unwrap().flatten_all().unwrap();
            assert!(off.max(D::Minus1).unwrap().to_scalar::<f32>().unwrap() < 1e-5);

            let pull = drawn(4, 1.0, ours.shape());
            let sum = |y: Tensor| (y * &pull).unwrap().sum_all().unwrap();
            let gradients = sum(ours).backward().unwrap();
            for var in [&x, &weight] {
                let step = drawn(5, 1.0, var.shape());
                let moved = (var.as_tensor() + &step).unwrap();
                let (x, weight) = if std::ptr::eq(var, &x) {
                    (&moved, weight.as_tensor())
                } else {
                    (x.as_tensor(), &moved)
                };
                let moved = sum(run(x, weight, Mode::Inference)) - sum(theirs.clone());
                let expected = moved.unwrap().to_scalar::<f32>().unwrap();
                let along = (gradients.get(var).unwrap() * step).unwrap().sum_all().unwrap();
                let found = along.to_scalar::<f32>().unwrap();
                assert!((expected - found).abs() < 1e-3, "{kernel} {stride}: {expected} {found}");
            }
        }
    }
}
