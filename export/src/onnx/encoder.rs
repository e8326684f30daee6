//! Whisper's encoder, and the Ultravox adapter behind it.

use anyhow::{Result, bail, ensure};
use partita_model::speech::AdapterShape;
use partita_model::whisper::WhisperConfig;

use super::graph::{Graph, Setting, Value};
use super::initializer::{Element, Form};
use super::layers::Layers;
use super::{Dtype, Length};
use crate::merged::{Merged, Part, Text, Weight};

const BATCH: Length = Length::Named("batch_size");
/// The largest dimension of an adapter that is believed.
const LARGEST: usize = 1 << 20;

/// The encoder alone, under the names that transformers.js has for Whisper: `input_features`
/// `[batch, bins, frames]` (log-mel, 10 ms each, up to 30 s) to `last_hidden_state`
/// `[batch, ceil(frames / 2), width]`.
pub fn encoder_model(model: &Merged, dtype: Dtype) -> Graph {
    let mut layers = Layers::new("encoder_model", dtype);
    let x = mel(&mut layers, "input_features", &model.whisper);
    let x = encoder(&mut layers, &x, &model.whisper);
    let shape = [BATCH, Length::Named("positions"), Length::Fixed(model.whisper.width)];
    layers.graph.output("last_hidden_state", &x, Element::F32, &shape);
    layers.graph
}

/// Encoder and adapter: `audio_values` `[batch, bins, frames]` to `audio_features`
/// `[batch, 1 + vectors, width of the language model]`.
///
/// transformers.js leaves room for one vector more than Ultravox' adapter has for the frames; the
/// first one here is the start token's, which every input of our models begins with.
///
/// # Errors
/// When the adapter is not Ultravox's.
pub fn audio_encoder(model: &Merged, dtype: Dtype) -> Result<Graph> {
    let text = model.text()?;
    let mut layers = Layers::new("audio_encoder", dtype);
    let x = mel(&mut layers, "audio_values", &model.whisper);
    let x = encoder(&mut layers, &x, &model.whisper);
    let x = adapter(&mut layers, &x, text)?;
    let width = text.config.width;
    let part = Part::Start;
    let start = Weight { name: "start".to_owned(), shape: vec![1, 1, width], part };
    let start = layers.graph.weight(start, Form::Plain);
    let batch = layers.length(&x, 0);
    let rest = layers.graph.ints(&[1, width as i64]);
    let shape = layers.concat(&[&batch, &rest], 0);
    let start = layers.graph.op("Expand", &[&start, &shape]);
    let x = layers.concat(&[&start, &x], 1);
    let shape = [BATCH, Length::Named("audio_length"), Length::Fixed(width)];
    layers.graph.output("audio_features", &x, Element::F32, &shape);
    layers.graph.note("partita.first_vector", "start token");
    Ok(layers.graph)
}

fn mel(layers: &mut Layers, name: &str, config: &WhisperConfig) -> Value {
    layers.input(name, &[BATCH, Length::Fixed(config.mel_bins), Length::Named("frames")])
}

/// Two convolutions, positions, pre-norm layers of full attention.
fn encoder(layers: &mut Layers, mel: &Value, config: &WhisperConfig) -> Value {
    let width = config.width;
    let x = layers.convolution(mel, "a.conv1d.1", (width, config.mel_bins), 1);
    let x = layers.gelu(&x, false);
    let x = layers.convolution(&x, "a.conv1d.2", (width, width), 2);
    let x = layers.gelu(&x, false);
    let x = layers.transpose(&x, &[0, 2, 1]);
    let positions = layers.tensor("a.position_embd.weight", &[config.audio_positions, width]);
    let (from, axis) = (layers.graph.ints(&[0]), layers.graph.ints(&[0]));
    let time = layers.length(&x, 1);
    let positions = layers.graph.op("Slice", &[&positions, &from, &time, &axis]);
    let mut x = layers.graph.op("Add", &[&x, &positions]);
    for index in 0..config.encoder_layers {
        x = encoder_layer(layers, &x, &format!("a.blk.{index}"), config);
    }
    layers.layer_norm(&x, "a.post_ln", width)
}

fn encoder_layer(layers: &mut Layers, x: &Value, name: &str, config: &WhisperConfig) -> Value {
    let (width, heads) = (config.width, config.heads);
    let head = width / heads;
    let square = (width, width);
    let y = layers.layer_norm(x, &format!("{name}.ln1"), width);
    let q = layers.linear(&y, &format!("{name}.attn_q"), square, true);
    let k = layers.linear(&y, &format!("{name}.attn_k"), square, false);
    let v = layers.linear(&y, &format!("{name}.attn_v"), square, true);
    let scale = layers.graph.scalar((head as f64).powf(-0.5) as f32);
    let q = layers.graph.op("Mul", &[&q, &scale]);
    let [q, k, v] = [q, k, v].map(|x| layers.split_heads(&x, heads, head));
    let y = layers.attend(&q, &k, &v, None);
    let y = layers.transpose(&y, &[0, 2, 1, 3]);
    let y = layers.reshape(&y, &[0, 0, width as i64]);
    let y = layers.linear(&y, &format!("{name}.attn_out"), square, true);
    let x = layers.graph.op("Add", &[x, &y]);
    let y = layers.layer_norm(&x, &format!("{name}.ln2"), width);
    let y = layers.linear(&y, &format!("{name}.ffn_up"), (4 * width, width), true);
    let y = layers.gelu(&y, false);
    let y = layers.linear(&y, &format!("{name}.ffn_down"), (width, 4 * width), true);
    layers.graph.op("Add", &[&x, &y])
}

/// Stacked frames, RMS norm, linear, SwiGLU with the gate in the second half, RMS norm, linear.
fn adapter(layers: &mut Layers, x: &Value, text: &Text) -> Result<Value> {
    let config = &text.trained.config.adapter;
    let AdapterShape::Ultravox { stack, hidden } = config.shape else {
        bail!(
            "the adapter is `{}`: transformers.js knows Ultravox's layout alone",
            config.shape.name()
        );
    };
    let fits = [stack, hidden].iter().all(|dim| (1..=LARGEST).contains(dim));
    ensure!(fits, "an adapter of stack {stack} and width {hidden}");
    // Zeros behind the frames up to a multiple of the stack: (-time) mod stack.
    let time = layers.length(x, 1);
    let behind = layers.graph.op("Neg", &[&time]);
    let factor = layers.graph.ints(&[stack as i64]);
    let behind = layers.graph.op_with("Mod", &[&behind, &factor], &[("fmod", Setting::Int(0))]);
    let (none, axis) = (layers.graph.ints(&[0]), layers.graph.ints(&[1]));
    let pads = layers.concat(&[&none, &behind], 0);
    let zero = layers.graph.scalar(0.0);
    let x = layers.graph.op("Pad", &[x, &pads, &zero, &axis]);
    let inputs = stack * config.encoder_width;
    let x = layers.reshape(&x, &[0, -1, inputs as i64]);
    let x = layers.rms_norm(&x, "mm.a.norm_pre", inputs, 1e-6);
    let x = layers.linear(&x, "mm.a.mlp.1", (2 * hidden, inputs), false);
    let [value, gate] = layers.halves(&x);
    let gate = layers.silu(&gate);
    let x = layers.graph.op("Mul", &[&gate, &value]);
    let x = layers.rms_norm(&x, "mm.a.norm_mid", hidden, 1e-6);
    Ok(layers.linear(&x, "mm.a.mlp.2", (config.llm_width, hidden), false))
}
