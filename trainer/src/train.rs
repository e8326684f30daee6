//! `partita-train train` and `resume`.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use candle_core::Device;

use crate::objective::Watcher;
use crate::progress::Bar;
use crate::recipe::Recipe;
use crate::run_folder::{RunFolder, runs_folder};
use crate::speech::SpeechObjective;
use crate::training_loop::{Outcome, stop_on_interrupt, train};

/// What the command line says about a new run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The recipe.
    pub recipe: PathBuf,
    /// The run's folder; one named after the recipe and its seed when absent.
    pub out: Option<PathBuf>,
    /// Manifests of clips, instead of the recipe's.
    pub speech: Vec<PathBuf>,
    /// Manifests of sentences, instead of the recipe's.
    pub text: Vec<PathBuf>,
    /// Another seed than the recipe's.
    pub seed: Option<u64>,
}

/// Begins a run; returns its folder, which holds the model as it then is, and how it ended.
///
/// # Errors
/// When the recipe, its data or bases cannot be used, there is such a run already, or training
/// fails. Checkpoints that were written stay.
pub fn begin(options: &Options, device: &Device, quiet: bool) -> Result<(PathBuf, Outcome)> {
    let recipe = resolve(options)?;
    let path = match &options.out {
        Some(out) => out.clone(),
        None => runs_folder()?.join(format!("{}-{}", recipe.name, recipe.seed)),
    };
    let mut objective = SpeechObjective::open(&recipe, device)?;
    let run = RunFolder::create(&path, &recipe)?;
    let stop = stop_on_interrupt()?;
    let outcome = go_on(&mut objective, &run, &stop, quiet)?;
    Ok((path, outcome))
}

/// The recipe with what the command line says, and with paths that hold from anywhere.
///
/// # Errors
/// When the recipe cannot work, or a file that it names is not there.
pub fn resolve(options: &Options) -> Result<Recipe> {
    let mut recipe = Recipe::load(&options.recipe)?;
    if let Some(seed) = options.seed {
        recipe.seed = seed;
    }
    let folder = options.recipe.parent().unwrap_or(Path::new(""));
    let beside =
        |names: &[String]| -> Vec<PathBuf> { names.iter().map(|name| folder.join(name)).collect() };
    let speech = if options.speech.is_empty() {
        beside(&recipe.data.speech)
    } else {
        options.speech.clone()
    };
    let text =
        if options.text.is_empty() { beside(&recipe.data.text) } else { options.text.clone() };
    // A run may be resumed from anywhere.
    (recipe.data.speech, recipe.data.text) = (absolute(&speech)?, absolute(&text)?);
    if let Some(cache) = &mut recipe.data.cache {
        // It may have to be created.
        let whole = std::path::absolute(folder.join(&cache.folder))?;
        let whole = whole.into_os_string().into_string();
        cache.folder = whole.ok().context("data.cache.folder: not a name in UTF-8")?;
    }
    if !recipe.model.start.is_empty() {
        let start = absolute(&beside(std::slice::from_ref(&recipe.model.start)))?;
        recipe.model.start = start.concat();
    }
    Ok(recipe)
}

/// Goes on with a run from its last checkpoint; returns how it ended.
///
/// # Errors
/// As [`begin`]; when the folder is no run.
pub fn resume(path: &Path, device: &Device, quiet: bool) -> Result<Outcome> {
    let run = RunFolder::open(path)?;
    let mut objective = SpeechObjective::open(run.recipe(), device)?;
    let stop = stop_on_interrupt()?;
    go_on(&mut objective, &run, &stop, quiet)
}

/// Trains until the recipe is carried out or `stop` is raised, with progress on standard error
/// unless `quiet`, and writes the model as it then is into the run's folder.
///
/// # Errors
/// When training fails, or the model cannot be written. Checkpoints that were written stay.
pub fn go_on(
    objective: &mut SpeechObjective,
    run: &RunFolder,
    stop: &AtomicBool,
    quiet: bool,
) -> Result<Outcome> {
    let mut bar = (!quiet).then(Bar::default);
    let watcher: &mut dyn Watcher = match &mut bar {
        Some(bar) => bar,
        None => &mut (),
    };
    objective.describe(run.path())?;
    let outcome = train(objective, run, stop, watcher)?;
    objective.write_model(run.path())?;
    Ok(outcome)
}

fn absolute(paths: &[PathBuf]) -> Result<Vec<String>> {
    let whole = |path: &PathBuf| {
        let path = path.canonicalize().with_context(|| path.display().to_string())?;
        path.into_os_string()
            .into_string()
            .map_err(|path| anyhow::anyhow!("{}: not a name in UTF-8", path.display()))
    };
    paths.iter().map(whole).collect()
}
