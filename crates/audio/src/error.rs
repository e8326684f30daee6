//! What can go wrong between a file and its samples.

use std::io;
use std::path::PathBuf;

/// Why audio could not be read, or a speech detector could not be used.
///
/// Every message is one line that names the file (or stream) and the reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AudioError {
    /// The file cannot be opened or read.
    #[error("{name}: cannot read: {reason}")]
    Unreadable {
        /// File or stream.
        name: String,
        /// What the system answered.
        reason: io::Error,
    },
    /// The path names a folder.
    #[error("{name}: is a directory, not an audio file")]
    Directory {
        /// The folder.
        name: String,
    },
    /// The file holds no bytes at all.
    #[error("{name}: the file is empty (0 bytes)")]
    NoBytes {
        /// File or stream.
        name: String,
    },
    /// No known container or codec recognises the bytes.
    #[error("{name}: not an audio file ({reason})")]
    NotAudio {
        /// File or stream.
        name: String,
        /// What the probe found.
        reason: String,
    },
    /// The container is known, but has no audio track (a silent film, say).
    #[error("{name}: has no audio track")]
    NoAudioTrack {
        /// File or stream.
        name: String,
    },
    /// There is an audio track, in a codec that is not built in.
    #[error("{name}: unsupported codec ({codec})")]
    UnsupportedCodec {
        /// File or stream.
        name: String,
        /// Codec, as far as known.
        codec: String,
    },
    /// The header declares something that no real recording has.
    #[error("{name}: the header makes no sense: {reason}")]
    BadHeader {
        /// File or stream.
        name: String,
        /// The value at fault.
        reason: String,
    },
    /// The file is well formed as far as can be told, but no sample came out of it.
    #[error("{name}: contains no audio{}", .reason.as_deref().map(|r| format!(" ({r})")).unwrap_or_default())]
    Empty {
        /// File or stream.
        name: String,
        /// Why decoding stopped, if it did not simply end.
        reason: Option<String>,
    },
    /// The conversion to 16 kHz failed.
    #[error("{name}: cannot resample: {reason}")]
    Resample {
        /// File or stream.
        name: String,
        /// What the resampler answered.
        reason: String,
    },
    /// A log-mel filter bank of this many bins cannot be made.
    #[error("log-mel: {bins} bins asked for; between 1 and {most} can be made")]
    MelBins {
        /// Bins asked for.
        bins: usize,
        /// The largest count.
        most: usize,
    },
    /// The shared library of ONNX Runtime cannot be used.
    #[error("{path}: cannot use as ONNX Runtime: {reason}")]
    OnnxRuntime {
        /// Path of the library.
        path: PathBuf,
        /// What the loader answered.
        reason: String,
    },
    /// The voice-activity network cannot be loaded or run.
    #[error("{path}: voice-activity model: {reason}")]
    VoiceModel {
        /// Path of the model.
        path: PathBuf,
        /// What ONNX Runtime answered.
        reason: String,
    },
}
