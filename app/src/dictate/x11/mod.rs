//! Typing into other programs under X11.

mod focus;
mod keyboard;
mod keymap;

use super::DictateError;
use super::clipboard::Borrowed;
use super::desk::{Desk, Window};
use keyboard::Keyboard;
use x11rb::connection::Connection;
use x11rb::rust_connection::RustConnection;

/// A desktop under X11.
pub struct X11Desk {
    connection: RustConnection,
    root: u32,
    keyboard: Keyboard,
    /// Opened when it is needed first.
    clipboard: Option<Borrowed>,
}

impl X11Desk {
    /// Connects to a display, `$DISPLAY` if none is named.
    ///
    /// # Errors
    /// [`DictateError::NoDesktop`] when it does not answer or takes no keys from programs.
    pub fn open(display: Option<&str>) -> Result<Self, DictateError> {
        let failed = |error: &dyn std::fmt::Display| DictateError::NoDesktop(error.to_string());
        let (connection, screen) = x11rb::connect(display).map_err(|error| failed(&error))?;
        let screen = connection.setup().roots.get(screen);
        let root = screen.ok_or_else(|| failed(&"the display has no screen"))?.root;
        let keyboard = Keyboard::open(&connection, root)?;
        Ok(Self { connection, root, keyboard, clipboard: None })
    }
}

impl Desk for X11Desk {
    fn window(&mut self) -> Option<Window> {
        focus::window(&self.connection, self.root)
    }

    fn ready(&mut self) -> bool {
        self.keyboard.is_free(&self.connection)
    }

    fn type_text(&mut self, text: &str) -> Result<(), DictateError> {
        self.keyboard.type_text(&self.connection, text)
    }

    fn paste(&mut self, text: &str) -> Result<(), DictateError> {
        let clipboard = match &mut self.clipboard {
            Some(clipboard) => clipboard,
            none => none.insert(Borrowed::open()?),
        };
        clipboard.lend(text)?;
        self.keyboard.shift_insert(&self.connection)?;
        clipboard.touched();
        Ok(())
    }

    fn rest(&mut self) {
        if let Some(clipboard) = &mut self.clipboard {
            clipboard.rest();
        }
        self.keyboard.rest(&self.connection);
    }
}

impl Drop for X11Desk {
    fn drop(&mut self) {
        self.keyboard.give_back(&self.connection);
    }
}
