//! What a comparison found, as `results.json` holds it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::arms::Arm;
use super::compare::{Answers, ArmScores, compare};
use super::emergence::Emergence;
use super::size::Size;
use crate::evaluate::{Row, Summary, Task};
use crate::recipe::Recipe;
use crate::report::gradients::{self, StageCosines};
use crate::report::history::{History, Totals};

/// A run that was trained and evaluated.
#[derive(Debug, Clone)]
pub struct Run {
    /// The arm.
    pub arm: Arm,
    /// The seed.
    pub seed: u64,
    /// Its folder.
    pub folder: PathBuf,
    /// Its recipe, resolved.
    pub recipe: Recipe,
    /// Its log.
    pub history: History,
    /// Its scores on the test split.
    pub summary: Summary,
    /// Its answers to the test split.
    pub rows: Vec<Row>,
    /// Cosines between gradients, as far as they were measured.
    pub cosines: Vec<StageCosines>,
    /// Its size.
    pub size: Size,
    /// The commands that repeat it, from the comparison's folder.
    pub commands: Vec<String>,
}

/// Everything of a comparison.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    /// The arms, over their seeds.
    pub arms: Vec<ArmScores>,
    /// The runs.
    pub runs: Vec<RunResult>,
}

/// What is reported of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunResult {
    /// The arm.
    pub arm: Arm,
    /// The seed.
    pub seed: u64,
    /// The commands that repeat it, from the comparison's folder.
    pub commands: Vec<String>,
    /// Steps of the optimiser.
    pub steps: u64,
    /// Hours of training, of audio and so on.
    pub totals: Totals,
    /// Its size.
    pub size: Size,
    /// Whether alignment emerged.
    pub emergence: Emergence,
    /// Its scores on the test split.
    pub summary: Summary,
    /// Accuracy of transcripts on development data: steps and share of tokens.
    pub heard: Vec<(f64, f64)>,
    /// Cosines between gradients, as far as they were measured.
    pub gradients: Vec<StageCosines>,
}

impl Run {
    /// Reads what is in a run's folder, beside its scores.
    ///
    /// # Errors
    /// When something is missing or damaged.
    pub fn read(
        (arm, seed): (Arm, u64),
        folder: &Path,
        recipe: Recipe,
        (summary, rows): (Summary, Vec<Row>),
        commands: Vec<String>,
    ) -> Result<Self> {
        Ok(Self {
            arm,
            seed,
            folder: folder.to_owned(),
            history: History::read(folder)?,
            cosines: gradients::read(folder, &recipe)?,
            size: Size::of(folder, &recipe.model)?,
            recipe,
            summary,
            rows,
            commands,
        })
    }

    /// Its name for people: `A, seed 1`.
    pub fn name(&self) -> String {
        format!("{}, seed {}", self.arm.title(), self.seed)
    }

    /// Its mean error rate in percent.
    pub fn error_rate(&self) -> Option<f64> {
        Some(self.summary.mean.error_rate.as_ref()?.value)
    }

    /// Its mean BLEU.
    pub fn bleu(&self) -> Option<f64> {
        let translations = &self.summary.mean.translations;
        Some(translations.iter().find(|one| one.task == Task::St)?.bleu.value)
    }

    /// Whether its alignment emerged.
    pub fn emergence(&self) -> Emergence {
        Emergence::of(&self.history, self.error_rate())
    }
}

impl Results {
    /// Of these runs.
    pub fn of(runs: &[Run]) -> Self {
        let answers: Vec<Answers> = runs
            .iter()
            .map(|run| Answers { arm: run.arm, seed: run.seed, rows: run.rows.clone() })
            .collect();
        let result = |run: &Run| RunResult {
            arm: run.arm,
            seed: run.seed,
            commands: run.commands.clone(),
            steps: run.history.steps.last().map_or(0, |step| step.step),
            totals: run.history.totals(),
            size: run.size.clone(),
            emergence: run.emergence(),
            summary: run.summary.clone(),
            heard: run.history.heard(),
            gradients: run.cosines.clone(),
        };
        Self { arms: compare(&answers), runs: runs.iter().map(result).collect() }
    }
}
