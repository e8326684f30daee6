//! The folder of a run.
//!
//! ```text
//! config.toml      the recipe, resolved
//! model.json       what the trained model is made of
//! weights.safetensors   what was trained, when training ended or was stopped
//! metrics.jsonl    the log
//! events/          the same for TensorBoard
//! checkpoints/     step-N/ …
//! eval/            what `partita-train eval` found
//! lock             held by the trainer at work
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use partita_model::installed;

use crate::checkpoint::{self, Checkpoint};
use crate::parallel::{Processes, together};
use crate::recipe::Recipe;

const CONFIG: &str = "config.toml";
/// How long a run is waited for that another process holds.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Where runs are: `$PARTITA_HOME/runs`, or below the user's folder for application data.
///
/// # Errors
/// When neither tells a place.
pub fn runs_folder() -> Result<PathBuf> {
    Ok(installed::home()?.join("runs"))
}

/// A run that this process alone may go on with.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    recipe: Recipe,
    config: String,
    /// `None` where the first of several processes holds it.
    _lock: Option<File>,
}

/// The checkpoints of a run.
#[derive(Debug, Default)]
pub struct Found {
    /// Those that are whole, by step.
    pub whole: Vec<Checkpoint>,
    /// Why others cannot be used.
    pub damaged: Vec<anyhow::Error>,
}

impl RunFolder {
    /// Makes the folder of a new run.
    ///
    /// # Errors
    /// When there is a run already, or the folder cannot be written.
    pub fn create(path: &Path, recipe: &Recipe) -> Result<Self> {
        let config = recipe.to_toml()?;
        fs::create_dir_all(path.join("checkpoints"))
            .with_context(|| format!("{}: cannot create this folder", path.display()))?;
        let lock = lock(path)?;
        let file = path.join(CONFIG);
        if file.exists() {
            bail!("{}: there is a run already; resume it or name another folder", path.display());
        }
        let unfinished = path.join(".config.toml.unfinished");
        let write = || {
            let mut written = File::create(&unfinished)?;
            written.write_all(config.as_bytes())?;
            written.sync_all()?;
            fs::rename(&unfinished, &file)
        };
        write().with_context(|| format!("{}: cannot write", file.display()))?;
        Ok(Self { path: path.to_owned(), recipe: recipe.clone(), config, _lock: Some(lock) })
    }

    /// Opens the folder of a run that was begun, and clears away what a trainer that was killed
    /// left unfinished.
    ///
    /// # Errors
    /// When there is none, its recipe makes no sense, or another trainer is at work in it.
    pub fn open(path: &Path) -> Result<Self> {
        let recipe = recipe(path)?;
        let lock = lock(path)?;
        let config = recipe.to_toml()?;
        let folder = path.join("checkpoints");
        fs::create_dir_all(&folder)
            .with_context(|| format!("{}: cannot create this folder", folder.display()))?;
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(".step-") {
                fs::remove_dir_all(entry.path())
                    .with_context(|| format!("{}: cannot remove", entry.path().display()))?;
            }
        }
        Ok(Self { path: path.to_owned(), recipe, config, _lock: Some(lock) })
    }

    /// Opens a run in every one of several processes, which share the folder: in the first one as
    /// `open` does, and in the others what that has made or found.
    ///
    /// # Errors
    /// Those of `open`, in all of them; when the others do not find the run.
    pub fn open_together(
        processes: &dyn Processes,
        path: &Path,
        open: impl FnOnce() -> Result<Self>,
    ) -> Result<Self> {
        let first = processes.rank() == 0;
        let opened = together(processes, first.then(open).transpose())?;
        let run = match opened {
            Some(run) => Ok(run),
            None => {
                Recipe::load(&path.join(CONFIG)).map_err(anyhow::Error::from).and_then(|recipe| {
                    let config = recipe.to_toml()?;
                    Ok(Self { path: path.to_owned(), recipe, config, _lock: None })
                })
            }
        };
        together(processes, run)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The recipe, resolved.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The recipe as TOML, as checkpoints hold it.
    pub fn config(&self) -> &str {
        &self.config
    }

    /// The log.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The folder of TensorBoard's files.
    pub fn events(&self) -> PathBuf {
        self.path.join("events")
    }

    /// The folder of checkpoints.
    pub fn checkpoint_folder(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// All checkpoints.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn checkpoints(&self) -> Result<Found> {
        checkpoints(&self.path)
    }

    /// Removes checkpoints except the newest, the best and the ends of stages.
    ///
    /// # Errors
    /// When a folder cannot be read or removed.
    pub fn prune(&self) -> Result<()> {
        let Found { whole, .. } = self.checkpoints()?;
        let settings = self.recipe.checkpoints;
        let mut kept: BTreeSet<&Path> = whole
            .iter()
            .rev()
            .take(settings.keep_last)
            .chain(whole.iter().filter(|checkpoint| checkpoint.state.ends.is_some()))
            .map(|checkpoint| checkpoint.path.as_path())
            .collect();
        kept.extend(self.best(&whole).take(settings.keep_best).map(|best| best.path.as_path()));
        for checkpoint in &whole {
            if !kept.contains(checkpoint.path.as_path()) {
                checkpoint::discard(&checkpoint.path)
                    .with_context(|| format!("{}: cannot remove", checkpoint.path.display()))?;
            }
        }
        Ok(())
    }

    /// The checkpoints of the last stage that were measured, the best first; of equal ones, the earlier.
    pub fn best<'a>(&self, among: &'a [Checkpoint]) -> impl Iterator<Item = &'a Checkpoint> {
        best(&self.recipe, among)
    }
}

/// The checkpoints that were measured, the best by a recipe's metric first; of equal ones, the
/// earlier. Those of the last stage alone: stages before have other tasks, so their values mean
/// something else.
pub fn best<'a>(recipe: &Recipe, among: &'a [Checkpoint]) -> impl Iterator<Item = &'a Checkpoint> {
    let sign = if recipe.evaluation.metric.rises() { -1.0 } else { 1.0 };
    let value = |checkpoint: &Checkpoint| checkpoint.state.evaluation;
    let stage = |Checkpoint { state, .. }: &Checkpoint| {
        state.stage.index.saturating_sub(usize::from(state.ends.is_some()))
    };
    let last = among.iter().filter(|one| value(one).is_some()).map(stage).max();
    let of_last = among.iter().filter(|one| Some(stage(one)) == last);
    let mut measured: Vec<_> = of_last.filter_map(|one| Some((value(one)? * sign, one))).collect();
    measured.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    measured.into_iter().map(|(_, checkpoint)| checkpoint)
}

/// The recipe of a run, resolved; the folder need not be locked for that.
///
/// # Errors
/// When there is no run, or its recipe makes no sense.
pub fn recipe(run: &Path) -> Result<Recipe> {
    let file = run.join(CONFIG);
    if !file.is_file() {
        bail!("{}: no run here (there is no {CONFIG})", run.display());
    }
    Ok(Recipe::load(&file)?)
}

/// The checkpoints of a run's folder, which need not be locked for that.
///
/// # Errors
/// When the folder cannot be read.
pub fn checkpoints(run: &Path) -> Result<Found> {
    let folder = run.join("checkpoints");
    let mut found = Found::default();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.strip_prefix("step-").is_none_or(|step| step.parse::<u64>().is_err()) {
            continue;
        }
        match Checkpoint::open(&path) {
            Ok(checkpoint) => found.whole.push(checkpoint),
            Err(error) => found.damaged.push(error),
        }
    }
    found.whole.sort_by_key(|checkpoint| checkpoint.state.progress.steps);
    Ok(found)
}

/// Takes the run for this process; let go by the system when the process ends, however it ends. A
/// program that is being started holds what this one held for a moment, and a trainer that was told
/// to end needs one: waited for.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| path.display().to_string())?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if began.elapsed() < LOCK_PATIENCE => {
                thread::sleep(LOCK_PATIENCE / 40);
            }
            Err(TryLockError::WouldBlock) => {
                bail!("{}: another trainer is at work in this run", folder.display())
            }
            Err(TryLockError::Error(cause)) => {
                return Err(cause).with_context(|| path.display().to_string());
            }
        }
    }
}
