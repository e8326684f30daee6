//! Training as people see it: a bar for the stage, and a line for what happens.

use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::metrics::{EvaluationRecord, StepRecord};
use crate::objective::Watcher;
use crate::output;
use crate::stages::Move;

/// Positions of the bar; shares of a stage are rounded to them.
const LENGTH: u64 = 10_000;

/// A bar on standard error with stage, loss, accuracy, speed and the time that the stage will
/// still take; lines for evaluations, ends of stages, checkpoints and skipped steps. Where
/// standard error is no terminal there are only the lines.
#[derive(Debug)]
pub struct Bar(ProgressBar);

impl Default for Bar {
    fn default() -> Self {
        let bar = ProgressBar::new(LENGTH);
        // The template is a constant; indicatif's own style would do as well.
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {percent:>3} % {msg}, {eta} left")
        {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_secs(1));
        Self(bar)
    }
}

impl Bar {
    fn line(&self, text: &str) {
        // Nothing can be told any more when standard error is gone.
        self.0.suspend(|| output::print_error(&format!("{text}\n")).ok());
    }
}

impl Watcher for Bar {
    fn step(&mut self, record: &StepRecord, share: f64) {
        self.0.set_position((share * LENGTH as f64) as u64);
        self.0.set_message(describe(record));
    }

    fn evaluation(&mut self, record: &EvaluationRecord) {
        let values: Vec<String> =
            record.values.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        self.line(&format!("step {}, {}: {}", record.step, record.stage, values.join(", ")));
    }

    fn stage(&mut self, change: &Move) {
        self.line(&change.to_string());
        self.0.reset();
    }

    fn checkpoint(&mut self, path: &Path) {
        self.line(&format!("wrote {}", path.display()));
    }

    fn note(&mut self, line: &str) {
        self.line(line);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A step in a line. Audio is in hours an hour, which is also seconds a second.
fn describe(record: &StepRecord) -> String {
    let mut text = format!("{} {}: loss {:.3}", record.stage, record.step, record.loss);
    if let Some(accuracy) = record.accuracy {
        text.push_str(&format!(", accuracy {accuracy:.3}"));
    }
    let speed = &record.speed;
    text.push_str(&format!(", {:.0} tokens/s", speed.tokens));
    if speed.audio > 0.0 {
        text.push_str(&format!(", {:.1} h/h audio", speed.audio));
    }
    if speed.waiting > 0.05 {
        text.push_str(&format!(", waiting {:.0} %", 100.0 * speed.waiting));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Speed;

    #[test]
    fn a_step_in_a_line() {
        let speed = Speed { tokens: 812.4, audio: 11.26, waiting: 0.25, ..Speed::default() };
        let stage = "adapter".to_owned();
        let mut record =
            StepRecord { step: 12, stage, loss: 2.3456, speed, ..StepRecord::default() };
        let expected = "adapter 12: loss 2.346, 812 tokens/s, 11.3 h/h audio, waiting 25 %";
        assert_eq!(describe(&record), expected);
        record.accuracy = Some(0.5);
        record.speed = Speed::default();
        assert_eq!(describe(&record), "adapter 12: loss 2.346, accuracy 0.500, 0 tokens/s");
    }
}
