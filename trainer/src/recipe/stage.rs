//! Stages of a recipe: what is trained, on which tasks, for how long.

use serde::{Deserialize, Serialize};

use crate::schedule::Schedule;

/// A stage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stage {
    /// Its share of the budget. Shares count relative to each other; what a stage leaves over when
    /// it ends at a plateau goes to the stages after it.
    pub share: f64,
    /// What is trained; anything not named is frozen.
    pub train: Train,
    /// The mix of tasks.
    pub tasks: Tasks,
    /// Weight of the distance between the adapter's vectors and the LLM's vectors of the words that
    /// they stand for, beside the loss of the task `ctc`; 0 leaves them as far from each other as
    /// CTC does. For a stage whose CTC knows words already: to one that knows none, all of them are
    /// alike.
    #[serde(skip_serializing_if = "is_zero")]
    pub likeness: f64,
    /// Another mix for the end of the stage.
    pub late: Late,
    /// When to go on before the budget is used up; without it, never.
    pub plateau: Option<Plateau>,
    /// The course of its learning rates; the recipe's when it has none.
    pub schedule: Option<Schedule>,
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

impl Default for Stage {
    fn default() -> Self {
        let (train, tasks, late) = (Train::default(), Tasks::default(), Late::default());
        Self { share: 1.0, train, tasks, likeness: 0.0, late, plateau: None, schedule: None }
    }
}

/// The modules a stage trains.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Train {
    /// From encoder to LLM.
    pub adapter: Option<Module>,
    /// The encoder, or its top.
    pub encoder: Option<EncoderModule>,
    /// Low-rank updates of the LLM.
    pub lora: Option<Module>,
    /// The rows of the marks in the LLM's table.
    pub marks: Option<Module>,
    /// The head of the CTC task.
    pub ctc: Option<Module>,
}

/// How a module is trained.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Module {
    /// Peak of the learning rate.
    pub learning_rate: f64,
    /// Weight decay, where it is not the optimiser's general one.
    pub weight_decay: Option<f64>,
}

/// How the encoder is trained.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderModule {
    /// Peak of the learning rate.
    pub learning_rate: f64,
    /// Weight decay, where it is not the optimiser's general one.
    pub weight_decay: Option<f64>,
    /// Only so many layers from the top, with the norm behind them; left out: the whole encoder.
    pub top: Option<usize>,
}

/// Weights of tasks; a task's share of the micro-batches is its weight over the sum.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tasks {
    /// Speech to its transcript.
    pub asr: f64,
    /// Speech to transcript and translation.
    pub st: f64,
    /// Speech to translation alone.
    pub direct: f64,
    /// Text to its translation.
    pub mt: f64,
    /// Text that goes on.
    pub lm: f64,
    /// Speech to the transcript's tokens by CTC behind the adapter, without the LLM.
    pub ctc: f64,
}

impl Tasks {
    /// Names and weights of all tasks.
    pub fn all(&self) -> [(&'static str, f64); 6] {
        let Self { asr, st, direct, mt, lm, ctc } = *self;
        [("asr", asr), ("st", st), ("direct", direct), ("mt", mt), ("lm", lm), ("ctc", ctc)]
    }
}

/// A mix of tasks for the end of a stage. Without tasks there is none.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Late {
    /// The share of the stage after which it begins.
    pub from: f64,
    /// The mix from then on, instead of the stage's.
    pub tasks: Tasks,
}

impl Late {
    /// Whether there is such a mix.
    pub fn exists(&self) -> bool {
        *self != Self::default()
    }
}

/// When a stage has stopped getting better.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plateau {
    /// Evaluations in a row without enough gain.
    pub patience: u32,
    /// Enough gain: this share of the best value so far.
    pub improvement: f64,
    /// Share of the stage before which it does not end. Loss stands still before alignment
    /// emerges, too.
    pub from: f64,
}

impl Default for Plateau {
    fn default() -> Self {
        Self { patience: 3, improvement: 0.01, from: 0.5 }
    }
}

/// Modules that a stage may train. Parameters belong to the module that their name begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ModuleName {
    /// `adapter.…`
    Adapter,
    /// `encoder.…`
    Encoder,
    /// `lora.…`
    Lora,
    /// `marks`
    Marks,
    /// `ctc.…`
    Ctc,
}

impl ModuleName {
    /// The first part of its parameters' names, and its key in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Adapter => "adapter",
            Self::Encoder => "encoder",
            Self::Lora => "lora",
            Self::Marks => "marks",
            Self::Ctc => "ctc",
        }
    }
}

impl Train {
    /// The modules that are trained.
    pub fn modules(&self) -> Vec<(ModuleName, Module)> {
        let encoder = self.encoder.map(|encoder| {
            let EncoderModule { learning_rate, weight_decay, .. } = encoder;
            Module { learning_rate, weight_decay }
        });
        let all = [
            (ModuleName::Adapter, self.adapter),
            (ModuleName::Encoder, encoder),
            (ModuleName::Lora, self.lora),
            (ModuleName::Marks, self.marks),
            (ModuleName::Ctc, self.ctc),
        ];
        all.into_iter().filter_map(|(name, module)| Some((name, module?))).collect()
    }
}
