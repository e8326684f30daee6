//! How the store tells what it is doing, to whatever shows it.

use std::error::Error;
use std::path::Path;

/// Watches a pull: a terminal's bar, a window, or nothing ([`Silent`]).
///
/// Positions are bytes. Speed and time left follow from them and are the watcher's to work out.
pub trait Progress {
    /// A step of `total` bytes begins.
    fn begin(&mut self, step: &str, total: u64);
    /// `done` bytes of the step are done. May go back when a step starts over.
    fn position(&mut self, done: u64);
    /// The step is over, well or not.
    fn end(&mut self);
    /// Something that the person should know, one line.
    fn note(&mut self, text: &str);
    /// Asked often (several times a second); `true` stops the pull with
    /// [`StoreError::Cancelled`](super::StoreError::Cancelled).
    fn cancelled(&self) -> bool;
}

/// Shows nothing and never cancels.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _step: &str, _total: u64) {}
    fn position(&mut self, _done: u64) {}
    fn end(&mut self) {}
    fn note(&mut self, _text: &str) {}
    fn cancelled(&self) -> bool {
        false
    }
}

/// Turns pulled files into the ones an engine reads (quantized weights, say). The store knows no
/// networks: whoever does hands one of these to [`Store::import`](super::Store::import).
pub trait Import {
    /// Names of the files to make in the folder of `model`; none for a model that needs nothing.
    /// Plain names: no folder, no leading dot.
    fn produces(&self, model: &str) -> Vec<String>;

    /// Writes all of them into `folder`, beside the pulled files, each whole or not at all.
    ///
    /// # Errors
    /// Whatever the import has to say; its causes are added to the message.
    fn import(
        &self,
        model: &str,
        folder: &Path,
        progress: &mut dyn Progress,
    ) -> Result<(), Box<dyn Error + Send + Sync>>;
}
