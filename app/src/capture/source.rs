//! How sources are named, on the command line and in settings.

use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// One source of audio; several can be mixed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Source {
    /// The system's default microphone, whichever that is at the time.
    #[default]
    Default,
    /// What the system plays.
    System,
    /// A device by its name or a part of it.
    Device(String),
    /// A recording, played as if it were live.
    File(PathBuf),
}

impl FromStr for Source {
    type Err = Infallible;

    /// `default`, `system`, `file:PATH`, else a device's name.
    fn from_str(name: &str) -> Result<Self, Infallible> {
        Ok(match (name, name.strip_prefix("file:")) {
            ("default" | "", _) => Self::Default,
            ("system", _) => Self::System,
            (_, Some(path)) => Self::File(path.into()),
            (name, None) => Self::Device(name.to_owned()),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Default => out.write_str("default"),
            Self::System => out.write_str("system"),
            Self::Device(name) => out.write_str(name),
            Self::File(path) => write!(out, "file:{}", path.display()),
        }
    }
}

impl From<String> for Source {
    fn from(name: String) -> Self {
        name.parse().unwrap_or_default()
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}
