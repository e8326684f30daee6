//! The tensors that stock llama.cpp takes, by name and shape (PyTorch order).

use partita_model::files::{Array, Value};

use super::content::Plan;
use super::rules::{Refusal, refuse};

/// A tensor that a file must, or may, have.
struct Expected {
    name: String,
    shape: Vec<usize>,
    required: bool,
}

/// Tensors by their names.
#[derive(Default)]
struct Tensors(Vec<Expected>);

impl Tensors {
    fn must(&mut self, name: impl Into<String>, shape: &[usize]) {
        self.0.push(Expected { name: name.into(), shape: shape.to_vec(), required: true });
    }

    fn may(&mut self, name: impl Into<String>, shape: &[usize]) {
        self.0.push(Expected { name: name.into(), shape: shape.to_vec(), required: false });
    }

    /// Whether a file has what it must, and what it has in these shapes.
    fn check(&self, plan: &Plan) -> Result<(), Refusal> {
        for Expected { name, shape, required } in &self.0 {
            match plan.item(name) {
                None if *required => {
                    return refuse("required-tensors", format!("`{name}` is missing"));
                }
                Some(item) if item.shape != *shape => {
                    let reason = format!("`{name}` is {:?}, not {shape:?}", item.shape);
                    return refuse("tensor-shapes", reason);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether a file has no others: a language model's is refused for one that is not asked for.
    fn check_only(&self, plan: &Plan) -> Result<(), Refusal> {
        let is_known = |name: &str| self.0.iter().any(|known| known.name == name);
        match plan.items.iter().find(|item| !is_known(&item.name)) {
            Some(item) => refuse("no-other-tensors", format!("`{}` is not known", item.name)),
            None => Ok(()),
        }
    }
}

fn number(plan: &Plan, key: &str) -> Result<usize, Refusal> {
    let found =
        plan.value(key).and_then(Value::as_u64).and_then(|value| usize::try_from(value).ok());
    let missing = || Refusal {
        rule: "required-keys",
        reason: format!("`{key}` is missing, or no number of elements"),
    };
    found.filter(|&value| value > 0).ok_or_else(missing)
}

/// The number of layers, which cannot be more than there are tensors.
fn layers(plan: &Plan, key: &str) -> Result<usize, Refusal> {
    let (layers, tensors) = (number(plan, key)?, plan.items.len());
    match layers > tensors {
        true => Err(Refusal {
            rule: "required-tensors",
            reason: format!("{layers} layers of {tensors} tensors"),
        }),
        false => Ok(layers),
    }
}

/// Checks all tensors of a language model's file; its required keys have been looked at.
///
/// # Errors
/// The first that is missing, of another shape, or not known.
pub fn check_llm(plan: &Plan) -> Result<(), Refusal> {
    let architecture = plan.text("general.architecture").unwrap_or_default();
    let key = |name: &str| format!("{architecture}.{name}");
    let own = |name: &str| number(plan, &key(name));
    let or = |name: &str, usual: usize| match plan.value(&key(name)) {
        Some(_) => own(name),
        None => Ok(usual),
    };
    let (width, inner, heads) =
        (own("embedding_length")?, own("feed_forward_length")?, own("attention.head_count")?);
    let key_heads = or("attention.head_count_kv", heads)?;
    let (key_width, value_width) =
        (or("attention.key_length", width / heads)?, or("attention.value_length", width / heads)?);
    let tokens =
        plan.value("tokenizer.ggml.tokens").and_then(Value::as_array).map_or(0, Array::len);
    let [llama, qwen2, qwen3, gemma] =
        ["llama", "qwen2", "qwen3", "gemma3"].map(|known| known == architecture);

    let mut all = Tensors::default();
    all.must("token_embd.weight", &[tokens, width]);
    all.must("output_norm.weight", &[width]);
    all.may("output.weight", &[tokens, width]);
    if llama {
        all.may("rope_freqs.weight", &[key_width / 2]);
    }
    for layer in 0..layers(plan, &key("block_count"))? {
        let name = |part: &str| format!("blk.{layer}.{part}");
        all.must(name("attn_norm.weight"), &[width]);
        all.must(name("ffn_norm.weight"), &[width]);
        for (part, rows) in [
            ("attn_q", heads * key_width),
            ("attn_k", key_heads * key_width),
            ("attn_v", key_heads * value_width),
        ] {
            all.must(name(&format!("{part}.weight")), &[rows, width]);
            let bias = name(&format!("{part}.bias"));
            if qwen2 {
                all.must(bias, &[rows]);
            } else if llama {
                all.may(bias, &[rows]);
            }
        }
        all.must(name("attn_output.weight"), &[width, heads * value_width]);
        if llama {
            all.may(name("attn_output.bias"), &[width]);
        }
        for part in ["ffn_gate.weight", "ffn_up.weight"] {
            all.must(name(part), &[inner, width]);
        }
        all.must(name("ffn_down.weight"), &[width, inner]);
        if qwen3 || gemma {
            for part in ["attn_q_norm.weight", "attn_k_norm.weight"] {
                all.must(name(part), &[key_width]);
            }
        }
        if gemma {
            for part in ["post_attention_norm.weight", "post_ffw_norm.weight"] {
                all.must(name(part), &[width]);
            }
        }
    }
    all.check(plan)?;
    all.check_only(plan)
}

/// Checks the tensors of encoder and adapter that stock tools load; they pass over others.
///
/// # Errors
/// The first that is missing, or of another shape.
pub fn check_projector(plan: &Plan) -> Result<(), Refusal> {
    let own = |name: &str| number(plan, &format!("clip.audio.{name}"));
    let (width, inner, bins) =
        (own("embedding_length")?, own("feed_forward_length")?, own("num_mel_bins")?);
    let (output, stacked) = (own("projection_dim")?, own("projector.stack_factor")? * width);
    let rows =
        |name: &str| plan.item(name).and_then(|item| item.shape.first().copied()).unwrap_or(0);
    let hidden = rows("mm.a.norm_mid.weight");

    let mut all = Tensors::default();
    all.must("a.conv1d.1.weight", &[width, bins, 3]);
    all.must("a.conv1d.2.weight", &[width, width, 3]);
    for part in ["a.conv1d.1.bias", "a.conv1d.2.bias"] {
        all.must(part, &[width, 1]);
    }
    all.must("a.position_embd.weight", &[rows("a.position_embd.weight"), width]);
    for layer in 0..layers(plan, "clip.audio.block_count")? {
        let mut both = |part: &str, shape: &[usize]| {
            all.must(format!("a.blk.{layer}.{part}.weight"), shape);
            all.must(format!("a.blk.{layer}.{part}.bias"), shape.get(..1).unwrap_or_default());
        };
        for part in ["ln1", "ln2"] {
            both(part, &[width]);
        }
        for part in ["attn_q", "attn_v", "attn_out"] {
            both(part, &[width, width]);
        }
        both("ffn_up", &[inner, width]);
        both("ffn_down", &[width, inner]);
        all.must(format!("a.blk.{layer}.attn_k.weight"), &[width, width]);
    }
    for part in ["a.post_ln.weight", "a.post_ln.bias"] {
        all.may(part, &[width]);
    }
    all.must("mm.a.norm_pre.weight", &[stacked]);
    all.must("mm.a.mlp.1.weight", &[2 * hidden, stacked]);
    all.must("mm.a.norm_mid.weight", &[hidden]);
    all.must("mm.a.mlp.2.weight", &[output, hidden]);
    all.check(plan)
}
