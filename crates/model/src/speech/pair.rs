//! Pairs of stock files: a language model, and encoder with adapter as llama.cpp's `mtmd` names them.

use super::{AdapterConfig, AdapterShape, ExportedModel, SpeechLlm};
use crate::error::ModelError;
use crate::files::{FileError, WeightFile};
use crate::nn::{FileSource, Linear, Mode, Precision, WeightSource};
use crate::whisper::WhisperConfig;
use candle_core::{Device, Tensor};
use std::path::{Path, PathBuf};

/// What the name of the file with encoder and adapter begins with.
const PROJECTOR: &str = "mmproj-";
/// Of several such files beside a language model, the one in the first of these types is taken.
const PREFERRED: [&str; 4] = ["Q8_0", "F16", "BF16", "F32"];
/// Largest dimension that is believed.
const LIMIT: u64 = 1 << 20;
/// Most encoder layers that are believed; the largest published encoder has 32.
const MOST_LAYERS: usize = 1024;

/// Dimensions of encoder and adapter, from llama.cpp's keys and the shapes of tensors.
pub(super) fn dimensions(file: &WeightFile) -> Result<(WhisperConfig, AdapterConfig), ModelError> {
    const KIND: &str = "clip.projector_type";
    let kind = file.metadata_str(KIND)?;
    if kind != "ultravox" {
        let kind = kind.chars().take(60).collect::<String>();
        let reason = format!("{kind:?}; ultravox is known");
        return Err(FileError::metadata(file.path(), KIND, reason).into());
    }
    let read = |key: &str| -> Result<usize, ModelError> {
        let key = format!("clip.audio.{key}");
        match file.metadata_u64(&key)? {
            value @ 1..=LIMIT => Ok(value as usize),
            value => {
                Err(FileError::metadata(file.path(), &key, format!("{value} is out of range"))
                    .into())
            }
        }
    };
    let rows = |name: &str| -> Result<usize, ModelError> {
        let tensor = file.tensor(name)?;
        let rows =
            tensor.shape.first().copied().filter(|rows| (1..=LIMIT).contains(&(*rows as u64)));
        rows.ok_or_else(|| FileError::tensor(file.path(), name, "shape out of range").into())
    };
    let encoder = WhisperConfig {
        mel_bins: read("num_mel_bins")?,
        audio_positions: rows("a.position_embd.weight")?,
        width: read("embedding_length")?,
        heads: read("attention.head_count")?,
        encoder_layers: read("block_count")?,
        // There is no decoder in such a file.
        text_positions: 0,
        decoder_layers: 0,
        vocabulary: 0,
        multilingual: false,
    };
    let fault = |key: &str, reason: &str| FileError::metadata(file.path(), key, reason);
    if !encoder.width.is_multiple_of(encoder.heads) {
        return Err(fault("clip.audio.attention.head_count", "does not divide the width").into());
    }
    if encoder.encoder_layers > MOST_LAYERS {
        return Err(fault("clip.audio.block_count", "out of range").into());
    }
    let output_rms = match file.metadata().contains_key(ExportedModel::OUTPUT_RMS) {
        true => file.metadata_f64(ExportedModel::OUTPUT_RMS)?,
        false => 1.0,
    };
    let adapter = AdapterConfig {
        encoder_width: encoder.width,
        llm_width: read("projection_dim")?,
        output_rms,
        shape: AdapterShape::Ultravox {
            stack: read("projector.stack_factor")?,
            hidden: rows("mm.a.norm_mid.weight")?,
        },
    };
    Ok((encoder, adapter))
}

/// The other file of a pair, beside a language model's.
pub(super) fn companion(llm: &Path) -> Result<PathBuf, ModelError> {
    let missing = |reason: String| ModelError::Companion { path: llm.to_owned(), reason };
    let name = llm.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = without_shard(&name);
    let same = llm.with_file_name(format!("{PROJECTOR}{name}"));
    if same.is_file() {
        return Ok(same);
    }
    let base = |name: &str| {
        let (base, quantization) = name.strip_suffix(".gguf")?.rsplit_once('-')?;
        Some((base.to_owned(), quantization.to_owned()))
    };
    let folder = llm.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = std::fs::read_dir(folder.unwrap_or(Path::new(".")))
        .map_err(|cause| missing(cause.to_string()))?;
    let wanted = base(&name).map(|(base, _)| base);
    let entries: Vec<_> = entries.flatten().collect();
    let mut found: Vec<(usize, PathBuf)> = entries
        .iter()
        .filter_map(|entry| {
            let other = entry.file_name().to_string_lossy().into_owned();
            let (base, quantization) = base(other.strip_prefix(PROJECTOR)?)?;
            let place = PREFERRED.iter().position(|known| *known == quantization);
            (Some(base) == wanted).then(|| (place.unwrap_or(PREFERRED.len()), entry.path()))
        })
        .collect();
    found.sort();
    // Published pairs are not always named alike; whether two files fit is seen when they are opened.
    let is_projector = |name: &str| name.starts_with(PROJECTOR) && name.ends_with(".gguf");
    let mut projectors =
        entries.iter().filter(|entry| is_projector(&entry.file_name().to_string_lossy()));
    let only = projectors.next().filter(|_| projectors.next().is_none()).map(|one| one.path());
    found.into_iter().next().map(|(_, path)| path).or(only).ok_or_else(|| {
        missing(format!("no {PROJECTOR}{name} beside it: half of a pair cannot hear"))
    })
}

/// A file's name without the number of a shard: only language models are cut into shards.
fn without_shard(name: &str) -> String {
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let cut = || {
        let (rest, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        (is_number(number) && is_number(count)).then(|| format!("{stem}.gguf"))
    };
    cut().unwrap_or_else(|| name.to_owned())
}

/// Encoder and adapter of one file; marks of the other, whose table holds their rows.
pub(super) struct PairSource<'a> {
    file: &'a WeightFile,
    source: FileSource<'a>,
    llm: &'a WeightFile,
    marks: Vec<u32>,
}

impl<'a> PairSource<'a> {
    /// `marks` are the tokens of the marks, if the language model has any.
    pub fn new(
        file: &'a WeightFile,
        llm: &'a WeightFile,
        marks: Vec<u32>,
        (device, precision): (&Device, Precision),
    ) -> Self {
        Self { file, source: FileSource::new(file, device, precision), llm, marks }
    }
}

impl WeightSource for PairSource<'_> {
    fn mode(&self) -> Mode {
        self.source.mode()
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        if name == SpeechLlm::MARKS {
            let rows = self.llm.rows("token_embd.weight", &self.marks)?;
            return Ok(Tensor::from_vec(rows, shape, self.source.device())?);
        }
        // llama.cpp wants biases of convolutions as `[width, 1]`.
        let column = [shape, &[1]].concat();
        match self.file.contains(name) && self.file.tensor(name)?.shape == column {
            true => Ok(self.source.tensor(name, &column)?.reshape(shape)?),
            false => self.source.tensor(name, shape),
        }
    }

    fn linear(&self, name: &str, shape: (usize, usize), bias: bool) -> Result<Linear, ModelError> {
        self.source.linear(name, shape, bias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_file_is_the_one_of_the_same_name_or_of_another_quantization() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let llm = at("base-0.3B-v1-Q4_K_M.gguf");
        let error = companion(&llm).unwrap_err().to_string();
        assert!(error.contains("mmproj-base-0.3B-v1-Q4_K_M.gguf"), "{error}");
        let touch = |name: &str| std::fs::write(at(name), "").unwrap();
        touch("mmproj-other-0.3B-v1-Q8_0.gguf");
        touch("mmproj-base-0.3B-Q8_0.gguf");
        assert!(companion(&llm).is_err());
        touch("mmproj-base-0.3B-v1-F32.gguf");
        assert_eq!(companion(&llm).unwrap(), at("mmproj-base-0.3B-v1-F32.gguf"));
        touch("mmproj-base-0.3B-v1-Q8_0.gguf");
        assert_eq!(companion(&llm).unwrap(), at("mmproj-base-0.3B-v1-Q8_0.gguf"));
        touch("mmproj-base-0.3B-v1-Q4_K_M.gguf");
        assert_eq!(companion(&llm).unwrap(), at("mmproj-base-0.3B-v1-Q4_K_M.gguf"));
        let shard = at("base-0.3B-v1-Q4_K_M-00001-of-00012.gguf");
        assert_eq!(companion(&shard).unwrap(), at("mmproj-base-0.3B-v1-Q4_K_M.gguf"));
    }
}
