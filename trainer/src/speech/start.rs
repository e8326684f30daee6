//! What a run begins from, when that is not the base models alone.

use std::path::Path;

use anyhow::{Context, Result, bail};
use partita_model::files::WeightFile;
use partita_model::nn::{LowRank, Parameters};
use partita_model::speech::TrainedModel;
use partita_model::tokens::Shortlist;

use super::names::own_name;

/// Takes over the trained tensors of another run, its folder or the weight file in it, or of a packed
/// model. A CTC head comes along only where it is over the same tokens.
///
/// # Errors
/// When there are no weights, they are a checkpoint's, or they have low-rank changes of another scale.
pub(super) fn begin_from(
    start: &Path,
    parameters: &mut Parameters,
    shortlist: &Shortlist,
    alpha: f64,
) -> Result<()> {
    let weights = TrainedModel::weights(start);
    let is_packed = TrainedModel::is_packed(start);
    let loaded = || -> Result<WeightFile> {
        let file = WeightFile::open(&weights)?;
        match is_packed {
            true => parameters.load_from(&file)?,
            false => parameters.load(&weights)?,
        }
        Ok(file)
    };
    let file = loaded().with_context(|| weights.display().to_string())?;
    if let Some(trained) = LowRank::alpha(&file)?
        && trained != alpha
        && file.tensors().iter().any(|tensor| LowRank::is_part(&tensor.name))
    {
        bail!("{}: trained with lora.alpha = {trained}, not {alpha}", weights.display());
    }
    let described = match is_packed || start.is_dir() {
        true => start,
        false => start.parent().unwrap_or(Path::new("")),
    };
    let known = TrainedModel::read(described).is_ok_and(|it| it.config.shortlist == *shortlist);
    if !known {
        parameters.forget("ctc.");
    }
    // A checkpoint's names would be loaded and never asked for.
    let masters = parameters.masters();
    if let Some((name, _)) = masters.iter().find(|(name, _)| own_name(name) != *name) {
        bail!("{}: `{name}` is a checkpoint's; name its run's folder", weights.display());
    }
    Ok(())
}
