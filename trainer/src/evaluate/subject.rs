//! What is evaluated: a trained speech model, or Whisper for comparison.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use candle_core::Device;
use partita_audio::SAMPLE_RATE;
use partita_corpus::manifest::NO_LANGUAGE;
use partita_model::engine::{Engine, Request, Text};
use partita_model::installed;
use partita_model::nn;
use partita_model::speech::{self, SpeechEngine, SpeechNetwork, TrainedModel, Wish};
use partita_model::tokens::Lang;
use partita_model::whisper::{Padding, Whisper};

use super::weights::choose;
use super::{Options, Precision, Task};
use crate::speech::Files;

/// A model that answers.
pub(super) struct Subject {
    model: Model,
    beam: usize,
    /// What it is called.
    pub name: String,
    /// Which of its weights it has.
    pub weights: String,
    /// Languages that it understands.
    pub languages: Vec<String>,
    /// Languages that it translates into.
    pub targets: Vec<String>,
}

enum Model {
    Trained { engine: Box<SpeechEngine>, languages: Vec<Lang> },
    Whisper(Box<Whisper>),
}

/// What a model said.
pub(super) struct Said {
    /// The language heard, or `none`.
    pub heard: String,
    /// What was asked for.
    pub text: String,
    /// The transcript before a translation.
    pub transcript: Option<String>,
    /// Seconds that it took.
    pub seconds: f64,
    /// Whether it was stopped.
    pub looped: bool,
}

impl Subject {
    /// Opens what the options name.
    ///
    /// # Errors
    /// When there is no model, or not these weights, or it cannot be loaded.
    pub fn open(options: &Options, device: &Device) -> Result<Self> {
        match whisper_file(&options.run)? {
            Some(file) => Self::whisper(options, &file, device),
            None => Self::trained(options, device),
        }
    }

    fn trained(options: &Options, device: &Device) -> Result<Self> {
        let run = &options.run;
        if !TrainedModel::is_at(run) {
            let missing = TrainedModel::DESCRIPTION;
            bail!("{}: no trained speech model here (there is no {missing})", run.display());
        }
        let description = TrainedModel::read(run)?;
        let weights = choose(run, options.weights)?;
        let files = Files::named(&description.encoder, &description.llm)?;
        let precisions = match options.precision {
            Precision::Float => [nn::Precision::Float; 2],
            Precision::Engine => [nn::Precision::Prefill, nn::Precision::Decoding],
        };
        let bases = (files.encoder.as_path(), files.llm.as_path());
        let engine = description.open_weights(&weights.path, bases, precisions, device)?;
        let TrainedModel { languages, targets, .. } = description;
        let codes = |langs: &[Lang]| langs.iter().map(|lang| lang.code().to_owned()).collect();
        Ok(Self {
            languages: codes(&languages),
            targets: codes(&targets),
            model: Model::Trained { engine: Box::new(engine), languages },
            beam: options.beam,
            name: run.display().to_string(),
            weights: weights.label.clone(),
        })
    }

    fn whisper(options: &Options, file: &Path, device: &Device) -> Result<Self> {
        let loading = || file.display().to_string();
        let whisper = Whisper::load(file, device, Padding::Natural).with_context(loading)?;
        let able = whisper.capabilities();
        Ok(Self {
            languages: able.languages.clone(),
            targets: able.translation_targets.clone(),
            beam: options.beam,
            name: options.run.display().to_string(),
            weights: file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            model: Model::Whisper(Box::new(whisper)),
        })
    }

    /// Whether it is a trained model, not Whisper.
    pub fn is_trained(&self) -> bool {
        matches!(self.model, Model::Trained { .. })
    }

    /// The answers to tasks, translations into the languages beside them, for one clip of 16 kHz
    /// audio. It is heard once; each answer counts that time as its own.
    ///
    /// # Errors
    /// When the clip is longer than the model takes, or the network fails.
    pub fn answer(
        &mut self,
        samples: &[f32],
        asked: &[(Task, Option<String>)],
    ) -> Result<Vec<Said>> {
        let mut all = Vec::with_capacity(asked.len());
        match &mut self.model {
            Model::Trained { engine, languages } => {
                let begun_at = Instant::now();
                let begun = engine.model().begin(&engine.listen(samples)?)?;
                let heard_in = begun_at.elapsed();
                let length = samples.len() as f64 / f64::from(SAMPLE_RATE);
                for (task, to) in asked {
                    let asked_at = Instant::now();
                    let to = to.as_deref().unwrap_or_default();
                    let task = match task {
                        Task::Asr => speech::Task::Transcribe,
                        Task::St => speech::Task::Translate(to.parse()?),
                        Task::Direct => speech::Task::DirectTranslation(to.parse()?),
                    };
                    let wish = Wish { languages, beam: self.beam, ..Wish::new(task, length) };
                    let answer = engine.model().write(&begun, &wish)?;
                    let (text, transcript) = match answer.translation {
                        Some(translation) => (translation, Some(answer.text)),
                        None => (answer.text, None),
                    };
                    let heard = answer.language.map_or(NO_LANGUAGE, Lang::code).to_owned();
                    let looped = answer.hypothesis.looped || !answer.hypothesis.ended;
                    let seconds = (heard_in + asked_at.elapsed()).as_secs_f64();
                    all.push(Said { heard, text, transcript, seconds, looped });
                }
            }
            Model::Whisper(whisper) => {
                for (task, to) in asked {
                    let asked_at = Instant::now();
                    let (translate, beam) = (to.clone(), self.beam);
                    let request =
                        Request { translate, beam, timestamps: false, ..Request::default() };
                    let found = whisper.transcribe(samples, &request)?;
                    let seconds = asked_at.elapsed().as_secs_f64();
                    let (mut text, mut transcript) = (joined(&found.text), None);
                    let heard =
                        if text.is_empty() { NO_LANGUAGE.to_owned() } else { found.language };
                    if let Some(translation) = &found.translation {
                        transcript = (*task == Task::St).then_some(text);
                        text = joined(translation);
                    }
                    all.push(Said { heard, text, transcript, seconds, looped: false });
                }
            }
        }
        Ok(all)
    }
}

fn joined(text: &Text) -> String {
    text.segments.iter().map(|segment| segment.text.as_str()).collect::<Vec<_>>().join(" ")
}

/// The file of a Whisper model, if the path is one or names one of the store.
fn whisper_file(run: &Path) -> Result<Option<PathBuf>> {
    let name = run.to_str().unwrap_or_default();
    match name {
        _ if TrainedModel::is_packed(run) => Ok(None),
        _ if run.is_file() => Ok(Some(run.to_owned())),
        _ if run.exists() => Ok(None),
        "whisper" => Ok(Some(installed::gguf("whisper-base")?)),
        _ if name.starts_with("whisper-") => Ok(Some(installed::gguf(name)?)),
        _ => Ok(None),
    }
}
