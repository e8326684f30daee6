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
            item("a.conv1d.1.bias", &[64, 1]),
            item("a.conv1d.2.bias", &[64, 1]),
            item("mm.a.mlp.1.weight", &[64, 256]),
            item("mm.a.mlp.2.weight", &[96, 32]),
        ];
        for part in ["attn_q", "attn_v", "attn_out", "ffn_up", "ffn_down", "ln1", "ln2"] {
            items.push(item(&format!("a.blk.0.{part}.weight"), &[64, 64]));
            items.push(item(&format!("a.blk.0.{part}.bias"), &[64]));
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

    fn llm() -> Plan<'static> {
        let mut metadata: Vec<(String, Value)> =
            LLM_KEYS.iter().map(|key| (format!("gemma3.{key}"), Value::U32(1))).collect();
        metadata.push(("general.architecture".to_owned(), "gemma3".into()));
        metadata.push(("tokenizer.chat_template".to_owned(), "{{ bos_token }}".into()));
        let tokens: Vec<String> = (0..5).map(|id| id.to_string()).collect();
        metadata.push(("tokenizer.ggml.tokens".to_owned(), tokens.into()));
        Plan::new(metadata, vec![item("token_embd.weight", &[5, 96])])
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
        let keyed = |key: &'static str, value: Option<Value>| -> Change {
            Box::new(move |plan| set(plan, key, value.clone()))
        };
        let mut cases = vec![
            ("two-dimensional-conv-bias", reshaped("a.conv1d.1.bias", &[64])),
            ("1500-positions", reshaped("a.position_embd.weight", &[1000, 64])),
            ("projection-width", reshaped("mm.a.mlp.2.weight", &[64, 32])),
            ("projection-width", reshaped("mm.a.mlp.1.weight", &[64, 320])),
            ("no-key-bias", reshaped("a.blk.0.attn_k.bias", &[64])),
            ("required-tensors", reshaped("a.blk.0.attn_v.bias", &[])),
            ("stack-divides-1500", keyed("clip.audio.projector.stack_factor", Some(Value::U32(8)))),
            ("stock-adapter", keyed("clip.projector_type", Some("conv-glu".into()))),
        ];
        cases.extend(PROJECTOR_KEYS.map(|key| ("required-keys", keyed(key, None))));
        for (rule, change) in cases {
            let mut plan = projector();
            change(&mut plan);
            assert_eq!(check_projector(&plan, 96).unwrap_err().rule, rule);
        }

        assert!(check_llm(&llm(), true).is_ok());
        let mut cases = vec![
            ("known-architecture", keyed("general.architecture", Some("mamba".into()))),
            ("tokenizer-fits-table", reshaped("token_embd.weight", &[4, 96])),
            ("tokenizer-fits-table", keyed("tokenizer.ggml.tokens", None)),
            ("chat-template", keyed("tokenizer.chat_template", None)),
        ];
        cases.push(("required-keys", keyed("gemma3.block_count", None)));
        for (rule, change) in cases {
            let mut plan = llm();
            change(&mut plan);
            let refusal = check_llm(&plan, true).unwrap_err();
            assert_eq!(refusal.rule, rule);
            assert!(refusal.to_string().starts_with(&format!("rule {rule}: ")));
        }
        let mut alone = llm();
        set(&mut alone, "tokenizer.chat_template", None);
        assert!(check_llm(&alone, false).is_ok(), "a language model alone may have none");
    }
}
