//! The dimensions and variants of a decoder-only language model.

use crate::error::ModelError;
use crate::files::{Array, FileError, Value, WeightFile};
use crate::nn::{Gate, RopePairs};

/// Layers that look back over a window only, between layers that see everything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlidingWindow {
    /// Positions that a query sees, itself among them.
    pub positions: usize,
    /// Base of the rotary embedding in these layers.
    pub rope_base: f64,
    /// Every so many layers one sees everything: for 6, layers 5, 11, 17, … from 0.
    pub global_every: usize,
}

/// What a language model is made of. The network asks these values and never an architecture's
/// name.
#[derive(Debug, Clone, PartialEq)]
pub struct LlmConfig {
    /// `general.architecture`: `gemma3`, `llama`, `qwen2` or `qwen3`.
    pub architecture: String,
    /// Width of the residual stream.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; query heads share them evenly.
    pub key_heads: usize,
    /// Width of a head.
    pub head_width: usize,
    /// Width inside the feed-forward blocks.
    pub feed_forward: usize,
    /// Positions that the model was trained for.
    pub context: usize,
    /// Rows of the token table.
    pub vocabulary: usize,
    /// Added to the mean of squares in norms.
    pub epsilon: f64,
    /// Base of the rotary embedding in layers that see everything.
    pub rope_base: f64,
    /// Positions are multiplied by this in layers that see everything.
    pub rope_scale: f64,
    /// What the speed of each pair of elements is divided by (Llama 3.1 on), `[head width / 2]`.
    pub rope_factors: Option<Vec<f32>>,
    /// Which elements are rotated together.
    pub rope_pairs: RopePairs,
    /// Layers with a window, if there are any.
    pub window: Option<SlidingWindow>,
    /// Embeddings of tokens are multiplied by this; audio embeddings are not.
    pub embedding_scale: f64,
    /// Activation of the feed-forward gate.
    pub gate: Gate,
    /// Whether queries and keys are normalised per head before the rotary embedding.
    pub head_norms: bool,
    /// Whether the outputs of attention and feed-forward are normalised before they are added.
    pub post_norms: bool,
    /// Whether query, key and value projections have biases.
    pub biases: bool,
    /// Whether the output projection is the token table.
    pub tied: bool,
}

/// Which layer in how many sees everything, of a list that says for each whether it has a window;
/// `None` where that is no such number.
fn global_every(windows: &Array, layers: usize) -> Option<usize> {
    let windows: Vec<bool> = match windows {
        Array::Bool(windows) => windows.clone(),
        Array::I32(windows) => windows.iter().map(|&window| window != 0).collect(),
        Array::U32(windows) => windows.iter().map(|&window| window != 0).collect(),
        _ => return None,
    };
    let every = windows.iter().position(|&window| !window).unwrap_or(layers) + 1;
    let fits = |(layer, &window): (usize, &bool)| window == ((layer + 1) % every != 0);
    (windows.len() == layers && windows.iter().enumerate().all(fits)).then_some(every)
}

/// Largest value of any dimension that is believed.
const LIMIT: u64 = 1 << 22;

impl LlmConfig {
    /// Reads a GGUF file's metadata under llama.cpp's keys.
    ///
    /// # Errors
    /// When the architecture is none of the four, a key is missing, of another type or beyond
    /// belief, dimensions contradict each other, or the file asks for something that is not built
    /// (soft-capped logits, rotary scaling other than linear).
    pub fn from_gguf(file: &WeightFile) -> Result<Self, ModelError> {
        let architecture = file.metadata_str("general.architecture")?.to_owned();
        let fault = |key: &str, reason: String| -> ModelError {
            FileError::metadata(file.path(), key, reason).into()
        };
        let (gemma, qwen2, qwen3) = match architecture.as_str() {
            "llama" => (false, false, false),
            "gemma3" => (true, false, false),
            "qwen2" => (false, true, false),
            "qwen3" => (false, false, true),
            other => {
                let reason = format!("`{other}`; gemma3, llama, qwen2 and qwen3 are supported");
                return Err(fault("general.architecture", reason));
            }
        };
        let key = |name: &str| format!("{architecture}.{name}");
        let has = |name: &str| file.metadata().contains_key(&key(name));
        let read = |name: &str| match file.metadata_u64(&key(name))? {
            value @ 1..=LIMIT => Ok(value as usize),
            value => Err(fault(&key(name), format!("{value} is out of range"))),
        };
        let read_or = |name: &str, default| if has(name) { read(name) } else { Ok(default) };
        let number = |name: &str, default: Option<f64>| match (has(name), default) {
            (false, Some(default)) => Ok(default),
            _ => match file.metadata_f64(&key(name))? {
                value if value.is_finite() && value > 0.0 => Ok(value),
                value => Err(fault(&key(name), format!("{value} is out of range"))),
            },
        };
        if let Some(cap) = file.metadata().get(&key("final_logit_softcapping"))
            && cap.as_f64() != Some(0.0)
        {
            let reason = "soft-capped logits are not supported".to_owned();
            return Err(fault(&key("final_logit_softcapping"), reason));
        }
        let rope_scale = match file.metadata().get(&key("rope.scaling.type")) {
            None => 1.0,
            Some(Value::String(kind)) if kind == "none" => 1.0,
            Some(Value::String(kind)) if kind == "linear" => {
                1.0 / number("rope.scaling.factor", None)?
            }
            Some(_) => {
                let reason = "only linear scaling is supported".to_owned();
                return Err(fault(&key("rope.scaling.type"), reason));
            }
        };
        let (width, heads) = (read("embedding_length")?, read("attention.head_count")?);
        let table = file.tensor("token_embd.weight")?;
        let vocabulary = table.shape.first().copied().unwrap_or(0);
        let window = match gemma {
            true => Some(SlidingWindow {
                positions: read("attention.sliding_window")?,
                rope_base: number("rope.freq_base_swa", Some(10_000.0))?,
                global_every: match file.metadata().get(&key("attention.sliding_window_pattern")) {
                    None => 6,
                    Some(Value::Array(layers)) => {
                        let reason = || "no list of layers with every n-th global".to_owned();
                        let wrong = || fault(&key("attention.sliding_window_pattern"), reason());
                        global_every(layers, read("block_count")?).ok_or_else(wrong)?
                    }
                    Some(_) => read("attention.sliding_window_pattern")?,
                },
            }),
            false => None,
        };
        let mut config = Self {
            width,
            layers: read("block_count")?,
            heads,
            key_heads: read_or("attention.head_count_kv", heads)?,
            head_width: read_or("attention.key_length", width / heads)?,
            feed_forward: read("feed_forward_length")?,
            context: read("context_length")?,
            vocabulary,
            epsilon: number("attention.layer_norm_rms_epsilon", None)?,
            rope_base: number("rope.freq_base", Some(if gemma { 1e6 } else { 1e4 }))?,
            rope_scale,
            rope_factors: None,
            rope_pairs: match architecture.as_str() {
                "llama" => RopePairs::Interleaved,
                _ => RopePairs::Halves,
            },
            window,
            embedding_scale: if gemma { (width as f64).sqrt() } else { 1.0 },
            gate: if gemma { Gate::Gelu } else { Gate::Silu },
            head_norms: gemma || qwen3,
            post_norms: gemma,
            biases: qwen2,
            tied: !file.contains("output.weight"),
            architecture: architecture.clone(),
        };
        config.check().map_err(|(name, reason)| fault(&key(name), reason))?;
        let rotated = read_or("rope.dimension_count", config.head_width)?;
        let values = read_or("attention.value_length", config.head_width)?;
        for (name, found) in [("rope.dimension_count", rotated), ("attention.value_length", values)]
        {
            if found != config.head_width {
                let reason = format!("{found}, but heads are {} wide", config.head_width);
                return Err(fault(&key(name), reason));
            }
        }
        config.rope_factors = rope_factors(file, &config)?;
        Ok(config)
    }

    /// How fast each pair of a head's elements turns, in radians a position, in layers that see
    /// everything or in those with a window.
    pub fn rope_speeds(&self, window: Option<SlidingWindow>) -> Vec<f64> {
        let (base, scale) = match window {
            Some(window) => (window.rope_base, 1.0),
            None => (self.rope_base, self.rope_scale),
        };
        let factors = self.rope_factors.as_deref().unwrap_or_default();
        let speed = |i: usize| {
            let factor = factors.get(i).map_or(1.0, |&factor| f64::from(factor));
            scale * base.powf(-2.0 * i as f64 / self.head_width as f64) / factor
        };
        (0..self.head_width / 2).map(speed).collect()
    }

    /// The key at fault and the reason, should dimensions contradict each other.
    fn check(&self) -> Result<(), (&'static str, String)> {
        if !self.heads.is_multiple_of(self.key_heads) {
            let reason = format!("{} heads cannot share {}", self.heads, self.key_heads);
            return Err(("attention.head_count_kv", reason));
        }
        if self.head_width == 0 || !self.head_width.is_multiple_of(2) {
            return Err(("attention.key_length", format!("heads of {} elements", self.head_width)));
        }
        // The largest published models have 128 layers; each costs memory before weights are read.
        if self.layers > 1024 {
            return Err(("block_count", format!("{} layers", self.layers)));
        }
        Ok(())
    }

    /// The window of a layer, counted from 0.
    pub fn window_of(&self, layer: usize) -> Option<SlidingWindow> {
        self.window.filter(|window| !(layer + 1).is_multiple_of(window.global_every))
    }
}

/// What llama.cpp divides rotary speeds by, where a file has a tensor of that.
fn rope_factors(file: &WeightFile, config: &LlmConfig) -> Result<Option<Vec<f32>>, ModelError> {
    const NAME: &str = "rope_freqs.weight";
    if !file.contains(NAME) {
        return Ok(None);
    }
    let fault = |reason: String| FileError::tensor(file.path(), NAME, reason);
    if config.architecture != "llama" {
        return Err(fault(format!("of architecture `{}`", config.architecture)).into());
    }
    let (shape, half) = (&file.tensor(NAME)?.shape, config.head_width / 2);
    if *shape != [half] {
        return Err(fault(format!("has shape {shape:?}, not [{half}]")).into());
    }
    let (_, factors) = file.floats(NAME)?;
    match factors.iter().find(|factor| !(factor.is_finite() && **factor > 0.0)) {
        Some(factor) => Err(fault(format!("holds {factor}")).into()),
        None => Ok(Some(factors)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_layers_are_understood_where_every_nth_is_global() {
        let list =
            |windows: &[u8]| Array::Bool(windows.iter().map(|&window| window == 1).collect());
        assert_eq!(global_every(&list(&[1, 1, 0, 1, 1, 0, 1]), 7), Some(3));
        assert_eq!(global_every(&list(&[0, 0]), 2), Some(1));
        assert_eq!(global_every(&list(&[1, 1]), 2), Some(3), "no layer sees everything");
        assert_eq!(global_every(&Array::I32(vec![1, 0, 1, 0]), 4), Some(2));
        for (wrong, layers) in [(list(&[1, 0, 0]), 3), (list(&[1, 0, 1]), 4), (list(&[]), 1)] {
            assert_eq!(global_every(&wrong, layers), None, "{wrong:?}");
        }
        assert_eq!(global_every(&Array::F32(vec![1.0]), 1), None);
    }
}
