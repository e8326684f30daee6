//! What is to be evaluated.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, anyhow};
use clap::ValueEnum;
use partita_corpus::manifest::Split;
use serde::{Deserialize, Serialize};

/// What is to be evaluated, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The run's folder; or, for comparison, a Whisper model of the store (`whisper` is
    /// `whisper-base`) or the file of one.
    pub run: PathBuf,
    /// Manifests of clips, or shards.
    pub manifests: Vec<PathBuf>,
    /// What is asked for each clip; when empty, transcripts, and translations with them where the
    /// model was trained for any.
    pub tasks: Vec<Task>,
    /// Languages to translate into; empty for all that the model was trained for. A clip is
    /// translated into those that the manifest has translations in.
    pub to: Vec<String>,
    /// The split of the manifests that is heard.
    pub split: Split,
    /// Most clips of a language, taken evenly from the whole manifest; all when absent.
    pub clips: Option<usize>,
    /// Languages, without regions; empty for all that the model was trained for. Clips without
    /// speech are always heard.
    pub languages: Vec<String>,
    /// Hypotheses kept side by side; 1 is greedy.
    pub beam: usize,
    /// Which weights of the run.
    pub weights: Weights,
    /// How the weights are held.
    pub precision: Precision,
    /// The folder for the files that are written; `eval` in the run's when absent.
    pub out: Option<PathBuf>,
}

/// What is asked of the model for each clip.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Its transcript.
    Asr,
    /// Its transcript, then the translation.
    St,
    /// Its translation alone.
    Direct,
}

impl Task {
    /// `asr`, `st` or `direct`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Asr => "asr",
            Self::St => "st",
            Self::Direct => "direct",
        }
    }
}

/// How weights are held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As 32-bit floats: the scores of what was trained.
    #[default]
    Float,
    /// As the engine `speech-llm` holds them, quantized where that is fast: scores and speed of
    /// what runs.
    Engine,
}

/// Which weights of a run are evaluated; as text `last`, `best`, `average:K` or a step.
///
/// ```
/// use partita_train::evaluate::Weights;
/// assert_eq!("average:3".parse::<Weights>()?, Weights::Average(3));
/// assert_eq!("400".parse::<Weights>()?, Weights::Step(400));
/// assert!("average:0".parse::<Weights>().is_err());
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weights {
    /// The newest checkpoint; where there is none, the folder's own weights.
    #[default]
    Last,
    /// The checkpoint with the best development value.
    Best,
    /// The mean of the best so many.
    Average(usize),
    /// The checkpoint after so many steps.
    Step(u64),
}

impl FromStr for Weights {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let average = || text.strip_prefix("average:")?.parse().ok().filter(|&count| count > 0);
        match text {
            "last" => Ok(Self::Last),
            "best" => Ok(Self::Best),
            _ => average()
                .map(Self::Average)
                .or_else(|| text.parse().ok().map(Self::Step))
                .ok_or_else(|| anyhow!("`{text}` is not last, best, average:K or a step's number")),
        }
    }
}

impl Default for Options {
    /// All test clips, greedily, with the newest weights.
    fn default() -> Self {
        Self {
            run: PathBuf::new(),
            manifests: Vec::new(),
            tasks: Vec::new(),
            to: Vec::new(),
            split: Split::Test,
            clips: None,
            languages: Vec::new(),
            beam: 1,
            weights: Weights::Last,
            precision: Precision::Float,
            out: None,
        }
    }
}

impl Options {
    /// The name of the files that are written: the manifests and the split, and how if not as
    /// usual.
    pub fn name(&self) -> String {
        let stem =
            |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut name = self.manifests.iter().map(stem).collect::<Vec<_>>().join("+");
        name += &format!("-{}", self.split.name());
        match self.weights {
            Weights::Last => {}
            Weights::Best => name += "-best",
            Weights::Average(count) => name += &format!("-average-{count}"),
            Weights::Step(step) => name += &format!("-step-{step}"),
        }
        if self.precision == Precision::Engine {
            name += "-engine";
        }
        if self.beam > 1 {
            name += &format!("-beam-{}", self.beam);
        }
        name
    }
}
