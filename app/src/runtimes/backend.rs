//! The table of runtimes.

use std::fmt;

/// What runs networks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Backend {
    /// The faster one of those that a model has a form for.
    #[default]
    Auto,
    /// Candle, built in.
    Candle,
    /// ONNX Runtime, a library that is loaded.
    Onnx,
}

/// Names in options and settings, and for people.
const TABLE: [(Backend, &str, &str); 3] = [
    (Backend::Auto, "auto", "Automatic"),
    (Backend::Candle, "candle", "Candle"),
    (Backend::Onnx, "onnx", "ONNX Runtime"),
];

impl Backend {
    /// All of them, with their names and their names for people.
    pub fn all() -> impl Iterator<Item = (Self, &'static str, &'static str)> {
        TABLE.into_iter()
    }

    /// Its name in options and settings.
    pub fn name(self) -> &'static str {
        TABLE.iter().find(|(own, ..)| *own == self).map_or("auto", |(_, name, _)| name)
    }

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|(_, own, _)| *own == name).map(|(backend, ..)| *backend)
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
