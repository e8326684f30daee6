//! How good answers are: the figures of an evaluation. Rates and scores are in percent; intervals
//! hold 95 % and come from 1000 resamplings of the clips.

use partita_corpus::bootstrap::Interval;
use partita_corpus::error_rate::Unit;
use partita_corpus::manifest::Split;
use serde::{Deserialize, Serialize};

use super::{Precision, Task};

/// How good the rows of an evaluation are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// What was evaluated; absent for a summary of rows alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<About>,
    /// By language, in order of their codes.
    pub languages: Vec<LanguageScores>,
    /// Means over languages, of translations over directions: each counts the same.
    pub mean: Mean,
    /// Clips without speech.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<NoiseScores>,
    /// Seconds that decoding took for one second of audio, all answers together.
    pub real_time_factor: f64,
}

/// What was evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The run or model.
    pub run: String,
    /// Which of its weights: `step 400`, `mean of steps 200 and 400`, a file's name.
    pub weights: String,
    /// How they were held.
    pub precision: Precision,
    /// Where it ran: `cpu`, `cuda`, `metal`.
    pub device: String,
    /// The manifests.
    pub manifests: Vec<String>,
    /// Their split.
    pub split: Split,
    /// Hypotheses kept side by side.
    pub beam: usize,
    /// Rows of the manifests that could not be used, and why.
    pub unheard: Vec<String>,
}

/// How good the answers to the clips of one language are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LanguageScores {
    /// The language spoken.
    pub lang: String,
    /// Clips, each counted once.
    pub clips: usize,
    /// Answers: clips by tasks and languages translated into.
    pub answers: usize,
    /// Hours of audio, each clip counted once.
    pub hours: f64,
    /// What errors are counted in.
    pub unit: Unit,
    /// Errors of [`Task::Asr`] by the references' length, both normalised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_rate: Option<Interval>,
    /// The same of the transcripts that [`Task::St`] writes before its translations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joint_error_rate: Option<Interval>,
    /// Translations, by task and language.
    pub translations: Vec<TranslationScores>,
    /// Answers whose language was heard right, of all.
    pub language_accuracy: f64,
    /// Answers stopped by the guard against loops or the bound of length.
    pub loops: usize,
    /// Answers that say that nobody speaks.
    pub silent: usize,
    /// Seconds that decoding took for one second of audio.
    pub real_time_factor: f64,
}

/// How good the translations into one language are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TranslationScores {
    /// [`Task::St`] or [`Task::Direct`].
    pub task: Task,
    /// Language translated into.
    pub to: String,
    /// Clips.
    pub clips: usize,
    /// Corpus BLEU, 0 to 100.
    pub bleu: Interval,
    /// Corpus chrF2, 0 to 100.
    pub chrf: Interval,
    /// How BLEU was computed, in sacreBLEU's words.
    pub signature: String,
}

/// Means over languages.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Mean {
    /// Languages.
    pub languages: usize,
    /// Of [`LanguageScores::error_rate`], words and characters together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_rate: Option<Interval>,
    /// Of [`LanguageScores::joint_error_rate`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joint_error_rate: Option<Interval>,
    /// Of translations, by task, over all directions.
    pub translations: Vec<MeanTranslation>,
    /// Of [`LanguageScores::language_accuracy`]; absent without languages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language_accuracy: Option<f64>,
    /// All answers to speech.
    pub answers: usize,
    /// Of them, all loops.
    pub loops: usize,
    /// Of them, all that say that nobody speaks.
    pub silent: usize,
}

/// Means over the directions of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeanTranslation {
    /// [`Task::St`] or [`Task::Direct`].
    pub task: Task,
    /// Pairs of languages.
    pub directions: usize,
    /// Mean of their BLEU.
    pub bleu: Interval,
    /// Mean of their chrF2.
    pub chrf: Interval,
}

/// What the model made of clips without speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NoiseScores {
    /// Clips.
    pub clips: usize,
    /// Answers.
    pub answers: usize,
    /// Answers with text in them.
    pub written: usize,
    /// Characters of those texts.
    pub characters: usize,
}

/// How much better one evaluation is than another on the same clips: scores of the first minus
/// scores of the second, with intervals of the difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Of [`Mean::error_rate`]; below 0 where the first is better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_rate: Option<Interval>,
    /// Of [`Mean::joint_error_rate`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joint_error_rate: Option<Interval>,
    /// Of [`Mean::translations`]; above 0 where the first is better.
    pub translations: Vec<MeanTranslation>,
}
