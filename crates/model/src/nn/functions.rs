//! Functions of one number or one row of them, written so that they run over all lanes that the
//! processor has: `exp`, `erf`, and with them softmax, GELU and gates, and their slopes.

/// The activation of a feed-forward gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// GELU in its tanh form (Gemma).
    Gelu,
    /// `x * sigmoid(x)` (Llama, Qwen).
    Silu,
}

/// Lanes summed side by side; two AVX-512 registers, four of AVX2.
const LANES: usize = 32;

/// `e^x` for `x <= 88`, relative error below 2e-7 (Cephes' polynomial, range reduced by ln 2).
#[inline(always)]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it leaves the nearest integer
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 0.166_666_66;
    p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    let scale = f32::from_bits(((n as i32 + 127) as u32) << 23);
    y * scale
}

/// `e^x`, and 0 where that is below 2e-35.
#[inline(always)]
fn exp_or_zero(x: f32) -> f32 {
    let y = exp(x);
    if x < -80.0 { 0.0 } else { y }
}

/// `erf(x / sqrt 2)` by Abramowitz and Stegun 7.1.26 (|error| < 2e-7), and `e^(-x²/2)`.
#[inline(always)]
fn erf_and_bell(x: f32) -> (f32, f32) {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let mut p = 1.061_405_4;
    p = p * t - 1.453_152_1;
    p = p * t + 1.421_413_8;
    p = p * t - 0.284_496_72;
    p = p * t + 0.254_829_6;
    let bell = exp(-z * z);
    ((1.0 - p * t * bell).copysign(x), bell)
}

/// `x * sigmoid(x)` or, by the same door, the tanh form of GELU:
/// `x/2 (1 + tanh(z)) = x * sigmoid(2z)` with `z = sqrt(2/pi) (x + 0.044715 x^3)`.
#[inline(always)]
pub(super) fn gate_one(x: f32, gate: Gate) -> f32 {
    let z = match gate {
        Gate::Silu => x,
        Gate::Gelu => 1.595_769 * (x + 0.044_715 * x * x * x),
    };
    x / (1.0 + exp(-z))
}

/// The value of [`gate_one`] and its derivative.
#[inline(always)]
pub(super) fn gate_slope(x: f32, gate: Gate) -> (f32, f32) {
    let (z, slope) = match gate {
        Gate::Silu => (x, 1.0),
        Gate::Gelu => {
            let square = 0.044_715 * x * x;
            (1.595_769 * x * (1.0 + square), 1.595_769 * (1.0 + 3.0 * square))
        }
    };
    let open = 1.0 / (1.0 + exp(-z));
    (x * open, open + x * open * (1.0 - open) * slope)
}

/// Exact-form GELU, `x/2 (1 + erf(x/sqrt 2))`.
#[inline(always)]
pub(super) fn gelu_one(x: f32) -> f32 {
    0.5 * x * (1.0 + erf_and_bell(x).0)
}

/// The derivative of [`gelu_one`].
#[inline(always)]
pub(super) fn gelu_slope(x: f32) -> f32 {
    const BELL: f32 = 0.398_942_3; // 1 / sqrt(2 pi)
    let (erf, bell) = erf_and_bell(x);
    0.5 * (1.0 + erf) + x * bell * BELL
}

/// Softmax of one row, in place. What is far below the largest gets exactly 0, not a denormal number
/// that slows down every product after it.
#[inline(always)]
pub(super) fn softmax_row(row: &mut [f32], scale: f32) {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let mut chunks = row.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    let rest = chunks.remainder().iter();
    let max = lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max) * scale;
    let mut sums = [0f32; LANES];
    let mut chunks = row.chunks_exact_mut(LANES);
    for chunk in &mut chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *x = exp_or_zero(*x * scale - max);
            *sum += *x;
        }
    }
    let mut sum: f32 = sums.iter().sum();
    for x in chunks.into_remainder() {
        *x = exp_or_zero(*x * scale - max);
        sum += *x;
    }
    let inverse = 1.0 / sum;
    for x in row {
        *x *= inverse;
    }
}

/// `ln(sum(e^x))` of all values; -inf for none.
pub fn log_sum_exp(values: &[f32]) -> f32 {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let max = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            if max == f32::NEG_INFINITY {
                return max;
            }
            let mut sums = [0f32; LANES];
            let chunks = values.chunks_exact(LANES);
            let rest: f32 = chunks.remainder().iter().map(|x| exp(x - max)).sum();
            for chunk in chunks {
                for (sum, x) in sums.iter_mut().zip(chunk) {
                    *sum += exp(x - max);
                }
            }
            max + (rest + sums.iter().sum::<f32>()).ln()
        },
    )
}

/// Softmax of each row of `width` elements, in place, on this thread.
pub(crate) fn softmax_rows(data: &mut [f32], width: usize) {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || data.chunks_exact_mut(width.max(1)).for_each(|row| softmax_row(row, 1.0)),
    )
}
