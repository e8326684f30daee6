//! What a comparison was asked for, kept in its folder so that it goes on with the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::Options;
use crate::output;

/// The warm start that all arms share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Warm {
    /// One by CTC, with the steps of its recipe or so many; 0 for none.
    Steps(Option<u64>),
    /// A run that was finished elsewhere.
    Run(PathBuf),
}

impl FromStr for Warm {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.parse() {
            Ok(steps) => Self::Steps(Some(steps)),
            Err(_) => Self::Run(text.into()),
        })
    }
}

/// What must be the same for a comparison to go on. Arms and seeds may be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    data: Vec<PathBuf>,
    languages: Vec<String>,
    steps: Option<u64>,
    warm: Warm,
    tiny: bool,
    #[serde(default)]
    small: bool,
}

impl Settings {
    /// Of a command line.
    ///
    /// # Errors
    /// When something that it names is not there.
    pub fn of(options: &Options) -> Result<Self> {
        let whole = |path: &PathBuf| {
            path.canonicalize().with_context(|| format!("{}: cannot read", path.display()))
        };
        let warm = match &options.warm {
            Warm::Run(run) => Warm::Run(whole(run)?),
            steps => steps.clone(),
        };
        let data = options.data.iter().map(whole).collect::<Result<_>>()?;
        let languages = options.languages.clone();
        Ok(Self {
            data,
            languages,
            steps: options.steps,
            warm,
            tiny: options.tiny,
            small: options.small,
        })
    }

    /// Keeps them in the comparison's folder, or makes sure that they are those kept there.
    ///
    /// # Errors
    /// When the folder holds others, or cannot be written.
    pub fn keep(&self, folder: &Path) -> Result<()> {
        let path = folder.join("reproduction.json");
        if !path.is_file() {
            fs::create_dir_all(folder)
                .with_context(|| format!("{}: cannot create this folder", folder.display()))?;
            return output::write_whole(&path, &serde_json::to_vec_pretty(self)?);
        }
        let named = || path.display().to_string();
        let text = fs::read(&path).with_context(named)?;
        let kept: Self = serde_json::from_slice(&text).with_context(named)?;
        let same = [
            ("--data", kept.data == self.data),
            ("--languages", kept.languages == self.languages),
            ("--steps", kept.steps == self.steps),
            ("--warm", kept.warm == self.warm),
            ("--tiny", kept.tiny == self.tiny),
            ("--small", kept.small == self.small),
        ];
        match same.iter().find(|(_, same)| !same) {
            Some((option, _)) => bail!(
                "{}: was begun with another {option}; repeat that, or name another --out",
                folder.display()
            ),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_goes_on_with_the_same_alone() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            data: Vec::new(),
            languages: Vec::new(),
            steps: Some(5),
            warm: Warm::Steps(None),
            tiny: true,
            small: false,
        };
        settings.keep(folder.path()).unwrap();
        settings.keep(folder.path()).unwrap();
        for (other, option) in [
            (Settings { steps: None, ..settings.clone() }, "--steps"),
            (Settings { warm: "900".parse().unwrap(), ..settings.clone() }, "--warm"),
            (Settings { warm: "runs/warm".parse().unwrap(), ..settings.clone() }, "--warm"),
            (Settings { tiny: false, ..settings.clone() }, "--tiny"),
            (Settings { small: true, ..settings.clone() }, "--small"),
            (Settings { languages: vec!["de".into()], ..settings.clone() }, "--languages"),
        ] {
            let error = other.keep(folder.path()).unwrap_err().to_string();
            assert!(error.contains(&format!("another {option};")), "{error}");
        }
    }
}
