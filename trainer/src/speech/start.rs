//! What a run begins from, when that is not the base models alone.

use std::path::Path;

use anyhow::{Context, Result, bail};
use partita_model::nn::Parameters;
use partita_model::speech::TrainedModel;
use partita_model::tokens::Shortlist;

use super::names::own_name;

/// Takes over the trained tensors of another run: its folder, or the weight file in it. A CTC head
/// comes along only where it is over the same tokens.
///
/// # Errors
/// When there are no weights, or they are a checkpoint's.
pub(super) fn begin_from(
    start: &Path,
    parameters: &mut Parameters,
    shortlist: &Shortlist,
) -> Result<()> {
    let mut weights = start.to_owned();
    if weights.is_dir() {
        weights.push(TrainedModel::WEIGHTS);
    }
    parameters.load(&weights).with_context(|| weights.display().to_string())?;
    let folder = weights.parent().unwrap_or(Path::new(""));
    let known = TrainedModel::read(folder).is_ok_and(|model| model.config.shortlist == *shortlist);
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
