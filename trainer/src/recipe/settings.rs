//! Settings of a recipe that hold for the whole run.

use serde::{Deserialize, Serialize};

/// What is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// The speech encoder's model in the store.
    pub encoder: String,
    /// The LLM's model in the store.
    pub llm: String,
    /// The shape of the adapter.
    pub adapter: Adapter,
    /// A run's folder, the weight file in it, or a packed model, whose trained tensors training starts from,
    /// relative to the recipe's folder; empty: the base weights and a random adapter.
    pub start: String,
    /// What the networks compute in.
    pub precision: Precision,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            encoder: "whisper-base".to_owned(),
            llm: "gemma-3-270m".to_owned(),
            adapter: Adapter::Ultravox,
            start: String::new(),
            precision: Precision::F32,
        }
    }
}

/// Shapes of adapters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Adapter {
    /// Stacked frames, two linear layers, SwiGLU and norms.
    Ultravox,
    /// Two Transformer layers and a convolution (PART).
    TransformerConv,
    /// Three convolutions with GLU and a bottleneck (BLSP).
    ConvGlu,
}

/// Number formats to compute in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    F32,
    /// 16 bits with the exponent of 32; parameters stay f32.
    Bf16,
}

/// Low-rank updates of the LLM (Hu et al. 2021).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lora {
    /// Inner width.
    pub rank: usize,
    /// The product is scaled by `alpha / rank`.
    pub alpha: f64,
    /// Which linear layers of a block.
    pub targets: Vec<LoraTarget>,
    /// Share of inputs dropped in training.
    pub dropout: f64,
}

impl Default for Lora {
    fn default() -> Self {
        Self { rank: 16, alpha: 32.0, targets: vec![LoraTarget::Q, LoraTarget::V], dropout: 0.0 }
    }
}

/// Linear layers of an LLM's block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoraTarget {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// Output of attention.
    O,
    /// Gate of the feed-forward layer.
    Gate,
    /// Its first product.
    Up,
    /// Its second product.
    Down,
}

/// What is trained on. Paths are relative to the recipe's folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Data {
    /// Manifests of clips and noise.
    pub speech: Vec<String>,
    /// Manifests of sentences and sentence pairs.
    pub text: Vec<String>,
    /// Languages to use; empty: all there are.
    pub languages: Vec<String>,
    /// Languages to translate into; empty: all there are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// A language with `n` clips is drawn with weight `n^(1/temperature)`: 1 as they are, larger
    /// more evenly.
    pub language_temperature: f64,
    /// Whether each batch is of one language.
    pub one_language_batches: bool,
    /// Share of clips padded to 30 s, for tools that always pad.
    pub padded_share: f64,
    /// Share of clips that hold only noise, answered by `<lang:none>`.
    pub noise_share: f64,
    /// Shortest clip, seconds.
    pub shortest: f64,
    /// Longest clip, seconds.
    pub longest: f64,
    /// Where the features of clips are kept, so that each is decoded once; only for recipes that
    /// change no waveform (`augmentation.speed`, noise and rooms).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
}

/// A folder of features, which runs may share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// The folder.
    pub folder: String,
    /// Most that it may hold, GB; what does not fit is computed each time.
    pub gigabytes: f64,
}

impl Default for Data {
    fn default() -> Self {
        Self {
            speech: Vec::new(),
            text: Vec::new(),
            languages: Vec::new(),
            targets: Vec::new(),
            language_temperature: 2.5,
            one_language_batches: false,
            padded_share: 0.15,
            noise_share: 0.05,
            shortest: 0.3,
            longest: 30.0,
            cache: None,
        }
    }
}

/// How clips are changed before the encoder hears them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Slowest and fastest speed; 1 and 1 for none.
    pub speed: [f64; 2],
    /// Share of clips with noise added.
    pub noise_share: f64,
    /// Least and most of speech over noise, dB.
    pub noise_ratio: [f64; 2],
    /// Share of clips heard through a room.
    pub room_share: f64,
    /// Least and most of the gain, dB, drawn evenly; never so much that samples are cut off. Left
    /// out: −12 to 6 dB, and none where features are kept (`data.cache`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gain: Option<[f64; 2]>,
    /// Masked bands of a clip (SpecAugment, Park et al. 2019).
    pub frequency_masks: usize,
    /// Mel bins of a band, at most.
    pub frequency_width: usize,
    /// Masked stretches of a clip.
    pub time_masks: usize,
    /// Share of the clip in a stretch, at most.
    pub time_share: f64,
    /// Share of the encoder's frames that the adapter does not hear, each drawn alone: against
    /// models that fall apart where it is noisy.
    #[serde(skip_serializing_if = "is_zero")]
    pub frame_dropout: f64,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self {
            speed: [0.9, 1.1],
            noise_share: 0.3,
            noise_ratio: [5.0, 20.0],
            room_share: 0.1,
            gain: None,
            frequency_masks: 1,
            frequency_width: 15,
            time_masks: 1,
            time_share: 0.05,
            frame_dropout: 0.0,
        }
    }
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

impl Augmentation {
    /// Gain where a recipe names none, dB.
    const GAIN: [f64; 2] = [-12.0, 6.0];

    /// Whether clips are heard as they are, so that their features can be kept (masks and dropped
    /// frames come after them).
    pub fn keeps_samples(&self) -> bool {
        self.speed == [1.0; 2]
            && self.noise_share == 0.0
            && self.room_share == 0.0
            && self.gain(true) == [0.0; 2]
    }

    /// The gain, dB, of a recipe that keeps features or not: kept ones are of clips as they are.
    pub fn gain(&self, cached: bool) -> [f64; 2] {
        self.gain.unwrap_or(if cached { [0.0; 2] } else { Self::GAIN })
    }
}

/// The size of batches.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Batch {
    /// Seconds of audio in a micro-batch, padding included.
    pub seconds: f64,
    /// Tokens in a micro-batch of text.
    pub text_tokens: usize,
    /// Micro-batches of a step.
    pub accumulate: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self { seconds: 60.0, text_tokens: 2048, accumulate: 4 }
    }
}

/// The optimiser, AdamW.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Optimizer {
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the mean square.
    pub epsilon: f64,
    /// Weight decay of modules that set none of their own.
    pub weight_decay: f64,
    /// Longest gradient; longer ones are shortened.
    pub clip_norm: f64,
    /// Steps in a row without a finite loss and gradient after which training stops.
    pub skip_limit: u32,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.98,
            epsilon: 1e-8,
            weight_decay: 0.0,
            clip_norm: 1.0,
            skip_limit: 10,
        }
    }
}

/// Measurements on development data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evaluation {
    /// Steps between them; one more comes at the end of each stage.
    pub every: u64,
    /// Clips of each language, at most.
    pub clips: usize,
    /// What plateaus and the best checkpoints go by.
    pub metric: Metric,
}

impl Default for Evaluation {
    fn default() -> Self {
        Self { every: 250, clips: 64, metric: Metric::Loss }
    }
}

/// What an evaluation is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Mean loss of a target token.
    Loss,
    /// Share of target tokens that were the likeliest.
    Accuracy,
    /// Word error rate.
    Wer,
    /// Character error rate.
    Cer,
    /// BLEU.
    Bleu,
    /// chrF.
    Chrf,
}

impl Metric {
    /// The name that evaluations give it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Accuracy => "accuracy",
            Self::Wer => "wer",
            Self::Cer => "cer",
            Self::Bleu => "bleu",
            Self::Chrf => "chrf",
        }
    }

    /// Whether more is better.
    pub fn rises(self) -> bool {
        matches!(self, Self::Accuracy | Self::Bleu | Self::Chrf)
    }
}

/// What is kept of a run. The ends of stages always are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Checkpoints {
    /// Minutes between checkpoints.
    pub minutes: f64,
    /// Steps between them, besides; 0: only by the clock.
    pub steps: u64,
    /// Newest ones kept.
    pub keep_last: usize,
    /// Best ones kept.
    pub keep_best: usize,
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self { minutes: 10.0, steps: 0, keep_last: 2, keep_best: 3 }
    }
}
