//! Typing into other programs where the platform takes text as it is: macOS and Windows. Not tried
//! there yet. Under X11 it is not used: there the library gives keys new meanings before programs have
//! looked up the last ones (in xterm, 27 of 64 Cyrillic characters and 4 of 100 Chinese ones were in
//! their place).

use super::DictateError;
use super::clipboard::Borrowed;
use super::desk::{Desk, Window};
use enigo::{Direction, Enigo, InputError, Key, Keyboard, Settings};

/// A desktop whose own services press keys.
pub struct NativeDesk {
    enigo: Enigo,
    clipboard: Option<Borrowed>,
}

impl NativeDesk {
    /// Asks for the right to press keys, where one is needed.
    ///
    /// # Errors
    /// [`DictateError::NoDesktop`] when it is refused.
    pub fn open() -> Result<Self, DictateError> {
        let enigo = Enigo::new(&Settings::default());
        let enigo = enigo.map_err(|error| DictateError::NoDesktop(error.to_string()))?;
        Ok(Self { enigo, clipboard: None })
    }
}

impl Desk for NativeDesk {
    fn window(&mut self) -> Option<Window> {
        None
    }

    fn ready(&mut self) -> bool {
        true
    }

    fn type_text(&mut self, text: &str) -> Result<(), DictateError> {
        for (number, line) in text.split('\n').enumerate() {
            if number > 0 {
                self.enigo.key(Key::Return, Direction::Click).map_err(failed)?;
            }
            for (number, part) in line.split('\t').enumerate() {
                if number > 0 {
                    self.enigo.key(Key::Tab, Direction::Click).map_err(failed)?;
                }
                if !part.is_empty() {
                    self.enigo.text(part).map_err(failed)?;
                }
            }
        }
        Ok(())
    }

    fn paste(&mut self, text: &str) -> Result<(), DictateError> {
        let clipboard = match &mut self.clipboard {
            Some(clipboard) => clipboard,
            none => none.insert(Borrowed::open()?),
        };
        clipboard.lend(text)?;
        let holder = if cfg!(target_os = "macos") { Key::Meta } else { Key::Control };
        self.enigo.key(holder, Direction::Press).map_err(failed)?;
        let pressed = self.enigo.key(Key::Unicode('v'), Direction::Click);
        self.enigo.key(holder, Direction::Release).map_err(failed)?;
        clipboard.touched();
        pressed.map_err(failed)
    }

    fn rest(&mut self) {
        if let Some(clipboard) = &mut self.clipboard {
            clipboard.rest();
        }
    }
}

fn failed(error: InputError) -> DictateError {
    DictateError::Typing(error.to_string())
}
