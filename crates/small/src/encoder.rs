//! A Whisper encoder as the import writes it.

use std::path::Path;

use candle_core::Tensor;
use partita_model::files::Value;

use super::{Shapes, SmallError, numbers, write};

/// Layers of every small encoder.
const LAYERS: usize = 2;

/// Dimensions of a small Whisper encoder of two layers.
#[derive(Debug, Clone)]
pub struct Encoder {
    /// Width.
    pub width: usize,
    /// Attention's heads.
    pub heads: usize,
    /// Positions of its frames; two mel frames each.
    pub positions: usize,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { width: 64, heads: 2, positions: 1500 }
    }
}

impl Encoder {
    /// Writes it; `weight` makes a tensor of a name and shape ([`super::drawn_weight`]).
    ///
    /// # Errors
    /// When a tensor cannot be made or the file not be written.
    pub fn write(
        &self,
        path: &Path,
        weight: impl Fn(&str, &[usize]) -> candle_core::Result<Tensor>,
    ) -> Result<(), SmallError> {
        let &Self { width, heads, positions } = self;
        let mut metadata = vec![("general.architecture".to_owned(), Value::from("whisper"))];
        metadata.extend(numbers(
            "whisper",
            &[
                ("mel_bins", 80),
                ("audio_positions", positions),
                ("text_positions", 8),
                ("width", width),
                ("heads", heads),
                ("encoder_layers", LAYERS),
                ("decoder_layers", 1),
                ("vocabulary", 16),
            ],
        ));
        let mut shapes: Shapes = [
            ("a.conv1d.1.weight", vec![width, 80, 3]),
            ("a.conv1d.1.bias", vec![width]),
            ("a.conv1d.2.weight", vec![width, width, 3]),
            ("a.conv1d.2.bias", vec![width]),
            ("a.position_embd.weight", vec![positions, width]),
            ("a.post_ln.weight", vec![width]),
            ("a.post_ln.bias", vec![width]),
            // A whole model has a decoder behind it.
            ("d.output_norm.weight", vec![width]),
        ]
        .map(|(name, shape)| (name.to_owned(), shape))
        .into();
        (0..LAYERS).for_each(|i| shapes.extend(layer(&format!("a.blk.{i}"), width)));
        // Others' files may have one; stock tools take none.
        shapes.push(("a.blk.0.attn_k.bias".to_owned(), vec![width]));
        write(path, &metadata, &shapes, weight)
    }
}

/// Tensors of one layer of an encoder.
pub fn layer(prefix: &str, width: usize) -> Shapes {
    let mut shapes = Vec::new();
    for (name, outputs, inputs) in [
        ("ln1", width, None),
        ("attn_q", width, Some(width)),
        ("attn_k", width, Some(width)),
        ("attn_v", width, Some(width)),
        ("attn_out", width, Some(width)),
        ("ln2", width, None),
        ("ffn_up", 4 * width, Some(width)),
        ("ffn_down", width, Some(4 * width)),
    ] {
        if name != "attn_k" {
            shapes.push((format!("{prefix}.{name}.bias"), vec![outputs]));
        }
        let shape = std::iter::once(outputs).chain(inputs).collect();
        shapes.push((format!("{prefix}.{name}.weight"), shape));
    }
    shapes
}
