//! Engines, and what they need, opened from the store.

use crate::pooled::on_threads;
use crate::runtimes::{self, Backend};
use crate::store::{Import, Progress, Silent, State, Store};
use anyhow::{Context, bail};
use candle_core::Device;
use partita_audio::vad::{EnergyGate, SileroVad, VoiceActivity};
use partita_model::engine::{Capabilities, LiveEngine};
use partita_model::machine::Threads;
use partita_model::onnx::Provider;
use partita_model::speech::TrainedModel;
use partita_model::whisper::{Padding, Quantization, Whisper, import};
use std::path::{Path, PathBuf};

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineChoice {
    /// Whisper.
    Whisper,
    /// A trained speech model: over its bases, or exported.
    SpeechLlm,
}

/// Which engine, from which model, held how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The engine.
    pub engine: EngineChoice,
    /// Name of its model in the store; for a trained one, its folder or an exported file.
    pub model: String,
    /// Type of its matrices on disk.
    pub quantization: Quantization,
    /// How much audio the encoder reads.
    pub padding: Padding,
    /// Where candle runs it.
    pub device: Device,
    /// Which runtime runs it.
    pub backend: Backend,
    /// What computes where ONNX Runtime runs it.
    pub provider: Provider,
    /// Threads that it computes on.
    pub threads: usize,
}

/// Turns Whisper weights of others into the quantized file that [`Whisper`] loads.
#[derive(Debug, Clone, Copy)]
pub struct WhisperImport {
    /// The type of the matrices.
    pub quantization: Quantization,
}

impl Default for WhisperImport {
    fn default() -> Self {
        Self { quantization: Quantization::for_this_machine() }
    }
}

impl WhisperImport {
    fn file(self, model: &str) -> String {
        format!("{model}-{}.gguf", self.quantization.name())
    }
}

impl Import for WhisperImport {
    fn produces(&self, model: &str) -> Vec<String> {
        match model.starts_with("whisper-") {
            true => vec![self.file(model)],
            false => Vec::new(),
        }
    }

    fn import(
        &self,
        model: &str,
        folder: &Path,
        progress: &mut dyn Progress,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        progress.note(&format!("{model}: quantizing to {}", self.quantization.name()));
        Ok(import(folder, &folder.join(self.file(model)), self.quantization)?)
    }
}

/// Sets the threads of all pools: so many, or all cores. Returns how many.
///
/// To be called before anything is computed, while no other thread of this process runs.
pub fn set_threads(count: Option<u16>) -> usize {
    let threads = Threads::of(count);
    set(threads);
    threads.all
}

/// As [`set_threads`], where [`Options::threads`] may ask for more later: of quantized products
/// alone there are never more than this count gives them.
pub fn begin_with_threads(count: Option<u16>) {
    set(Threads { all: Threads::of(None).all, ..Threads::of(count) });
}

fn set(threads: Threads) {
    for (name, value) in threads.variables() {
        // SAFETY: programs call this first; no other thread of this process is running yet.
        unsafe { std::env::set_var(name, value) };
    }
}

/// Opens an engine. The model must be installed; the quantized file is made if it is not there.
///
/// # Errors
/// When the model is not installed (the message says how to fetch it) or cannot be used.
pub fn open(options: &Options) -> anyhow::Result<Box<dyn LiveEngine>> {
    on_threads(options.threads, || open_here(options))
}

fn open_here(options: &Options) -> anyhow::Result<Box<dyn LiveEngine>> {
    let store = Store::open()?;
    let loading = || format!("loading {}", options.model);
    match options.engine {
        EngineChoice::Whisper => {
            runs_on_candle(options)?;
            let file = whisper_file(&store, &options.model, options.quantization)?;
            let whisper = Whisper::load(&file, &options.device, options.padding);
            Ok(Box::new(whisper.with_context(loading)?))
        }
        EngineChoice::SpeechLlm => {
            let model = speech_model(&store, &options.model)?;
            let model = model.to_str().with_context(loading)?.to_owned();
            runtimes::open(&store, &Options { model, ..options.clone() })
        }
    }
}

/// Whether the store has a model and what it stands on, or it is a file that is there.
pub(crate) fn is_installed(engine: EngineChoice, model: &str) -> bool {
    let Ok(store) = Store::open() else { return false };
    let installed = |name: &str| {
        Path::new(name).is_file() || matches!(store.state(name), Ok(State::Installed { .. }))
    };
    match engine {
        EngineChoice::Whisper => installed(model),
        EngineChoice::SpeechLlm => match speech_model(&store, model) {
            Ok(path) if TrainedModel::is_at(&path) => TrainedModel::read(&path)
                .is_ok_and(|trained| installed(&trained.encoder) && installed(&trained.llm)),
            Ok(path) => path.exists(),
            Err(_) => false,
        },
    }
}

/// Languages that [`open`] understands and those that it translates into by these options, as the
/// model's files say: nothing is loaded, and nothing is made.
///
/// # Errors
/// When the model is not there in the form that the options ask for, or cannot be read.
pub fn languages(options: &Options) -> anyhow::Result<[Vec<String>; 2]> {
    let store = Store::open()?;
    match options.engine {
        EngineChoice::Whisper => {
            let name = WhisperImport { quantization: options.quantization }.file(&options.model);
            let file = match Path::new(&options.model) {
                file if file.is_file() => file.to_owned(),
                _ => store.root().join("models").join(&options.model).join(name),
            };
            let can = Whisper::capabilities_of(&file)?;
            Ok([can.languages, can.translation_targets])
        }
        EngineChoice::SpeechLlm => {
            runtimes::languages(&speech_model(&store, &options.model)?, options.backend)
        }
    }
}

/// The runtimes that [`open`] chooses among by these options.
///
/// # Errors
/// When the model is not there in the form that the options ask for.
pub fn backends(options: &Options) -> anyhow::Result<Vec<Backend>> {
    match options.engine {
        EngineChoice::Whisper => runs_on_candle(options).map(|()| vec![Backend::Candle]),
        EngineChoice::SpeechLlm => {
            let path = speech_model(&Store::open()?, &options.model)?;
            let found = runtimes::Found::at(&path, options.backend)?;
            runtimes::possible(&found, options)
        }
    }
}

fn runs_on_candle(options: &Options) -> anyhow::Result<()> {
    if options.backend == Backend::Onnx || options.provider != Provider::Cpu {
        bail!("{}: Whisper runs on candle alone; ONNX Runtime is for speech-llm", options.model);
    }
    Ok(())
}

/// Says at once that an engine does not have a language.
///
/// # Errors
/// When it does not understand one of `languages` or does not translate into `target`.
pub fn check(
    can: &Capabilities,
    languages: &[String],
    target: Option<&String>,
) -> anyhow::Result<()> {
    let spoken = languages.iter().map(|code| (code, &can.languages, "understand"));
    let target = target.iter().map(|&code| (code, &can.translation_targets, "translate into"));
    for (code, known, verb) in spoken.chain(target) {
        if !known.contains(code) {
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            bail!("the {} engine does not {verb} `{code}`; it does: {known}", can.engine);
        }
    }
    Ok(())
}

/// A trained model's folder or file of that name; or the first file of such a model in the store.
fn speech_model(store: &Store, model: &str) -> anyhow::Result<PathBuf> {
    let path = Path::new(model);
    if path.exists() || store.catalogue().model(model).is_err() {
        return Ok(path.to_owned());
    }
    store.files(model)?.into_iter().next().with_context(|| format!("{model} has no files"))
}

/// The quantized file of a Whisper model in the store, which is made if it is not there; or the
/// file of that name.
pub(crate) fn whisper_file(
    store: &Store,
    model: &str,
    quantization: Quantization,
) -> anyhow::Result<PathBuf> {
    if Path::new(model).is_file() {
        return Ok(PathBuf::from(model));
    }
    let files = store.import(model, &WhisperImport { quantization }, &mut Silent)?;
    files.into_iter().next().with_context(|| format!("{model} is no Whisper model"))
}

/// The shared library of ONNX Runtime: `$ORT_DYLIB_PATH`, or the store's.
pub(crate) fn onnxruntime(store: &Store) -> anyhow::Result<PathBuf> {
    match std::env::var_os("ORT_DYLIB_PATH") {
        Some(path) => Ok(path.into()),
        None => store.files("onnxruntime")?.into_iter().next().context("no ONNX Runtime"),
    }
}

/// The best voice-activity detector there is: Silero, or the energy gate and why.
pub fn voice_activity() -> (Box<dyn VoiceActivity>, Option<String>) {
    let silero = || -> anyhow::Result<SileroVad> {
        let store = Store::open()?;
        let model = store.path("silero-vad", "silero_vad.onnx")?;
        let runtime = onnxruntime(&store)?;
        Ok(SileroVad::load(&model, &runtime)?)
    };
    match silero() {
        Ok(silero) => (Box::new(silero), None),
        Err(error) => {
            let why = format!("speech is told from noise by loudness alone: {error:#}");
            (Box::new(EnergyGate::new()), Some(why))
        }
    }
}
