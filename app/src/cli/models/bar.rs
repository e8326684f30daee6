//! A pull on a terminal: a bar with speed and time left, or plain lines where there is no terminal.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};

use crate::store::Progress;

const TEMPLATE: &str = "{msg} [{bar:30}] {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
/// Steps smaller than this are over before a line about them is read.
const WORTH_A_LINE: u64 = 8 << 20;

/// Shows the progress of the store on standard error. Ctrl-C (and a request to end) cancels.
#[derive(Debug)]
pub struct Bar {
    quiet: bool,
    terminal: bool,
    bar: Option<ProgressBar>,
    step: Option<(String, u64, Instant)>,
    cancelled: Arc<AtomicBool>,
}

impl Bar {
    /// A bar; a quiet one shows nothing, but can be cancelled all the same.
    pub fn new(quiet: bool) -> Self {
        let cancelled = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&cancelled);
        // Whoever set a handler before answers for Ctrl-C then.
        if let Err(error) = ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed)) {
            tracing::debug!(%error, "Ctrl-C is handled elsewhere");
        }
        let terminal = std::io::stderr().is_terminal();
        Self { quiet, terminal, bar: None, step: None, cancelled }
    }
}

impl Progress for Bar {
    fn begin(&mut self, step: &str, total: u64) {
        if self.quiet {
            return;
        }
        self.step = Some((step.to_owned(), total, Instant::now()));
        if self.terminal {
            let bar = ProgressBar::new(total).with_message(step.to_owned());
            if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
                bar.set_style(style.progress_chars("=> "));
            }
            self.bar = Some(bar);
        } else if total >= WORTH_A_LINE {
            eprintln!("{step} ({})", HumanBytes(total));
        }
    }

    fn position(&mut self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if let Some((step, total, begun)) = self.step.take()
            && self.terminal
            && total >= WORTH_A_LINE
        {
            eprintln!("{step}: {}, {}", HumanBytes(total), HumanDuration(begun.elapsed()));
        }
    }

    fn note(&mut self, text: &str) {
        if self.quiet {
            return;
        }
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}
