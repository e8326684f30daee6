//! A trained model as a pair of stock files: a language model with its marks inside, and encoder
//! with adapter as llama.cpp's `mtmd` names them.

use super::{AdapterConfig, AdapterShape, Bases, CtcHead, SpeechConfig, SpeechEngine, SpeechLlm};
use crate::error::ModelError;
use crate::files::{Array, FileError, Value, WeightFile};
use crate::nn::{FileSource, Linear, Mode, Precision, WeightSource};
use crate::tokens::{Lang, Marks, Shortlist, TextTokenizer};
use crate::whisper::WhisperConfig;
use candle_core::{Device, Tensor};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An opened pair: `NAME-QUANT.gguf` and `mmproj-NAME-QUANT.gguf`.
///
/// Everything that [`super::TrainedModel`] describes is in the two files: dimensions under
/// llama.cpp's keys, the rest under `partita.*`.
#[derive(Debug)]
pub struct ExportedModel {
    bases: Bases,
    projector: WeightFile,
    languages: Vec<Lang>,
    targets: Vec<Lang>,
    config: SpeechConfig,
}

/// What the name of the file with encoder and adapter begins with.
const PROJECTOR: &str = "mmproj-";
/// Of several such files beside a language model, the one in the first of these types is taken.
const PREFERRED: [&str; 4] = ["Q8_0", "F16", "BF16", "F32"];
/// Largest dimension that is believed.
const LIMIT: u64 = 1 << 20;
/// Most encoder layers that are believed; the largest published encoder has 32.
const MOST_LAYERS: usize = 1024;

impl ExportedModel {
    /// Key of the languages that the model understands (strings; in the language model's file).
    pub const LANGUAGES: &'static str = "partita.languages";
    /// Key of the languages that it translates into (strings; in the language model's file).
    pub const TARGETS: &'static str = "partita.targets";
    /// Key of the tokens that text is written with (u32, ascending; in the language model's file).
    pub const SHORTLIST: &'static str = "partita.shortlist";
    /// Key of what both files of a pair have in common.
    pub const PAIR: &'static str = "partita.pair";
    /// Key of [`AdapterConfig::output_rms`] (f32; in the other file).
    pub const OUTPUT_RMS: &'static str = "partita.adapter.output_rms";

    /// Opens the pair of a language model's file and the other file beside it: the same name with
    /// `mmproj-` before it, or one that differs in its quantization alone (`Q8_0` before others).
    ///
    /// # Errors
    /// When there is no such file, or [`ExportedModel::open_pair`] fails.
    pub fn open(llm: &Path) -> Result<Self, ModelError> {
        Self::open_pair(llm, &companion(llm)?)
    }

    /// The language model's file (or its shards in order), and that of its encoder and adapter.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.bases.text.files().chain(self.projector.files())
    }

    /// Opens a language model's file and that of its encoder and adapter.
    ///
    /// # Errors
    /// When one is missing, malformed, or no part of a pair; when they are of different pairs.
    pub fn open_pair(llm: &Path, projector: &Path) -> Result<Self, ModelError> {
        let (llm, projector) = (Arc::new(WeightFile::open(llm)?), WeightFile::open(projector)?);
        let wrong = |file: &WeightFile, key: &str, reason: String| -> ModelError {
            FileError::metadata(file.path(), key, reason).into()
        };
        let (ours, theirs) = (llm.metadata_str(Self::PAIR)?, projector.metadata_str(Self::PAIR)?);
        if ours != theirs {
            let reason = format!("not the one of {}", llm.path().display());
            return Err(wrong(&projector, Self::PAIR, reason));
        }
        let kind = projector.metadata_str("clip.projector_type")?;
        if kind != "ultravox" {
            let reason =
                format!("{:?}; ultravox is known", kind.chars().take(60).collect::<String>());
            return Err(wrong(&projector, "clip.projector_type", reason));
        }
        let langs = |key: &str| -> Result<Vec<Lang>, ModelError> {
            let array = llm.metadata().get(key).and_then(Value::as_array);
            let codes = array.and_then(Array::as_strings);
            let codes = codes.ok_or_else(|| wrong(&llm, key, "missing, or no strings".into()))?;
            codes.iter().map(|code| code.parse()).collect()
        };
        let shortlist = match llm.metadata().get(Self::SHORTLIST) {
            Some(Value::Array(Array::U32(ids))) => Shortlist::try_from(ids.clone())?,
            _ => return Err(wrong(&llm, Self::SHORTLIST, "missing, or no u32".into())),
        };
        let tokenizer = Arc::new(TextTokenizer::from_gguf(&llm)?);
        let (encoder, adapter) = dimensions(&projector)?;
        Ok(Self {
            languages: langs(Self::LANGUAGES)?,
            targets: langs(Self::TARGETS)?,
            config: SpeechConfig { adapter, shortlist },
            bases: Bases { encoder, text: llm, tokenizer },
            projector,
        })
    }

    /// Languages that it understands.
    pub fn languages(&self) -> &[Lang] {
        &self.languages
    }

    /// Languages that it translates into.
    pub fn targets(&self) -> &[Lang] {
        &self.targets
    }

    /// Adapter and shortlist.
    pub fn config(&self) -> &SpeechConfig {
        &self.config
    }

    /// Loads it, with weights held in the forms that are fastest here.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape, or the device has no room.
    pub fn engine(&self, device: &Device) -> Result<SpeechEngine, ModelError> {
        self.engine_with([Precision::Prefill, Precision::Decoding], device)
    }

    /// As [`ExportedModel::engine`], with precisions of encoder and language model of one's own.
    ///
    /// # Errors
    /// As there.
    pub fn engine_with(
        &self,
        [hearing, writing]: [Precision; 2],
        device: &Device,
    ) -> Result<SpeechEngine, ModelError> {
        let Bases { encoder, text, tokenizer } = &self.bases;
        let speech = PairSource {
            file: &self.projector,
            source: FileSource::new(&self.projector, device, hearing),
            llm: text,
            marks: Marks::for_tokenizer(tokenizer).ids().collect(),
        };
        let source = FileSource::new(text, device, writing);
        let model = SpeechLlm::load(&speech, &source, &self.bases, &self.config, device)?;
        let engine = SpeechEngine::new(model, encoder.mel_bins, &self.languages, &self.targets)?;
        let words = CtcHead::words(&self.projector)?;
        if words.is_none() {
            return Ok(engine);
        }
        let rows = (&source, &**text);
        let head = CtcHead::over_shortlist(&speech, rows, &self.config, words, device)?;
        Ok(engine.with_ctc(head))
    }
}

/// Dimensions of encoder and adapter, from llama.cpp's keys and the shapes of tensors.
fn dimensions(file: &WeightFile) -> Result<(WhisperConfig, AdapterConfig), ModelError> {
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
fn companion(llm: &Path) -> Result<PathBuf, ModelError> {
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
    let mut found: Vec<(usize, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let other = entry.file_name().to_string_lossy().into_owned();
            let (base, quantization) = base(other.strip_prefix(PROJECTOR)?)?;
            let place = PREFERRED.iter().position(|known| *known == quantization);
            (Some(base) == wanted).then(|| (place.unwrap_or(PREFERRED.len()), entry.path()))
        })
        .collect();
    found.sort();
    found.into_iter().next().map(|(_, path)| path).ok_or_else(|| {
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
struct PairSource<'a> {
    file: &'a WeightFile,
    source: FileSource<'a>,
    llm: &'a WeightFile,
    marks: Vec<u32>,
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
