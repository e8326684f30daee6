//! `partita-train pack`: a trained model made small enough to pass on.
//!
//! Training changes every weight of the encoder by little. What a matrix gained is stored in four
//! bits: of a change that is a few per cent of the weight, an error of a few per cent is nothing.
//! (Changes of full training are not of low rank: at rank 32, the best change of each matrix of
//! 512 columns misses three quarters of it.) Matrices that are new have eight bits, and what has
//! no rows of whole blocks 16.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use partita_model::files::WeightFile;
use partita_model::nn::{LowRank, change_name};
use partita_model::speech::TrainedModel;
use serde::Serialize;

use crate::speech::Files;

/// What is packed, and where to.
#[derive(Debug, Clone)]
pub struct Options {
    /// A folder with a trained model: a run's.
    pub model: PathBuf,
    /// The GGUF file to write.
    pub out: PathBuf,
}

/// What packing cost.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Bytes of weights before.
    pub before: u64,
    /// Bytes of the file.
    pub after: u64,
    /// Tensors stored as changes, and the share of the change that was lost: the root mean square of
    /// what is missing over that of the whole change.
    pub changes: Vec<(String, f64)>,
}

/// Packs a trained model.
///
/// # Errors
/// When the folder holds none, its encoder is not in the store, `out` is there already, or it cannot
/// be written.
pub fn pack(options: &Options) -> Result<Report> {
    let Options { model, out } = options;
    let described = TrainedModel::read(model)?;
    let weights = TrainedModel::weights(model);
    let trained = WeightFile::open(&weights)?;
    let files = Files::named(&described.encoder, &described.llm)?;
    let encoder = WeightFile::open(&files.encoder)?;
    if out.exists() {
        bail!("{}: there is a file already", out.display());
    }
    let alpha = LowRank::alpha(&trained)?.unwrap_or(1.0);
    let mut tensors = Vec::new();
    let mut changes = Vec::new();
    for info in trained.tensors() {
        let name = &info.name;
        let (shape, values) = trained.floats(name)?;
        let base = match encoder.contains(name) {
            true => Some(encoder.floats(name)?).filter(|(found, _)| *found == shape),
            false => None,
        };
        let Some((_, base)) = base else {
            let kind = kind(&shape, GgmlDType::Q8_0);
            tensors.push((name.clone(), stored(values, &shape, kind)?));
            continue;
        };
        let change: Vec<f32> = values.iter().zip(&base).map(|(new, old)| new - old).collect();
        if change.iter().all(|&value| value == 0.0) {
            continue;
        }
        let size = root_mean_square(&change);
        let change = Tensor::from_vec(change, &shape[..], &Device::Cpu)?;
        let stored = QTensor::quantize(&change, kind(&shape, GgmlDType::Q4K))?;
        let missing = (change - stored.dequantize(&Device::Cpu)?)?.flatten_all()?.to_vec1()?;
        changes.push((name.clone(), root_mean_square(&missing) / size));
        tensors.push((change_name(name), stored));
    }
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    described.write_packed(out, alpha, &tensors)?;
    let size = |path: &Path| {
        let found = std::fs::metadata(path).with_context(|| path.display().to_string())?;
        anyhow::Ok(found.len())
    };
    Ok(Report { before: size(&weights)?, after: size(out)?, changes })
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
            "{count} changes: {:.1} % of one is lost on average, at most {:.1} % ({name})\n",
            100.0 * mean,
            100.0 * lost
        );
    }
    text
}

/// The type for a tensor of this shape: vectors are small and keep their precision, rows that are
/// not whole blocks of the wanted type take the next one that they fit.
fn kind(shape: &[usize], wanted: GgmlDType) -> GgmlDType {
    let &[_, .., inputs] = shape else { return GgmlDType::F32 };
    let fits = |kind: &GgmlDType| inputs % kind.block_size() == 0;
    let fallback = if wanted == GgmlDType::Q8_0 { GgmlDType::F16 } else { GgmlDType::Q4_0 };
    [wanted, fallback].into_iter().find(fits).unwrap_or(GgmlDType::F16)
}

fn stored(values: Vec<f32>, shape: &[usize], kind: GgmlDType) -> Result<QTensor> {
    Ok(QTensor::quantize(&Tensor::from_vec(values, shape, &Device::Cpu)?, kind)?)
}

fn root_mean_square(values: &[f32]) -> f64 {
    let sum: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
    (sum / values.len().max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_fit_their_rows() {
        let small = |shape: &[usize]| kind(shape, GgmlDType::Q4K);
        assert_eq!(small(&[512, 2048]), GgmlDType::Q4K);
        assert_eq!(small(&[512, 96]), GgmlDType::Q4_0);
        assert_eq!(small(&[512, 80, 3]), GgmlDType::F16);
        assert_eq!(small(&[512]), GgmlDType::F32);
        assert_eq!(kind(&[45, 640], GgmlDType::Q8_0), GgmlDType::Q8_0);
        assert_eq!(kind(&[45, 16], GgmlDType::Q8_0), GgmlDType::F16);
    }
}
