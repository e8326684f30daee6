//! What dictation needs of a desktop, and which way there is on this one.

use super::DictateError;

/// The window that has the focus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// A number that is its own as long as it is there.
    pub id: u64,
    /// Names of its program, parted by a space: on X11 the instance and the class of `WM_CLASS`.
    pub class: String,
}

/// A desktop: where the focus is, and how text gets there. Text may have new lines and tabs, and no
/// other control characters.
pub trait Desk: Send {
    /// The window that has the focus; none where desktops do not tell.
    fn window(&mut self) -> Option<Window>;

    /// Whether keys can be pressed without others getting in their way: nobody holds Ctrl.
    fn ready(&mut self) -> bool;

    /// Types by keys.
    ///
    /// # Errors
    /// [`DictateError`] when the desktop refuses; some of the text may have been typed.
    fn type_text(&mut self, text: &str) -> Result<(), DictateError>;

    /// Pastes by the clipboard, whose text is put back by [`Self::rest`].
    ///
    /// # Errors
    /// [`DictateError`] when the desktop refuses.
    fn paste(&mut self, text: &str) -> Result<(), DictateError>;

    /// Puts back what was borrowed (the clipboard, keys), once it has been left alone for a
    /// moment; called again and again while nothing is typed.
    fn rest(&mut self);
}

/// The way that this desktop has.
///
/// # Errors
/// [`DictateError::NoDesktop`], [`DictateError::NoTools`] when there is none.
pub fn open_desk() -> Result<Box<dyn Desk>, DictateError> {
    #[cfg(target_os = "linux")]
    {
        if is_wayland() {
            return Ok(Box::new(super::wayland::WaylandDesk::open()?));
        }
        Ok(Box::new(super::x11::X11Desk::open(None)?))
    }
    #[cfg(not(target_os = "linux"))]
    Ok(Box::new(super::native::NativeDesk::open()?))
}

/// Whether the session is one of Wayland, even if X programs run in it.
pub(super) fn is_wayland() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(target_os = "linux") && set("WAYLAND_DISPLAY")
}
