//! Ultravox's projector.

use super::adapter::{AdapterConfig, strided};
use crate::error::ModelError;
use crate::nn::{FrameMask, Gate, Init, Linear, Mode, RmsNorm, WeightSource, gated};
use candle_core::{D, Result, Tensor};

/// What Ultravox's norms begin as.
const GAIN: f32 = 0.4;
const EPSILON: f32 = 1e-6;

/// Stacked frames → RMS norm → linear → SwiGLU → RMS norm → linear (Ultravox v0.5).
///
/// Ultravox up to v0.4.1 has its second norm behind the last linear layer; from v0.5 on it lies
/// before it. llama.cpp takes the latter only (`mm.a.norm_mid`), and so do we. The gate is the
/// second half of the first layer's output, as there.
#[derive(Debug, Clone)]
pub struct Ultravox {
    stack: usize,
    norm_pre: RmsNorm,
    up: Linear,
    norm_mid: RmsNorm,
    down: Linear,
    mode: Mode,
}

impl Ultravox {
    /// `mm.a.norm_pre.weight` `[stack * encoder]`, `mm.a.mlp.1.weight` `[2 hidden, stack *
    /// encoder]`, `mm.a.norm_mid.weight` `[hidden]`, `mm.a.mlp.2.weight` `[LLM, hidden]`.
    pub(super) fn load(
        source: &impl WeightSource,
        config: &AdapterConfig,
        stack: usize,
        hidden: usize,
    ) -> std::result::Result<Self, ModelError> {
        let (inputs, outputs) = (stack * config.encoder_width, config.llm_width);
        let norm = |name, width| source.rms_norm_or(name, width, EPSILON, Init::Constant(GAIN));
        // The last layer sums `hidden` numbers of size `GAIN`.
        let last = config.output_rms / f64::from(GAIN) / (hidden as f64).sqrt();
        let first = Init::fan_in(inputs);
        Ok(Self {
            stack,
            norm_pre: norm("mm.a.norm_pre", inputs)?,
            up: source.linear_or("mm.a.mlp.1", (2 * hidden, inputs), false, first)?,
            norm_mid: norm("mm.a.norm_mid", hidden)?,
            down: source.linear_or("mm.a.mlp.2", (outputs, hidden), false, Init::Normal(last))?,
            mode: source.mode(),
        })
    }

    pub(super) fn forward(&self, x: &Tensor, lengths: &[usize]) -> Result<(Tensor, Vec<usize>)> {
        let (batch, time, width) = x.dims3()?;
        let x = match FrameMask::new(lengths, time, x.device())? {
            Some(mask) => mask.clear(x, 1)?,
            None => x.clone(),
        };
        let stacks = time.div_ceil(self.stack);
        let x = x.pad_with_zeros(1, 0, stacks * self.stack - time)?;
        let x = x.reshape((batch, stacks, self.stack * width))?;
        let halves = self.up.forward(&self.norm_pre.forward(&x)?)?.chunk(2, D::Minus1)?;
        let [value, gate] = halves.as_slice() else {
            candle_core::bail!("a gated layer of odd width");
        };
        // Of a single vector both halves are contiguous where they are, in one storage.
        let gate = gate.force_contiguous()?;
        let x = gated(gate, &value.contiguous()?, Gate::Silu, self.mode)?;
        let x = self.down.forward(&self.norm_mid.forward(&x)?)?;
        Ok((x, strided(lengths, self.stack)))
    }
}
