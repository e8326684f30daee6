//! What runs a trained speech model: candle its weights or its GGUF pair, ONNX Runtime its graphs.
//!
//! A model may lie in one folder in both forms; then the faster one here is found out once
//! ([`faster`]) and used from then on. Whisper runs on candle alone.

mod backend;
pub mod faster;
mod found;

pub use backend::Backend;
pub use found::{Found, Weights};

use crate::engines::{self, Options};
use crate::store::Store;
use anyhow::{Context, bail};
use partita_model::engine::LiveEngine;
use partita_model::onnx::{Provider, Runtime};
use partita_model::speech::{ExportedModel, InstructedModel, OnnxModel, TrainedModel};
use partita_model::tokens::Lang;
use std::path::Path;

/// The runtimes that an engine can be opened with by these options; both where nothing decides.
///
/// # Errors
/// When the model is not there in the form that the options ask for.
pub fn possible(found: &Found, options: &Options) -> anyhow::Result<Vec<Backend>> {
    let model = &options.model;
    let wants = |backend| [Backend::Auto, backend].contains(&options.backend);
    let mut possible = Vec::new();
    if wants(Backend::Candle) && (found.weights.is_some() || found.graphs.is_none()) {
        possible.push(Backend::Candle);
    }
    if wants(Backend::Onnx) && found.graphs.is_some() {
        possible.push(Backend::Onnx);
    }
    if options.provider != Provider::Cpu && !possible.contains(&Backend::Onnx) {
        bail!(
            "provider {}: of ONNX Runtime alone, and {model} runs on candle, whose device is another option",
            options.provider
        );
    }
    match options.backend {
        Backend::Candle if possible.is_empty() => {
            bail!("{model}: ONNX graphs alone, which candle does not run")
        }
        Backend::Onnx if possible.is_empty() => {
            bail!("{model}: no ONNX graphs here; `partita-export onnx` makes them")
        }
        _ => Ok(possible),
    }
}

/// Languages that a trained model understands and those that it translates into, as its files say.
///
/// # Errors
/// When there is no such model, or it cannot be read.
pub fn languages(path: &Path, backend: Backend) -> anyhow::Result<[Vec<String>; 2]> {
    let codes = |langs: &[Lang]| langs.iter().map(|lang| lang.code().to_owned()).collect();
    let found = Found::at(path, backend)?;
    Ok(match (&found.weights, &found.graphs) {
        (Some(Weights::Pair(file)), _) if ExportedModel::is_at(file) => {
            let pair = ExportedModel::open(file)?;
            [codes(pair.languages()), codes(pair.targets())]
        }
        (Some(Weights::Pair(file)), _) => {
            let pair = InstructedModel::open(file)?;
            [(); 2].map(|()| pair.languages().to_vec())
        }
        (Some(Weights::Trained(path)), _) => {
            let model = TrainedModel::read(path)?;
            [codes(&model.languages), codes(&model.targets)]
        }
        (None, Some(graphs)) => {
            let model = OnnxModel::open(graphs)?;
            [codes(model.languages()), codes(model.targets())]
        }
        (None, None) => bail!("{}: no model", path.display()),
    })
}

/// Opens a trained model by what the options say, or by what is faster here.
///
/// # Errors
/// When there is no such model, or it cannot be used.
pub fn open(store: &Store, options: &Options) -> anyhow::Result<Box<dyn LiveEngine>> {
    let found = Found::at(Path::new(&options.model), options.backend)?;
    match possible(&found, options)?.as_slice() {
        [Backend::Candle] => candle(store, &found, options),
        [Backend::Onnx] => onnx(store, &found, options),
        _ => faster::open(store, &found, options),
    }
}

fn candle(store: &Store, found: &Found, options: &Options) -> anyhow::Result<Box<dyn LiveEngine>> {
    let loading = || format!("loading {}", options.model);
    let weights = match &found.weights {
        Some(Weights::Pair(file)) if ExportedModel::is_at(file) => {
            let pair = ExportedModel::open(file)?;
            return Ok(Box::new(pair.engine(&options.device).with_context(loading)?));
        }
        Some(Weights::Pair(file)) => {
            let pair = InstructedModel::open(file).with_context(loading)?;
            return Ok(Box::new(pair.engine(&options.device).with_context(loading)?));
        }
        Some(Weights::Trained(path)) => path.as_path(),
        // Which says what is missing.
        None => Path::new(&options.model),
    };
    let model = TrainedModel::read(weights)?;
    let encoder = engines::whisper_file(store, &model.encoder, options.quantization)?;
    let llm = match Path::new(&model.llm) {
        file if file.is_file() => file.to_owned(),
        _ => store.files(&model.llm)?.into_iter().next().with_context(loading)?,
    };
    let bases = (encoder.as_path(), llm.as_path());
    Ok(Box::new(model.open(weights, bases, &options.device).with_context(loading)?))
}

fn onnx(store: &Store, found: &Found, options: &Options) -> anyhow::Result<Box<dyn LiveEngine>> {
    let loading = || format!("loading {}", options.model);
    let graphs = found.graphs.as_deref().with_context(loading)?;
    let runtime = Runtime {
        library: engines::onnxruntime(store)?,
        provider: options.provider,
        threads: options.threads,
    };
    let model = OnnxModel::open(graphs).with_context(loading)?;
    Ok(Box::new(model.engine(&runtime).with_context(loading)?))
}
