//! The clipboard, borrowed and given back.

use super::DictateError;
use arboard::Clipboard;
use std::time::{Duration, Instant};

/// Programs fetch what was pasted when they come to it: for this long it must not change.
const FETCHED: Duration = Duration::from_millis(400);
/// After this long without pasting, what was there before is put back.
const GIVEN_BACK: Duration = Duration::from_millis(1500);

/// The clipboard and, on Linux, the primary selection: there Shift+Insert pastes the one in most
/// programs and the other in terminals, so both hold the text.
pub(super) struct Borrowed {
    clipboard: Clipboard,
    loan: Option<Loan>,
}

struct Loan {
    ours: String,
    /// Text that was there before, in the clipboard and in the selection; other things (pictures)
    /// cannot be kept.
    before: [Option<String>; 2],
    since: Instant,
}

impl Borrowed {
    pub fn open() -> Result<Self, DictateError> {
        Ok(Self { clipboard: Clipboard::new().map_err(refused)?, loan: None })
    }

    /// Puts a text there, once the last one has had time to be fetched.
    pub fn lend(&mut self, text: &str) -> Result<(), DictateError> {
        if let Some(loan) = &self.loan {
            std::thread::sleep(FETCHED.saturating_sub(loan.since.elapsed()));
        }
        let before = match self.loan.take() {
            Some(loan) => loan.before,
            None => [self.get(false), self.get(true)],
        };
        let ours = text.to_owned();
        self.loan = Some(Loan { ours, before, since: Instant::now() });
        self.put(text, false)?;
        // Not every desktop has a selection.
        let _ = self.put(text, true);
        Ok(())
    }

    /// Sets a text and makes sure that it stays: the library takes a late word of an owner before
    /// us for news, and forgets what it was just given.
    fn put(&mut self, text: &str, primary: bool) -> Result<(), DictateError> {
        self.set(text, primary)?;
        for _ in 0..5 {
            if self.get(primary).as_deref() == Some(text) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
            self.set(text, primary)?;
        }
        Ok(())
    }

    /// The paste begins now.
    pub fn touched(&mut self) {
        if let Some(loan) = &mut self.loan {
            loan.since = Instant::now();
        }
    }

    /// Puts back what was there before, if nothing was pasted for a moment and the user has not
    /// copied something since.
    pub fn rest(&mut self) {
        if self.loan.as_ref().is_some_and(|loan| loan.since.elapsed() >= GIVEN_BACK) {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        let Some(loan) = self.loan.take() else { return };
        for (primary, before) in [false, true].into_iter().zip(loan.before) {
            if self.get(primary).as_deref() != Some(loan.ours.as_str()) {
                continue;
            }
            // Nothing is an empty text: giving it up would make the library forget the next one.
            if let Err(error) = self.set(&before.unwrap_or_default(), primary) {
                tracing::warn!("the clipboard could not be put back: {error}");
            }
        }
    }

    #[cfg(target_os = "linux")]
    fn get(&mut self, primary: bool) -> Option<String> {
        use arboard::GetExtLinux;
        self.clipboard.get().clipboard(kind(primary)).text().ok()
    }

    #[cfg(target_os = "linux")]
    fn set(&mut self, text: &str, primary: bool) -> Result<(), DictateError> {
        use arboard::SetExtLinux;
        self.clipboard.set().clipboard(kind(primary)).text(text).map_err(refused)
    }

    #[cfg(not(target_os = "linux"))]
    fn get(&mut self, primary: bool) -> Option<String> {
        (!primary).then(|| self.clipboard.get_text().ok()).flatten()
    }

    #[cfg(not(target_os = "linux"))]
    fn set(&mut self, text: &str, primary: bool) -> Result<(), DictateError> {
        if primary { Ok(()) } else { self.clipboard.set_text(text).map_err(refused) }
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(loan) = &self.loan {
            std::thread::sleep(FETCHED.saturating_sub(loan.since.elapsed()));
        }
        self.give_back();
    }
}

#[cfg(target_os = "linux")]
fn kind(primary: bool) -> arboard::LinuxClipboardKind {
    match primary {
        true => arboard::LinuxClipboardKind::Primary,
        false => arboard::LinuxClipboardKind::Clipboard,
    }
}

fn refused(error: arboard::Error) -> DictateError {
    DictateError::Clipboard(error.to_string())
}
