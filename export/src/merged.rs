//! Weights of a model as they are to be shipped: what training changed laid over its bases, low-rank
//! changes added to their matrices, rows of marks in their places.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use candle_core::Device;
use partita_model::files::WeightFile;
use partita_model::llm::LlmConfig;
use partita_model::nn::{DeltaSource, FileSource, Precision, WeightSource};
use partita_model::speech::{CtcHead, TrainedModel};
use partita_model::tokens::{Marks, TextTokenizer};
use partita_model::whisper::WhisperConfig;

use crate::bases::{self, Found};
use crate::scratch::Scratch;

/// A weight by the networks' name for it and its shape in PyTorch's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    /// `a.blk.0.attn_q.weight`, `blk.0.ffn_up.weight`, …, or a name of [`Part`]'s.
    pub name: String,
    /// The shape.
    pub shape: Vec<usize>,
    /// Where it comes from.
    pub part: Part,
}

/// What kind of weight one is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Part {
    /// A tensor under its own name.
    Tensor,
    /// A matrix, its low-rank change added.
    Matrix,
    /// A matrix to be turned by pairs of neighbours, its rows put in the order in which the halves of
    /// a head of this width are turned.
    Turned(usize),
    /// Vectors of the tokens, as the first block takes them.
    Embeddings,
    /// The vector of the token that every input begins with, as the first block takes it.
    Start,
    /// Rows of the output, for the tokens.
    Outputs,
}

impl Weight {
    /// A tensor under its own name.
    pub fn tensor(name: impl Into<String>, shape: &[usize]) -> Self {
        Self { name: name.into(), shape: shape.to_vec(), part: Part::Tensor }
    }

    /// The matrix of a linear layer.
    pub fn matrix(layer: &str, outputs: usize, inputs: usize) -> Self {
        let shape = vec![outputs, inputs];
        Self { name: format!("{layer}.weight"), shape, part: Part::Matrix }
    }
}

/// The language model of a speech model, and the words that it reads and writes.
#[derive(Debug)]
pub struct Text {
    /// What was trained.
    pub trained: TrainedModel,
    /// The language model's dimensions.
    pub config: LlmConfig,
    /// Its tokenizer.
    pub tokenizer: Arc<TextTokenizer>,
    /// Where the marks are.
    pub marks: Marks,
    /// The tokens that the model reads and writes, in the order of its outputs: those of its
    /// shortlist, and the marks.
    pub ids: Vec<u32>,
    /// Its file.
    pub file: Arc<WeightFile>,
}

/// An encoder, and what else there is.
#[derive(Debug)]
pub struct Merged {
    encoder: WeightFile,
    delta: Option<WeightFile>,
    /// The encoder's dimensions.
    pub whisper: WhisperConfig,
    /// The language model, unless it is a plain Whisper model.
    pub text: Option<Text>,
    /// Keeps a file that was made for now.
    _made: Option<Scratch>,
}

/// The largest published encoder has 32; each costs memory before weights are read.
const MOST_LAYERS: usize = 1024;
const TABLE: &str = "token_embd.weight";
const MARKS: &str = "marks.weight";

impl Merged {
    /// Opens a trained model, packed or a folder (its bases in the store, or beside other paths that it
    /// names), or a Whisper model: a file, a folder, or a model of the store.
    ///
    /// # Errors
    /// When something is missing, malformed, or does not fit.
    pub fn open(model: &str) -> Result<Self> {
        let path = Path::new(model);
        if !TrainedModel::is_at(path) {
            let weights = path.join(TrainedModel::WEIGHTS);
            ensure!(!weights.is_file(), "{model}: no {}", TrainedModel::DESCRIPTION);
            return Self::over(bases::whisper(model)?, None, None).context(model.to_owned());
        }
        let trained = TrainedModel::read(path)?;
        let encoder = bases::whisper(&trained.encoder)?;
        let text = bases::gguf(&trained.llm)?;
        let delta = WeightFile::open(&TrainedModel::weights(path))?;
        let file = Arc::new(WeightFile::open(&text.path)?);
        let tokenizer = Arc::new(TextTokenizer::from_gguf(&file)?);
        let marks = Marks::for_tokenizer(&tokenizer);
        let config = LlmConfig::from_gguf(&file)?;
        let mut ids = trained.config.shortlist.ids().to_vec();
        ids.extend(marks.ids());
        ids.sort_unstable();
        ids.dedup();
        if config.tied {
            // As in the network, whose outputs for trained rows come last.
            ids.sort_by_key(|&id| marks.of(id).is_some());
        }
        let text = Text { config, tokenizer, marks, ids, file, trained };
        Self::over(encoder, Some(delta), Some(text)).context(model.to_owned())
    }

    fn over(encoder: Found, delta: Option<WeightFile>, text: Option<Text>) -> Result<Self> {
        let file = WeightFile::open(&encoder.path)?;
        let whisper = WhisperConfig::from_file(&file)?;
        let layers = whisper.encoder_layers;
        ensure!(layers <= MOST_LAYERS, "an encoder of {layers} layers");
        if let Some(text) = &text {
            let adapter = &text.trained.config.adapter;
            let (heard, width) = (whisper.width, text.config.width);
            ensure!(
                (adapter.encoder_width, adapter.llm_width) == (heard, width),
                "an adapter from {} to {} between widths {heard} and {width}",
                adapter.encoder_width,
                adapter.llm_width
            );
            let known = text.tokenizer.vocabulary() + text.marks.appended();
            if let Some(id) = text.ids.iter().find(|&&id| id as usize >= known) {
                bail!("token {id} of the shortlist; the tokenizer has {known}");
            }
        }
        Ok(Self { encoder: file, delta, whisper, text, _made: encoder.made })
    }

    /// The language model's part.
    ///
    /// # Errors
    /// When this is a plain Whisper model.
    pub fn text(&self) -> Result<&Text> {
        self.text.as_ref().context("a model without a language model")
    }

    /// Number of words of the CTC head, where there is one.
    ///
    /// # Errors
    /// When a tensor of it is missing or has another shape.
    pub fn ctc_words(&self) -> Result<Option<usize>> {
        let words = self.delta.as_ref().map(CtcHead::words).transpose()?;
        Ok(words.flatten())
    }

    /// The values of a weight, row-major.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn floats(&self, weight: &Weight) -> Result<Vec<f32>> {
        match weight.part {
            Part::Tensor => self.tensor(&weight.name, &weight.shape),
            Part::Matrix => self.matrix(weight),
            Part::Turned(head) => Ok(turned(&self.matrix(weight)?, weight, head)),
            Part::Embeddings => self.embeddings(&self.text()?.ids),
            Part::Start => {
                let start = self.text()?.start()?;
                self.embeddings(&[start])
            }
            Part::Outputs => {
                let text = self.text()?;
                match text.config.tied {
                    true => self.rows(&text.ids),
                    false => Ok(text.file.rows("output.weight", &text.ids)?),
                }
            }
        }
    }

    /// Calls `with` with the source of a weight: the language model's or the encoder's.
    fn source<T>(
        &self,
        name: &str,
        with: impl FnOnce(&dyn WeightSource) -> Result<T, partita_model::ModelError>,
    ) -> Result<T> {
        let of_text = ["blk.", "output"].iter().any(|start| name.starts_with(start));
        let file = match of_text {
            true => &self.text()?.file,
            false => &self.encoder,
        };
        let base = FileSource::new(file, &Device::Cpu, Precision::Float);
        Ok(match &self.delta {
            Some(delta) => with(&DeltaSource::new(base, delta, &Device::Cpu)?),
            None => with(&base),
        }?)
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let tensor = self.source(name, |source| source.tensor(name, shape))?;
        Ok(tensor.flatten_all()?.to_vec1()?)
    }

    fn matrix(&self, weight: &Weight) -> Result<Vec<f32>> {
        let (Some(layer), &[outputs, inputs]) =
            (weight.name.strip_suffix(".weight"), &weight.shape[..])
        else {
            bail!("`{}` is no matrix", weight.name);
        };
        let layer = self.source(layer, |source| source.linear(layer, (outputs, inputs), false))?;
        Ok(layer.weight(&Device::Cpu)?.flatten_all()?.to_vec1()?)
    }

    /// Rows of the token table, those of marks as they were trained.
    fn rows(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let text = self.text()?;
        let width = text.config.width;
        let marks: Vec<u32> = text.marks.ids().collect();
        let trained = self.tensor(MARKS, &[marks.len(), width])?;
        let mut rows = Vec::with_capacity(ids.len() * width);
        for &id in ids {
            match marks.iter().position(|&mark| mark == id) {
                Some(place) => rows.extend(trained.iter().skip(place * width).take(width)),
                None => rows.extend(text.file.rows(TABLE, &[id])?),
            }
        }
        Ok(rows)
    }

    fn embeddings(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let scale = self.text()?.config.embedding_scale as f32;
        let mut rows = self.rows(ids)?;
        rows.iter_mut().for_each(|value| *value *= scale);
        Ok(rows)
    }
}

impl Text {
    /// The token that every input begins with.
    ///
    /// # Errors
    /// When there is none.
    pub fn start(&self) -> Result<u32> {
        self.tokenizer.bos().or(self.tokenizer.eos()).context("a tokenizer without a start")
    }

    /// The place of a token among the model's own.
    ///
    /// # Errors
    /// When it is not among them.
    pub fn place(&self, id: u32) -> Result<usize> {
        let place = self.ids.iter().position(|&own| own == id);
        place.with_context(|| format!("token {id} is not among the model's"))
    }
}

/// Elements 0, 2, 4, … of each head before 1, 3, 5, …: the same products of queries and keys.
fn turned(values: &[f32], weight: &Weight, head: usize) -> Vec<f32> {
    let row = weight.shape.last().copied().unwrap_or(1).max(1);
    let mut out = Vec::with_capacity(values.len());
    for head in values.chunks(head * row) {
        for first in [0, 1] {
            out.extend(head.chunks(row).skip(first).step_by(2).flatten());
        }
    }
    out
}
