//! `partita models`: what the store has and can get.

mod bar;
mod import;

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use indicatif::HumanBytes;
use partita_model::whisper::Quantization;

use crate::store::{Catalogue, Import, Model, Progress, State, Store, StoreError};

pub use bar::Bar;

/// Arguments of `partita models`.
#[derive(Debug, Args)]
pub struct ModelsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the models there are and which of them are installed
    List {
        /// One JSON object per model
        #[arg(long)]
        json: bool,
    },
    /// Fetch models; those installed are checked and, where needed, repaired
    Pull {
        /// Names, as `partita models list` shows them
        #[arg(required = true)]
        names: Vec<String>,
        /// Agree to the terms of models that ask for it, without being asked
        #[arg(long)]
        accept_licence: bool,
        /// Print nothing but licences, warnings and errors
        #[arg(long)]
        quiet: bool,
    },
    /// Add a model of others: Whisper of any size (Hugging Face's safetensors, CTranslate2), or a
    /// GGUF file that partita-export or partita-train wrote (of a pair, the language model's)
    Import {
        /// The file, or the folder that it is in
        path: PathBuf,
        /// What to call it here; after the file or folder when not given
        #[arg(long)]
        name: Option<String>,
        /// Type of a Whisper model's matrices: q8_0, q6_k, q4_k, f16, f32 (chosen for this processor
        /// when not given)
        #[arg(long, value_parser = super::engine_args::quantization)]
        quant: Option<Quantization>,
    },
    /// Print the folder of an installed model, or the path of one of its files
    Path {
        /// Name of the model
        name: String,
        /// One of its files
        file: Option<String>,
    },
    /// Remove a model from the store
    #[command(visible_alias = "remove")]
    Rm {
        /// Name of the model
        name: String,
    },
    /// Read every byte of installed models and compare it with the catalogue
    Verify {
        /// Names; every installed model when none is given
        names: Vec<String>,
    },
}

/// Runs `partita models` without imports: see [`run_with`].
///
/// # Errors
/// What to print: one line, or for a model that cannot be fetched, what to put where by hand.
pub fn run(args: ModelsArgs) -> anyhow::Result<()> {
    run_with(args, None)
}

/// Runs `partita models`; what is pulled is handed to `import`.
///
/// # Errors
/// As [`run`].
pub fn run_with(args: ModelsArgs, import: Option<&dyn Import>) -> anyhow::Result<()> {
    let store = Store::open()?;
    match args.command {
        Command::List { json } => list(&store, json),
        Command::Pull { names, accept_licence, quiet } => {
            let consent = if accept_licence { Consent::Given } else { Consent::Ask };
            pull(&store, &names, consent, import, &mut Bar::new(quiet))
        }
        Command::Import { path, name, quant } => {
            import::import(store, &path, name, quant, &mut Bar::new(false))
        }
        Command::Path { name, file } => path(&store, &name, file.as_deref()),
        Command::Rm { name } => remove(&store, &name),
        Command::Verify { names } => verify(&store, &names),
    }
}

/// Whether a person agrees to terms that ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// Yes, by flag.
    Given,
    /// Not yet: ask on the terminal.
    Ask,
}

/// Pulls a model, its licence shown before the first download, and runs the import for it. Does
/// nothing visible for a model that is whole.
///
/// # Errors
/// [`StoreError`]; or that the licence was not agreed to.
pub fn pull_one(
    store: &Store,
    name: &str,
    consent: Consent,
    import: Option<&dyn Import>,
    bar: &mut dyn Progress,
) -> anyhow::Result<()> {
    let model = store.catalogue().model(name)?;
    model.files_here()?;
    if !matches!(store.state(name)?, State::Installed { .. }) {
        show_licence(model, consent)?;
    }
    let installed = store.pull(name, bar)?;
    if let Some(import) = import {
        store.import(name, import, bar)?;
    }
    let (how, from) = match &installed.fetched_from {
        Some(source) => ("installed", format!(", from {source}")),
        None => ("is there, verified", String::new()),
    };
    let size = HumanBytes(model.size_here());
    bar.note(&format!("{name}: {how} ({size}{from}) in {}", installed.folder.display()));
    Ok(())
}

fn pull(
    store: &Store,
    names: &[String],
    consent: Consent,
    import: Option<&dyn Import>,
    bar: &mut dyn Progress,
) -> anyhow::Result<()> {
    // A misspelt name is said before anything is fetched.
    names.iter().try_for_each(|name| store.catalogue().model(name).map(drop))?;
    let mut failed = Vec::new();
    for name in names {
        match pull_one(store, name, consent, import, bar) {
            Ok(()) => {}
            Err(error) if names.len() == 1 || is_final(&error) => return Err(error),
            Err(error) => {
                eprintln!("{error:#}");
                failed.push(name.as_str());
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("not pulled: {}", failed.join(", ")) }
}

/// Whether the models still to come would fare no better.
fn is_final(error: &anyhow::Error) -> bool {
    use StoreError::{Cancelled, DiskFull};
    matches!(error.downcast_ref(), Some(Cancelled | DiskFull { .. }))
}

/// Shows the terms of a model and, where they ask for it, gets the person's word.
fn show_licence(model: &Model, consent: Consent) -> anyhow::Result<()> {
    let licence = &model.licence;
    eprintln!("{}: {}. {}", model.title, licence.name, licence.summary);
    eprintln!("  Terms: {}", licence.terms);
    if !licence.accept || consent == Consent::Given {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        bail!(
            "{}: its terms must be agreed to before it is fetched: read them and add --accept-licence",
            model.name
        );
    }
    eprint!("Do you agree to these terms? [y/N] ");
    io::stderr().flush().ok();
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("reading the answer")?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => bail!("{}: terms not agreed to, nothing fetched", model.name),
    }
}

fn list(store: &Store, json: bool) -> anyhow::Result<()> {
    let Catalogue { models } = store.catalogue();
    let mut out = io::stdout().lock();
    if json {
        return models.iter().try_for_each(|model| Ok(writeln!(out, "{}", row(store, model)?)?));
    }
    let width = models.iter().map(|model| model.name.len()).max().unwrap_or(0);
    for model in models {
        let state = match store.state(&model.name) {
            Ok(State::Absent) => "-".to_owned(),
            Ok(State::Partial { .. }) => "partial".to_owned(),
            Ok(State::Installed { .. }) => "installed".to_owned(),
            Err(StoreError::NotForPlatform { .. }) => "not here".to_owned(),
            Err(error) => return Err(error.into()),
        };
        let size = HumanBytes(model.size_here()).to_string();
        let licence = &model.licence.name;
        writeln!(
            out,
            "{:width$}  {state:9}  {size:>10}  {licence:18}  {}",
            model.name, model.about
        )?;
        writeln!(out, "{:width$}  languages: {}", "", model.languages)?;
    }
    writeln!(out, "in {}", store.root().display())?;
    Ok(())
}

fn row(store: &Store, model: &Model) -> anyhow::Result<serde_json::Value> {
    let (state, installed, derived) = match store.state(&model.name) {
        Ok(State::Absent) => ("absent", 0, 0),
        Ok(State::Partial { bytes, .. }) => ("partial", bytes, 0),
        Ok(State::Installed { bytes, derived }) => ("installed", bytes, derived),
        Err(StoreError::NotForPlatform { .. }) => ("not_for_platform", 0, 0),
        Err(error) => return Err(error.into()),
    };
    let files = model.files_here().unwrap_or_default();
    let files: Vec<_> = files
        .iter()
        .map(|file| {
            serde_json::json!({ "name": file.name, "size": file.size, "sha256": file.sha256 })
        })
        .collect();
    Ok(serde_json::json!({
        "name": model.name,
        "title": model.title,
        "about": model.about,
        "languages": model.languages,
        "licence": model.licence.name,
        "terms": model.licence.terms,
        "state": state,
        "size": model.size_here(),
        "installed_bytes": installed,
        "derived_bytes": derived,
        "folder": store.folder(&model.name)?,
        "files": files,
    }))
}

fn path(store: &Store, name: &str, file: Option<&str>) -> anyhow::Result<()> {
    let path = match file {
        Some(file) => store.path(name, file)?,
        None => {
            store.files(name)?;
            store.folder(name)?
        }
    };
    writeln!(io::stdout(), "{}", path.display())?;
    Ok(())
}

fn remove(store: &Store, name: &str) -> anyhow::Result<()> {
    let freed = HumanBytes(store.remove(name)?.bytes);
    writeln!(io::stdout(), "{name}: removed, {freed} freed")?;
    Ok(())
}

fn verify(store: &Store, names: &[String]) -> anyhow::Result<()> {
    let installed =
        |model: &&Model| !matches!(store.state(&model.name), Ok(State::Absent) | Err(_));
    let every: Vec<String>;
    let names = if names.is_empty() {
        let models = store.catalogue().models.iter();
        every = models.filter(installed).map(|model| model.name.clone()).collect();
        &every
    } else {
        names
    };
    let mut bar = Bar::new(false);
    let mut wrong = Vec::new();
    for name in names {
        let mismatches = store.verify(name, &mut bar)?;
        if mismatches.is_empty() {
            writeln!(io::stdout(), "{name}: ok")?;
        } else {
            wrong.push(name.as_str());
        }
        for mismatch in mismatches {
            let found = mismatch.found.as_deref().unwrap_or("no such file");
            let (path, expected) = (mismatch.path.display(), mismatch.expected);
            eprintln!("{name}: {path}: expected sha256 {expected}, found {found}");
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let names = wrong.join(" ");
    bail!("not what they should be: {names}; repair with: partita models pull {names}")
}
