//! The cosines between gradients at the ends of a run's stages: measured from the checkpoints that
//! are kept there, and stored as `gradients/STAGE.json`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::Device;
use serde::{Deserialize, Serialize};

use crate::checkpoint::PARAMETERS;
use crate::gradients::Cosines;
use crate::objective::Objective;
use crate::output;
use crate::recipe::Recipe;
use crate::run_folder::checkpoints;
use crate::speech::SpeechObjective;

/// The cosines at the end of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageCosines {
    /// The stage.
    pub stage: String,
    /// Steps done at its end.
    pub step: u64,
    /// Clips of a cell, at most.
    pub clips: usize,
    /// Between the gradients of the adapter.
    pub cosines: Cosines,
}

/// Reads what was measured, stage by stage in the recipe's order.
///
/// # Errors
/// When a file is damaged.
pub fn read(run: &Path, recipe: &Recipe) -> Result<Vec<StageCosines>> {
    let mut found = Vec::new();
    for stage in &recipe.order {
        let path = file(run, stage);
        if !path.is_file() {
            continue;
        }
        let named = || path.display().to_string();
        let text = fs::read(&path).with_context(named)?;
        let one: StageCosines = serde_json::from_slice(&text).with_context(named)?;
        let Cosines { labels, values, norms } = &one.cosines;
        let count = labels.len();
        if values.len() != count || norms.len() != count || values.iter().any(|v| v.len() != count)
        {
            bail!("{}: no matrix of {count} rows", path.display());
        }
        found.push(one);
    }
    Ok(found)
}

/// Measures at the ends of all stages where that was not done yet, with so many clips a cell.
/// Ends of stages that no checkpoint is left of are told and passed over.
///
/// # Errors
/// When the run's data or bases cannot be used any more, or a device fails.
pub fn measure(
    run: &Path,
    recipe: &Recipe,
    clips: usize,
    device: &Device,
    quiet: bool,
) -> Result<()> {
    let missing = |stage: &&String| !file(run, stage).is_file();
    let missing: Vec<&String> = recipe.order.iter().filter(missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let tell = |line: String| match quiet {
        true => Ok(()),
        false => output::print_error(&line),
    };
    let ends = checkpoints(run)?.whole;
    let mut objective: Option<SpeechObjective> = None;
    for stage in missing {
        let end = ends.iter().rfind(|end| end.state.ends.as_ref() == Some(stage));
        let Some(end) = end else {
            tell(format!("{}: no checkpoint of the end of `{stage}`\n", run.display()))?;
            continue;
        };
        let objective = match &mut objective {
            Some(objective) => objective,
            none => none.insert(SpeechObjective::open(recipe, device)?),
        };
        end.load(PARAMETERS, &objective.parameters())?;
        tell(format!("{}: gradients at the end of `{stage}`\n", run.display()))?;
        let cosines = objective.cosines(clips)?;
        let step = end.state.progress.steps;
        let found = StageCosines { stage: stage.clone(), step, clips, cosines };
        let path = file(run, stage);
        let folder = path.parent().unwrap_or(run);
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        output::write_whole(&path, &serde_json::to_vec(&found)?)?;
    }
    Ok(())
}

/// The mean cosine of pairs of cells that `of` chooses by their labels, without those of a cell
/// with itself.
pub fn mean(cosines: &Cosines, of: impl Fn(&str, &str) -> bool) -> Option<f64> {
    let rows = cosines.labels.iter().zip(&cosines.values);
    let chosen: Vec<f64> = rows
        .flat_map(|(a, row)| cosines.labels.iter().zip(row).map(move |(b, value)| (a, b, *value)))
        .filter(|(a, b, _)| a != b && of(a, b))
        .map(|(_, _, value)| value)
        .collect();
    (!chosen.is_empty()).then(|| chosen.iter().sum::<f64>() / chosen.len() as f64)
}

fn file(run: &Path, stage: &str) -> PathBuf {
    run.join("gradients").join(format!("{}.json", file_name(stage)))
}

/// A stage's name as part of a file's.
pub fn file_name(stage: &str) -> String {
    let safe = |c: char| if c.is_alphanumeric() || c == '-' { c } else { '_' };
    stage.chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_leave_out_the_diagonal() {
        let cosines = Cosines {
            labels: ["asr de", "asr fr", "st de-en"].map(str::to_owned).to_vec(),
            values: vec![vec![1.0, 0.4, 0.1], vec![0.4, 1.0, 0.2], vec![0.1, 0.2, 1.0]],
            norms: vec![1.0; 3],
        };
        let task = |label: &str| label.split(' ').next().map(str::to_owned);
        let close = |found: Option<f64>, value: f64| (found.unwrap() - value).abs() < 1e-12;
        assert!(close(mean(&cosines, |a, b| task(a) == task(b)), 0.4));
        assert!(close(mean(&cosines, |a, b| task(a) != task(b)), 0.15));
        assert_eq!(mean(&cosines, |_, _| false), None);
        assert_eq!(file_name("../a b-2"), "___a_b-2");
    }
}
