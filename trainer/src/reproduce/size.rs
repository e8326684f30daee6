//! How large models are: while they are trained, and once they are trained.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use partita_model::files::WeightFile;
use partita_model::speech::TrainedModel;
use serde::{Deserialize, Serialize};

use crate::recipe::Model;
use crate::speech::{Files, module_name};

/// Parameters of a trained model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Parameters that the run wrote, by module.
    pub written: BTreeMap<String, u64>,
    /// Parameters of the model as it runs: encoder, adapter and LLM. Low-rank updates are added to
    /// the LLM's own matrices, rows of marks take the places of reserved ones, and a CTC head is not
    /// part of it, so none of them makes it larger.
    pub whole: u64,
}

impl Size {
    /// Of the model in a run's folder.
    ///
    /// # Errors
    /// When its weights or its bases cannot be read.
    pub fn of(run: &Path, model: &Model) -> Result<Self> {
        let weights = WeightFile::open(&run.join(TrainedModel::WEIGHTS))?;
        let mut written = BTreeMap::new();
        for tensor in weights.tensors() {
            let name = module_name(&tensor.name);
            let module = name.split('.').next().unwrap_or_default().to_owned();
            *written.entry(module).or_insert(0) += tensor.elements();
        }
        let files = Files::of(model)?;
        let count = |path: &Path, prefix: &str| -> Result<u64> {
            let file = WeightFile::open(path)?;
            let own = file.tensors().iter().filter(|tensor| tensor.name.starts_with(prefix));
            Ok(own.map(|tensor| tensor.elements()).sum())
        };
        let adapter = written.get("adapter").copied().unwrap_or(0);
        let whole = count(&files.encoder, "a.")? + count(&files.llm, "")? + adapter;
        Ok(Self { written, whole })
    }
}
