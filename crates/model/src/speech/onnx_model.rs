//! A trained model as a folder of ONNX graphs, in transformers.js' layout for Ultravox.

use super::{CtcHead, OnnxSpeech, SpeechEngine, SpeechNetwork};
use crate::error::ModelError;
use crate::files::WeightFile;
use crate::llm::TextNetwork;
use crate::nn::{FileSource, Linear, Mode, Precision};
use crate::onnx::Runtime;
use crate::tokens::{Lang, TextTokenizer};
use candle_core::Device;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An opened folder: `config.json`, `tokenizer.json`, and in `onnx/` the graphs `audio_encoder`,
/// `embed_tokens` and `decoder_model_merged` with weights of one type.
///
/// What is beyond the layout is the object `partita` in `config.json` (the two lists of languages), and
/// [`OnnxModel::CTC`] where the model has a CTC head. Which words there are, marks and all, is said by
/// the tokenizer: its tokens are the outputs, in order.
#[derive(Debug)]
pub struct OnnxModel {
    folder: PathBuf,
    suffix: &'static str,
    languages: Vec<Lang>,
    targets: Vec<Lang>,
    tokenizer: Arc<TextTokenizer>,
}

#[derive(Deserialize)]
struct Config {
    bos_token_id: u32,
    eos_token_id: u32,
    partita: Own,
}

#[derive(Deserialize)]
struct Own {
    languages: Vec<Lang>,
    targets: Vec<Lang>,
    /// How texts are cut into words, for byte-level tokenizers.
    #[serde(default)]
    pre: Option<String>,
}

const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
const INSIDE: &str = "onnx";
const DECODER: &str = "decoder_model_merged";
/// What graphs of the types are called, the fastest type that loses little first.
const SUFFIXES: [&str; 4] = ["_int8", "_q4", "_fp16", ""];
/// Largest description that is read.
const LONGEST: u64 = 100_000_000;

impl OnnxModel {
    /// Name of the CTC head's file in a folder: its vectors and numbers for the tokens that are no
    /// marks, scaled as `embed_tokens` is.
    pub const CTC: &'static str = "ctc_head.safetensors";

    /// Whether there is such a folder at `path`, or one of its decoder graphs, which names a type.
    pub fn is_at(path: &Path) -> bool {
        place(path).is_some_and(|(folder, _)| folder.join(CONFIG).is_file())
    }

    /// Opens a folder, or the folder of the decoder graph `path`. Where there are graphs of several
    /// types and none is named, int8 comes before q4, fp16 and fp32.
    ///
    /// # Errors
    /// When a file beside the graphs is missing or malformed. Graphs are not looked at before
    /// [`OnnxModel::engine`].
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let missing = || ModelError::Companion {
            path: path.to_owned(),
            reason: format!("no {INSIDE}/{DECODER}.onnx"),
        };
        let (folder, suffix) = place(path).ok_or_else(missing)?;
        let file = folder.join(CONFIG);
        let config: Config = serde_json::from_slice(&read(&file)?).map_err(|cause| {
            ModelError::Companion { path: file.clone(), reason: cause.to_string() }
        })?;
        let file = folder.join(TOKENIZER);
        let ends = (Some(config.bos_token_id), Some(config.eos_token_id));
        let Own { languages, targets, pre } = config.partita;
        let tokenizer = TextTokenizer::from_json(&read(&file)?, &file, ends, pre.as_deref())?;
        Ok(Self { folder, suffix, languages, targets, tokenizer: Arc::new(tokenizer) })
    }

    /// Languages that it understands.
    pub fn languages(&self) -> &[Lang] {
        &self.languages
    }

    /// Languages that it translates into.
    pub fn targets(&self) -> &[Lang] {
        &self.targets
    }

    /// The file of a graph.
    pub fn graph(&self, name: &str) -> PathBuf {
        self.folder.join(INSIDE).join(format!("{name}{}.onnx", self.suffix))
    }

    /// The folder, and what the names of its graphs end with for their type (`_int8`).
    pub fn place(&self) -> (&Path, &str) {
        (&self.folder, self.suffix)
    }

    /// Its graphs: what hears, what embeds, what writes.
    pub fn graphs(&self) -> [PathBuf; 3] {
        ["audio_encoder", "embed_tokens", DECODER].map(|name| self.graph(name))
    }

    /// Loads it.
    ///
    /// # Errors
    /// When a graph is missing, malformed, or takes or gives something else than it should; when ONNX
    /// Runtime or its provider cannot be used.
    pub fn engine(&self, runtime: &Runtime) -> Result<SpeechEngine<OnnxSpeech>, ModelError> {
        let network = OnnxSpeech::open(&self.graphs(), self.tokenizer.clone(), runtime)?;
        let bins = network.mel_bins();
        let file = self.folder.join(Self::CTC);
        let head = file.is_file().then(|| ctc(&network, &file)).transpose()?;
        let engine = SpeechEngine::new(network, bins, &self.languages, &self.targets)?;
        Ok(match head {
            Some(head) => engine.with_ctc(head),
            None => engine,
        })
    }
}

/// The head over vectors of the tokens that are no marks.
fn ctc(network: &OnnxSpeech, file: &Path) -> Result<CtcHead, ModelError> {
    let (file, device) = (WeightFile::open(file)?, Device::Cpu);
    let ids = network.vocabulary().shortlist().ids();
    let rows = network.embed(ids)?.squeeze(0)?;
    let shape = rows.dims2()?;
    let rows = Linear::float(rows, None, Mode::Inference);
    let source = FileSource::new(&file, &device, Precision::Float);
    CtcHead::load(&source, rows, shape, 1.0, &device)
}

/// The folder and the type of what lies at a path.
fn place(path: &Path) -> Option<(PathBuf, &'static str)> {
    let graph = |suffix: &str| format!("{DECODER}{suffix}.onnx");
    if path.is_dir() {
        let inside = path.join(INSIDE);
        let suffix = SUFFIXES.into_iter().find(|suffix| inside.join(graph(suffix)).is_file())?;
        return Some((path.to_owned(), suffix));
    }
    let name = path.file_name()?.to_str()?;
    let suffix = SUFFIXES.into_iter().find(|suffix| graph(suffix) == name)?;
    let path = std::path::absolute(path).ok().filter(|path| path.is_file())?;
    Some((path.parent()?.parent()?.to_owned(), suffix))
}

fn read(path: &Path) -> Result<Vec<u8>, ModelError> {
    let wrong = |reason: String| ModelError::Companion { path: path.to_owned(), reason };
    let length = std::fs::metadata(path).map_err(|cause| wrong(cause.to_string()))?.len();
    if length > LONGEST {
        return Err(wrong(format!("{length} bytes are no description")));
    }
    std::fs::read(path).map_err(|cause| wrong(cause.to_string()))
}
