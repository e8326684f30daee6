//! `partita-train train` and `resume`.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use candle_core::Device;

use crate::objective::Watcher;
use crate::parallel::{Alone, Processes, together};
use crate::progress::Bar;
use crate::recipe::Recipe;
use crate::report::history::History;
use crate::run_folder::{RunFolder, runs_folder};
use crate::speech::{Share, SpeechObjective};
use crate::training_loop::{Outcome, stop_on_interrupt, train_together};

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
    begin_together(&Alone, options, device, quiet)
}

/// The same in each of several processes.
///
/// # Errors
/// As [`begin`], in all of them when one fails.
pub fn begin_together(
    processes: &dyn Processes,
    options: &Options,
    device: &Device,
    quiet: bool,
) -> Result<(PathBuf, Outcome)> {
    let prepared = resolve(options).and_then(|recipe| {
        let path = match &options.out {
            Some(out) => out.clone(),
            None => runs_folder()?.join(format!("{}-{}", recipe.name, recipe.seed)),
        };
        let objective = SpeechObjective::open_share(&recipe, device, share(processes))?;
        Ok((recipe, path, objective))
    });
    let (recipe, path, mut objective) = together(processes, prepared)?;
    let create = || RunFolder::create(&path, &recipe);
    let run = RunFolder::open_together(processes, &path, create)?;
    let stop = stop_on_interrupt()?;
    let outcome = go_on_together(processes, &mut objective, &run, &stop, quiet)?;
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
    resume_together(&Alone, path, device, quiet)
}

/// The same in each of several processes, as many as before or not.
///
/// # Errors
/// As [`resume`], in all of them when one fails.
pub fn resume_together(
    processes: &dyn Processes,
    path: &Path,
    device: &Device,
    quiet: bool,
) -> Result<Outcome> {
    let run = RunFolder::open_together(processes, path, || RunFolder::open(path))?;
    let opened = SpeechObjective::open_share(run.recipe(), device, share(processes));
    let mut objective = together(processes, opened)?;
    let stop = stop_on_interrupt()?;
    go_on_together(processes, &mut objective, &run, &stop, quiet)
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
    go_on_together(&Alone, objective, run, stop, quiet)
}

fn go_on_together(
    processes: &dyn Processes,
    objective: &mut SpeechObjective,
    run: &RunFolder,
    stop: &AtomicBool,
    quiet: bool,
) -> Result<Outcome> {
    let first = processes.rank() == 0;
    let mut bar = (first && !quiet).then(Bar::default);
    let watcher: &mut dyn Watcher = match &mut bar {
        Some(bar) => bar,
        None => &mut (),
    };
    let described = if first { objective.describe(run.path()) } else { Ok(()) };
    together(processes, described)?;
    let outcome = train_together(processes, objective, run, stop, watcher)?;
    // Of a run that did no step there is nothing to tell.
    if first
        && !quiet
        && let Ok(history) = History::read(run.path())
    {
        watcher.note(&history.drawn().render());
    }
    let written = if first { objective.write_model(run.path()) } else { Ok(()) };
    together(processes, written)?;
    Ok(outcome)
}

fn share(processes: &dyn Processes) -> Share {
    Share { rank: processes.rank(), size: processes.size() }
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
