//! `partita-train eval`: what a trained model writes for the clips of a manifest, and how good that
//! is.
//!
//! - [`evaluate`] decodes clip by clip and writes two files into the run's folder: `eval/NAME.jsonl`
//!   with a [`Row`] for each clip and task, and `eval/NAME.json` with the [`Summary`].
//! - [`summarize`] makes the summary of rows, [`read_rows`] reads them back, [`render`] shows it.

/// What is to be evaluated, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The run's folder, or `whisper` or an imported Whisper file for comparison.
    pub run: PathBuf,
    /// Manifests of clips, or shards.
    pub manifests: Vec<PathBuf>,
    /// The tasks, at least one.
    pub tasks: Vec<Task>,
    /// Languages to translate into; empty for all that the model was trained for and that the
    /// manifest has translations into.
    pub to: Vec<String>,
    /// The split of the manifests that is heard.
    pub split: Split,
    /// Most clips a language (drawn evenly over the manifest); all when absent.
    pub clips: Option<usize>,
    /// Languages, without regions; empty for all. Clips without speech are always heard.
    pub languages: Vec<String>,
    /// Hypotheses kept side by side; 1 is greedy.
    pub beam: usize,
    /// Which weights of the run.
    pub weights: Weights,
}

/// Which weights of a run are evaluated; from text: `last`, `best`, `average:K` or a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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

/// What is asked of the model for each clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Its transcript.
    Asr,
    /// Its transcript, then the translation.
    St,
    /// Its translation alone.
    Direct,
}

/// What a model wrote for a clip and task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The clip's id.
    pub id: String,
    /// Language spoken; `none` where nothing is said.
    pub lang: String,
    /// What was asked.
    pub task: Task,
    /// Language translated into; absent for transcripts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The manifest's text: transcript, or translation into `to`; empty where nothing is said.
    pub reference: String,
    /// What the model wrote for it.
    pub hypothesis: String,
    /// The transcripts besides, for [`Task::St`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript: Option<Transcript>,
    /// The language that the model heard, or `none`.
    pub heard: String,
    /// Length of the audio.
    pub seconds: f64,
    /// Time that it took: features, encoder and text.
    pub decode_seconds: f64,
    /// Whether the text was stopped by the guard against loops or by the bound of its length.
    pub looped: bool,
}

/// A transcript beside the one that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    /// The manifest's.
    pub reference: String,
    /// The model's.
    pub hypothesis: String,
}

/// How good the rows are.
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
    /// Which of its weights: `step 400`, `mean of steps 200, 400`, `weights.safetensors`.
    pub weights: String,
    /// The manifests.
    pub manifests: Vec<String>,
    /// Their split.
    pub split: Split,
    /// Hypotheses kept side by side.
    pub beam: usize,
    /// Rows that could not be used, and clips that could not be heard.
    pub bad_rows: usize,
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
    /// Errors of [`Task::Asr`] in percent of the references' units, both sides normalised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_rate: Option<Interval>,
    /// The same of the transcripts that [`Task::St`] writes before its translations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joint_error_rate: Option<Interval>,
    /// Translations, by task and language.
    pub translations: Vec<TranslationScores>,
    /// Percent of answers whose language was heard right.
    pub language_accuracy: f64,
    /// Answers stopped by the guard against loops or the bound of length.
    pub loops: usize,
    /// Answers that say that nobody speaks.
    pub silent: usize,
    /// Seconds that decoding took for one second of audio.
    pub real_time_factor: f64,
}

/// What errors are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Words (WER).
    Words,
    /// Characters (CER): Chinese, Cantonese, Japanese, Korean, Thai and others without spaces.
    Characters,
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
    /// Of [`LanguageScores::error_rate`], words and characters together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_rate: Option<Interval>,
    /// Of [`LanguageScores::joint_error_rate`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joint_error_rate: Option<Interval>,
    /// Of translations, by task, over all directions.
    pub translations: Vec<MeanTranslation>,
    /// Of [`LanguageScores::language_accuracy`].
    pub language_accuracy: f64,
    /// All loops.
    pub loops: usize,
    /// All answers to speech that say that nobody speaks.
    pub silent: usize,
    /// All answers to speech.
    pub answers: usize,
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

// Functions to come:
//
// pub fn evaluate(options: &Options, device: &Device, quiet: bool) -> Result<Summary>
// pub fn read_rows(path: &Path) -> Result<Vec<Row>>
// pub fn summarize(rows: &[Row]) -> Summary
// pub fn render(summary: &Summary) -> String
//
// `Interval` is `partita_corpus::bootstrap::Interval { value, low, high }` (f64 each, 95 %, serde).
