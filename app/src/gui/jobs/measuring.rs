//! Measuring what this machine can do, in the forms that a model can have.

use crate::engines::{self, Options};
use crate::gui::worker::{Wake, Worker};
use crate::measure::{FORMS, Measured, chosen, measure};
use crate::settings;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// To measure the engine of these settings, unless the flag is set.
#[derive(Debug)]
pub struct Ask(pub settings::Engine, pub Arc<AtomicBool>);

/// What the thread says.
#[derive(Debug)]
pub enum Say {
    /// What is measured, and which part of all is done.
    At(String, f32),
    /// What was measured so far, and whether that is all.
    Rows(Measured, bool),
    /// Measuring came to an end.
    Failed(String),
    /// It was cancelled.
    Cancelled,
}

/// The engines to measure, in all forms: the one that is chosen; those that are there, if it is to be
/// chosen by itself.
fn candidates(engine: &settings::Engine) -> Vec<settings::Engine> {
    let automatic = matches!(engine.name.as_str(), "auto" | "") && engine.model.is_empty();
    let named = |name: &str| settings::Engine { name: name.to_owned(), ..engine.clone() };
    let engines = match automatic {
        false => vec![engine.clone()],
        true => ["whisper", "speech-llm"].map(named).into_iter().filter(is_there).collect(),
    };
    let forms = |engine: settings::Engine| {
        FORMS
            .map(|form| settings::Engine { quantization: form.name().to_owned(), ..engine.clone() })
    };
    engines.into_iter().flat_map(forms).collect()
}

/// Whether an engine can be opened. Where Whisper cannot, measuring says why.
fn is_there(engine: &settings::Engine) -> bool {
    let options = chosen(engine, &Measured::default());
    let there = |options: Options| engines::is_installed(options.engine, &options.model);
    engine.name == "whisper" || options.is_ok_and(there)
}

/// Starts the thread; `root` is the folder of the store.
///
/// # Errors
/// When the system has no thread left.
pub fn start(root: PathBuf, wake: Wake) -> std::io::Result<Worker<Ask, Say>> {
    Worker::start("measure", wake, move |Ask(engine, cancelled), out| {
        let run = || -> anyhow::Result<bool> {
            let mut measured = Measured::load(&root);
            let all = candidates(&engine);
            for (number, engine) in all.iter().enumerate() {
                let options = chosen(engine, &measured)?;
                let form = options.quantization;
                let part = |part: f32| (number as f32 + part) / all.len() as f32;
                let title = format!("{} {}", options.model, form.name());
                out.say(Say::At(title.clone(), part(0.0)));
                let row = measure(&options, &mut |done| {
                    out.say(Say::At(title.clone(), part(done)));
                    match cancelled.load(Ordering::Relaxed) {
                        true => ControlFlow::Break(()),
                        false => ControlFlow::Continue(()),
                    }
                })?;
                let Some(row) = row else { return Ok(false) };
                measured.add(row);
                measured.save(&root)?;
                out.say(Say::Rows(measured.clone(), number + 1 == all.len()));
            }
            Ok(true)
        };
        match run() {
            Ok(true) => {}
            Ok(false) => {
                out.say(Say::Cancelled);
            }
            Err(error) => {
                out.say(Say::Failed(format!("{error:#}")));
            }
        }
    })
}
