//! The file of encoder and adapter, as llama.cpp's `mtmd` names them.

use anyhow::{Context, Result};
use partita_audio::SAMPLE_RATE;
use partita_audio::mel::HOP;
use partita_model::files::{TensorInfo, Value, WeightFile};
use partita_model::speech::{AdapterShape, ExportedModel, TrainedModel};
use partita_model::whisper::WhisperConfig;

use super::changed::ChangedBase;
use super::content::{Content, Item, Plan};
use super::llm::whole;
use super::quant::Quant;
use super::rules::Refusal;

/// A plan, and what is left out of it that was there.
pub struct Projector<'a> {
    /// The file to be.
    pub plan: Plan<'a>,
    /// Lines for people.
    pub notices: Vec<String>,
}

/// Samples of one spectrum.
const WINDOW: u32 = 400;
/// Tensors that training made anew; none has a base.
const OWN: [&str; 2] = ["mm.a.", "ctc."];

/// Plans the file: the encoder's half of an imported Whisper model with what training changed, the
/// adapter, and the CTC head, which stock tools pass over. `ctc_rows` are the places of the CTC
/// head's classes that stay.
///
/// # Errors
/// When stock tools know no such adapter, or a file is incomplete.
pub fn plan<'a>(
    merged: &'a ChangedBase<'a>,
    trained: &'a WeightFile,
    model: &TrainedModel,
    quant: Quant,
    ctc_rows: Vec<usize>,
    more: Vec<(String, Value)>,
) -> Result<Projector<'a>> {
    let base = merged.base();
    let config = WhisperConfig::from_file(base)?;
    let adapter = &model.config.adapter;
    let AdapterShape::Ultravox { stack, .. } = adapter.shape else {
        let reason = format!("stock tools know no adapter `{}`", adapter.shape.name());
        return Err(Refusal { rule: "stock-adapter", reason }.into());
    };
    let layers = config.encoder_layers;
    let mut notices = Vec::new();
    let mut items = Vec::new();
    let from_base = base.tensors().iter().filter(|tensor| tensor.name.starts_with("a."));
    for TensorInfo { name, shape, .. } in from_base {
        if name.ends_with("attn_k.bias") {
            notices.push(format!("`{name}` is left out: it moves all scores of a query alike, and stock tools take none"));
            continue;
        }
        let mut shape = shape.clone();
        if name.starts_with("a.conv1d.") && name.ends_with(".bias") {
            shape.push(1);
        }
        let choice = quant.choose(name, &shape, layers, false);
        let content = match shape[..] {
            [rows, _] if !merged.is_changed(name) && name.ends_with(".weight") => {
                whole(base, name, rows)
            }
            _ => Content::Made(Box::new(move || merged.values(name))),
        };
        items.push(Item { name: name.clone(), shape, choice, content });
    }
    let is_own = |tensor: &&TensorInfo| OWN.iter().any(|prefix| tensor.name.starts_with(prefix));
    for TensorInfo { name, shape, .. } in trained.tensors().iter().filter(is_own) {
        let choice = quant.choose(name, shape, layers, false);
        let (mut shape, rows) = (shape.clone(), ctc_rows.clone());
        let picks = name == "ctc.bias";
        if picks {
            shape = vec![rows.len() + 1];
        }
        let make = move || {
            let (_, values) = trained.floats(name)?;
            if !picks {
                return Ok(values);
            }
            // The last class is blank.
            let blank = values.len().saturating_sub(1);
            let picked = rows.iter().copied().chain([blank]).map(|row| values.get(row).copied());
            picked.collect::<Option<Vec<_>>>().context("fewer classes than tokens")
        };
        items.push(Item {
            name: name.clone(),
            shape,
            choice,
            content: Content::Made(Box::new(make)),
        });
    }
    let hidden = base.tensor("a.blk.0.ffn_up.weight")?.shape.first().copied().unwrap_or(0);
    let number = |key: &str, value: usize| (format!("clip.{key}"), Value::U32(value as u32));
    let mut metadata = more;
    metadata.extend([
        ("clip.has_audio_encoder".to_owned(), Value::Bool(true)),
        ("clip.projector_type".to_owned(), adapter.shape.name().into()),
        number("audio.embedding_length", config.width),
        number("audio.feed_forward_length", hidden),
        number("audio.block_count", layers),
        number("audio.attention.head_count", config.heads),
        ("clip.audio.attention.layer_norm_epsilon".to_owned(), Value::F32(1e-5)),
        number("audio.projection_dim", adapter.llm_width),
        number("audio.num_mel_bins", config.mel_bins),
        number("audio.projector.stack_factor", stack),
        (ExportedModel::OUTPUT_RMS.to_owned(), Value::F32(adapter.output_rms as f32)),
    ]);
    metadata.extend(front_end(config.mel_bins));
    Ok(Projector { plan: Plan::new(metadata, items), notices })
}

/// What becomes of audio before the encoder, which stock tools have built in.
fn front_end(mel_bins: usize) -> Vec<(String, Value)> {
    let key = |name: &str| format!("partita.front_end.{name}");
    vec![
        (key("sample_rate"), Value::U32(SAMPLE_RATE)),
        (key("n_fft"), Value::U32(WINDOW)),
        (key("window"), "hann".into()),
        (key("hop_length"), Value::U32(HOP as u32)),
        (key("mel_bins"), Value::U32(mel_bins as u32)),
        (key("mel_scale"), "slaney".into()),
        (key("log"), "log10, floor at the maximum - 8, (x + 4) / 4".into()),
        ("partita.encoder.attention".to_owned(), "full".into()),
    ]
}
