//! Models as ONNX graphs, in the layout that transformers.js reads for Ultravox.
//!
//! ```text
//! FOLDER
//! ├── config.json, generation_config.json
//! ├── preprocessor_config.json, processor_config.json
//! ├── tokenizer.json, tokenizer_config.json
//! ├── ctc_head.safetensors              where the model has one: times of sentences
//! └── onnx/
//!     ├── audio_encoder.onnx            log-mel to what the language model takes for tokens
//!     ├── embed_tokens.onnx             tokens to vectors
//!     └── decoder_model_merged.onnx     vectors to logits, keys and values
//! ```
//!
//! A type of weights other than fp32 is part of a graph's name: `audio_encoder_q4.onnx`. Several may
//! be exported into one folder. Of a plain Whisper model the encoder is exported, `encoder_model`.
//!
//! The words of an exported speech model are those that it was trained with: its shortlist and the
//! marks, numbered anew in the order of the model's outputs. 72 % of Gemma 3 270M are its table, most
//! of it words of languages that the model does not know.

mod config;
mod ctc;
mod decoder;
mod encoder;
mod file;
mod graph;
mod initializer;
mod layers;
mod message;
pub mod proto;
mod quantize;
mod read;
mod tokenizer;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;

pub use decoder::{decoder_model, embed_tokens};
pub use encoder::{audio_encoder, encoder_model};
pub use file::{MOST_INSIDE, OPSET, write};
pub use graph::{Graph, Length, Setting, Value};
pub use initializer::{Content, Element, Form, Initializer};
pub use read::{OnnxFile, OnnxTensor, Port};

use crate::merged::Merged;
use crate::pending::Pending;

/// The folder of the graphs, inside the model's.
const INSIDE: &str = "onnx";

/// The type of matrices in a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Dtype {
    /// 32-bit floats
    #[default]
    Fp32,
    /// 16-bit floats; what is between matrices stays in 32
    Fp16,
    /// 8 bits, a scale an output; inputs become 8 bits at each pass, convolutions stay floats
    Int8,
    /// 4 bits, a scale for 32 weights (MatMulNBits); embeddings, outputs and what llama.cpp's Q4_K_M
    /// gives more bits in 8, convolutions stay floats
    Q4,
}

impl Dtype {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Fp32, Self::Fp16, Self::Int8, Self::Q4];

    /// What stands behind a graph's name, as transformers.js has it.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Fp32 => "",
            Self::Fp16 => "_fp16",
            Self::Int8 => "_int8",
            Self::Q4 => "_q4",
        }
    }
}

/// Writes a model's graphs and what belongs to them into a folder, which is made if it is not there.
/// Returns the files with their sizes. Graphs of more than `most_inside` bytes ([`MOST_INSIDE`]) have
/// their weights in a second file.
///
/// # Errors
/// When the model cannot be said in this layout, a weight is missing, or the folder cannot be
/// written; no file is left behind then.
pub fn export(
    model: &Merged,
    dtype: Dtype,
    folder: &Path,
    most_inside: u64,
) -> Result<Vec<(PathBuf, u64)>> {
    let graphs = match model.text {
        None => vec![encoder_model(model, dtype)],
        Some(_) => vec![
            audio_encoder(model, dtype)?,
            embed_tokens(model, dtype)?,
            decoder_model(model, dtype)?,
        ],
    };
    let tokenizer = model.text.as_ref().map(tokenizer::json).transpose()?;
    let mut pending = Pending::inside(folder)?;
    let mut written = Vec::new();
    for graph in &graphs {
        let name = format!("{}{}.onnx", graph.name(), dtype.suffix());
        let fetch = |weight: &_| model.floats(weight);
        let split =
            file::write(&mut pending, &format!("{INSIDE}/{name}"), graph, most_inside, &fetch)?;
        written.push((name, split));
    }
    for (name, content) in config::files(model, folder, &written)? {
        pending.add(name, &serde_json::to_vec_pretty(&content)?)?;
    }
    if let Some(tokenizer) = tokenizer {
        pending.add("tokenizer.json", &serde_json::to_vec(&tokenizer)?)?;
    }
    let head = ctc::file(model)?;
    if let Some(head) = &head {
        pending.add(ctc::FILE, head)?;
    }
    let placed = pending.place()?;
    if head.is_none() {
        // Of an earlier export of another model.
        let _ = fs::remove_file(folder.join(ctc::FILE));
    }
    for (name, _) in written.iter().filter(|(_, split)| !split) {
        // Weights of an earlier export, which nothing reads any more.
        let _ = fs::remove_file(folder.join(INSIDE).join(format!("{name}_data")));
    }
    Ok(placed)
}
