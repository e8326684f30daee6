//! `partita-train eval`: what a trained model writes for the clips of a manifest, and how good that
//! is.
//!
//! - [`evaluate`] decodes clip by clip and writes two files into the run's folder: `eval/NAME.jsonl`
//!   with a [`Row`] for each clip, task and language, and `eval/NAME.json` with the [`Summary`].
//!   NAME is that of the manifest and its split: `speech-test`.
//! - [`summarize`] makes the summary of rows, [`read_rows`] reads them back, [`render`] shows a
//!   summary, [`compare`] sets two evaluations of the same clips against each other.
//!
//! Error rates are of words or characters ([`Unit`]) after Whisper's normaliser; BLEU and chrF2 have
//! sacreBLEU's numbers, with its tokenizers `zh` for Chinese, `char` for Japanese, else `13a`. The
//! language is never told to the model. A clip without speech counts for [`NoiseScores`] alone.

mod options;
mod render;
mod rows;
mod scores;
mod subject;
mod summary;
mod weights;

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use candle_core::Device;
use partita_audio::SAMPLE_RATE;
use partita_corpus::manifest::NO_LANGUAGE;

pub use options::{Options, Precision, Task, Weights};
pub use partita_corpus::bootstrap::Interval;
pub use partita_corpus::error_rate::Unit;
pub use render::render;
pub use rows::{Row, Transcript, read_rows};
pub use scores::{
    About, Comparison, LanguageScores, Mean, MeanTranslation, NoiseScores, Summary,
    TranslationScores,
};
pub use summary::{compare, summarize};

use crate::audio::progress;
use crate::data::{Clip, SetOptions, SpeechSet};
use crate::output;
use subject::Subject;

/// Longest clip that is heard, in seconds: the encoder's window.
const LONGEST: f64 = 30.0;

/// Lets a model answer, and writes the rows and their summary.
///
/// # Errors
/// When there is no such model, checkpoint or manifest; when the model was not trained for what is
/// asked, or no clip has it; when it fails, or the files cannot be written. A clip that cannot be
/// read is no error: [`About::unheard`] names it.
pub fn evaluate(options: &Options, device: &Device, quiet: bool) -> Result<Summary> {
    let never = AtomicBool::new(false);
    evaluate_until(&never, options, device, quiet)?.context("an evaluation that nobody stopped")
}

/// As [`evaluate`]; `None`, and nothing is written, when `stop` is raised (looked at after every
/// clip).
///
/// # Errors
/// As there.
pub fn evaluate_until(
    stop: &AtomicBool,
    options: &Options,
    device: &Device,
    quiet: bool,
) -> Result<Option<Summary>> {
    let mut subject = Subject::open(options, device)?;
    expect("languages", &options.languages, &subject.languages)?;
    expect("to", &options.to, &subject.targets)?;
    let languages = match options.languages.is_empty() {
        false => &options.languages,
        true => &subject.languages,
    };
    let set = SpeechSet::open(&SetOptions {
        sources: options.manifests.clone(),
        split: options.split,
        langs: languages.clone(),
        max_seconds: LONGEST,
        noise_seconds: LONGEST,
        ..SetOptions::default()
    });
    let set = set.with_context(|| match languages.len() {
        0..=20 => format!("nothing to hear in {}", languages.join(", ")),
        many => format!("nothing to hear in {many} languages"),
    })?;
    let own = || options.run.is_dir().then(|| options.run.join("eval"));
    let folder = options.out.clone().or_else(own);

    let plan = plan(options, &set, &subject.targets)?;
    let mut unheard: Vec<String> = set.bad_rows.iter().map(ToString::to_string).collect();
    let bar = progress(plan.len() as u64, "clips", quiet);
    let mut rows = Vec::new();
    for (clip, asked) in plan {
        if stop.load(Ordering::Relaxed) {
            bar.finish_and_clear();
            return Ok(None);
        }
        bar.inc(1);
        match set.samples(clip) {
            Ok(samples) => rows.extend(hear(&mut subject, clip, asked, &samples)?),
            Err(bad) => unheard.push(bad.to_string()),
        }
    }
    bar.finish_and_clear();
    if rows.is_empty() {
        let first = unheard.first().map_or("", String::as_str);
        bail!("no clip could be heard; the first: {first}");
    }

    // Whisper is an engine and nothing else.
    let precision = if subject.is_trained() { options.precision } else { Precision::Engine };
    let mut summary = summarize(&rows);
    summary.about = Some(About {
        run: subject.name,
        weights: subject.weights,
        precision,
        device: device_name(device).to_owned(),
        manifests: options.manifests.iter().map(|path| path.display().to_string()).collect(),
        split: options.split,
        beam: options.beam.max(1),
        unheard,
    });
    if let Some(folder) = folder {
        fs::create_dir_all(&folder)
            .with_context(|| format!("{}: cannot create this folder", folder.display()))?;
        let file = |ending| folder.join(format!("{}.{ending}", options.name()));
        rows::write_rows(&file("jsonl"), &rows)?;
        output::write_whole(&file("json"), &serde_json::to_vec_pretty(&summary)?)?;
    }
    Ok(Some(summary))
}

fn device_name(device: &Device) -> &'static str {
    match device {
        Device::Cpu => "cpu",
        Device::Cuda(_) => "cuda",
        Device::Metal(_) => "metal",
    }
}

/// A task with the language translated into and the manifest's text.
type Asked<'a> = (Task, Option<String>, &'a str);

/// Refuses what a model was not trained for.
fn expect(option: &str, wanted: &[String], known: &[String]) -> Result<()> {
    match wanted.iter().find(|code| !known.contains(code)) {
        Some(code) => bail!("--{option}: not trained for `{code}`, only for {}", known.join(", ")),
        None => Ok(()),
    }
}

/// The clips that are heard and what is asked for each.
fn plan<'a>(
    options: &Options,
    set: &'a SpeechSet,
    targets: &[String],
) -> Result<Vec<(&'a Clip, Vec<Asked<'a>>)>> {
    let to = if options.to.is_empty() { targets } else { &options.to };
    let given = |clip: &Clip, to: &String| {
        clip.lang.as_ref() != Some(to)
            && clip.translations.get(to).is_some_and(|text| !text.trim().is_empty())
    };
    let spoken = || set.clips().iter().filter(|clip| clip.lang.is_some());
    let translated = spoken().any(|clip| to.iter().any(|to| given(clip, to)));
    let tasks = match &options.tasks[..] {
        [] if translated => &[Task::Asr, Task::St][..],
        [] => &[Task::Asr],
        some => some,
    };
    if let Some(task) = tasks.iter().find(|&&task| task != Task::Asr) {
        let name = task.name();
        if to.is_empty() {
            bail!("--task {name}: this model was not trained to translate");
        }
        if !translated && spoken().next().is_some() {
            bail!("--task {name}: no clip has a translation into {}", to.join(", "));
        }
    }
    let asks = |clip: &'a Clip| -> Vec<Asked<'a>> {
        let speech = clip.lang.is_some();
        let mut asked = Vec::new();
        for &task in tasks {
            match (task, speech) {
                (Task::Asr, false) => asked.push((task, None, "")),
                (Task::Asr, true) if clip.text.trim().is_empty() => {}
                (Task::Asr, true) => asked.push((task, None, clip.text.as_str())),
                // Whatever the language, silence should be the answer.
                (_, false) => asked.extend(to.first().map(|to| (task, Some(to.clone()), ""))),
                (_, true) => {
                    let given = to.iter().filter(|to| given(clip, to));
                    asked.extend(given.filter_map(|to| {
                        Some((task, Some(to.clone()), clip.translations.get(to)?.as_str()))
                    }));
                }
            }
        }
        asked
    };
    let mut by_language: BTreeMap<Option<&str>, Vec<(&Clip, Vec<Asked>)>> = BTreeMap::new();
    for clip in set.clips() {
        let asked = asks(clip);
        if !asked.is_empty() {
            by_language.entry(clip.lang.as_deref()).or_default().push((clip, asked));
        }
    }
    let mut plan = Vec::new();
    for clips in by_language.into_values() {
        let (all, most) = (clips.len(), options.clips.unwrap_or(usize::MAX));
        // Evenly, so that all parts of the manifest are heard.
        let count = most.min(all);
        let mut next = (0..count).map(|i| i * all / count).peekable();
        for (at, clip) in clips.into_iter().enumerate() {
            if next.next_if_eq(&at).is_some() {
                plan.push(clip);
            }
        }
    }
    if plan.is_empty() {
        let names: Vec<_> = tasks.iter().map(|task| task.name()).collect();
        bail!("no clip has a text for {}", names.join(", "));
    }
    Ok(plan)
}

fn hear(
    subject: &mut Subject,
    clip: &Clip,
    asked: Vec<Asked>,
    samples: &[f32],
) -> Result<Vec<Row>> {
    let id = match clip.id.is_empty() {
        false => clip.id.clone(),
        true => format!("{}:{}", clip.place.0.display(), clip.place.1),
    };
    let tasks: Vec<(Task, Option<String>)> =
        asked.iter().map(|(task, to, _)| (*task, to.clone())).collect();
    let answers = subject.answer(samples, &tasks).with_context(|| format!("clip `{id}`"))?;
    let row = |((task, to, reference), said): (Asked, subject::Said)| Row {
        id: id.clone(),
        lang: clip.lang.clone().unwrap_or_else(|| NO_LANGUAGE.to_owned()),
        task,
        to,
        reference: reference.to_owned(),
        hypothesis: said.text,
        transcript: said
            .transcript
            .map(|hypothesis| Transcript { reference: clip.text.clone(), hypothesis }),
        heard: said.heard,
        seconds: samples.len() as f64 / f64::from(SAMPLE_RATE),
        // Whole microseconds: so few digits are read again as they were.
        decode_seconds: (said.seconds * 1e6).round() / 1e6,
        looped: said.looped,
    };
    Ok(asked.into_iter().zip(answers).map(row).collect())
}
