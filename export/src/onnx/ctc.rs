//! The CTC head beside the graphs: what times of sentences come from.

use anyhow::{Context, Result};
use partita_model::speech::{CtcHead, OnnxModel};
use safetensors::tensor::{Dtype, TensorView};

use crate::merged::{Merged, Weight};

/// Name of the head's file.
pub const FILE: &str = OnnxModel::CTC;

/// The head's file, where the model has a head: its classes are the model's tokens that are no marks,
/// in the order of the outputs. The rows that it multiplies with are those of `embed_tokens`, which are
/// scaled: so is the vector of blank here, and the scale of the input is smaller for it.
///
/// # Errors
/// When a tensor has another shape than it should.
pub fn file(model: &Merged) -> Result<Option<Vec<u8>>> {
    let (Some(text), Some(known)) = (model.text.as_ref(), model.ctc_words()?) else {
        return Ok(None);
    };
    let read = |name: &str, length: usize| model.floats(&Weight::tensor(name, &[length]));
    let shortlist = &text.trained.config.shortlist;
    let factor = text.config.embedding_scale as f32;
    let mut blank = read(CtcHead::BLANK, text.config.width)?;
    blank.iter_mut().for_each(|value| *value *= factor);
    let scale: Vec<f32> = read("ctc.scale", 1)?.iter().map(|value| value / factor).collect();
    let all = read("ctc.bias", known + 1)?;
    let words = text.ids.iter().filter(|&&id| text.marks.of(id).is_none());
    let places = words.map(|&id| shortlist.short(id).map(|place| place as usize));
    let bias: Option<Vec<f32>> =
        places.chain([Some(known)]).map(|place| all.get(place?).copied()).collect();
    let bias = bias.context("a word that the CTC head does not know")?;

    let bytes = |values: &[f32]| -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    };
    let tensors = [(CtcHead::BLANK, blank), ("ctc.scale", scale), ("ctc.bias", bias)];
    let tensors = tensors.map(|(name, values)| (name, values.len(), bytes(&values)));
    let views = tensors.iter().map(|(name, length, bytes)| {
        Ok((*name, TensorView::new(Dtype::F32, vec![*length], bytes)?))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    Ok(Some(safetensors::serialize(views, None)?))
}
