//! Connectionist temporal classification (Graves et al. 2006), with its own backward pass.

use crate::nn::{log_sum_exp, softmax_rows};
use candle_core::{
    CpuStorage, CustomOp1, DType, Device, Layout, Result, Shape, Tensor, WithDType, bail,
};
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// What [`ctc_loss`] gives.
#[derive(Debug, Clone)]
pub struct CtcLoss {
    /// `[batch]`: minus the log probability (nats) of each clip's labels, summed over all
    /// alignments; zero for clips that were skipped, no number or infinite for those below.
    pub losses: Tensor,
    /// Clips with fewer frames than their labels need. They have no alignment, and no gradient.
    pub skipped: Vec<usize>,
    /// Clips whose loss is not finite: scores are none, or -inf where every alignment needs them.
    /// They have no gradient.
    pub not_finite: Vec<usize>,
}

/// Frames that any alignment of these labels has: one a label, and a blank between two equal ones.
pub(super) fn frames_needed(labels: &[u32]) -> usize {
    labels.len() + labels.array_windows().filter(|[a, b]| a == b).count()
}

/// Checks labels against the classes.
pub(super) fn check_labels(labels: &[u32], classes: usize, blank: u32) -> Result<()> {
    match labels.iter().find(|&&label| label == blank || label as usize >= classes) {
        Some(label) => bail!("label {label} is no token: {classes} classes, blank is {blank}"),
        None => Ok(()),
    }
}

/// The CTC loss of scores `[batch, time, classes]` (logits; normalised here) for clips of `frames`
/// frames each; scores behind a clip's end do not count. Differentiable; the sums over alignments
/// are done in f64 on the CPU, whatever the device.
///
/// # Errors
/// When the shapes do not fit each other, a label is no class or is blank, or scores are not finite
/// (a label whose score is -inf has no alignment either).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use partita_model::speech::ctc_loss;
///
/// // Two frames, one token and blank, all equally likely: three of four paths read as the token.
/// let scores = Tensor::zeros((1, 2, 2), candle_core::DType::F32, &Device::Cpu)?;
/// let loss = ctc_loss(&scores, &[2], &[vec![0]], 1)?;
/// assert!((loss.losses.to_vec1::<f32>()?[0] + 0.75f32.ln()).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn ctc_loss(
    scores: &Tensor,
    frames: &[usize],
    labels: &[Vec<u32>],
    blank: u32,
) -> Result<CtcLoss> {
    let found = ctc_losses(scores, frames, labels, blank)?;
    match found.not_finite.first() {
        Some(clip) => bail!("the scores of clip {clip} of the batch give no finite CTC loss"),
        None => Ok(found),
    }
}

/// The same where clips whose loss is not finite are no error: they are named, and have no gradient.
///
/// # Errors
/// When the shapes do not fit each other, or a label is no class or is blank.
pub fn ctc_losses(
    scores: &Tensor,
    frames: &[usize],
    labels: &[Vec<u32>],
    blank: u32,
) -> Result<CtcLoss> {
    let (batch, time, classes) = scores.dims3()?;
    if frames.len() != batch || labels.len() != batch {
        bail!("{} lengths and {} texts for a batch of {batch}", frames.len(), labels.len());
    }
    if let Some(frames) = frames.iter().find(|&&frames| frames > time) {
        bail!("a clip of {frames} frames in a batch of {time}");
    }
    if blank as usize >= classes {
        bail!("blank is {blank}, and there are {classes} classes");
    }
    labels.iter().try_for_each(|labels| check_labels(labels, classes, blank))?;
    let clips = frames.iter().zip(labels);
    let short = clips.enumerate().filter(|(_, (frames, labels))| frames_needed(labels) > **frames);
    let skipped: Vec<usize> = short.map(|(clip, _)| clip).collect();
    let op =
        Ctc { frames: frames.to_vec(), labels: labels.to_vec(), blank, gradient: Mutex::default() };
    let device = scores.device();
    let scores = scores.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.contiguous()?;
    let losses = scores.apply_op1(op)?;
    let values = losses.to_vec1::<f32>()?;
    let not_finite = (0..batch).filter(|&clip| !values[clip].is_finite()).collect();
    Ok(CtcLoss { losses: losses.to_device(device)?, skipped, not_finite })
}

/// Scores of a batch to losses; the gradient falls off on the way and is kept.
struct Ctc {
    frames: Vec<usize>,
    labels: Vec<Vec<u32>>,
    blank: u32,
    gradient: Mutex<Option<Tensor>>,
}

impl CustomOp1 for Ctc {
    fn name(&self) -> &'static str {
        "ctc"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("ctc wants contiguous scores");
        };
        let scores = &f32::cpu_storage_as_slice(storage)?[start..end];
        let (batch, time, classes) = layout.shape().dims3()?;
        let size = time * classes;
        let mut gradient = vec![0f32; scores.len()];
        let mut losses = vec![0f32; batch];
        if size > 0 {
            let clips = scores.par_chunks(size).zip(gradient.par_chunks_mut(size));
            let texts = self.frames.par_iter().zip(&self.labels);
            clips.zip(texts).zip(&mut losses).for_each(
                |(((scores, gradient), (&frames, labels)), loss)| {
                    if frames_needed(labels) > frames {
                        return;
                    }
                    let own = frames * classes;
                    let lattice = Lattice { labels, blank: self.blank, classes };
                    *loss = lattice.loss(&scores[..own], &mut gradient[..own]) as f32;
                    if !loss.is_finite() {
                        gradient[..own].fill(0.0);
                    }
                },
            );
        }
        let gradient = Tensor::from_vec(gradient, layout.shape(), &Device::Cpu)?;
        *self.gradient.lock().unwrap_or_else(PoisonError::into_inner) = Some(gradient);
        Ok((CpuStorage::F32(losses), batch.into()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let gradient = self.gradient.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(gradient) = gradient.as_ref() else { return Ok(None) };
        Ok(Some(gradient.broadcast_mul(&upstream.reshape(((), 1, 1))?)?))
    }
}

/// The states of one text: blank, first label, blank, second label, …, blank.
struct Lattice<'a> {
    labels: &'a [u32],
    blank: u32,
    classes: usize,
}

impl Lattice<'_> {
    fn states(&self) -> usize {
        2 * self.labels.len() + 1
    }

    fn class(&self, state: usize) -> usize {
        (if state.is_multiple_of(2) { self.blank } else { self.labels[state / 2] }) as usize
    }

    /// Whether a path may go to this state from the one two before: between different labels.
    fn skips_to(&self, state: usize) -> bool {
        state % 2 == 1 && state >= 2 && self.class(state) != self.class(state - 2)
    }

    /// The loss of whole frames of scores, and its gradient by them. There is at least one
    /// alignment by length.
    fn loss(&self, scores: &[f32], gradient: &mut [f32]) -> f64 {
        let states = self.states();
        let rows: Vec<&[f32]> = scores.chunks_exact(self.classes).collect();
        if rows.is_empty() {
            return 0.0;
        }
        // Log probability of each state's class in each frame.
        let mut emissions = Vec::with_capacity(rows.len() * states);
        for row in &rows {
            let norm = f64::from(log_sum_exp(row));
            emissions.extend((0..states).map(|state| f64::from(row[self.class(state)]) - norm));
        }
        let emissions: Vec<&[f64]> = emissions.chunks_exact(states).collect();
        let forward = self.forward(&emissions);
        let backward = self.backward(&emissions);
        let last = &forward[forward.len() - states..];
        let total = log_add(&last[states.saturating_sub(2)..]);

        // By a score: the class's probability, less the share of alignments that pass through it.
        gradient.copy_from_slice(scores);
        softmax_rows(gradient, self.classes);
        let through = forward.chunks_exact(states).zip(backward.chunks_exact(states));
        for (row, (forward, backward)) in gradient.chunks_exact_mut(self.classes).zip(through) {
            for (state, (before, behind)) in forward.iter().zip(backward).enumerate() {
                row[self.class(state)] -= (before + behind - total).exp() as f32;
            }
        }
        -total
    }

    /// Log probability of all beginnings that are in a state at a frame, that frame included.
    fn forward(&self, emissions: &[&[f64]]) -> Vec<f64> {
        let states = self.states();
        let mut all = vec![f64::NEG_INFINITY; emissions.len() * states];
        for (frame, emission) in emissions.iter().enumerate() {
            let (done, now) = all.split_at_mut(frame * states);
            if frame == 0 {
                let first = states.min(2);
                now[..first].copy_from_slice(&emission[..first]);
                continue;
            }
            let before = &done[(frame - 1) * states..];
            for (state, (now, emission)) in now.iter_mut().zip(*emission).enumerate() {
                let from = if self.skips_to(state) { state - 2 } else { state.saturating_sub(1) };
                *now = log_add(&before[from..=state]) + emission;
            }
        }
        all
    }

    /// Log probability of all ends behind a state at a frame, that frame not included.
    fn backward(&self, emissions: &[&[f64]]) -> Vec<f64> {
        let states = self.states();
        let mut all = vec![f64::NEG_INFINITY; emissions.len() * states];
        for frame in (0..emissions.len()).rev() {
            let (now, done) = all.split_at_mut((frame + 1) * states);
            let now = &mut now[frame * states..];
            let Some(emission) = emissions.get(frame + 1) else {
                now[states.saturating_sub(2)..].fill(0.0);
                continue;
            };
            for (state, now) in now.iter_mut().enumerate() {
                let skip = state + 2 < states && self.skips_to(state + 2);
                let to = if skip { state + 2 } else { (state + 1).min(states - 1) };
                let mut next = [f64::NEG_INFINITY; 3];
                for (next, to) in next.iter_mut().zip(state..=to) {
                    *next = done[to] + emission[to];
                }
                *now = log_add(&next);
            }
        }
        all
    }
}

/// `ln(sum(e^x))` of a few numbers; -inf for none, or where all are.
fn log_add(values: &[f64]) -> f64 {
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if max == f64::NEG_INFINITY {
        return max;
    }
    max + values.iter().map(|value| (value - max).exp()).sum::<f64>().ln()
}
