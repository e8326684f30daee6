//! `partita-train reproduce part`: the claim of PART at a small scale. A two-stage baseline (A),
//! PART (B) and its cumulative ablations (C1 to C3), on the same data, for the same steps and from
//! the same warm start; then the page that compares them.
//!
//! ```text
//! reproduction.json   what was asked for
//! data/               manifests, where they were made here
//! features/           features of clips that recipes hear as they are, for all runs
//! recipes/            this program's recipes, and those of the arms
//! runs/warm           the warm start; runs/a-1, …: arm and seed
//! report.md           the page, its images beside it; results.json: the same in numbers
//! ```
//!
//! All of it goes on where it was stopped: runs from their checkpoints, an evaluation from its
//! beginning.

pub mod arms;
pub mod compare;
mod data;
pub mod emergence;
mod page;
pub mod results;
mod session;
mod settings;
pub mod size;
pub mod tiny;

use std::path::PathBuf;

use anyhow::Result;
use candle_core::Device;

use crate::run_folder::runs_folder;
use crate::training_loop::Outcome;
use arms::Arm;
use session::Session;
pub use settings::Warm;

/// What the command line says.
#[derive(Debug, Clone)]
pub struct Options {
    /// Corpora, a folder of manifests, or manifests of clips.
    pub data: Vec<PathBuf>,
    /// Languages, without regions; empty for all.
    pub languages: Vec<String>,
    /// The comparison's folder; one among the runs when absent.
    pub out: Option<PathBuf>,
    /// Seeds, each an own run of every arm.
    pub seeds: Vec<u64>,
    /// The arms.
    pub arms: Vec<Arm>,
    /// Steps of every arm; the recipe's when absent.
    pub steps: Option<u64>,
    /// The warm start that all arms share.
    pub warm: Warm,
    /// A model and a corpus made up for a short test.
    pub tiny: bool,
    /// Recipes for a machine without an accelerator.
    pub small: bool,
    /// Clips of each language and task for cosines between gradients; 0 for none.
    pub gradients: usize,
    /// How the device is called on the command line.
    pub device: String,
}

/// Trains, evaluates and compares, as far as that is not done yet; returns the comparison's folder
/// and whether it is complete or was stopped.
///
/// # Errors
/// When there are no data or they leak, when the folder holds a comparison of another kind, and when
/// a run fails. What was finished stays.
pub fn reproduce(options: &Options, device: &Device, quiet: bool) -> Result<(PathBuf, Outcome)> {
    let folder = match &options.out {
        Some(out) => out.clone(),
        None => runs_folder()?.join(if options.tiny { "part-tiny" } else { "part" }),
    };
    let mut session = Session::begin(options, &folder, device, quiet)?;
    let outcome = session.carry_out()?;
    Ok((folder, outcome))
}
