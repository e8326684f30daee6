//! One recording from its beginning to its end: what the command line and the window share.

use crate::output::Document;
use anyhow::Context;
use partita_audio::vad::{Segmenter, VadOptions};
use partita_audio::{AudioReader, SAMPLE_RATE};
use partita_model::engine::{Engine, Request};
use partita_model::longform::{Cutting, LongForm, Utterance};
use std::ops::ControlFlow;

/// How far a recording is.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// Seconds that were read.
    pub seconds: f64,
    /// Seconds there are, where the file says so.
    pub of: Option<f64>,
    /// What was understood since the step before.
    pub new: &'a [Utterance],
}

/// A recording that was read.
#[derive(Debug)]
pub struct Transcribed {
    /// What was said.
    pub document: Document,
    /// What was wrong with the file, a line each.
    pub warnings: Vec<String>,
}

/// How a recording is cut into what an engine takes at once: where somebody speaks, or by length.
pub fn cutting(by_voice: bool) -> Cutting {
    match by_voice {
        false => Cutting::Length,
        true => {
            let (detector, instead) = crate::engines::voice_activity();
            if let Some(why) = instead {
                tracing::warn!("{why}");
            }
            Cutting::Voice(Box::new(Segmenter::new(detector, VadOptions::default())))
        }
    }
}

/// Writes down, and translates if asked, what is said in a recording called `name`. `watch` is told
/// at the beginning and then at each block of at most 0.25 s; where it breaks, the recording is left
/// and `None` comes back.
///
/// # Errors
/// When the recording cannot be read, or the engine fails; the message names the recording.
pub fn transcribe(
    name: &str,
    mut reader: AudioReader,
    engine: &mut dyn Engine,
    request: Request,
    cutting: Cutting,
    watch: &mut dyn FnMut(Step) -> ControlFlow<()>,
) -> anyhow::Result<Option<Transcribed>> {
    let named = || name.to_owned();
    let of = reader.duration();
    let target = request.translate.clone();
    let mut document = Document { file: named(), target, ..Document::default() };
    let mut long_form = LongForm::new(engine, request, cutting);
    let mut samples = 0;
    let seconds = |samples: u64| samples as f64 / f64::from(SAMPLE_RATE);
    if watch(Step { seconds: 0.0, of, new: &[] }).is_break() {
        return Ok(None);
    }
    while let Some(block) = reader.next_block()? {
        samples += block.len() as u64;
        let new = long_form.push(&block).with_context(named)?;
        if watch(Step { seconds: seconds(samples), of, new: &new }).is_break() {
            return Ok(None);
        }
        document.utterances.extend(new);
    }
    document.utterances.extend(long_form.finish().with_context(named)?);
    document.seconds = seconds(samples);
    let mut warnings = Vec::new();
    if reader.truncated() {
        warnings.push(format!("{name}: cut off; the audio before that was read"));
    }
    match reader.repaired_samples() {
        0 => {}
        count => warnings
            .push(format!("{name}: {count} samples that are no numbers were read as silence")),
    }
    Ok(Some(Transcribed { document, warnings }))
}
