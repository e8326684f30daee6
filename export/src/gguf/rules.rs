//! What stock tools would abort on: no such file is written.

use partita_model::files::{Array, Value};

use super::content::Plan;
use super::expected;

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
/// Key that gemma3 needs beside them.
const WINDOW_KEY: &str = "gemma3.attention.sliding_window";
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

pub(super) fn refuse(rule: &'static str, reason: impl Into<String>) -> Checked {
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
    if architecture == "gemma3" && plan.value(WINDOW_KEY).is_none() {
        return refuse("required-keys", format!("`{WINDOW_KEY}` is missing"));
    }
    let array = |key: &str| plan.value(&format!("tokenizer.ggml.{key}")).and_then(Value::as_array);
    let tokens = array("tokens").map_or(0, Array::len);
    let rows = plan.item("token_embd.weight").and_then(|item| item.shape.first().copied());
    // llama.cpp takes as many rows as there are tokens, no more and no fewer.
    if tokens == 0 || rows != Some(tokens) {
        let rows = rows.unwrap_or(0);
        return refuse(
            "tokenizer-fits-table",
            format!("{tokens} tokens, {rows} rows of embeddings"),
        );
    }
    let (needed, one_each) = match plan.text("tokenizer.ggml.model") {
        Some("llama") => ("scores", true),
        Some("gpt2") => ("merges", false),
        other => {
            let reason = format!("`tokenizer.ggml.model` is {other:?}; known are llama, gpt2");
            return refuse("tokenizer-keys", reason);
        }
    };
    match array(needed).map(Array::len) {
        None => return refuse("tokenizer-keys", format!("`tokenizer.ggml.{needed}` is missing")),
        Some(count) if one_each && count != tokens => {
            return refuse("tokenizer-keys", format!("{count} {needed} for {tokens} tokens"));
        }
        Some(_) => {}
    }
    if paired && plan.text("tokenizer.chat_template").is_none_or(str::is_empty) {
        return refuse("chat-template", "llama-mtmd-cli takes no language model without one");
    }
    expected::check_llm(plan)
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
    expected::check_projector(plan)
}

#[cfg(test)]
mod tests {
    use super::super::content::{Content, Item};
    use super::super::quant::Quant;
    use super::*;

    fn item(name: &str, shape: &[usize]) -> Item<'static> {
        let choice = Quant::F16.choose(name, shape, 1, false);
        let content = Content::Made(Box::new(|| Ok(Vec::new())));
        Item { name: name.to_owned(), shape: shape.to_vec(), choice, content }
    }

    /// An encoder of one layer and width 64 before a language model of width 96.
    fn projector() -> Plan<'static> {
        let mut items = vec![
            item("a.position_embd.weight", &[1500, 64]),
            item("a.conv1d.1.weight", &[64, 80, 3]),
            item("a.conv1d.1.bias", &[64, 1]),
            item("a.conv1d.2.weight", &[64, 64, 3]),
            item("a.conv1d.2.bias", &[64, 1]),
            item("a.blk.0.attn_k.weight", &[64, 64]),
            item("mm.a.norm_pre.weight", &[256]),
            item("mm.a.mlp.1.weight", &[64, 256]),
            item("mm.a.norm_mid.weight", &[32]),
            item("mm.a.mlp.2.weight", &[96, 32]),
        ];
        for (part, shape) in [
            ("ln1", &[64][..]),
            ("ln2", &[64]),
            ("attn_q", &[64, 64]),
            ("attn_v", &[64, 64]),
            ("attn_out", &[64, 64]),
            ("ffn_up", &[256, 64]),
            ("ffn_down", &[64, 256]),
        ] {
            items.push(item(&format!("a.blk.0.{part}.weight"), shape));
            items.push(item(&format!("a.blk.0.{part}.bias"), &shape[..1]));
        }
        let number = |key: &str, value| (format!("clip.audio.{key}"), Value::U32(value));
        let metadata = vec![
            ("clip.has_audio_encoder".to_owned(), Value::Bool(true)),
            ("clip.projector_type".to_owned(), "ultravox".into()),
            ("clip.audio.attention.layer_norm_epsilon".to_owned(), Value::F32(1e-5)),
            number("embedding_length", 64),
            number("feed_forward_length", 256),
            number("block_count", 1),
            number("attention.head_count", 2),
            number("projection_dim", 96),
            number("num_mel_bins", 80),
            number("projector.stack_factor", 4),
        ];
        Plan::new(metadata, items)
    }

    /// A language model of one layer, width 96, and two heads of 32 that share a key.
    fn llm(architecture: &str) -> Plan<'static> {
        let number = |key: &str, value| (format!("{architecture}.{key}"), Value::U32(value));
        let tokens: Vec<String> = (0..5).map(|id| id.to_string()).collect();
        let metadata = vec![
            ("general.architecture".to_owned(), architecture.into()),
            ("tokenizer.chat_template".to_owned(), "{{ bos_token }}".into()),
            ("tokenizer.ggml.model".to_owned(), "llama".into()),
            ("tokenizer.ggml.tokens".to_owned(), tokens.into()),
            ("tokenizer.ggml.scores".to_owned(), vec![0f32; 5].into()),
            (format!("{architecture}.attention.layer_norm_rms_epsilon"), Value::F32(1e-6)),
            number("block_count", 1),
            number("context_length", 100),
            number("embedding_length", 96),
            number("feed_forward_length", 200),
            number("attention.head_count", 2),
            number("attention.head_count_kv", 1),
            number("attention.key_length", 32),
            number("attention.value_length", 32),
            number("attention.sliding_window", 50),
        ];
        let shapes: [(&str, &[usize]); 11] = [
            ("token_embd", &[5, 96]),
            ("output_norm", &[96]),
            ("blk.0.attn_norm", &[96]),
            ("blk.0.ffn_norm", &[96]),
            ("blk.0.attn_q", &[64, 96]),
            ("blk.0.attn_k", &[32, 96]),
            ("blk.0.attn_v", &[32, 96]),
            ("blk.0.attn_output", &[96, 64]),
            ("blk.0.ffn_gate", &[200, 96]),
            ("blk.0.ffn_up", &[200, 96]),
            ("blk.0.ffn_down", &[96, 200]),
        ];
        let mut items: Vec<_> =
            shapes.iter().map(|(name, shape)| item(&format!("{name}.weight"), shape)).collect();
        let more: &[(&str, &[usize])] = match architecture {
            "gemma3" => &[
                ("attn_q_norm.weight", &[32]),
                ("attn_k_norm.weight", &[32]),
                ("post_attention_norm.weight", &[96]),
                ("post_ffw_norm.weight", &[96]),
            ],
            "qwen3" => &[("attn_q_norm.weight", &[32]), ("attn_k_norm.weight", &[32])],
            "qwen2" => &[("attn_q.bias", &[64]), ("attn_k.bias", &[32]), ("attn_v.bias", &[32])],
            _ => &[],
        };
        items.extend(more.iter().map(|(name, shape)| item(&format!("blk.0.{name}"), shape)));
        Plan::new(metadata, items)
    }

    fn set(plan: &mut Plan, key: &str, value: Option<Value>) {
        plan.metadata.retain(|(known, _)| known != key);
        plan.metadata.extend(value.map(|value| (key.to_owned(), value)));
    }

    fn shape(plan: &mut Plan, name: &str, shape: &[usize]) {
        plan.items.retain(|item| item.name != name);
        if !shape.is_empty() {
            plan.items.push(item(name, shape));
        }
    }

    #[test]
    fn every_rule_is_kept() {
        assert!(check_projector(&projector(), 96).is_ok());
        type Change = Box<dyn Fn(&mut Plan)>;
        let reshaped = |name: &'static str, dims: &'static [usize]| -> Change {
            Box::new(move |plan| shape(plan, name, dims))
        };
        let keyed = |key: &str, value: Option<Value>| -> Change {
            let key = key.to_owned();
            Box::new(move |plan| set(plan, &key, value.clone()))
        };
        let mut cases = vec![
            ("two-dimensional-conv-bias", reshaped("a.conv1d.1.bias", &[64])),
            ("1500-positions", reshaped("a.position_embd.weight", &[1000, 64])),
            ("projection-width", reshaped("mm.a.mlp.2.weight", &[64, 32])),
            ("projection-width", reshaped("mm.a.mlp.1.weight", &[64, 320])),
            ("no-key-bias", reshaped("a.blk.0.attn_k.bias", &[64])),
            ("required-tensors", reshaped("a.blk.0.attn_v.bias", &[])),
            ("required-tensors", reshaped("a.blk.0.attn_k.weight", &[])),
            ("required-tensors", reshaped("a.conv1d.2.weight", &[])),
            ("required-tensors", keyed("clip.audio.block_count", Some(Value::U32(u32::MAX)))),
            ("tensor-shapes", reshaped("a.conv1d.1.weight", &[64, 128, 3])),
            ("tensor-shapes", reshaped("a.position_embd.weight", &[1500, 32])),
            ("tensor-shapes", reshaped("a.blk.0.ffn_up.bias", &[64])),
            ("tensor-shapes", reshaped("a.post_ln.weight", &[1])),
            ("tensor-shapes", reshaped("mm.a.norm_pre.weight", &[64])),
            ("tensor-shapes", reshaped("mm.a.norm_mid.weight", &[31])),
            ("stack-divides-1500", keyed("clip.audio.projector.stack_factor", Some(Value::U32(8)))),
            ("stock-adapter", keyed("clip.projector_type", Some("conv-glu".into()))),
        ];
        cases.extend(PROJECTOR_KEYS.map(|key| ("required-keys", keyed(key, None))));
        for (rule, change) in cases {
            let mut plan = projector();
            change(&mut plan);
            assert_eq!(check_projector(&plan, 96).unwrap_err().rule, rule);
        }

        for architecture in ARCHITECTURES {
            assert!(check_llm(&llm(architecture), true).is_ok(), "{architecture}");
            // Whatever tensor is missing or of another shape.
            let names: Vec<String> =
                llm(architecture).items.iter().map(|item| item.name.clone()).collect();
            for name in names {
                let mut plan = llm(architecture);
                let mut changed = plan.item(&name).unwrap().shape.clone();
                shape(&mut plan, &name, &[]);
                assert!(check_llm(&plan, true).is_err(), "{architecture} without {name}");
                changed[0] += 1;
                shape(&mut plan, &name, &changed);
                assert!(check_llm(&plan, true).is_err(), "{architecture} with another {name}");
            }
        }
        let mut cases = vec![
            ("known-architecture", keyed("general.architecture", Some("mamba".into()))),
            ("tokenizer-fits-table", reshaped("token_embd.weight", &[4, 96])),
            ("tokenizer-fits-table", reshaped("token_embd.weight", &[6, 96])),
            ("tokenizer-fits-table", keyed("tokenizer.ggml.tokens", None)),
            ("tokenizer-keys", keyed("tokenizer.ggml.model", None)),
            ("tokenizer-keys", keyed("tokenizer.ggml.scores", None)),
            ("tokenizer-keys", keyed("tokenizer.ggml.scores", Some(vec![0f32; 4].into()))),
            ("tokenizer-keys", keyed("tokenizer.ggml.model", Some("gpt2".into()))),
            ("chat-template", keyed("tokenizer.chat_template", None)),
            ("tensor-shapes", reshaped("blk.0.attn_k_norm.weight", &[64])),
            ("tensor-shapes", reshaped("output.weight", &[4, 96])),
            ("required-tensors", reshaped("blk.0.post_ffw_norm.weight", &[])),
            ("required-tensors", keyed("gemma3.block_count", Some(Value::U32(2)))),
            ("required-tensors", keyed("gemma3.block_count", Some(Value::U32(u32::MAX)))),
            ("no-other-tensors", reshaped("blk.0.attn_q.bias", &[64])),
            ("no-other-tensors", reshaped("blk.1.attn_q.weight", &[64, 96])),
            ("required-keys", keyed(WINDOW_KEY, None)),
            ("required-keys", keyed("gemma3.feed_forward_length", Some("many".into()))),
        ];
        cases.extend(LLM_KEYS.map(|key| ("required-keys", keyed(&format!("gemma3.{key}"), None))));
        for (rule, change) in cases {
            let mut plan = llm("gemma3");
            change(&mut plan);
            let refusal = check_llm(&plan, true).unwrap_err();
            assert_eq!(refusal.rule, rule);
            assert!(refusal.to_string().starts_with(&format!("rule {rule}: ")));
        }
        let mut alone = llm("llama");
        set(&mut alone, "tokenizer.chat_template", None);
        assert!(check_llm(&alone, false).is_ok(), "a language model alone may have none");
    }
}
