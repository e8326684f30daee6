//! Whisper models of others (CTranslate2, Hugging Face safetensors) into one GGUF file of ours.

use super::config::WhisperConfig;
use super::merges::completed;
use super::tokens::WhisperTokens;
use crate::error::ModelError;
use crate::files::gguf::{GgufWriter, TensorSpec};
use crate::files::{Array, FileError, TensorKind, Value, WeightFile};
use crate::nn::ProcessorLevel;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use serde_json::Value as Json;
use std::path::{Path, PathBuf};

/// The type that matrices are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantization {
    /// 32 bits.
    F32,
    /// 16 bits.
    F16,
    /// 8.5 bits a weight.
    Q8_0,
    /// 6.6 bits a weight.
    Q6K,
    /// 4.5 bits a weight.
    Q4K,
}

impl Quantization {
    /// All, best first.
    pub const ALL: [Self; 5] = [Self::F32, Self::F16, Self::Q8_0, Self::Q6K, Self::Q4K];

    /// The type that this processor decodes fastest with at little loss.
    pub fn for_this_machine() -> Self {
        match ProcessorLevel::detect() {
            ProcessorLevel::Avx2 => Self::Q6K,
            ProcessorLevel::Vnni | ProcessorLevel::Other => Self::Q8_0,
        }
    }

    /// Name as in file names: `Q8_0`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Q8_0 => "Q8_0",
            Self::Q6K => "Q6_K",
            Self::Q4K => "Q4_K",
        }
    }

    /// The quantization of this name, in upper or lower case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    fn ggml(self) -> GgmlDType {
        match self {
            Self::F32 => GgmlDType::F32,
            Self::F16 => GgmlDType::F16,
            Self::Q8_0 => GgmlDType::Q8_0,
            Self::Q6K => GgmlDType::Q6K,
            Self::Q4K => GgmlDType::Q4K,
        }
    }

    /// `general.file_type` of GGUF.
    fn file_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q8_0 => 7,
            Self::Q6K => 18,
            Self::Q4K => 14,
        }
    }

    /// The type for rows of this length: the 32-block types step in where 256 does not divide.
    fn for_row(self, row: usize) -> GgmlDType {
        let wanted = self.ggml();
        match row.is_multiple_of(wanted.block_size()) {
            true => wanted,
            false if row.is_multiple_of(32) => GgmlDType::Q8_0,
            false => GgmlDType::F16,
        }
    }
}

/// One tensor of ours and where others keep it.
struct Entry {
    ours: String,
    hugging_face: String,
    /// Name and, where several matrices are fused, which of how many.
    ctranslate2: (String, usize, usize),
    matrix: bool,
}

/// Names of all tensors for these numbers of layers.
fn entries(encoder_layers: usize, decoder_layers: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut add = |ours: String, hf: String, ct2: String, part: (usize, usize), matrix: bool| {
        let ctranslate2 = (ct2, part.0, part.1);
        entries.push(Entry { ours, hugging_face: format!("model.{hf}"), ctranslate2, matrix });
    };
    const WHOLE: (usize, usize) = (0, 1);
    for i in [1, 2] {
        for part in ["weight", "bias"] {
            let (hf, ct2) = (format!("encoder.conv{i}.{part}"), format!("encoder/conv{i}/{part}"));
            add(format!("a.conv1d.{i}.{part}"), hf, ct2, WHOLE, false);
        }
    }
    for (side, short, layers) in
        [("encoder", "a", encoder_layers), ("decoder", "d", decoder_layers)]
    {
        let norms = |ours: String, hf: String, ct2: String| {
            [("weight", "gamma"), ("bias", "beta")].map(|(part, ct2_part)| {
                (format!("{ours}.{part}"), format!("{hf}.{part}"), format!("{ct2}/{ct2_part}"))
            })
        };
        let positions = format!("{side}/position_encodings/encodings");
        add(
            format!("{short}.position_embd.weight"),
            format!("{side}.embed_positions.weight"),
            positions,
            WHOLE,
            false,
        );
        let last = if side == "encoder" { "a.post_ln" } else { "d.output_norm" };
        for (ours, hf, ct2) in
            norms(last.into(), format!("{side}.layer_norm"), format!("{side}/layer_norm"))
        {
            add(ours, hf, ct2, WHOLE, false);
        }
        for i in 0..layers {
            let (ours, hf, ct2) = (
                format!("{short}.blk.{i}"),
                format!("{side}.layers.{i}"),
                format!("{side}/layer_{i}"),
            );
            let (attention_norm, ffn_norm) = match side {
                "encoder" => ("ln1", "ln2"),
                _ => ("attn_norm", "ffn_norm"),
            };
            let mut all_norms = vec![
                (attention_norm, "self_attn_layer_norm", "self_attention/layer_norm"),
                (ffn_norm, "final_layer_norm", "ffn/layer_norm"),
            ];
            // Ours, Hugging Face's, CTranslate2's fused matrix and the part of it; bias or not.
            let mut linears = vec![
                ("attn_q", "self_attn.q_proj", "self_attention/linear_0", (0, 3), true),
                ("attn_k", "self_attn.k_proj", "self_attention/linear_0", (1, 3), false),
                ("attn_v", "self_attn.v_proj", "self_attention/linear_0", (2, 3), true),
                ("attn_out", "self_attn.out_proj", "self_attention/linear_1", WHOLE, true),
                ("ffn_up", "fc1", "ffn/linear_0", WHOLE, true),
                ("ffn_down", "fc2", "ffn/linear_1", WHOLE, true),
            ];
            if side == "decoder" {
                all_norms.push(("cross_norm", "encoder_attn_layer_norm", "attention/layer_norm"));
                linears.extend([
                    ("cross_q", "encoder_attn.q_proj", "attention/linear_0", WHOLE, true),
                    ("cross_k", "encoder_attn.k_proj", "attention/linear_1", (0, 2), false),
                    ("cross_v", "encoder_attn.v_proj", "attention/linear_1", (1, 2), true),
                    ("cross_out", "encoder_attn.out_proj", "attention/linear_2", WHOLE, true),
                ]);
            }
            for (our, their, ct2_name) in all_norms {
                let names =
                    (format!("{ours}.{our}"), format!("{hf}.{their}"), format!("{ct2}/{ct2_name}"));
                for (ours, hf, ct2) in norms(names.0, names.1, names.2) {
                    add(ours, hf, ct2, WHOLE, false);
                }
            }
            for (our, their, ct2_name, part, bias) in linears {
                let names = |what: &str| {
                    (
                        format!("{ours}.{our}.{what}"),
                        format!("{hf}.{their}.{what}"),
                        format!("{ct2}/{ct2_name}/{what}"),
                    )
                };
                let (a, b, c) = names("weight");
                add(a, b, c, part, true);
                if bias {
                    let (a, b, c) = names("bias");
                    add(a, b, c, part, false);
                }
            }
        }
    }
    let table = "d.token_embd.weight";
    add(
        table.into(),
        "decoder.embed_tokens.weight".into(),
        "decoder/embeddings/weight".into(),
        WHOLE,
        true,
    );
    entries
}

/// A Whisper model of others, read under our names.
struct Foreign {
    file: WeightFile,
    folder: PathBuf,
    is_ctranslate2: bool,
}

impl Foreign {
    fn open(source: &Path) -> Result<Self, ModelError> {
        let file = WeightFile::open(source)?;
        let folder = if source.is_dir() { source } else { source.parent().unwrap_or(source) };
        let is_ctranslate2 = file.contains("encoder/conv1/weight");
        if !is_ctranslate2 && !file.contains("model.encoder.conv1.weight") {
            let (path, name) = (source.to_owned(), "encoder.conv1.weight".to_owned());
            let reason = "no Whisper model in CTranslate2's or Hugging Face's names".to_owned();
            return Err(FileError::Tensor { path, name, reason }.into());
        }
        Ok(Self { folder: folder.to_owned(), file, is_ctranslate2 })
    }

    fn read(&self, entry: &Entry) -> Result<(Vec<usize>, Vec<f32>), ModelError> {
        if !self.is_ctranslate2 {
            return Ok(self.file.floats(&entry.hugging_face)?);
        }
        let (name, part, parts) = &entry.ctranslate2;
        if self.file.contains(&format!("{name}_scale")) {
            let reason = "8 or 16 bits with a scale; convert the model with float16 or float32";
            return Err(FileError::tensor(self.file.path(), name, reason.to_owned()).into());
        }
        let (mut shape, values) = self.file.floats(name)?;
        let rows = shape.first().copied().unwrap_or(0);
        if rows == 0 || !rows.is_multiple_of(*parts) {
            let reason = format!("shape {shape:?} is not {parts} matrices in one");
            let (path, name) = (self.file.path().to_owned(), name.clone());
            return Err(FileError::Tensor { path, name, reason }.into());
        }
        let span = values.len() / parts;
        if let Some(first) = shape.first_mut() {
            *first = rows / parts;
        }
        Ok((shape, values.into_iter().skip(part * span).take(span).collect()))
    }

    fn config(&self) -> Result<WhisperConfig, ModelError> {
        let count = |side: &str| {
            let name = |i: usize| match self.is_ctranslate2 {
                true => format!("{side}/layer_{i}/ffn/linear_0/weight"),
                false => format!("model.{side}.layers.{i}.fc1.weight"),
            };
            (0..).take_while(|&i| self.file.contains(&name(i))).count()
        };
        let (encoder_layers, decoder_layers) = (count("encoder"), count("decoder"));
        let all = entries(0, 0);
        let shape = |ours: &str| -> Result<Vec<usize>, ModelError> {
            let entry = all.iter().find(|entry| entry.ours == ours);
            let name = entry.map_or("", |entry| match self.is_ctranslate2 {
                true => &entry.ctranslate2.0,
                false => &entry.hugging_face,
            });
            Ok(self.file.tensor(name)?.shape.clone())
        };
        let dimension = |shape: &[usize], axis: usize| shape.get(axis).copied().unwrap_or(0);
        let conv = shape("a.conv1d.1.weight")?;
        let width = dimension(&conv, 0);
        let vocabulary = dimension(&shape("d.token_embd.weight")?, 0);
        Ok(WhisperConfig {
            mel_bins: dimension(&conv, 1),
            audio_positions: dimension(&shape("a.position_embd.weight")?, 0),
            text_positions: dimension(&shape("d.position_embd.weight")?, 0),
            width,
            heads: width / 64,
            encoder_layers,
            decoder_layers,
            vocabulary,
            multilingual: WhisperConfig::knows_languages(vocabulary),
        })
    }

    fn companion(&self, name: &str) -> Result<String, ModelError> {
        let path = self.folder.join(name);
        std::fs::read_to_string(&path)
            .map_err(|cause| ModelError::Companion { path, reason: cause.to_string() })
    }

    /// Token lists of `config.json` or `generation_config.json`: never, and never first. Fine-tuned
    /// models often have empty ones, or none.
    fn suppressed(&self) -> Result<[Vec<i32>; 2], ModelError> {
        let names = ["config.json", "generation_config.json"];
        let files: Vec<Json> = names
            .iter()
            .filter_map(|name| serde_json::from_str(&self.companion(name).ok()?).ok())
            .collect();
        let wrong = |reason: String| ModelError::Companion {
            path: self.folder.join("config.json"),
            reason,
        };
        if files.is_empty() {
            return Err(wrong("neither it nor generation_config.json can be read".to_owned()));
        }
        let list = |keys: [&str; 2]| {
            let found = files.iter().flat_map(|file| keys.map(|key| &file[key]));
            let ids = found.filter_map(Json::as_array).find(|ids| !ids.is_empty());
            let ids = ids.into_iter().flatten();
            ids.map(|id| i32::try_from(id.as_i64()?).ok())
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| wrong(format!("{}: no list of tokens", keys.join(" or "))))
        };
        Ok([
            list(["suppress_ids", "suppress_tokens"])?,
            list(["suppress_ids_begin", "begin_suppress_tokens"])?,
        ])
    }
}

/// Reads a Whisper model of any size from `source` (CTranslate2's `model.bin`, Hugging Face's
/// safetensors, or the folder of either; `tokenizer.json` and `config.json` beside it) and writes
/// one GGUF file with everything that [`super::Whisper`] needs.
///
/// Matrices are quantized; convolutions, norms, biases and positions stay f32. The token table
/// gets zero rows up to a multiple of 16.
///
/// # Errors
/// When something is missing or malformed in the source, or the output cannot be written; then
/// nothing is left behind.
pub fn import(source: &Path, output: &Path, quantization: Quantization) -> Result<(), ModelError> {
    let foreign = Foreign::open(source)?;
    let config = foreign.config()?;
    let tokenizer = foreign.companion("tokenizer.json")?;
    let size = (config.vocabulary, config.multilingual);
    WhisperTokens::parse(&tokenizer, size, &foreign.folder.join("tokenizer.json"))?;
    let [always, first] = foreign.suppressed()?;

    let entries = entries(config.encoder_layers, config.decoder_layers);
    let mut specs = Vec::with_capacity(entries.len());
    for entry in &entries {
        let (mut shape, _) = foreign.read(entry)?;
        if entry.ours == "d.token_embd.weight" {
            // What is made room for below.
            let wanted = [config.vocabulary, config.width];
            if shape != wanted {
                let reason = format!("shape {shape:?}, wanted {wanted:?}");
                return Err(FileError::tensor(foreign.file.path(), &entry.ours, reason).into());
            }
            shape = vec![config.table_rows(), config.width];
        }
        let row = shape.last().copied().unwrap_or(0);
        let kind = if entry.matrix { quantization.for_row(row) } else { GgmlDType::F32 };
        specs.push(TensorSpec { name: entry.ours.clone(), shape, kind: TensorKind::from(kind) });
    }
    let mut metadata = vec![
        ("general.architecture".to_owned(), Value::String("whisper".into())),
        ("general.type".to_owned(), Value::String("model".into())),
        ("general.file_type".to_owned(), Value::U32(quantization.file_type())),
        ("whisper.suppress".to_owned(), Value::Array(Array::I32(always))),
        ("whisper.suppress_first".to_owned(), Value::Array(Array::I32(first))),
        ("tokenizer.huggingface.json".to_owned(), Value::String(completed(tokenizer))),
    ];
    metadata.extend(config.metadata());
    let mut writer = GgufWriter::create(output, &metadata, &specs)?;
    for (entry, spec) in entries.iter().zip(&specs) {
        let (_, mut values) = foreign.read(entry)?;
        values.resize(spec.shape.iter().product(), 0.0);
        let tensor = Tensor::from_vec(values, spec.shape.as_slice(), &Device::Cpu)?;
        let kind = spec.kind.candle().unwrap_or(GgmlDType::F32);
        writer.qtensor(&entry.ours, &QTensor::quantize(&tensor, kind)?)?;
    }
    Ok(writer.finish()?)
}
