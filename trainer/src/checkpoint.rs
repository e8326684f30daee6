//! Checkpoints: folders that hold all that training goes on from.
//!
//! `step-N/` holds `parameters.safetensors`, `optimizer.safetensors` (the moments) and
//! `state.json`. A folder is written under another name, flushed to the disk and renamed, so one
//! that has its name is whole.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor, Var};
use partita_model::files::WeightFile;
use serde::{Deserialize, Serialize};

use crate::optimizer::OptimizerState;
use crate::stages::{Progress, StageState};

/// File of the parameters in a checkpoint.
pub const PARAMETERS: &str = "parameters.safetensors";
/// File of the optimiser's moments.
pub const MOMENTS: &str = "optimizer.safetensors";
const STATE: &str = "state.json";
/// Version of the layout.
const FORMAT: u32 = 1;
/// Longest state that is read; data positions of large sets are far below.
const LONGEST_STATE: u64 = 256 << 20;

/// What a checkpoint holds besides tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// How far training has come.
    pub progress: Progress,
    /// The stage.
    pub stage: StageState,
    /// The optimiser, without its moments.
    pub optimizer: OptimizerState,
    /// What the objective keeps: its position in the data and the state of its random numbers.
    pub objective: serde_json::Value,
    /// Length of the log so far.
    pub metrics_bytes: u64,
    /// The value that checkpoints are compared by, when it was measured at this step.
    pub evaluation: Option<f32>,
    /// The stage that ended here, if one did.
    pub ends: Option<String>,
    /// The recipe, resolved, as TOML.
    pub recipe: String,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    /// Sizes of the other files.
    files: BTreeMap<String, u64>,
    state: State,
}

/// A checkpoint that is whole.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Its folder.
    pub path: PathBuf,
    /// What it holds besides tensors.
    pub state: State,
}

/// Writes `step-N` into `folder`, which exists, and returns its path.
///
/// # Errors
/// When it cannot be written; nothing of it is left then, and other checkpoints are as they were.
pub fn write(
    folder: &Path,
    state: State,
    parameters: &[(String, Var)],
    moments: &[(String, Var)],
) -> Result<PathBuf> {
    let name = format!("step-{}", state.progress.steps);
    let (path, unfinished) = (folder.join(&name), folder.join(format!(".{name}.unfinished")));
    let written = write_files(&unfinished, state, parameters, moments).and_then(|()| {
        discard(&path)?;
        fs::rename(&unfinished, &path)?;
        sync_folder(folder);
        Ok(())
    });
    if written.is_err() {
        // The error says why; what is left is removed when the run is opened again.
        fs::remove_dir_all(&unfinished).ok();
    }
    written.with_context(|| format!("{}: cannot write this checkpoint", path.display()))?;
    Ok(path)
}

fn write_files(
    folder: &Path,
    state: State,
    parameters: &[(String, Var)],
    moments: &[(String, Var)],
) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let mut files = BTreeMap::new();
    for (name, tensors) in [(PARAMETERS, parameters), (MOMENTS, moments)] {
        let bytes = write_tensors(&folder.join(name), tensors)?;
        files.insert(name.to_owned(), bytes);
    }
    let text = serde_json::to_vec(&Stored { format: FORMAT, files, state })?;
    let mut file = File::create(folder.join(STATE))?;
    file.write_all(&text)?;
    file.sync_all()?;
    sync_folder(folder);
    Ok(())
}

/// Writes a safetensors file, flushes it to the disk, and returns its size.
fn write_tensors(path: &Path, tensors: &[(String, Var)]) -> Result<u64> {
    let mut on_host = HashMap::new();
    for (name, tensor) in tensors {
        on_host.insert(name.as_str(), tensor.as_tensor().to_device(&Device::Cpu)?.contiguous()?);
    }
    candle_core::safetensors::save(&on_host, path)?;
    let file = File::options().write(true).open(path)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

/// Makes renames in a folder last; where folders cannot be flushed (Windows), the system does it.
fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        folder.sync_all().ok();
    }
}

/// Removes a checkpoint, if there is one: first its name, so that none is ever seen half removed.
///
/// # Errors
/// When it cannot be renamed or removed.
pub fn discard(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let away = path.with_file_name(format!(".{name}.discarded"));
    if away.exists() {
        fs::remove_dir_all(&away)?;
    }
    fs::rename(path, &away)?;
    fs::remove_dir_all(&away)?;
    Ok(())
}

impl Checkpoint {
    /// Opens a checkpoint's folder; tensors are read later.
    ///
    /// # Errors
    /// When it is not whole, or of another version.
    pub fn open(path: &Path) -> Result<Self> {
        let damaged = || format!("{}: not a whole checkpoint", path.display());
        let file = path.join(STATE);
        let bytes = fs::metadata(&file).with_context(damaged)?.len();
        if bytes > LONGEST_STATE {
            bail!("{}: {bytes} bytes long", file.display());
        }
        let text = fs::read(&file).with_context(damaged)?;
        let stored: Stored = serde_json::from_slice(&text)
            .with_context(|| file.display().to_string())
            .with_context(damaged)?;
        if stored.format != FORMAT {
            bail!("{}: layout {}, this program reads {FORMAT}", path.display(), stored.format);
        }
        for name in [PARAMETERS, MOMENTS] {
            let expected = stored.files.get(name).copied();
            let found = fs::metadata(path.join(name)).map(|file| file.len()).ok();
            if expected.is_none() || found != expected {
                let size = |size: Option<u64>| size.map_or("none".to_owned(), |n| n.to_string());
                let (expected, found) = (size(expected), size(found));
                let sizes = format!("{name} should have {expected} bytes and has {found}");
                return Err(anyhow::anyhow!(sizes)).with_context(damaged);
            }
        }
        Ok(Self { path: path.to_owned(), state: stored.state })
    }

    /// Refuses a checkpoint that another recipe made.
    ///
    /// # Errors
    /// When `recipe` (TOML, resolved) is not the checkpoint's; names the first line that differs.
    pub fn expect_recipe(&self, recipe: &str) -> Result<()> {
        let mut pairs = self.state.recipe.lines().zip(recipe.lines());
        if self.state.recipe == recipe {
            return Ok(());
        }
        let path = self.path.display();
        match pairs.find(|(theirs, ours)| theirs != ours) {
            Some((theirs, ours)) => {
                bail!("{path}: made by another recipe: it has `{theirs}` where this has `{ours}`")
            }
            None => bail!("{path}: made by another recipe, of another length"),
        }
    }

    /// Puts the values of [`PARAMETERS`] or [`MOMENTS`] into variables.
    ///
    /// # Errors
    /// When the file is damaged, or its tensors are not exactly those: the first name or shape.
    pub fn load(&self, file: &str, into: &[(String, Var)]) -> Result<()> {
        load_tensors(&self.path.join(file), into)
    }
}

/// Puts the values of a weight file into variables.
///
/// # Errors
/// When the file is damaged, or its tensors are not exactly those: the first name or shape.
pub fn load_tensors(path: &Path, into: &[(String, Var)]) -> Result<()> {
    let file = WeightFile::open(path)?;
    let known: HashMap<&str, &Var> = into.iter().map(|(name, var)| (name.as_str(), var)).collect();
    if let Some(other) = file.tensors().iter().find(|info| !known.contains_key(info.name.as_str()))
    {
        bail!("{}: tensor `{}` is unknown here", path.display(), other.name);
    }
    for (name, variable) in into {
        let (shape, values) = file.floats(name)?;
        if shape != variable.dims() {
            let wanted = variable.dims();
            bail!("{}: tensor `{name}`: shape {shape:?}, wanted {wanted:?}", path.display());
        }
        variable.set(&Tensor::from_vec(values, shape, variable.device())?)?;
    }
    Ok(())
}

/// Writes the mean of the parameters of several checkpoints as a weight file (safetensors), whole
/// or not at all.
///
/// # Errors
/// When there is none, when they are of different recipes or shapes, or when it cannot be written.
pub fn average(checkpoints: &[Checkpoint], out: &Path) -> Result<()> {
    let first = checkpoints.first().context("no checkpoints to average")?;
    let mut files = Vec::new();
    for checkpoint in checkpoints {
        checkpoint.expect_recipe(&first.state.recipe)?;
        files.push(WeightFile::open(&checkpoint.path.join(PARAMETERS))?);
    }
    let names: Vec<String> = files
        .iter()
        .take(1)
        .flat_map(|file| file.tensors())
        .map(|info| info.name.clone())
        .collect();
    let mut means = Vec::new();
    for name in names {
        let mut sums: Vec<f64> = Vec::new();
        let mut shape = Vec::new();
        for file in &files {
            let (found, values) = file.floats(&name)?;
            if !sums.is_empty() && found != shape {
                bail!("{}: tensor `{name}`: shape {found:?}, not {shape:?}", file.path().display());
            }
            shape = found;
            sums.resize(values.len(), 0.0);
            sums.iter_mut().zip(&values).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        let count = files.len() as f64;
        let mean = sums.into_iter().map(|sum| (sum / count) as f32).collect::<Vec<_>>();
        means.push((name, Var::from_tensor(&Tensor::from_vec(mean, shape, &Device::Cpu)?)?));
    }
    let name = out.file_name().context("no file name to write to")?.to_string_lossy().into_owned();
    let unfinished = out.with_file_name(format!(".{name}.unfinished"));
    let written = write_tensors(&unfinished, &means)
        .and_then(|_| Ok(fs::rename(&unfinished, out)?))
        .with_context(|| format!("{}: cannot write", out.display()));
    if written.is_err() {
        fs::remove_file(&unfinished).ok();
    }
    written
}
