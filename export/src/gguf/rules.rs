//! What stock tools would abort on: no such file is written.

use partita_model::files::{Array, Value};

use super::content::Plan;

/// A rule of stock tools that a file would break.
#[derive(Debug, thiserror::Error)]
#[error("rule {rule}: {reason}")]
pub struct Refusal {
    /// The rule's name.
    pub rule: &'static str,
    /// What breaks it.
    pub reason: String,
}

/// Stack factors at which llama.cpp's count of audio tokens is that of its graph at every width.
pub const STACKS: [u64; 10] = [2, 3, 4, 5, 6, 10, 12, 15, 20, 25];
/// Positions of a window of 30 s.
const POSITIONS: usize = 1500;
/// Architectures whose files this exporter knows.
const ARCHITECTURES: [&str; 4] = ["gemma3", "llama", "qwen2", "qwen3"];
/// Keys that every architecture needs.
const LLM_KEYS: [&str; 6] = [
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.layer_norm_rms_epsilon",
];
const PROJECTOR_KEYS: [&str; 9] = [
    "clip.has_audio_encoder",
    "clip.projector_type",
    "clip.audio.embedding_length",
    "clip.audio.feed_forward_length",
    "clip.audio.block_count",
    "clip.audio.attention.head_count",
    "clip.audio.attention.layer_norm_epsilon",
    "clip.audio.projection_dim",
    "clip.audio.num_mel_bins",
];

type Checked = Result<(), Refusal>;

fn refuse(rule: &'static str, reason: impl Into<String>) -> Checked {
    Err(Refusal { rule, reason: reason.into() })
}

/// Checks a language model's file; one of a pair needs a chat template.
///
/// # Errors
/// The rule that it breaks.
pub fn check_llm(plan: &Plan, paired: bool) -> Checked {
    let architecture = plan.text("general.architecture").unwrap_or_default();
    if !ARCHITECTURES.contains(&architecture) {
        let known = ARCHITECTURES.join(", ");
        return refuse("known-architecture", format!("`{architecture}` is none of {known}"));
    }
    for key in LLM_KEYS {
        let key = format!("{architecture}.{key}");
        if plan.value(&key).is_none() {
            return refuse("required-keys", format!("`{key}` is missing"));
        }
    }
    let tokens =
        plan.value("tokenizer.ggml.tokens").and_then(Value::as_array).map_or(0, Array::len);
    let rows = plan.item("token_embd.weight").and_then(|item| item.shape.first().copied());
    if tokens == 0 || rows.is_none_or(|rows| rows < tokens) {
        let rows = rows.unwrap_or(0);
        return refuse(
            "tokenizer-fits-table",
            format!("{tokens} tokens, {rows} rows of embeddings"),
        );
    }
    if paired && plan.text("tokenizer.chat_template").is_none_or(str::is_empty) {
        return refuse("chat-template", "llama-mtmd-cli takes no language model without one");
    }
    Ok(())
}

/// Checks the file of encoder and adapter for a language model of width `llm_width`.
///
/// # Errors
/// The rule that it breaks.
pub fn check_projector(plan: &Plan, llm_width: usize) -> Checked {
    for key in PROJECTOR_KEYS {
        if plan.value(key).is_none() {
            return refuse("required-keys", format!("`{key}` is missing"));
        }
    }
    let kind = plan.text("clip.projector_type").unwrap_or_default();
    if kind != "ultravox" {
        return refuse("stock-adapter", format!("stock tools know no adapter `{kind}`"));
    }
    let number = |key| plan.value(key).and_then(Value::as_u64).unwrap_or(0);
    let stack = number("clip.audio.projector.stack_factor");
    if !STACKS.contains(&stack) {
        let known = STACKS.map(|stack| stack.to_string()).join(", ");
        let reason = format!("{stack} frames in one; safe are {known}");
        return refuse("stack-divides-1500", reason);
    }
    let shape = |name: &str| plan.item(name).map(|item| item.shape.clone()).unwrap_or_default();
    let positions = shape("a.position_embd.weight").first().copied().unwrap_or(0);
    if positions < POSITIONS {
        return refuse("1500-positions", format!("{positions} positions, fewer than {POSITIONS}"));
    }
    let width = number("clip.audio.embedding_length") as usize;
    for i in [1, 2] {
        let name = format!("a.conv1d.{i}.bias");
        let found = shape(&name);
        if found != [width, 1] {
            return refuse("two-dimensional-conv-bias", format!("`{name}` is {found:?}"));
        }
    }
    let output = shape("mm.a.mlp.2.weight").first().copied().unwrap_or(0);
    if output != llm_width || number("clip.audio.projection_dim") as usize != llm_width {
        let reason = format!("the adapter gives {output}, the language model takes {llm_width}");
        return refuse("projection-width", reason);
    }
    let inputs = shape("mm.a.mlp.1.weight").last().copied().unwrap_or(0);
    if inputs as u64 != stack * width as u64 {
        let reason = format!("the adapter takes {inputs}, not {stack} frames of {width}");
        return refuse("projection-width", reason);
    }
    if let Some(item) = plan.items.iter().find(|item| item.name.ends_with("attn_k.bias")) {
        return refuse("no-key-bias", format!("`{}`", item.name));
    }
    for layer in 0..number("clip.audio.block_count") {
        for part in ["attn_q", "attn_v", "attn_out", "ffn_up", "ffn_down", "ln1", "ln2"] {
            for end in ["weight", "bias"] {
                let name = format!("a.blk.{layer}.{part}.{end}");
                if plan.item(&name).is_none() {
                    return refuse("required-tensors", format!("`{name}` is missing"));
                }
            }
        }
    }
    Ok(())
}
