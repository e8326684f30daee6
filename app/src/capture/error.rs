//! What can go wrong with sources of audio.

/// Errors of capture; each names its source.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// There is no such device, or none at all.
    #[error("{wanted}: no such source; there are: {known}")]
    NotFound {
        /// What was asked for.
        wanted: String,
        /// Names of those that are there, joined.
        known: String,
    },
    /// The system would not open the device.
    #[error("{source_name}: {reason}")]
    Device {
        /// Name of the source.
        source_name: String,
        /// What the system said.
        reason: String,
    },
    /// The platform or this build has no way to do it.
    #[error("{0}")]
    Unsupported(String),
    /// A file could not be read as audio.
    #[error(transparent)]
    File(#[from] partita_audio::AudioError),
}

impl CaptureError {
    /// What happened, without the name of the source.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::NotFound { .. } => "it is not there any more".to_owned(),
            Self::Device { reason, .. } => reason.clone(),
            Self::Unsupported(_) | Self::File(_) => self.to_string(),
        }
    }
}
