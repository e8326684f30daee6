//! Recipes: what is trained, on what, in which order, as a TOML file.
//!
//! Every key has a default, so a recipe says only what it changes. `extends = "other.toml"` starts
//! from another recipe of the same folder: tables are joined key by key, except `budget` and, in a
//! stage, `train`, `tasks` and `late`, which are taken whole (so that a stage can train less than
//! the one it comes from). Unknown keys and stages that cannot work are refused with file, line
//! and key.
//!
//! ```
//! use partita_train::recipe::Recipe;
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("short.toml");
//! std::fs::write(&path, r#"
//!     name = "short"
//!     order = ["adapter"]
//!     budget = { steps = 100 }
//!     [stage.adapter]
//!     train.adapter = { learning_rate = 1e-3 }
//!     tasks = { asr = 1.0 }
//! "#)?;
//! let recipe = Recipe::load(&path)?;
//! assert_eq!(recipe.stage["adapter"].tasks.asr, 1.0);
//! assert_eq!(recipe.optimizer.beta1, 0.9);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod load;
mod settings;
mod stage;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::optimizer::Hyperparameters;
use crate::schedule::Schedule;

pub use check::Problem;
pub use load::RecipeError;
pub use settings::{
    Adapter, Augmentation, Batch, Checkpoints, Data, Evaluation, Lora, LoraTarget, Metric, Model,
    Optimizer, Precision,
};
pub use stage::{EncoderModule, Late, Module, ModuleName, Plateau, Stage, Tasks, Train};

/// A whole recipe.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// The recipe this one starts from, a file name of the same folder. Empty once resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
    /// Its name; runs are named after it.
    pub name: String,
    /// What it is for, in a sentence.
    pub about: String,
    /// Seed of initial weights, of the order of data and of augmentation.
    pub seed: u64,
    /// The stages in their order.
    pub order: Vec<String>,
    /// How much is trained in all.
    pub budget: Budget,
    /// What is trained.
    pub model: Model,
    /// The low-rank updates of the LLM, where a stage trains them.
    pub lora: Lora,
    /// The data.
    pub data: Data,
    /// How clips are changed.
    pub augmentation: Augmentation,
    /// The size of batches.
    pub batch: Batch,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// The course of learning rates in every stage that has none of its own.
    pub schedule: Schedule,
    /// Measurements on development data.
    pub evaluation: Evaluation,
    /// What is kept.
    pub checkpoints: Checkpoints,
    /// The stages by name.
    pub stage: BTreeMap<String, Stage>,
}

impl Recipe {
    /// The recipe as TOML, with every default written out.
    ///
    /// # Errors
    /// When a number has no TOML form, such as a seed above `i64::MAX`.
    pub fn to_toml(&self) -> Result<String, RecipeError> {
        toml::to_string(self).map_err(|cause| RecipeError::NoToml { cause })
    }

    /// The optimiser's settings for a module that may have a weight decay of its own.
    pub fn hyperparameters(&self, weight_decay: Option<f64>) -> Hyperparameters {
        let Optimizer { beta1, beta2, epsilon, weight_decay: general, .. } = self.optimizer;
        Hyperparameters { beta1, beta2, epsilon, weight_decay: weight_decay.unwrap_or(general) }
    }
}

/// How much is trained: exactly one of the two.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Optimiser steps.
    pub steps: Option<u64>,
    /// Minutes of training, without evaluations and checkpoints.
    pub minutes: Option<f64>,
}
