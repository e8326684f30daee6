//! `partita-train pack`: a trained model made small enough to pass on.
//!
//! Training changes every weight of the encoder by little. What a matrix gained becomes a low-rank
//! change of it, the best of its rank (Eckart and Young 1936); everything else is stored in 16 bits.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};
use nalgebra::DMatrix;
use partita_model::files::{WeightFile, write_safetensors};
use partita_model::nn::LowRank;
use partita_model::speech::TrainedModel;
use serde::Serialize;

use crate::recipe::Model;
use crate::speech::Files;

/// What is packed, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// A folder with a trained model: a run's.
    pub model: PathBuf,
    /// The folder that gets the small one.
    pub out: PathBuf,
    /// Rank of the encoder's changes.
    pub rank: usize,
}

/// What packing cost.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Bytes of weights before.
    pub before: u64,
    /// Bytes of weights after.
    pub after: u64,
    /// Matrices whose change became a low-rank one, and the share of it that was lost: the
    /// Frobenius norm of what is missing over that of the whole change.
    pub changes: Vec<(String, f64)>,
}

/// Packs a trained model.
///
/// # Errors
/// When the folder holds none, its encoder is not in the store, `out` has a model already, or it
/// cannot be written.
pub fn pack(options: &Options) -> Result<Report> {
    let Options { model, out, rank } = options;
    if *rank == 0 {
        bail!("a change of rank 0 is none");
    }
    let described = TrainedModel::read(model)?;
    let weights = model.join(TrainedModel::WEIGHTS);
    let trained = WeightFile::open(&weights)?;
    let files = Files::of(&Model {
        encoder: described.encoder.clone(),
        llm: described.llm.clone(),
        ..Model::default()
    })?;
    let encoder = WeightFile::open(&files.encoder)?;
    let target = out.join(TrainedModel::WEIGHTS);
    if target.exists() {
        bail!("{}: there is a model already", out.display());
    }
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    // One alpha for the whole file: changes that are new are scaled to it.
    let alpha: f64 = match trained.metadata().get(LowRank::ALPHA_KEY) {
        Some(alpha) => alpha
            .as_str()
            .and_then(|alpha| alpha.parse().ok())
            .filter(|alpha: &f64| alpha.is_finite() && *alpha != 0.0)
            .with_context(|| format!("{}: {}", weights.display(), LowRank::ALPHA_KEY))?,
        None => *rank as f64,
    };
    let mut tensors = Vec::new();
    let mut changes = Vec::new();
    for info in trained.tensors() {
        let name = &info.name;
        let (shape, values) = trained.floats(name)?;
        let base = match encoder.contains(name) {
            true => Some(encoder.floats(name)?).filter(|(found, _)| *found == shape),
            false => None,
        };
        match (base, &shape[..], name.strip_suffix(".weight")) {
            (Some((_, base)), &[outputs, inputs], Some(layer))
                if rank * (outputs + inputs) < outputs * inputs =>
            {
                let change = values.iter().zip(&base).map(|(new, old)| new - old);
                let change = DMatrix::from_row_iterator(outputs, inputs, change);
                let Some((b, a, lost)) = low_rank(&change, *rank) else { continue };
                let [a_name, b_name] = LowRank::names(layer);
                let b = b * (*rank as f32 / alpha as f32);
                tensors.push((a_name, half(rows(&a), &[*rank, inputs])?));
                tensors.push((b_name, half(rows(&b), &[outputs, *rank])?));
                changes.push((name.clone(), lost));
            }
            (_, [_], _) => {
                let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?;
                tensors.push((name.clone(), tensor));
            }
            _ => tensors.push((name.clone(), half(values, &shape)?)),
        }
    }
    described.write(out)?;
    let metadata = [(LowRank::ALPHA_KEY.to_owned(), alpha.to_string())];
    write_safetensors(&target, &metadata, &tensors)?;
    let size = |path: &Path| {
        let found = std::fs::metadata(path).with_context(|| path.display().to_string())?;
        anyhow::Ok(found.len())
    };
    Ok(Report { before: size(&weights)?, after: size(&target)?, changes })
}

/// What a report says to people.
pub fn render(report: &Report) -> String {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let mut text = format!(
        "weights: {:.1} MB, {:.1} MB before\n",
        megabytes(report.after),
        megabytes(report.before)
    );
    let worst = report.changes.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((name, lost)) = worst {
        let count = report.changes.len() as f64;
        let mean = report.changes.iter().map(|(_, lost)| lost).sum::<f64>() / count;
        text += &format!(
            "{count} matrices: {:.1} % of a change is lost on average, at most {:.1} % ({name})\n",
            100.0 * mean,
            100.0 * lost
        );
    }
    text
}

/// The best `b` `[out, rank]` and `a` `[rank, in]` for a matrix, the root of each singular value in
/// both, and the share of it that they miss. `None` for a matrix of zeros.
fn low_rank(matrix: &DMatrix<f32>, rank: usize) -> Option<(DMatrix<f32>, DMatrix<f32>, f64)> {
    let whole = f64::from(matrix.norm());
    if whole == 0.0 {
        return None;
    }
    let parts = matrix.clone().svd(true, true);
    let (left, right) = (parts.u?, parts.v_t?);
    let sizes = &parts.singular_values;
    let root = |i: usize| sizes.get(i).map_or(0.0, |size| size.sqrt());
    // Singular values come in order; a small matrix may have fewer than were asked for.
    let kept = rank.min(sizes.len());
    let b = DMatrix::from_fn(matrix.nrows(), rank, |row, i| {
        if i < kept { left[(row, i)] * root(i) } else { 0.0 }
    });
    let a = DMatrix::from_fn(rank, matrix.ncols(), |i, column| {
        if i < kept { right[(i, column)] * root(i) } else { 0.0 }
    });
    let missing = f64::from((matrix - &b * &a).norm());
    Some((b, a, missing / whole))
}

/// Row by row.
fn rows(matrix: &DMatrix<f32>) -> Vec<f32> {
    matrix.transpose().iter().copied().collect()
}

fn half(values: Vec<f32>, shape: &[usize]) -> Result<Tensor> {
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(DType::F16)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_low_rank_is_found_again() {
        let wave = |step: f32| move |i: usize, j: usize| ((i * 7 + j * 3) as f32 * step).sin();
        let (b, a) = (DMatrix::from_fn(30, 3, wave(0.7)), DMatrix::from_fn(3, 20, wave(1.3)));
        let matrix = &b * &a;
        let (b, a, lost) = low_rank(&matrix, 3).unwrap();
        assert!(lost < 1e-5 && (b * a - &matrix).norm() < 1e-4, "{lost}");
        // Less rank loses as much as the singular values that are left out.
        let sizes = matrix.clone().svd(false, false).singular_values;
        let (_, _, lost) = low_rank(&matrix, 1).unwrap();
        let left = (sizes[1].powi(2) + sizes[2].powi(2)).sqrt() / matrix.norm();
        assert!((lost - f64::from(left)).abs() < 1e-4, "{lost} {left}");
        assert!(low_rank(&DMatrix::zeros(3, 4), 2).is_none());
        // More rank than there is adds zeros.
        let (b, a, _) = low_rank(&matrix, 25).unwrap();
        assert_eq!((b.shape(), a.shape()), ((30, 25), (25, 20)));
        assert_eq!(rows(&DMatrix::from_row_slice(2, 2, &[1.0, 2.0, 3.0, 4.0])), [1.0, 2.0, 3.0, 4.0]);
    }
}
