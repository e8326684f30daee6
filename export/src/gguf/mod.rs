//! Models as quantized GGUF files: the pair that stock llama.cpp opens, a language model alone, or
//! Whisper in our own layout.
//!
//! ```text
//! Source ─ bases, what was trained ─ ChangedBase ─ Plan (types by Quant) ─ rules ─ Pending ─ files
//!                                    Tokens ─┘
//! ```
//!
//! A [`content::Plan`] says what a file will hold before anything is computed, so what stock tools
//! would refuse ([`rules`]) is refused before a byte is written.

pub mod calibration;
pub mod card;
pub mod changed;
pub mod cli;
pub mod content;
pub mod encode;
pub mod expected;
pub mod keys;
pub mod llm;
pub mod projector;
pub mod quant;
pub mod report;
pub mod rules;
pub mod source;
pub mod template;
pub mod tokenizer;
pub mod vocabulary;
pub mod whisper;
pub mod whisper_vocabulary;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use partita_model::files::{TensorInfo, Value, WeightFile};
use partita_model::nn::changed_name;
use partita_model::speech::{CtcHead, ExportedModel, TrainedModel};
use partita_model::tokens::{Marks, Shortlist, TextTokenizer};

use changed::ChangedBase;
use content::Plan;
use encode::Loss;
use keys::Card;
pub use quant::Quant;
pub use report::{Report, Written, render};
use source::Source;
use tokenizer::Tokens;
use vocabulary::{Proof, Text};

use crate::pending::Pending;

/// What to export, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// A run's or model's folder, a packed model, another GGUF file, or the name of a model in the store.
    pub model: String,
    /// Quantization of the language model, or of Whisper.
    pub quant: Quant,
    /// Quantization of encoder and adapter; [`Quant::for_projector`] when not given.
    pub projector: Option<Quant>,
    /// Languages to cut the vocabulary to.
    pub vocabulary: Option<vocabulary::Options>,
    /// Name of the files without quantization; the model's own when not given.
    pub name: Option<String>,
    /// A language model larger than so many bytes is cut into several files.
    pub shard_size: Option<u64>,
    /// Clips by which scales are chosen for what matters.
    pub calibration: Option<calibration::Options>,
    /// What is said of it in keys `general.*` ([`card::entry`]), in the place of what is known.
    pub card: Vec<(String, String)>,
    /// The folder that gets the files.
    pub out: PathBuf,
}

/// Longest name that is taken.
const LONGEST_NAME: usize = 100;

/// Exports a model. All files appear in the folder, or none.
///
/// # Errors
/// When the model is not found or incomplete, stock tools would refuse the result (the message
/// names the rule), or a file cannot be written.
pub fn export(options: &Options) -> Result<Report> {
    let started = Instant::now();
    let source = Source::find(&options.model)?;
    let name = name(options)?;
    if options.calibration.is_some() && !matches!(source, Source::Trained { .. }) {
        bail!("--calibration is for trained speech models, which can hear the clips");
    }
    let mut pending = Pending::inside(&options.out)?;
    let mut report = match &source {
        Source::Trained { path, model, encoder, llm } => {
            pair(options, &name, (path, model), [encoder, llm], &mut pending)?
        }
        Source::Llm(file) => language_model(options, &name, file, &mut pending)?,
        Source::Whisper(file) => {
            plain_whisper(options, &name, &WeightFile::open(file)?, &mut pending)?
        }
        Source::ForeignWhisper(folder) => {
            let file = whisper::imported(folder, pending.folder())?;
            plain_whisper(options, &name, &file, &mut pending)?
        }
    };
    pending.place()?;
    for file in &mut report.files {
        file.path = options.out.join(file.path.file_name().unwrap_or_default());
    }
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// What files are called.
fn name(options: &Options) -> Result<String> {
    let path = Path::new(&options.model);
    let own = || {
        let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let stem = if full.is_file() { full.file_stem() } else { full.file_name() };
        stem.map(|stem| stem.to_string_lossy().into_owned())
    };
    let name = options.name.clone().or_else(own).unwrap_or_default();
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty()
        || name.len() > LONGEST_NAME
        || !name.chars().all(is_plain)
        || name.starts_with('.')
    {
        bail!("{name:?} is no name for files (letters, digits, -, _ and .); give one with --name");
    }
    Ok(name)
}

/// Writes one planned file into the pending folder, in shards where it is larger than `most` bytes.
fn write(
    plan: &Plan,
    pending: &mut Pending,
    (name, card): (&str, &[(String, String)]),
    quant: Quant,
    most: Option<u64>,
) -> Result<Written> {
    let stem = format!("{name}-{quant}");
    let shards = plan.shards(most.unwrap_or(u64::MAX));
    let count = shards.len();
    let (mut losses, mut bytes, mut first) = (Vec::<Loss>::new(), 0, None);
    for (number, items) in shards.into_iter().enumerate() {
        let mut metadata = if number == 0 { plan.metadata.clone() } else { Vec::new() };
        if number == 0 {
            card::say(&mut metadata, card);
        }
        let mut name = format!("{stem}.gguf");
        if count > 1 {
            // llama.cpp's names and keys; it finds the others by the first one's.
            name = format!("{stem}-{:05}-of-{count:05}.gguf", number + 1);
            let (number, count) = (u16::try_from(number)?, u16::try_from(count)?);
            let tensors = i32::try_from(plan.items.len())?;
            metadata.extend([
                ("split.no".to_owned(), Value::U16(number)),
                ("split.count".to_owned(), Value::U16(count)),
                ("split.tensors.count".to_owned(), Value::I32(tensors)),
            ]);
        }
        let path = pending.path(&name)?;
        losses.extend(plan.write(&path, &metadata, items)?);
        bytes += std::fs::metadata(&path).with_context(|| path.display().to_string())?.len();
        first.get_or_insert(path);
    }
    outdate(&stem, pending);
    Ok(Written::new((first.unwrap_or_default(), count, bytes), quant, plan, &losses))
}

/// An export of the same name in another number of files is no longer one: a reader would take old
/// shards for new ones.
fn outdate(stem: &str, pending: &mut Pending) {
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_part = |name: &str| {
        let rest = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(".gguf"));
        rest.is_some_and(|rest| {
            let shard = rest.strip_prefix('-').and_then(|rest| rest.split_once("-of-"));
            rest.is_empty() || shard.is_some_and(|(one, all)| is_number(one) && is_number(all))
        })
    };
    let entries = std::fs::read_dir(pending.target()).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    for name in names.filter(|name| is_part(name)).collect::<Vec<_>>() {
        pending.outdate(name);
    }
}

fn report(files: Vec<Written>, notices: Vec<String>, vocabulary: Option<Proof>) -> Report {
    Report { files, notices, vocabulary, calibration: None, seconds: 0.0 }
}

fn plain_whisper(
    options: &Options,
    name: &str,
    file: &WeightFile,
    pending: &mut Pending,
) -> Result<Report> {
    let cut = options.vocabulary.as_ref();
    let cut = cut.map(|wanted| whisper_vocabulary::Cut::new(file, wanted)).transpose()?;
    let plan = whisper::plan(file, name, options.quant, cut.as_ref())?;
    let row = plan.item(whisper::TABLE).context("no token table")?.row_bytes();
    let proof = cut.map(|cut| cut.proof(row)).transpose()?;
    let written = write(&plan, pending, (name, &options.card), options.quant, options.shard_size)?;
    Ok(report(vec![written], Vec::new(), proof))
}

fn language_model(
    options: &Options,
    name: &str,
    file: &Path,
    pending: &mut Pending,
) -> Result<Report> {
    let base = WeightFile::open(file)?;
    let tokenizer = TextTokenizer::from_gguf(&base)?;
    let all = Tokens::all(tokenizer.vocabulary(), 0);
    let cut = Cut::new(options, all, &base, (&tokenizer, None), Vec::new())?;
    // Nothing was trained: the base is laid over itself.
    let merged = ChangedBase::alone(&base)?;
    let own = options.name.as_deref();
    let keys = keys::unchanged(&base, own, options.quant);
    let plan = llm::plan(&merged, options.quant, &cut.tokens, &BTreeMap::new(), keys)?;
    rules::check_llm(&plan, false)?;
    let proof = cut.proof(options, &plan, (&tokenizer, None), pending)?;
    let written = write(&plan, pending, (name, &options.card), options.quant, options.shard_size)?;
    let notices = match plan.text("tokenizer.chat_template") {
        None => vec!["the file has no chat template, as its base has none".to_owned()],
        Some(_) => Vec::new(),
    };
    Ok(report(vec![written], notices, proof))
}

fn pair(
    options: &Options,
    name: &str,
    (path, model): (&Path, &TrainedModel),
    [encoder, llm]: [&PathBuf; 2],
    pending: &mut Pending,
) -> Result<Report> {
    let calibrated = options.calibration.as_ref();
    let calibrated = calibrated
        .map(|wanted| calibration::importance(path, model, [encoder, llm], wanted))
        .transpose()?;
    let trained = WeightFile::open(&TrainedModel::weights(path))?;
    let (encoder, llm) = (WeightFile::open(encoder)?, WeightFile::open(llm)?);
    check_names(&trained, [&encoder, &llm])?;
    let [hearing, writing] =
        [ChangedBase::new(&encoder, &trained)?, ChangedBase::new(&llm, &trained)?];
    let tokenizer = TextTokenizer::from_gguf(&llm)?;
    let marks = Marks::for_tokenizer(&tokenizer);
    let all = Tokens::all(tokenizer.vocabulary(), marks.appended());
    let text = vocabulary::text_of_run(path)?;
    let cut = Cut::new(options, all, &llm, (&tokenizer, Some(model)), text)?;
    let tokens = &cut.tokens;
    let model = &of_languages(model, options)?;

    let provenance = keys::provenance(path)?;
    let pair = keys::pair(model, &provenance, tokens)?;
    let shared = |more: Vec<(String, Value)>| [more, provenance.clone()].concat();
    let card = |kind, architecture, parameters, quant, base| Card {
        name,
        kind,
        architecture,
        description: format!("{name}: a language model that hears, by Partita"),
        parameters,
        quant,
        languages: &model.languages,
        base,
    };

    let words = CtcHead::words(&trained)?.unwrap_or(0);
    let rows = model.config.shortlist.ids().iter().take(words).enumerate();
    let rows = rows.filter(|(_, id)| tokens.new_id(**id).is_some()).map(|(row, _)| row).collect();
    let projector_quant = options.projector.unwrap_or(options.quant.for_projector());
    let own = vec![(ExportedModel::PAIR.to_owned(), Value::String(pair.clone()))];
    let mut projector =
        projector::plan(&hearing, &trained, model, projector_quant, rows, shared(own))?;
    let parameters = projector.plan.parameters();
    let general =
        card("mmproj", "clip", parameters, projector_quant, (&encoder, model.encoder.as_str()));
    projector.plan.metadata.splice(0..0, keys::general(&general));

    let private = keys::private(model, &marks, tokens, &pair)?;
    let rows = llm::trained_marks(&trained, &tokenizer)?;
    let mut plan = llm::plan(&writing, options.quant, tokens, &rows, shared(private))?;
    let exported = llm::tokenizer_of(&plan, pending.folder())?;
    let template = template::chat_template(&exported, &Marks::for_tokenizer(&exported))?;
    plan.metadata.retain(|(key, _)| key != "tokenizer.chat_template");
    plan.metadata.push(("tokenizer.chat_template".to_owned(), Value::String(template)));
    let architecture = llm.metadata_str("general.architecture")?;
    let general =
        card("model", architecture, plan.parameters(), options.quant, (&llm, model.llm.as_str()));
    plan.metadata.splice(0..0, keys::general(&general));

    let calibrated = calibrated.map(|(importance, calibration)| {
        projector.plan.importance.clone_from(&importance);
        plan.importance = importance;
        calibration
    });

    rules::check_llm(&plan, true)?;
    rules::check_projector(&projector.plan, llm::width(&llm)?)?;
    let proof = cut.proof(options, &plan, (&tokenizer, Some(&model.config.shortlist)), pending)?;
    let text = write(&plan, pending, (name, &options.card), options.quant, options.shard_size)?;
    // Stock tools take encoder and adapter in one file only.
    let name = format!("mmproj-{name}");
    let named = (name.as_str(), &options.card[..]);
    let speech = write(&projector.plan, pending, named, projector_quant, None)?;
    let report = report(vec![text, speech], projector.notices, proof);
    Ok(Report { calibration: calibrated, ..report })
}

/// A model's description with the languages alone that its vocabulary was cut to.
fn of_languages(model: &TrainedModel, options: &Options) -> Result<TrainedModel> {
    let mut model = model.clone();
    if let Some(wanted) = &options.vocabulary {
        model.languages.retain(|lang| wanted.languages.contains(lang));
        model.targets.retain(|lang| wanted.languages.contains(lang));
        if model.languages.is_empty() {
            bail!("the model understands none of the languages of --vocab-for");
        }
    }
    Ok(model)
}

/// Whatever was trained must have a place in the pair.
fn check_names(trained: &WeightFile, bases: [&WeightFile; 2]) -> Result<()> {
    let has_place = |tensor: &&TensorInfo| {
        let name = changed_name(&tensor.name).unwrap_or(&tensor.name);
        let stem = name.split_once(".weight").map(|(stem, _)| format!("{stem}.weight"));
        let is_base = |name: &str| bases.iter().any(|base| base.contains(name));
        ["mm.a.", "ctc.", "marks."].iter().any(|prefix| name.starts_with(prefix))
            || is_base(name)
            || stem.is_some_and(|stem| is_base(&stem))
    };
    match trained.tensors().iter().find(|tensor| !has_place(tensor)) {
        Some(tensor) => {
            bail!("`{}` of {} has no place in the pair", tensor.name, trained.path().display())
        }
        None => Ok(()),
    }
}

/// The tokens of a file, and the text by which they were chosen.
struct Cut {
    tokens: Tokens,
    text: Option<Text>,
}

impl Cut {
    fn new(
        options: &Options,
        all: Tokens,
        base: &WeightFile,
        (tokenizer, model): (&TextTokenizer, Option<&TrainedModel>),
        text_of_run: Vec<PathBuf>,
    ) -> Result<Self> {
        let Some(wanted) = &options.vocabulary else { return Ok(Self { tokens: all, text: None }) };
        let mut wanted = wanted.clone();
        if wanted.text.is_empty() {
            wanted.text = text_of_run;
        }
        let named = base.metadata().iter().filter(|(key, _)| key.ends_with("_token_id"));
        let named: Vec<u32> =
            named.filter_map(|(_, id)| u32::try_from(id.as_u64()?).ok()).collect();
        let text = Text::read(&wanted, tokenizer, false)?;
        let tokens = text.tokens(all, tokenizer, model, &named)?;
        Ok(Self { tokens, text: Some(text) })
    }

    /// The proof, from the tokenizer that the planned file will have.
    fn proof(
        &self,
        options: &Options,
        plan: &Plan,
        before: (&TextTokenizer, Option<&Shortlist>),
        pending: &Pending,
    ) -> Result<Option<Proof>> {
        let Some(text) = &self.text else { return Ok(None) };
        let exported = llm::tokenizer_of(plan, pending.folder())?;
        let list = before.1.map(|list| {
            list.ids().iter().filter_map(|&id| self.tokens.new_id(id)).collect::<Vec<u32>>()
        });
        let list = list.map(Shortlist::try_from).transpose()?;
        let table = plan.item("token_embd.weight").context("no token table")?;
        let row = table.row_bytes();
        let after = (&exported, list.as_ref());
        let proof = text.prove(before, after, &self.tokens, row)?;
        if proof.unreadable > 0 {
            bail!(
                "{} held-out lines read otherwise with {}'s vocabulary",
                proof.unreadable,
                options.model
            );
        }
        Ok(Some(proof))
    }
}
