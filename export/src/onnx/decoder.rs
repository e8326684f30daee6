//! The language model: tokens to vectors, and vectors to logits with a cache of keys and values.

use anyhow::Result;
use partita_model::llm::{LlmConfig, SlidingWindow};
use partita_model::nn::{Gate, RopePairs};

use super::graph::{Graph, Value};
use super::initializer::{Element, Form};
use super::layers::Layers;
use super::{Dtype, Length};
use crate::merged::{Merged, Part, Weight};

const BATCH: Length = Length::Named("batch_size");
const TIME: Length = Length::Named("sequence_length");
/// Added to scores of what is not to be seen. Not infinity: a padded row sees nothing at all, and
/// its softmax would be NaN.
const UNSEEN: f32 = f32::MIN;

/// `input_ids` `[batch, time]` to `inputs_embeds` `[batch, time, width]`.
///
/// The rows are the model's own tokens, in the order of its outputs, and one of zeros for the place
/// of audio.
///
/// # Errors
/// When the model has no language model.
pub fn embed_tokens(model: &Merged, dtype: Dtype) -> Result<Graph> {
    let text = model.text()?;
    let (rows, width) = (text.ids.len(), text.config.width);
    let table = Weight {
        name: "token_embd.weight".to_owned(),
        shape: vec![rows, width],
        part: Part::Embeddings,
    };
    let mut layers = Layers::new("embed_tokens", dtype);
    let ids = layers.graph.input("input_ids", Element::I64, &[BATCH, TIME]);
    // What stands for audio is behind the last row; its vector is replaced by the audio's.
    let last = layers.graph.int(rows as i64 - 1);
    let ids = layers.graph.op("Min", &[&ids, &last]);
    let x = match dtype {
        Dtype::Fp32 => {
            let table = layers.graph.weight(table, Form::Plain);
            layers.graph.op("Gather", &[&table, &ids])
        }
        Dtype::Fp16 => {
            let table = layers.graph.weight(table, Form::Half);
            let x = layers.graph.op("Gather", &[&table, &ids]);
            layers.cast(&x, Element::F32)
        }
        Dtype::Int8 | Dtype::Q4 => {
            let scales = layers.graph.weight(table.clone(), Form::Int8Scales);
            let table = layers.graph.weight(table, Form::Int8Rows);
            let x = layers.graph.op("Gather", &[&table, &ids]);
            let x = layers.cast(&x, Element::F32);
            let zero = layers.graph.scalar(f32::from(super::quantize::ZERO));
            let x = layers.graph.op("Sub", &[&x, &zero]);
            let scales = layers.graph.op("Gather", &[&scales, &ids]);
            let last = layers.graph.ints(&[-1]);
            let scales = layers.graph.op("Unsqueeze", &[&scales, &last]);
            layers.graph.op("Mul", &[&x, &scales])
        }
    };
    layers.graph.output("inputs_embeds", &x, Element::F32, &[BATCH, TIME, Length::Fixed(width)]);
    Ok(layers.graph)
}

/// `inputs_embeds` `[batch, time, width]`, `attention_mask` `[batch, past + time]`, `position_ids`
/// `[batch, time]`, `num_logits_to_keep` (a number: logits of so many last positions, 0 for all) and
/// `past_key_values.N.key`, `.value` `[batch, key heads, past, head width]` to `logits`
/// `[batch, kept, tokens]` and `present.N.key`, `.value`.
///
/// # Errors
/// When the model has no language model.
pub fn decoder_model(model: &Merged, dtype: Dtype) -> Result<Graph> {
    let text = model.text()?;
    let config = &text.config;
    let mut layers = Layers::new("decoder_model_merged", dtype);
    let mut x = layers.input("inputs_embeds", &[BATCH, TIME, Length::Fixed(config.width)]);
    let total = [BATCH, Length::Named("total_sequence_length")];
    let mask = layers.graph.input("attention_mask", Element::I64, &total);
    let positions = layers.graph.input("position_ids", Element::I64, &[BATCH, TIME]);
    let kept = layers.graph.input("num_logits_to_keep", Element::I64, &[]);
    let caches: Vec<[Value; 2]> = (0..config.layers)
        .map(|index| {
            ["key", "value"].map(|what| {
                let name = format!("past_key_values.{index}.{what}");
                layers.input(&name, &cached(config, "past_sequence_length"))
            })
        })
        .collect();

    let global = View::new(&mut layers, config, None, &positions, &mask, &x);
    let near = config
        .window
        .map(|window| View::new(&mut layers, config, Some(window), &positions, &mask, &x));
    let mut presents = Vec::with_capacity(caches.len());
    for (index, cache) in caches.iter().enumerate() {
        let view = match (&near, config.window_of(index)) {
            (Some(near), Some(_)) => near,
            _ => &global,
        };
        let present;
        (x, present) = block(&mut layers, &x, index, config, view, cache);
        presents.push(present);
    }

    // From -0, all of them.
    let from = layers.graph.op("Neg", &[&kept]);
    let from = layers.reshape(&from, &[1]);
    let (end, axis) = (layers.graph.ints(&[i64::MAX]), layers.graph.ints(&[1]));
    let x = layers.graph.op("Slice", &[&x, &from, &end, &axis]);
    let x = layers.rms_norm(&x, "output_norm", config.width, config.epsilon);
    let outputs = text.ids.len();
    let weight = Weight {
        name: "output.weight".to_owned(),
        shape: vec![outputs, config.width],
        part: Part::Outputs,
    };
    let logits = layers.product(&x, weight);
    let shape = [BATCH, Length::Named("kept_length"), Length::Fixed(outputs)];
    layers.graph.output("logits", &logits, Element::F32, &shape);
    for (index, present) in presents.iter().enumerate() {
        for (what, value) in ["key", "value"].iter().zip(present) {
            let (name, shape) =
                (format!("present.{index}.{what}"), cached(config, "total_sequence_length"));
            layers.graph.output(&name, value, Element::F32, &shape);
        }
    }
    Ok(layers.graph)
}

fn cached<'a>(config: &LlmConfig, time: &'a str) -> [Length<'a>; 4] {
    let (heads, width) = (Length::Fixed(config.key_heads), Length::Fixed(config.head_width));
    [BATCH, heads, Length::Named(time), width]
}

/// What layers of one kind see of the past, and how they turn queries and keys.
struct View {
    /// `[batch, 1, time, head width / 2]`
    cosines: Value,
    sines: Value,
    /// `[batch, 1, sharing heads · time, past + time]`
    mask: Value,
}

impl View {
    fn new(
        layers: &mut Layers,
        config: &LlmConfig,
        window: Option<SlidingWindow>,
        positions: &Value,
        mask: &Value,
        x: &Value,
    ) -> Self {
        let speeds = config.rope_speeds(window).into_iter().map(|speed| speed as f32);
        let speeds: Vec<f32> = speeds.collect();
        let speeds = layers.graph.floats(&speeds);
        let positions = layers.cast(positions, Element::F32);
        let axes = layers.graph.ints(&[1, 3]);
        let positions = layers.graph.op("Unsqueeze", &[&positions, &axes]);
        let angles = layers.graph.op("Mul", &[&positions, &speeds]);
        let cosines = layers.graph.op("Cos", &[&angles]);
        let sines = layers.graph.op("Sin", &[&angles]);
        let mask = seen(layers, window, mask, x);
        // Query heads that share keys are rows of one product.
        let sharing = config.heads / config.key_heads.max(1);
        let mask = match sharing {
            1 => mask,
            _ => layers.concat(&vec![&mask; sharing], 2),
        };
        Self { cosines, sines, mask }
    }

    /// Element `i` is turned with element `i + width / 2`.
    fn turn(&self, layers: &mut Layers, x: &Value) -> Value {
        let [a, b] = layers.halves(x);
        let product = |layers: &mut Layers, x: &Value, by: &Value| layers.graph.op("Mul", &[x, by]);
        let (a_cos, b_sin) = (product(layers, &a, &self.cosines), product(layers, &b, &self.sines));
        let (b_cos, a_sin) = (product(layers, &b, &self.cosines), product(layers, &a, &self.sines));
        let first = layers.graph.op("Sub", &[&a_cos, &b_sin]);
        let second = layers.graph.op("Add", &[&b_cos, &a_sin]);
        layers.concat(&[&first, &second], -1)
    }
}

/// `[batch, 1, time, past + time]`: 0 where a position may look, [`UNSEEN`] where it lies ahead,
/// further back than the window, or is padding.
fn seen(layers: &mut Layers, window: Option<SlidingWindow>, mask: &Value, x: &Value) -> Value {
    let scalar = |layers: &mut Layers, x: &Value, axis| {
        let length = layers.length(x, axis);
        layers.reshape(&length, &[])
    };
    let (total, time) = (scalar(layers, mask, 1), scalar(layers, x, 1));
    let past = layers.graph.op("Sub", &[&total, &time]);
    let (zero, one) = (layers.graph.int(0), layers.graph.int(1));
    let queries = layers.graph.op("Range", &[&past, &total, &one]);
    let queries = layers.reshape(&queries, &[-1, 1]);
    let keys = layers.graph.op("Range", &[&zero, &total, &one]);
    let mut allowed = layers.graph.op("LessOrEqual", &[&keys, &queries]);
    if let Some(window) = window {
        let back = layers.graph.op("Sub", &[&queries, &keys]);
        let positions = layers.graph.int(window.positions as i64);
        let near = layers.graph.op("Less", &[&back, &positions]);
        allowed = layers.graph.op("And", &[&allowed, &near]);
    }
    let there = layers.cast(mask, Element::Bool);
    let axes = layers.graph.ints(&[1, 2]);
    let there = layers.graph.op("Unsqueeze", &[&there, &axes]);
    let allowed = layers.graph.op("And", &[&there, &allowed]);
    let (nothing, unseen) = (layers.graph.scalar(0.0), layers.graph.scalar(UNSEEN));
    layers.graph.op("Where", &[&allowed, &nothing, &unseen])
}

/// One block; returns what it adds up to, and its keys and values.
fn block(
    layers: &mut Layers,
    x: &Value,
    index: usize,
    config: &LlmConfig,
    view: &View,
    cache: &[Value; 2],
) -> (Value, [Value; 2]) {
    let name = |part: &str| format!("blk.{index}.{part}");
    let (width, inner, epsilon) = (config.width, config.feed_forward, config.epsilon);
    let y = layers.rms_norm(x, &name("attn_norm"), width, epsilon);
    let (y, present) = attention(layers, &y, index, config, view, cache);
    let y = match config.post_norms {
        true => layers.rms_norm(&y, &name("post_attention_norm"), width, epsilon),
        false => y,
    };
    let x = layers.graph.op("Add", &[x, &y]);
    let y = layers.rms_norm(&x, &name("ffn_norm"), width, epsilon);
    let gate = layers.linear(&y, &name("ffn_gate"), (inner, width), false);
    let gate = match config.gate {
        Gate::Gelu => layers.gelu(&gate, true),
        Gate::Silu => layers.silu(&gate),
    };
    let y = layers.linear(&y, &name("ffn_up"), (inner, width), false);
    let y = layers.graph.op("Mul", &[&gate, &y]);
    let y = layers.linear(&y, &name("ffn_down"), (width, inner), false);
    let y = match config.post_norms {
        true => layers.rms_norm(&y, &name("post_ffw_norm"), width, epsilon),
        false => y,
    };
    (layers.graph.op("Add", &[&x, &y]), present)
}

fn attention(
    layers: &mut Layers,
    x: &Value,
    index: usize,
    config: &LlmConfig,
    view: &View,
    [past_keys, past_values]: &[Value; 2],
) -> (Value, [Value; 2]) {
    let name = |part: &str| format!("blk.{index}.{part}");
    let LlmConfig { width, heads, key_heads, head_width, .. } = *config;
    let projected = |layers: &mut Layers, part: &str, heads: usize, turns: bool| {
        let mut weight = Weight::matrix(&name(part), heads * head_width, width);
        if turns && config.rope_pairs == RopePairs::Interleaved {
            weight.part = Part::Turned(head_width);
        }
        let mut y = layers.product(x, weight);
        if config.biases {
            let bias = layers.tensor(&name(&format!("{part}.bias")), &[heads * head_width]);
            y = layers.graph.op("Add", &[&y, &bias]);
        }
        layers.split_heads(&y, heads, head_width)
    };
    let mut q = projected(layers, "attn_q", heads, true);
    let mut k = projected(layers, "attn_k", key_heads, true);
    let v = projected(layers, "attn_v", key_heads, false);
    if config.head_norms {
        q = layers.rms_norm(&q, &name("attn_q_norm"), head_width, config.epsilon);
        k = layers.rms_norm(&k, &name("attn_k_norm"), head_width, config.epsilon);
    }
    let (q, k) = (view.turn(layers, &q), view.turn(layers, &k));
    let keys = layers.concat(&[past_keys, &k], 2);
    let values = layers.concat(&[past_values, &v], 2);
    let scale = layers.graph.scalar((head_width as f64).powf(-0.5) as f32);
    let q = layers.graph.op("Mul", &[&q, &scale]);
    let q = layers.reshape(&q, &[0, key_heads as i64, -1, head_width as i64]);
    let y = layers.attend(&q, &keys, &values, Some(&view.mask));
    let y = layers.reshape(&y, &[0, heads as i64, -1, head_width as i64]);
    let y = layers.transpose(&y, &[0, 2, 1, 3]);
    let y = layers.reshape(&y, &[0, 0, (heads * head_width) as i64]);
    (layers.linear(&y, &name("attn_output"), (width, heads * head_width), false), [keys, values])
}
