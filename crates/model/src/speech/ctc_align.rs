//! What CTC scores say: labels, and where given labels lie.

use super::ctc_loss::{check_labels, frames_needed};
use crate::nn::log_sum_exp;
use candle_core::{DType, Result, Tensor, bail};
use std::ops::Range;

/// Seconds of one frame behind an adapter of total stride 4: the times of an [`Alignment`] are
/// multiples of it.
pub const CTC_STEP: f64 = 0.08;

/// The likeliest way to read given labels from a clip.
#[derive(Debug, Clone, PartialEq)]
pub struct Alignment {
    /// For each label the frames that say it; never empty, in order, never overlapping. Frames
    /// between are blank.
    pub frames: Vec<Range<usize>>,
    /// Log probability (nats) of this one path.
    pub log_probability: f64,
}

/// The labels of the likeliest classes of scores `[batch, time, classes]`, repeats and blanks
/// dropped, for clips of `frames` frames each.
///
/// # Errors
/// When there is not one length a clip, or a clip has more frames than the batch.
pub fn greedy(scores: &Tensor, frames: &[usize], blank: u32) -> Result<Vec<Vec<u32>>> {
    let (batch, time, _) = scores.dims3()?;
    if frames.len() != batch || frames.iter().any(|&frames| frames > time) {
        bail!("lengths {frames:?} for a batch of {batch} by {time}");
    }
    let best = scores.argmax(candle_core::D::Minus1)?.to_vec2::<u32>()?;
    let read = |(row, &frames): (&Vec<u32>, &usize)| {
        let mut labels = row[..frames].to_vec();
        labels.dedup();
        labels.retain(|&label| label != blank);
        labels
    };
    Ok(best.iter().zip(frames).map(read).collect())
}

/// Forced alignment (Viterbi) of labels to a clip's scores `[time, classes]`; `None` where the clip
/// has fewer frames than the labels need.
///
/// # Errors
/// When a label is no class or is blank, or the scores are not finite where labels need them.
pub fn align(scores: &Tensor, labels: &[u32], blank: u32) -> Result<Option<Alignment>> {
    let (time, classes) = scores.dims2()?;
    if blank as usize >= classes {
        bail!("blank is {blank}, and there are {classes} classes");
    }
    check_labels(labels, classes, blank)?;
    if frames_needed(labels) > time {
        return Ok(None);
    }
    let rows = scores.to_dtype(DType::F32)?.to_vec2::<f32>()?;
    let states = 2 * labels.len() + 1;
    let class =
        |state: usize| if state.is_multiple_of(2) { blank } else { labels[state / 2] } as usize;
    let skips_to = |state: usize| state % 2 == 1 && state > 1 && class(state) != class(state - 2);

    // The best beginning that is in a state, and how many states back each came from.
    let mut best = vec![f64::NEG_INFINITY; states];
    let mut steps = vec![0u8; time * states];
    for (frame, row) in rows.iter().enumerate() {
        let norm = f64::from(log_sum_exp(row));
        let before = best.clone();
        for (state, best) in best.iter_mut().enumerate() {
            let (came, step) = if frame == 0 {
                (if state < 2 { 0.0 } else { f64::NEG_INFINITY }, 0)
            } else {
                let farthest = if skips_to(state) { 2 } else { state.min(1) };
                let candidates = (0..=farthest).map(|step| (before[state - step], step as u8));
                candidates.fold((f64::NEG_INFINITY, 0), |a, b| if b.0 > a.0 { b } else { a })
            };
            *best = came + f64::from(row[class(state)]) - norm;
            steps[frame * states + state] = step;
        }
    }
    let mut state = states - 1;
    if states > 1 && best[states - 2] > best[state] {
        state = states - 2;
    }
    let log_probability = if time == 0 { 0.0 } else { best[state] };
    if !log_probability.is_finite() {
        bail!("scores that give an alignment a log probability of {log_probability}");
    }
    let mut frames = vec![0..0; labels.len()];
    for frame in (0..time).rev() {
        if state % 2 == 1 {
            let range = &mut frames[state / 2];
            *range = frame..if range.start == range.end { frame + 1 } else { range.end };
        }
        state -= usize::from(steps[frame * states + state]);
    }
    Ok(Some(Alignment { frames, log_probability }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Scores under which each frame almost surely says the given class.
    fn sure(classes: &[usize], count: usize) -> Tensor {
        let row = |&class: &usize| (0..count).map(move |i| if i == class { 12f32 } else { 0.0 });
        let values: Vec<f32> = classes.iter().flat_map(row).collect();
        Tensor::from_vec(values, (classes.len(), count), &Device::Cpu).unwrap()
    }

    #[test]
    fn labels_are_read_and_found_where_they_were_said() {
        const BLANK: usize = 3;
        let said = [BLANK, 0, 0, BLANK, 0, 1, 1, 1, BLANK, 2, BLANK, BLANK];
        let scores = sure(&said, 4);
        let batch = Tensor::stack(&[&scores, &scores], 0).unwrap();
        let read = greedy(&batch, &[12, 5], BLANK as u32).unwrap();
        assert_eq!(read, [vec![0, 0, 1, 2], vec![0, 0]]);
        let found = align(&scores, &[0, 0, 1, 2], BLANK as u32).unwrap().unwrap();
        assert_eq!(found.frames, [1..3, 4..5, 5..8, 9..10]);
        assert!(found.log_probability > -0.01 && found.log_probability < 0.0);
        assert!(greedy(&batch, &[13, 1], 3).is_err());
    }

    /// Against all paths of a small clip, tried one by one.
    #[test]
    fn the_path_is_the_best_of_all() {
        let (time, classes, blank) = (6usize, 3usize, 2u32);
        for (round, labels) in [vec![0u32, 1], vec![1, 1], vec![0], vec![], vec![0, 1, 0, 1, 0, 1]]
            .into_iter()
            .enumerate()
        {
            let value = |i: usize| ((i * 37 + round * 101) as f32 * 0.77).sin() * 2.0;
            let values: Vec<f32> = (0..time * classes).map(value).collect();
            let scores = Tensor::from_vec(values.clone(), (time, classes), &Device::Cpu).unwrap();
            let log_probability = |path: &[u32]| -> f64 {
                let frame = |(t, &class): (usize, &u32)| {
                    let row = &values[t * classes..(t + 1) * classes];
                    let norm: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
                    f64::from(row[class as usize]) - norm.ln()
                };
                path.iter().enumerate().map(frame).sum()
            };
            let paths = (0..classes.pow(time as u32)).map(|code| -> Vec<u32> {
                (0..time).map(|t| (code / classes.pow(t as u32) % classes) as u32).collect()
            });
            let reads = |path: &Vec<u32>| {
                let mut path = path.clone();
                path.dedup();
                path.retain(|&class| class != blank);
                path == labels
            };
            let best = paths
                .filter(reads)
                .max_by(|a, b| log_probability(a).total_cmp(&log_probability(b)));
            let best = best.unwrap();
            let found = align(&scores, &labels, blank).unwrap().unwrap();
            assert!((found.log_probability - log_probability(&best)).abs() < 1e-5);
            let mut path = vec![blank; time];
            for (range, &label) in found.frames.iter().zip(&labels) {
                path[range.clone()].fill(label);
            }
            assert_eq!(path, best, "{labels:?}");
        }
    }

    #[test]
    fn what_cannot_be_aligned_is_said() {
        let scores = sure(&[0, 1, 2], 4);
        assert_eq!(align(&scores, &[0, 0, 1], 3).unwrap(), None, "a repeat needs a blank");
        assert_eq!(align(&scores, &[0, 1, 2, 0], 3).unwrap(), None);
        assert!(align(&scores, &[3], 3).is_err());
        assert!(align(&scores, &[4], 3).is_err());
        assert!(align(&scores, &[0], 4).is_err());
        let broken = (&scores * f64::NAN).unwrap();
        assert!(align(&broken, &[0], 3).is_err());
    }
}
