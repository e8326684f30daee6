//! The weights of a run that are evaluated.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use partita_model::files::{WeightFile, write_safetensors};
use partita_model::nn::LowRank;
use partita_model::speech::TrainedModel;
use tempfile::TempDir;

use super::Weights;
use crate::checkpoint::{self, Checkpoint, PARAMETERS};
use crate::run_folder;
use crate::speech::own_name;

/// Weights as [`TrainedModel`]s have them, trained tensors under the networks' names.
pub(super) struct Chosen {
    /// The file.
    pub path: PathBuf,
    /// What they are, for people.
    pub label: String,
    /// Holds the file until they are loaded, when it was made for that.
    _made: Option<TempDir>,
}

/// Finds the weights of a run, or of a packed model; those of checkpoints are written into a folder beside, which lasts as
/// long as the answer.
///
/// # Errors
/// When there are none such, which there are.
pub(super) fn choose(run: &Path, wanted: Weights) -> Result<Chosen> {
    if run.is_file() {
        if wanted != Weights::Last {
            bail!("{}: a packed model, which has no checkpoints", run.display());
        }
        let label = "packed".to_owned();
        return Ok(Chosen { path: run.to_owned(), label, _made: None });
    }
    let folder = run.join("checkpoints");
    let whole = match folder.is_dir() {
        true => run_folder::checkpoints(run)?.whole,
        false => Vec::new(),
    };
    let own = run.join(TrainedModel::WEIGHTS);
    if wanted == Weights::Last && whole.is_empty() && own.is_file() {
        let label = TrainedModel::WEIGHTS.to_owned();
        return Ok(Chosen { path: own, label, _made: None });
    }
    if whole.is_empty() {
        bail!("{}: no checkpoint, whole and written to its end", folder.display());
    }
    let recipe = run_folder::recipe(run)?;
    let step = |checkpoint: &Checkpoint| checkpoint.state.progress.steps;
    let steps = |checkpoints: &[Checkpoint]| {
        let steps: Vec<String> = checkpoints.iter().map(|c| step(c).to_string()).collect();
        match steps.split_last() {
            Some((last, others)) if !others.is_empty() => {
                format!("{} and {last}", others.join(", "))
            }
            _ => steps.concat(),
        }
    };
    let measured = |count: usize| -> Result<Vec<Checkpoint>> {
        let best: Vec<_> = run_folder::best(&recipe, &whole).take(count).cloned().collect();
        if best.len() < count {
            let (there, folder) = (best.len(), folder.display());
            bail!("{folder}: {there} checkpoints with a development value, {count} wanted");
        }
        Ok(best)
    };
    let chosen = match wanted {
        Weights::Last => whole.last().cloned().into_iter().collect(),
        Weights::Best => measured(1)?,
        Weights::Average(count) => measured(count)?,
        Weights::Step(number) => match whole.iter().find(|checkpoint| step(checkpoint) == number) {
            Some(checkpoint) => vec![checkpoint.clone()],
            None => bail!(
                "{}: no checkpoint after step {number}; there are {}",
                folder.display(),
                steps(&whole)
            ),
        },
    };
    let beside = TempDir::with_prefix_in(".weights-", run)
        .with_context(|| format!("{}: cannot write here", run.display()))?;
    let (source, label) = match &chosen[..] {
        [one] => (one.path.join(PARAMETERS), format!("step {}", step(one))),
        several => {
            let mean = beside.path().join("mean.safetensors");
            checkpoint::average(several, &mean)?;
            (mean, format!("mean of steps {}", steps(several)))
        }
    };
    let path = beside.path().join(TrainedModel::WEIGHTS);
    rename(&source, recipe.lora.alpha, &path)?;
    Ok(Chosen { path, label, _made: Some(beside) })
}

/// Writes a checkpoint's parameters under the networks' names.
fn rename(parameters: &Path, alpha: f64, to: &Path) -> Result<()> {
    let file = WeightFile::open(parameters)?;
    let mut tensors = Vec::with_capacity(file.tensors().len());
    for info in file.tensors() {
        let (shape, values) = file.floats(&info.name)?;
        tensors.push((own_name(&info.name), Tensor::from_vec(values, shape, &Device::Cpu)?));
    }
    let alpha = (LowRank::ALPHA_KEY.to_owned(), alpha.to_string());
    Ok(write_safetensors(to, &[alpha], &tensors)?)
}
