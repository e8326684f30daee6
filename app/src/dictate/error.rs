//! What can go wrong with dictation.

/// Errors of dictation; each says in one line what can be done.
#[derive(Debug, thiserror::Error)]
pub enum DictateError {
    /// No desktop answers.
    #[error("no desktop to type into: {0}")]
    NoDesktop(String),
    /// A Wayland session without a program that can press keys.
    #[error(
        "this Wayland session gives no way to type: install wtype (wlroots, KDE) or ydotool with \
         its service ydotoold (GNOME and others)"
    )]
    NoTools,
    /// The keyboard cannot be used.
    #[error("typing: {0}")]
    Typing(String),
    /// The clipboard cannot be used.
    #[error("pasting: {0}")]
    Clipboard(String),
    /// The key cannot be had.
    #[error("the key `{key}`: {reason}")]
    Hotkey {
        /// As it is in the settings.
        key: String,
        /// Why not, and what to do.
        reason: String,
    },
}
