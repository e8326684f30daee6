//! Which inputs of each layer matter: their mean squares while the model hears clips and is told what
//! was said. A weight's error counts by the square of what it is multiplied with, so scales are
//! chosen for large inputs (llama.cpp's importance matrix).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use candle_core::Device;
use partita_corpus::manifest::Split;
use partita_model::files::WeightFile;
use partita_model::nn::{DeltaSource, FileSource, ObservedSource, Precision};
use partita_model::speech::{Bases, SpeechEngine, SpeechLlm, TrainedModel};
use partita_model::tokens::Lang;
use serde::Serialize;

use super::content::Importance;
use crate::clips::{self, Wanted};
use crate::compare::{logits, subject::Model};
use crate::interrupt;

/// What is heard.
#[derive(Debug, Clone)]
pub struct Options {
    /// A manifest, of which the training clips are taken.
    pub manifest: PathBuf,
    /// Most clips.
    pub clips: usize,
}

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Calibration {
    /// Clips.
    pub clips: usize,
    /// Their length in seconds.
    pub seconds: f64,
    /// Layers whose inputs were counted.
    pub layers: usize,
}

/// The least that a column matters, by the mean of its layer: an input that never came may come.
const LEAST: f32 = 1e-4;

/// Lets a trained model, in floats, hear clips with their answers, and counts what comes into its
/// linear layers; by names of weights.
///
/// # Errors
/// When the manifest has no clip for it, or the model cannot be used.
pub fn importance(
    folder: &Path,
    model: &TrainedModel,
    [encoder, llm]: [&Path; 2],
    options: &Options,
) -> Result<(Importance, Calibration)> {
    let device = &Device::Cpu;
    let trained = WeightFile::open(&TrainedModel::weights(folder))?;
    let (encoder, llm) = (WeightFile::open(encoder)?, Arc::new(WeightFile::open(llm)?));
    let bases = Bases::open(&encoder, llm.clone())?;
    let observed = |file| -> Result<_> {
        let base = FileSource::new(file, device, Precision::Float);
        Ok(ObservedSource::new(DeltaSource::new(base, &trained, device)?))
    };
    let (speech, text) = (observed(&encoder)?, observed(&llm)?);
    let network = SpeechLlm::load(&speech, &text, &bases, &model.config, device)?;
    let mel_bins = bases.encoder.mel_bins;
    let engine = SpeechEngine::new(network, mel_bins, &model.languages, &model.targets)?;
    let network = Model::Speech(Box::new(engine));

    let codes = |langs: &[Lang]| langs.iter().map(|lang| lang.code().to_owned()).collect();
    let (languages, targets): (Vec<String>, Vec<String>) =
        (codes(&model.languages), codes(&model.targets));
    let wanted = Wanted {
        split: Split::Train,
        languages: &languages,
        targets: &targets,
        most: options.clips,
    };
    let mut seconds = 0.0;
    let clips = clips::choose(&options.manifest, &wanted).context("calibration")?;
    for clip in &clips {
        interrupt::check()?;
        let audio = network.encode(&clip.samples().context("calibration")?)?;
        for (translated, places) in logits::answers(&network, clip)? {
            interrupt::check()?;
            logits::foretell(&network, &audio, clip, translated, &places)?;
        }
        seconds += clip.seconds;
    }
    let mut importance = Importance::new();
    for (name, layer) in speech.layers().into_iter().chain(text.layers()) {
        let Some(mut squares) = layer.mean_squares() else { continue };
        let least = LEAST * squares.iter().sum::<f32>() / squares.len().max(1) as f32;
        squares.iter_mut().for_each(|square| *square = square.max(least));
        importance.insert(format!("{name}.weight"), squares);
    }
    let layers = importance.len();
    Ok((importance, Calibration { clips: clips.len(), seconds, layers }))
}
