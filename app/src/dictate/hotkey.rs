//! The key that begins and ends dictation, whichever program has the focus.

use super::DictateError;
use crate::settings::Trigger;
use crossbeam_channel::{Receiver, Sender, bounded};
use global_hotkey::hotkey::HotKey;
use global_hotkey::{GlobalHotKeyEvent, GlobalHotKeyManager, HotKeyState};
use std::sync::{Mutex, Once, PoisonError};
use std::thread::sleep;
use std::time::Duration;

/// What happened to the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Press {
    /// It went down.
    Down,
    /// It came up.
    Up,
}

/// Whether to listen after this, as the key is set to work.
///
/// ```
/// use partita::dictate::{Press, listening};
/// use partita::settings::Trigger;
/// assert!(listening(Trigger::PushToTalk, Press::Down, false));
/// assert!(!listening(Trigger::PushToTalk, Press::Up, true));
/// assert!(listening(Trigger::Toggle, Press::Up, true));
/// assert!(!listening(Trigger::Toggle, Press::Down, true));
/// ```
pub fn listening(trigger: Trigger, press: Press, now: bool) -> bool {
    match (trigger, press) {
        (Trigger::PushToTalk, press) => press == Press::Down,
        (Trigger::Toggle, Press::Down) => !now,
        (Trigger::Toggle, Press::Up) => now,
    }
}

/// Holds the key as long as it lives. On macOS it must be made on the main thread, on Windows on
/// one with an event loop (both untested).
pub struct Hotkey {
    manager: GlobalHotKeyManager,
    key: HotKey,
    presses: Receiver<Press>,
}

/// Who waits for which key: the system tells of all in one place.
static WAITING: Mutex<Vec<(u32, Sender<Press>)>> = Mutex::new(Vec::new());

impl Hotkey {
    /// Takes the key, such as `Ctrl+Alt+D` or `F9`.
    ///
    /// # Errors
    /// [`DictateError::Hotkey`] when there is no such key, another program has it, or the desktop
    /// gives none, which Wayland's do not.
    pub fn register(key: &str) -> Result<Self, DictateError> {
        let failed = |reason: String| DictateError::Hotkey { key: key.to_owned(), reason };
        let parsed: HotKey = key.trim().parse().map_err(|error| failed(format!("{error}")))?;
        available().map_err(&failed)?;
        let manager = GlobalHotKeyManager::new().map_err(|error| failed(error.to_string()))?;
        // One that was let go just now is free a moment later.
        let mut patience = 10;
        while let Err(error) = manager.register(parsed) {
            let taken = matches!(error, global_hotkey::Error::AlreadyRegistered(_));
            patience -= 1;
            if !taken {
                return Err(failed(error.to_string()));
            }
            if patience == 0 {
                let reason = "another program has it; choose another in the settings";
                return Err(failed(reason.to_owned()));
            }
            sleep(Duration::from_millis(50));
        }
        static HANDLER: Once = Once::new();
        HANDLER.call_once(|| GlobalHotKeyEvent::set_event_handler(Some(tell)));
        let (sender, presses) = bounded(32);
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push((parsed.id(), sender));
        drop(waiting);
        Ok(Self { manager, key: parsed, presses })
    }

    /// What happens to the key.
    pub fn presses(&self) -> &Receiver<Press> {
        &self.presses
    }
}

impl Drop for Hotkey {
    fn drop(&mut self) {
        let _ = self.manager.unregister(self.key);
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|(id, _)| *id != self.key.id());
    }
}

fn tell(event: GlobalHotKeyEvent) {
    let press = match event.state {
        HotKeyState::Pressed => Press::Down,
        HotKeyState::Released => Press::Up,
    };
    let waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    for (_, sender) in waiting.iter().filter(|(id, _)| *id == event.id) {
        let _ = sender.try_send(press);
    }
}

/// Whether the desktop gives keys at all: the library does not say when none answers.
fn available() -> Result<(), String> {
    #[cfg(target_os = "linux")]
    {
        if super::desk::is_wayland() {
            return Err("Wayland gives programs no keys; in the desktop's own keyboard settings, \
                        bind a key to the command `partita dictate --toggle`"
                .to_owned());
        }
        x11rb::connect(None).map_err(|error| format!("no desktop: {error}"))?;
    }
    Ok(())
}
