//! The speech model as something that can be trained.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor, Var};
use partita_model::nn::{LowRank, Parameters, TrainingSource};
use partita_model::speech::{
    AdapterConfig, AdapterShape, Bases, CtcHead, SpeechConfig, SpeechLlm, TrainedModel,
};
use partita_model::tokens::Lang;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::bases::{Files, open_bases};
use super::batch::{Kind, mel, names, speech_sequences, text_sequences};
use super::ctc::{self, Likeness};
use super::data::Data;
use super::evaluation::evaluate;
use super::feed::{Feed, Share};
use super::frames::FrameDropout;
use super::names::{module_name, own_name};
use super::notes::Notes;
use super::start::begin_from;
use super::written::drawn_target;
use crate::data::Example;
use crate::data::sampler::Pick;
use crate::drawn::Drawn;
use crate::objective::{Loss, Objective, Position};
use crate::recipe::{Adapter, Metric, Precision, Recipe, Tasks};
use crate::stages::Trained;

/// Tokens by which the size of the language model's inputs is measured.
const COMMON_TOKENS: usize = 2000;

/// Batches in a row that may have no clip that a task can use.
const MOST_EMPTY: usize = 1000;

/// Encoder, adapter and language model, trained by a recipe.
pub struct SpeechObjective {
    pub(super) recipe: Recipe,
    pub(super) bases: Bases,
    pub(super) config: SpeechConfig,
    pub(super) parameters: Parameters,
    pub(super) device: Device,
    pub(super) data: Data,
    feed: Feed,
    /// Micro-batches in a row that had nothing for their task.
    empty: usize,
    notes: Notes,
    dev: Vec<Example>,
    /// The networks of the stage, with gradients for what it trains.
    pub(super) model: Option<(SpeechLlm, Option<CtcHead>)>,
    kinds: Vec<Kind>,
    /// Whether the stage has no task of the language model's.
    only_ctc: bool,
    likeness: Likeness,
}

impl SpeechObjective {
    /// Opens bases and data of a recipe; `device` computes.
    ///
    /// # Errors
    /// When a base or manifest is missing or cannot be used, or the recipe does not fit the encoder.
    pub fn open(recipe: &Recipe, device: &Device) -> Result<Self> {
        Self::open_share(recipe, device, Share::ALL)
    }

    /// The same for one of several processes.
    ///
    /// # Errors
    /// As [`SpeechObjective::open`].
    pub fn open_share(recipe: &Recipe, device: &Device, share: Share) -> Result<Self> {
        let files = Files::of(&recipe.model)?;
        let (encoder, llm, bases) = open_bases(&files)?;
        recipe.check_encoder(bases.encoder.encoder_layers)?;
        let bins = bases.encoder.mel_bins;
        let data = Data::open(recipe, bins)?;
        if recipe.data.text.is_empty() && recipe.has_text_tasks() {
            bail!("data.text: names nothing, and a stage has tasks of text alone (mt, lm)");
        }
        let shortlist = data.shortlist(&bases.tokenizer);
        let llm_config = partita_model::llm::LlmConfig::from_gguf(&llm)?;
        let table = partita_model::llm::TokenTable::new(llm.clone(), &llm_config, None, device)?;
        let common: Vec<u32> = shortlist.ids().iter().copied().take(COMMON_TOKENS).collect();
        let adapter = AdapterConfig {
            encoder_width: bases.encoder.width,
            llm_width: llm_config.width,
            output_rms: table.root_mean_square(&common)?,
            shape: match recipe.model.adapter {
                Adapter::Ultravox => AdapterShape::ULTRAVOX,
                Adapter::TransformerConv => AdapterShape::TRANSFORMER_CONV,
                Adapter::ConvGlu => AdapterShape::CONV_GLU,
            },
        };
        let mut parameters = Parameters::new(recipe.seed, device)
            .with_base(encoder)
            .with_base(partita_model::files::WeightFile::open(&files.llm)?);
        if recipe.model.precision == Precision::Bf16 {
            parameters = parameters.with_frozen_type(DType::BF16);
        }
        if !recipe.model.start.is_empty() {
            let start = Path::new(&recipe.model.start);
            begin_from(start, &mut parameters, &shortlist, recipe.lora.alpha)?;
        }
        let sizes = (llm_config.embedding_scale, adapter.output_rms);
        let likeness = Likeness { weight: 0.0, sizes };
        let feed = Feed::new(&data, share)?;
        let notes = Notes::new(&data.bad_rows, share);
        let config = SpeechConfig { adapter, shortlist };
        let mut objective = Self {
            recipe: recipe.clone(),
            bases,
            config,
            parameters,
            device: device.clone(),
            dev: Vec::new(),
            data,
            feed,
            empty: 0,
            notes,
            model: None,
            kinds: Vec::new(),
            only_ctc: false,
            likeness,
        };
        objective.dev = objective.development()?;
        let metric = recipe.evaluation.metric;
        let translated = |example: &Example| drawn_target(0, example).is_some();
        if matches!(metric, Metric::Bleu | Metric::Chrf) && !objective.dev.iter().any(translated) {
            bail!(
                "evaluation.metric: {}, and no development clip has a translation",
                metric.name()
            );
        }
        // Every parameter that any stage trains exists from the beginning.
        let patterns = objective.patterns_of_all_stages();
        objective.build(&patterns)?;
        objective.model = None;
        Ok(objective)
    }

    /// What the trained model is made of, beside its weights.
    pub fn config(&self) -> &SpeechConfig {
        &self.config
    }

    /// Writes the model as it is now into a folder, as [`TrainedModel`] reads it: what it is made
    /// of, and what training has changed.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write_model(&self, folder: &Path) -> Result<()> {
        let alpha = (LowRank::ALPHA_KEY.to_owned(), self.recipe.lora.alpha.to_string());
        self.parameters.save(&folder.join(TrainedModel::WEIGHTS), &[alpha])?;
        self.describe(folder)
    }

    /// Writes what the model is made of, which training does not change, into a folder: with it, a
    /// run's checkpoints can be used while it goes on.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn describe(&self, folder: &Path) -> Result<()> {
        let clips = || self.data.train.clips().iter();
        let known = |codes: BTreeSet<&String>| -> Vec<Lang> {
            Lang::all().filter(|lang| codes.iter().any(|code| *code == lang.code())).collect()
        };
        let translates = |tasks: &Tasks| tasks.st > 0.0;
        let stages = || self.recipe.order.iter().filter_map(|name| self.recipe.stage.get(name));
        let has_targets = stages().any(|s| translates(&s.tasks) || translates(&s.late.tasks));
        let targets = match has_targets {
            true => known(clips().flat_map(|clip| clip.translations.keys()).collect()),
            false => Vec::new(),
        };
        let model = TrainedModel {
            encoder: self.recipe.model.encoder.clone(),
            llm: self.recipe.model.llm.clone(),
            languages: known(clips().filter_map(|clip| clip.lang.as_ref()).collect()),
            targets,
            config: self.config.clone(),
        };
        Ok(model.write(folder)?)
    }

    /// The development clips that evaluations hear: the first of each language.
    fn development(&mut self) -> Result<Vec<Example>> {
        let maker = self.data.plain()?;
        let mut counts: BTreeMap<Option<&str>, usize> = BTreeMap::new();
        let (mut examples, mut unreadable) = (Vec::new(), Vec::new());
        for (item, clip) in self.data.dev.clips().iter().enumerate() {
            let count = counts.entry(clip.lang.as_deref()).or_default();
            let most = match clip.lang {
                Some(_) => self.recipe.evaluation.clips,
                None => self.recipe.evaluation.clips / 8,
            };
            if *count >= most {
                continue;
            }
            match maker.make(0, &Pick { item, repeat: 0, padded: false }) {
                Ok(example) => {
                    examples.push(example);
                    *count += 1;
                }
                Err(bad) => unreadable.push(bad),
            }
        }
        if examples.iter().all(|example| example.lang.is_none()) {
            let first = unreadable.first().map(|bad| format!("; the first: {bad}"));
            bail!("no clip of the split `dev` can be read{}", first.unwrap_or_default());
        }
        if self.feed.share().rank == 0 {
            self.notes.add(&unreadable);
        }
        Ok(examples)
    }

    /// The loss of clips, without tokens if no sequence can be made of any.
    fn speech_loss(&self, kind: Kind, examples: &[Example], random: &mut StdRng) -> Result<Loss> {
        let (model, head) = self.model.as_ref().context("no stage was entered")?;
        let nothing = || Ok(Loss::new(Tensor::zeros((), DType::F32, &self.device)?, 0));
        if examples.is_empty() {
            return nothing();
        }
        let bins = self.bases.encoder.mel_bins;
        if kind == Kind::Ctc {
            let head = head.as_ref().context("a CTC task without its head")?;
            let dropout = (self.frame_dropout(), random);
            let loss = ctc::loss(model, head, examples, bins, self.likeness, dropout)?;
            return if loss.tokens > 0 { Ok(loss) } else { nothing() };
        }
        let sequences = speech_sequences(model, kind, examples, random);
        if sequences.is_empty() {
            return nothing();
        }
        let (mel, frames) = mel(examples, bins, &self.device)?;
        let dropped = |heard| self.frame_dropout().apply(heard, random);
        let (audio, lengths) = model.listen_through(&mel, &frames, dropped)?;
        let found = model.answer_loss(Some((&audio, &lengths)), &sequences)?;
        let mut loss = Loss::new(found.sum, found.tokens as u64);
        loss.correct = Some(found.correct as u64);
        Ok(loss)
    }

    fn frame_dropout(&self) -> FrameDropout {
        FrameDropout(self.recipe.augmentation.frame_dropout)
    }

    /// The task of a micro-batch, drawn from the mix by its place in the run alone.
    fn draw(&self, at: &Position) -> Result<(Kind, StdRng)> {
        let place = at.step.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (at.micro_batch as u64);
        // Spread, so that neighbouring seeds are not the same draws in another order.
        let seed = self.recipe.seed.wrapping_mul(0xd134_2543_de82_ef95).rotate_left(29);
        let mut random = StdRng::seed_from_u64(seed ^ place);
        let mix = at.tasks.all();
        let mut left = random.random::<f64>() * mix.iter().map(|(_, weight)| weight).sum::<f64>();
        let mut drawn = None;
        for (name, weight) in mix.into_iter().filter(|(_, weight)| *weight > 0.0) {
            // The last one stays should rounding leave something over.
            drawn = Some(name);
            left -= weight;
            if left <= 0.0 {
                break;
            }
        }
        let kind = drawn.and_then(Kind::named).context("a stage without tasks")?;
        Ok((kind, random))
    }
}

impl Objective for SpeechObjective {
    fn parameters(&self) -> Vec<(String, Var)> {
        let masters = self.parameters.masters().into_iter();
        masters.map(|(name, var)| (module_name(&name), var)).collect()
    }

    fn enter_stage(&mut self, stage: &str, trained: &[Trained]) -> Result<()> {
        let patterns: Vec<String> = trained
            .iter()
            .flat_map(|module| module.names.iter().map(|name| own_name(name)))
            .collect();
        self.build(&patterns)?;
        let stage = self.recipe.stage.get(stage).context("a stage that the recipe lacks")?;
        let kinds = stage.tasks.all().into_iter().filter(|(_, weight)| *weight > 0.0);
        let kinds = kinds.filter_map(|(name, _)| Kind::named(name));
        self.kinds = kinds.filter(|kind| kind.is_speech() && *kind != Kind::Ctc).collect();
        // What CTC has made of the adapter, heard by the language model.
        self.only_ctc = self.kinds.is_empty();
        self.likeness.weight = stage.likeness;
        if self.only_ctc {
            self.kinds.push(Kind::Asr);
        }
        Ok(())
    }

    fn loss(&mut self, at: &Position) -> Result<Loss> {
        let (kind, mut random) = self.draw(at)?;
        self.parameters
            .set_moment(at.step.wrapping_mul(1 << 16).wrapping_add(at.micro_batch as u64));
        let begin = Instant::now();
        if !kind.is_speech() {
            let batch = self.feed.next_sentences()?;
            let waited = begin.elapsed();
            let (model, _) = self.model.as_ref().context("no stage was entered")?;
            let sequences = text_sequences(model, kind, &batch.examples);
            let mut loss = if sequences.is_empty() {
                // Sentences that lack a text, or are in languages without marks.
                Loss::new(Tensor::zeros((), DType::F32, model.device())?, 0)
            } else {
                let found = model.answer_loss(None, &sequences)?;
                let mut loss = Loss::new(found.sum, found.tokens as u64);
                loss.correct = Some(found.correct as u64);
                loss
            };
            loss.waited = waited;
            loss.batch = format!("{}, {} sentences", kind.name(), batch.examples.len());
            return Ok(loss);
        }
        let batch = self.feed.next_clips()?;
        let waited = begin.elapsed();
        let mut loss = self.speech_loss(kind, &batch.examples, &mut random)?;
        // Clips that no sequence can be made of are rare; a batch of nothing else has no tokens.
        self.empty = if loss.tokens == 0 { self.empty + 1 } else { 0 };
        if self.empty >= MOST_EMPTY {
            bail!("{MOST_EMPTY} batches without a clip for the task `{}`", kind.name());
        }
        if loss.tokens > 0 {
            let sum = f64::from(loss.sum.to_scalar::<f32>()?);
            loss.parts.insert(format!("loss.{}", kind.name()), (sum, loss.tokens));
            if let Some(correct) = loss.correct {
                let part = (correct as f64, loss.tokens);
                loss.parts.insert(format!("accuracy.{}", kind.name()), part);
            }
        }
        loss.audio_seconds = batch.seconds();
        loss.waited = waited;
        loss.drawn = Drawn::of(&batch.examples);
        if loss.batch.is_empty() {
            loss.batch = names(batch.examples.iter(), kind.name());
        }
        Ok(loss)
    }

    fn shares(&self, at: &Position, count: usize, processes: usize) -> Result<Vec<usize>> {
        if processes == 1 {
            return Ok(vec![0; count]);
        }
        let mut at = at.clone();
        let mut speech = Vec::with_capacity(count);
        for micro_batch in 0..count {
            at.micro_batch = micro_batch;
            speech.push(self.draw(&at)?.0.is_speech());
        }
        Ok(self.feed.owners(&speech))
    }

    fn pass(&mut self, at: &Position) -> Result<()> {
        self.feed.pass(self.draw(at)?.0.is_speech());
        Ok(())
    }

    fn notes(&mut self) -> Vec<String> {
        self.notes.take(self.feed.clips().bad_rows())
    }

    fn evaluate(&mut self, _stage: &str) -> Result<BTreeMap<String, f64>> {
        let source = self.with_low_rank(TrainingSource::evaluating(&self.parameters))?;
        let (model, head) = self.load(&source)?;
        let bins = self.bases.encoder.mel_bins;
        let metric = self.recipe.evaluation.metric;
        let mut values = evaluate(&model, bins, &self.dev, &self.kinds, metric)?;
        if let Some(head) = head {
            values.extend(ctc::evaluate(&model, &head, &self.dev, bins)?);
            if self.only_ctc {
                values.extend(values.get("loss.ctc").map(|&loss| ("loss".to_owned(), loss)));
            }
        }
        Ok(values)
    }

    fn state(&self) -> Result<serde_json::Value> {
        self.feed.state()
    }

    fn restore(&mut self, state: &serde_json::Value) -> Result<()> {
        self.feed.restore(&self.data, state)
    }
}
