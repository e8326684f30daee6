//! The speech model's network as ONNX graphs.

use super::{SpeechNetwork, Vocabulary};
use crate::error::ModelError;
use crate::llm::TextNetwork;
use crate::onnx::{Graph, Outlet, Runtime, Type};
use crate::tokens::{Marks, Shortlist, TextTokenizer};
use candle_core::{Device, Tensor};
use ort::session::SessionInputValue;
use ort::value::DynValue;
use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

/// Encoder with adapter, token table, and language model as three graphs in ONNX Runtime.
///
/// Tensors on its doors are candle's, on the CPU. Keys and values of what was read stay values of ONNX
/// Runtime: what one run gives is what the next one takes.
#[derive(Debug)]
pub struct OnnxSpeech {
    audio: Graph,
    embed: Graph,
    decoder: Graph,
    vocabulary: Vocabulary,
    mel_bins: usize,
    width: usize,
    /// Heads of keys and their width.
    heads: (usize, usize),
    /// Of each layer's keys and values: what they are called when they are taken.
    past: Vec<String>,
    /// `logits`, and what keys and values are called when they are given.
    given: Vec<String>,
}

/// Keys and values of what a network has read.
#[derive(Debug, Clone)]
pub struct OnnxState {
    /// `[rows, heads, held, width]` each; never changed, so copies of a state share them.
    caches: Arc<Vec<DynValue>>,
    rows: usize,
    held: usize,
    /// Positions that count; those behind them are forgotten.
    length: usize,
}

type Inputs<'a> = Vec<(Cow<'a, str>, SessionInputValue<'a>)>;

impl OnnxSpeech {
    /// Loads the graphs `audio_encoder`, `embed_tokens` and `decoder_model_merged` of a model whose
    /// outputs are the first tokens of this tokenizer.
    ///
    /// # Errors
    /// When a graph cannot be loaded, or takes or gives something else than it should.
    pub(super) fn open(
        [audio, embed, decoder]: &[PathBuf; 3],
        tokenizer: Arc<TextTokenizer>,
        runtime: &Runtime,
    ) -> Result<Self, ModelError> {
        let (f32, i64) = (Type::F32, Type::I64);
        let outlet = |name, kind, shape| Outlet { name, kind, shape };
        // A gather gains nothing from threads.
        let embed = Graph::open(embed, &Runtime { threads: 1, ..runtime.clone() })?;
        let width = embed.output_length("inputs_embeds", 2)?;
        let vectors = [None, None, Some(width)];
        embed.expect(
            &[outlet("input_ids", i64, &[None, None])],
            &[outlet("inputs_embeds", f32, &vectors)],
        )?;

        let audio = Graph::open(audio, runtime)?;
        let mel_bins = audio.input_length("audio_values", 1)?;
        let mel = [None, Some(mel_bins), None];
        audio.expect(
            &[outlet("audio_values", f32, &mel)],
            &[outlet("audio_features", f32, &vectors)],
        )?;

        let decoder = Graph::open(decoder, runtime)?;
        let outputs = decoder.output_length("logits", 2)?;
        let heads = (
            decoder.input_length("past_key_values.0.key", 1)?,
            decoder.input_length("past_key_values.0.key", 3)?,
        );
        let layers = decoder.inputs().saturating_sub(4).div_ceil(2);
        let named = |begin: &'static str| {
            (0..layers)
                .flat_map(move |i| ["key", "value"].map(|what| format!("{begin}.{i}.{what}")))
        };
        let (past, present): (Vec<_>, Vec<_>) =
            (named("past_key_values").collect(), named("present").collect());
        let cache = [None, Some(heads.0), None, Some(heads.1)];
        let mut taken = vec![
            outlet("inputs_embeds", f32, &vectors),
            outlet("attention_mask", i64, &[None, None]),
            outlet("position_ids", i64, &[None, None]),
            outlet("num_logits_to_keep", i64, &[]),
        ];
        taken.extend(past.iter().map(|name| outlet(name, f32, &cache)));
        let logits = [None, None, Some(outputs)];
        let mut given = vec![outlet("logits", f32, &logits)];
        given.extend(present.iter().map(|name| outlet(name, f32, &cache)));
        decoder.expect(&taken, &given)?;

        let vocabulary = vocabulary(tokenizer, outputs)?;
        let given = std::iter::once("logits".to_owned()).chain(present).collect();
        Ok(Self { audio, embed, decoder, vocabulary, mel_bins, width, heads, past, given })
    }

    /// Mel bands that it hears.
    pub fn mel_bins(&self) -> usize {
        self.mel_bins
    }

    /// The caches of these rows, as far as their positions count.
    fn picked(&self, state: &OnnxState, rows: &[u32]) -> Result<Vec<DynValue>, ModelError> {
        let (heads, width) = self.heads;
        let (held, kept) = (state.held * width, state.length * width);
        let shape = [Some(state.rows), Some(heads), Some(state.held), Some(width)];
        let pick = |(value, name): (&DynValue, &String)| {
            let (_, numbers) = self.decoder.numbers(name, value, &shape)?;
            let mut picked = Vec::with_capacity(rows.len() * heads * kept);
            for &row in rows {
                for head in 0..heads {
                    let from = (row as usize * heads + head) * held;
                    let part = numbers.get(from..from + kept);
                    picked.extend_from_slice(part.ok_or_else(|| {
                        ModelError::Unsupported(format!("row {row} of {}", state.rows))
                    })?);
                }
            }
            tensor(&[rows.len(), heads, state.length, width], picked)
        };
        state.caches.iter().zip(self.given.iter().skip(1)).map(pick).collect()
    }
}

/// Words whose tokens are the outputs: all that are no marks are what text is written with.
fn vocabulary(tokenizer: Arc<TextTokenizer>, outputs: usize) -> Result<Vocabulary, ModelError> {
    let tokens = tokenizer.vocabulary();
    if outputs > tokens {
        let reason = format!("{outputs} outputs of the decoder for {tokens} tokens");
        return Err(ModelError::Tokenizer(reason));
    }
    let marks = Marks::for_tokenizer(&tokenizer);
    let outputs: Vec<u32> = (0..outputs as u32).collect();
    let words: Vec<u32> = outputs.iter().copied().filter(|&id| marks.of(id).is_none()).collect();
    Vocabulary::new(tokenizer, Shortlist::try_from(words)?, outputs)
}

fn tensor<T: ort::value::PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static>(
    shape: &[usize],
    values: Vec<T>,
) -> Result<DynValue, ModelError> {
    let made = ort::value::Tensor::from_array((shape.to_vec(), values));
    // Shapes are made beside their values, so only memory can be short.
    made.map(ort::value::Value::into_dyn)
        .map_err(|error| ModelError::Unsupported(format!("a tensor of shape {shape:?}: {error}")))
}

fn floats(x: &Tensor) -> Result<DynValue, ModelError> {
    tensor(x.dims(), x.flatten_all()?.to_vec1::<f32>()?)
}

impl SpeechNetwork for OnnxSpeech {
    type Text = Self;

    fn text(&self) -> &Self {
        self
    }

    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn hear(&self, mel: &Tensor) -> Result<Tensor, ModelError> {
        let frames = mel.dim(2)?;
        let inputs: Inputs = vec![("audio_values".into(), floats(mel)?.into())];
        let name = "audio_features";
        let value = self.audio.give(inputs, name)?;
        let (shape, numbers) =
            self.audio.numbers(name, &value, &[Some(1), None, Some(self.width)])?;
        // The first vector is the start's, which every text begins with anyway.
        let time = shape.get(1).copied().unwrap_or(0).saturating_sub(1);
        if time == 0 || time > frames {
            let reason = format!("{time} vectors of {frames} frames");
            return Err(self.audio.fault(&reason));
        }
        let numbers = numbers.get(self.width..).unwrap_or_default();
        Ok(Tensor::from_slice(numbers, (1, time, self.width), &Device::Cpu)?)
    }
}

impl TextNetwork for OnnxSpeech {
    type State = OnnxState;

    fn embed(&self, tokens: &[u32]) -> Result<Tensor, ModelError> {
        let ids: Vec<i64> = tokens.iter().map(|&id| id.into()).collect();
        let inputs: Inputs = vec![("input_ids".into(), tensor(&[1, ids.len()], ids)?.into())];
        let name = "inputs_embeds";
        let value = self.embed.give(inputs, name)?;
        let shape = [Some(1), Some(tokens.len()), Some(self.width)];
        let (_, numbers) = self.embed.numbers(name, &value, &shape)?;
        Ok(Tensor::from_slice(numbers, (1, tokens.len(), self.width), &Device::Cpu)?)
    }

    fn start(&self) -> Result<OnnxState, ModelError> {
        let (heads, width) = self.heads;
        let empty = |_| tensor(&[1, heads, 0, width], Vec::<f32>::new());
        let caches = self.past.iter().map(empty).collect::<Result<_, _>>()?;
        Ok(OnnxState { caches: Arc::new(caches), rows: 1, held: 0, length: 0 })
    }

    fn read(
        &self,
        x: &Tensor,
        state: &mut OnnxState,
        kept: usize,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let (rows, time, _) = x.dims3()?;
        if rows != state.rows {
            let reason = format!("{rows} rows behind {} of what was read", state.rows);
            return Err(ModelError::Unsupported(reason));
        }
        if state.length < state.held {
            let all: Vec<u32> = (0..rows as u32).collect();
            state.caches = Arc::new(self.picked(state, &all)?);
            state.held = state.length;
        }
        let total = state.length + time;
        let positions = (0..rows).flat_map(|_| state.length as i64..total as i64).collect();
        // For 0, the graph would give all.
        let kept_there = kept.clamp(1, time.max(1));
        let mut inputs: Inputs = vec![
            ("inputs_embeds".into(), floats(x)?.into()),
            ("attention_mask".into(), tensor(&[rows, total], vec![1i64; rows * total])?.into()),
            ("position_ids".into(), tensor::<i64>(&[rows, time], positions)?.into()),
            ("num_logits_to_keep".into(), tensor(&[], vec![kept_there as i64])?.into()),
        ];
        let caches = self.past.iter().zip(state.caches.iter());
        inputs.extend(caches.map(|(name, value)| (name.as_str().into(), value.into())));
        let mut found = self.decoder.run(inputs, &self.given)?.into_iter();
        let logits = found.next().ok_or_else(|| self.decoder.fault("no outputs"))?;
        let caches: Vec<DynValue> = found.collect();
        let (heads, width) = self.heads;
        for (name, value) in self.given.iter().skip(1).zip(&caches) {
            let shape = [Some(rows), Some(heads), Some(total), Some(width)];
            self.decoder.numbers(name, value, &shape)?;
        }
        (state.caches, state.held, state.length) = (Arc::new(caches), total, total);
        if kept == 0 {
            return Ok(Vec::new());
        }
        let outputs = self.vocabulary.outputs();
        let shape = [Some(rows), Some(kept_there), Some(outputs)];
        let (_, logits) = self.decoder.numbers("logits", &logits, &shape)?;
        Ok(logits.chunks_exact(outputs.max(1)).map(<[f32]>::to_vec).collect())
    }

    fn fork(&self, state: &OnnxState) -> Result<OnnxState, ModelError> {
        Ok(state.clone())
    }

    fn forget(&self, state: &mut OnnxState, positions: usize) {
        state.length = state.length.saturating_sub(positions);
    }

    fn select(&self, state: &mut OnnxState, rows: &[u32]) -> Result<(), ModelError> {
        if rows.iter().copied().eq(0..state.rows as u32) {
            return Ok(());
        }
        state.caches = Arc::new(self.picked(state, rows)?);
        (state.rows, state.held) = (rows.len(), state.length);
        Ok(())
    }
}
