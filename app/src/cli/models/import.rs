//! `partita models import`: a model of others, put into the store.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use indicatif::HumanBytes;
use partita_model::files::{Value, WeightFile};
use partita_model::speech::{ExportedModel, InstructedModel, OnnxModel, TrainedModel};
use partita_model::tokens::Lang;
use partita_model::whisper::{self, Quantization, WhisperConfig};

use crate::store::{Licence, Model, Progress, Store};

/// What a path holds.
enum Kind {
    /// Whisper in others' formats.
    Foreign,
    /// Files that an engine runs as they are, the main one first.
    Ready { engine: &'static str, files: Vec<PathBuf>, languages: String },
}

/// Looks into the model before anything is written.
fn kind(path: &Path) -> anyhow::Result<Kind> {
    if path.join(TrainedModel::DESCRIPTION).is_file() {
        bail!(
            "{0}: a run. It is used where it lies (--model {0}); to import it, make one file of it \
             first: partita-train pack {0} --out FILE.gguf",
            path.display()
        );
    }
    if OnnxModel::is_at(path) {
        bail!("{0}: ONNX graphs, which are used where they lie: --model {0}", path.display());
    }
    if path.is_dir() || path.extension().is_none_or(|extension| extension != "gguf") {
        return Ok(Kind::Foreign);
    }
    let file = WeightFile::open(path)?;
    let files = vec![path.to_owned()];
    if file.metadata().get("general.architecture").and_then(Value::as_str) == Some("whisper") {
        WhisperConfig::from_file(&file)?;
        return Ok(Kind::Ready { engine: "whisper", files, languages: "Whisper's".to_owned() });
    }
    let engine = "speech-llm";
    if TrainedModel::is_packed(path) {
        let languages = codes(&TrainedModel::read(path)?.languages);
        return Ok(Kind::Ready { engine, files, languages });
    }
    if ExportedModel::is_at(path) {
        let pair = ExportedModel::open(path)?;
        let files = pair.files().map(Path::to_owned).collect();
        return Ok(Kind::Ready { engine, files, languages: codes(pair.languages()) });
    }
    let pair = InstructedModel::open(path).with_context(|| {
        format!("{}: neither Whisper nor half of a speech model's pair", path.display())
    })?;
    let files = pair.files().map(Path::to_owned).collect();
    Ok(Kind::Ready { engine, files, languages: pair.languages().join(", ") })
}

fn codes(langs: &[Lang]) -> String {
    langs.iter().map(|lang| lang.code()).collect::<Vec<_>>().join(", ")
}

/// Adds the model at `path` to the store and says how it is used.
///
/// # Errors
/// When it is no model that an engine runs, there is one of that name, or it cannot be written.
pub fn import(
    mut store: Store,
    path: &Path,
    name: Option<String>,
    quantization: Option<Quantization>,
    progress: &mut dyn Progress,
) -> anyhow::Result<()> {
    let path = path.canonicalize().with_context(|| format!("{}: cannot read", path.display()))?;
    let stem = if path.is_dir() { path.file_name() } else { path.file_stem() };
    let stem = || stem.map(|stem| stem.to_string_lossy().into_owned());
    let name = name.or_else(stem).context("give it a name with --name")?;
    let kind = kind(&path)?;
    if quantization.is_some() && matches!(kind, Kind::Ready { .. }) {
        bail!("{}: its types stay as they are; leave --quant out", path.display());
    }
    let (engine, languages) = match &kind {
        Kind::Foreign => ("whisper", "Whisper's".to_owned()),
        Kind::Ready { engine, languages, .. } => (*engine, languages.clone()),
    };
    let model = Model {
        name: name.clone(),
        title: name.clone(),
        about: format!("for --engine {engine}, imported from {}", path.display()),
        languages,
        licence: Licence {
            name: "see its source".to_owned(),
            summary: String::new(),
            terms: String::new(),
            accept: false,
        },
        files: Vec::new(),
        sources: Vec::new(),
    };
    let quantization = quantization.unwrap_or_else(Quantization::for_this_machine);
    let make = |folder: &Path| -> Result<Vec<String>, Box<dyn Error + Send + Sync>> {
        match &kind {
            Kind::Foreign => {
                let file = format!("{name}-{}.gguf", quantization.name());
                whisper::import(&path, &folder.join(&file), quantization)?;
                Ok(vec![file])
            }
            Kind::Ready { files, .. } => files.iter().map(|file| copy(file, folder)).collect(),
        }
    };
    store.bring(model, make, progress)?;
    let size = HumanBytes(store.catalogue().model(&name)?.size_here());
    let mut out = io::stdout().lock();
    writeln!(out, "{name}: {size} in {}", store.folder(&name)?.display())?;
    writeln!(out, "use it with: partita transcribe --engine {engine} --model {name} FILE")?;
    Ok(())
}

fn copy(file: &Path, folder: &Path) -> Result<String, Box<dyn Error + Send + Sync>> {
    let name = file.file_name().and_then(|name| name.to_str()).ok_or("a name not in UTF-8")?;
    fs::copy(file, folder.join(name)).map_err(|cause| format!("{}: {cause}", file.display()))?;
    Ok(name.to_owned())
}
