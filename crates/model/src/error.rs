//! What can go wrong with a model.

use crate::files::FileError;
use std::path::PathBuf;

/// An error of loading or running a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A weight file that cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file beside the weights (configuration, tokenizer) that cannot be used.
    #[error("{}: {reason}", path.display())]
    Companion {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An ONNX graph that cannot be used: the file, and the input or output at fault.
    #[error("{}: {reason}", path.display())]
    Graph {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, or what ONNX Runtime answered.
        reason: String,
    },
    /// A parameter that is missing, has another shape, or cannot be trained.
    #[error("parameter `{name}`: {reason}")]
    Parameter {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor operation that failed: shapes, memory or device.
    #[error("tensor operation: {0}")]
    Tensor(#[source] candle_core::Error),
    /// A tokenizer that failed.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// Audio that cannot be used.
    #[error(transparent)]
    Audio(#[from] partita_audio::AudioError),
    /// Something that the model cannot do: a language, a translation target, an option.
    #[error("{0}")]
    Unsupported(String),
}

impl From<candle_core::Error> for ModelError {
    /// Without the backtrace that candle adds where `RUST_BACKTRACE` is set: a message is one line.
    fn from(mut error: candle_core::Error) -> Self {
        while let candle_core::Error::WithBacktrace { inner, .. } = error {
            error = *inner;
        }
        Self::Tensor(error)
    }
}
