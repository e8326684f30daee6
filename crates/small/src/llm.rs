//! A language model: Gemma 3 or Llama.

use std::path::Path;

use candle_core::Tensor;
use partita_model::files::Value;

use super::{Shapes, SmallError, Tokenizer, numbers, write};

/// Dimensions of a small language model with two heads.
#[derive(Debug, Clone)]
pub struct Llm {
    /// `gemma3` (windows in every other block, norms of heads) or `llama`.
    pub architecture: &'static str,
    /// Width.
    pub width: usize,
    /// Width inside its feed-forward networks.
    pub inner: usize,
    /// Blocks.
    pub blocks: usize,
    /// Heads of keys and values: 1 or 2.
    pub key_heads: usize,
    /// Width of a head.
    pub head: usize,
    /// Tokens that a block with a window looks back on.
    pub window: usize,
    /// Whether outputs are the rows of the token table.
    pub tied: bool,
}

impl Default for Llm {
    fn default() -> Self {
        Self {
            architecture: "gemma3",
            width: 32,
            inner: 64,
            blocks: 2,
            key_heads: 1,
            head: 16,
            window: 64,
            tied: true,
        }
    }
}

impl Llm {
    /// Writes it with its tokenizer; `weight` makes a tensor of a name and shape
    /// ([`super::drawn_weight`]).
    ///
    /// # Errors
    /// When a tensor cannot be made or the file not be written.
    pub fn write(
        &self,
        path: &Path,
        tokenizer: &Tokenizer,
        weight: impl Fn(&str, &[usize]) -> candle_core::Result<Tensor>,
    ) -> Result<(), SmallError> {
        let mut metadata = tokenizer.keys.clone();
        for (key, value) in
            [("architecture", self.architecture), ("name", "Small"), ("license", "mit")]
        {
            metadata.push((format!("general.{key}"), value.into()));
        }
        metadata.extend(numbers(
            self.architecture,
            &[
                ("block_count", self.blocks),
                ("context_length", 256),
                ("embedding_length", self.width),
                ("feed_forward_length", self.inner),
                ("attention.head_count", 2),
                ("attention.head_count_kv", self.key_heads),
                ("attention.key_length", self.head),
                ("attention.value_length", self.head),
                ("vocab_size", tokenizer.tokens),
            ],
        ));
        if self.is_gemma() {
            let windows = [
                ("attention.sliding_window", self.window),
                ("attention.sliding_window_pattern", 2),
            ];
            metadata.extend(numbers(self.architecture, &windows));
        }
        let epsilon = format!("{}.attention.layer_norm_rms_epsilon", self.architecture);
        metadata.push((epsilon, Value::F32(1e-6)));
        write(path, &metadata, &self.shapes(tokenizer.tokens), weight)
    }

    fn is_gemma(&self) -> bool {
        self.architecture == "gemma3"
    }

    fn shapes(&self, vocabulary: usize) -> Shapes {
        let &Self { width, inner, head, .. } = self;
        let (queries, keys) = (2 * head, self.key_heads * head);
        let mut shapes: Shapes = vec![
            ("token_embd.weight".to_owned(), vec![vocabulary, width]),
            ("output_norm.weight".to_owned(), vec![width]),
        ];
        if !self.tied {
            shapes.push(("output.weight".to_owned(), vec![vocabulary, width]));
        }
        for block in 0..self.blocks {
            let mut add = |name: &str, shape: &[usize]| {
                shapes.push((format!("blk.{block}.{name}.weight"), shape.to_vec()));
            };
            add("attn_q", &[queries, width]);
            add("attn_k", &[keys, width]);
            add("attn_v", &[keys, width]);
            add("attn_output", &[width, queries]);
            add("ffn_gate", &[inner, width]);
            add("ffn_up", &[inner, width]);
            add("ffn_down", &[width, inner]);
            add("attn_norm", &[width]);
            add("ffn_norm", &[width]);
            if self.is_gemma() {
                add("post_attention_norm", &[width]);
                add("post_ffw_norm", &[width]);
                add("attn_q_norm", &[head]);
                add("attn_k_norm", &[head]);
            }
        }
        shapes
    }
}
