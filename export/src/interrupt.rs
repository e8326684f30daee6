//! Ctrl-C while files are being written: work ends at the next step, and takes away what it began.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Lets Ctrl-C and requests to end call [`stop`]. Where there is a handler already, that one stays.
pub fn on_ctrl_c() {
    let _ = ctrlc::set_handler(stop);
}

/// Ends all work of this process at its next [`check`].
pub fn stop() {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Goes on unless work is to end.
///
/// # Errors
/// After [`stop`].
pub fn check() -> Result<()> {
    if INTERRUPTED.load(Ordering::Relaxed) {
        bail!("interrupted; nothing was written");
    }
    Ok(())
}
