//! Which runtime is faster for a model on this machine: measured once on a few seconds of a clip that
//! the program carries, and kept in `$PARTITA_HOME/runtimes.json`.

use super::{Backend, Found};
use crate::engines::Options;
use crate::measure::request;
use crate::measurements::{self, Measurements};
use crate::samples;
use crate::store::Store;
use anyhow::Context;
use partita_audio::SAMPLE_RATE;
use partita_model::engine::LiveEngine;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What was measured of runtimes.
pub type Runtimes = Measurements<Row>;

/// One model in one setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was measured.
    pub of: Setting,
    /// Seconds of computing a second of audio, by candle.
    pub candle: f64,
    /// The same by ONNX Runtime.
    pub onnx: f64,
}

/// What a measurement depends on beside the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Where the model lies.
    pub model: PathBuf,
    /// Bytes of its files ([`Found::bytes`]).
    pub bytes: u64,
    /// Threads.
    pub threads: usize,
    /// Candle's device.
    pub device: String,
    /// ONNX Runtime's provider.
    pub provider: String,
}

impl Row {
    /// The faster one.
    pub fn faster(&self) -> Backend {
        if self.onnx < self.candle { Backend::Onnx } else { Backend::Candle }
    }
}

/// Seconds of the clip that are heard.
const SECONDS: usize = 6;
/// Times that it is heard after the first, the quickest of which counts.
const TIMES: usize = 2;
/// Rows that are kept, the newest.
const MOST: usize = 200;

impl measurements::Row for Row {
    const FILE: &'static str = "runtimes.json";
}

impl Runtimes {
    /// What was measured in a setting.
    pub fn of(&self, setting: &Setting) -> Option<&Row> {
        self.rows.iter().find(|row| row.of == *setting)
    }

    /// Adds a row, or puts it in the place of an older one of the same model.
    pub fn add(&mut self, row: Row) {
        let replaced = |old: &Row| Setting { bytes: row.of.bytes, ..old.of.clone() } == row.of;
        self.rows.retain(|old| !replaced(old));
        let before = self.rows.len().saturating_sub(MOST - 1);
        self.rows.drain(..before);
        self.rows.push(row);
    }
}

/// Opens a model that is there in both forms with the runtime that is faster here. Where one of them
/// cannot run it, the other one does, and nothing is kept.
///
/// # Errors
/// When neither can.
pub(super) fn open(
    store: &Store,
    found: &Found,
    options: &Options,
) -> anyhow::Result<Box<dyn LiveEngine>> {
    let path = Path::new(&options.model);
    let setting = Setting {
        model: path.canonicalize().unwrap_or_else(|_| path.to_owned()),
        bytes: found.bytes(),
        threads: options.threads,
        device: format!("{:?}", options.device).to_lowercase(),
        provider: options.provider.name().to_owned(),
    };
    let mut known = Runtimes::load(store.root());
    if let Some(row) = known.of(&setting) {
        return match row.faster() {
            Backend::Onnx => super::onnx(store, found, options),
            _ => super::candle(store, found, options),
        };
    }
    tracing::info!("{}: measuring once which runtime is faster here", options.model);
    // One after the other, so that memory holds the model once.
    let by_candle = super::candle(store, found, options).and_then(|mut engine| speed(&mut *engine));
    let by_onnx = super::onnx(store, found, options).and_then(|mut engine| {
        let factor = speed(&mut *engine)?;
        Ok((factor, engine))
    });
    let (candle, (onnx, engine)) = match (by_candle, by_onnx) {
        (Ok(candle), Ok(onnx)) => (candle, onnx),
        (Ok(_), Err(error)) => {
            tracing::warn!("ONNX Runtime does not run it, candle does: {error:#}");
            return super::candle(store, found, options);
        }
        (Err(error), Ok((_, engine))) => {
            tracing::warn!("candle does not run it, ONNX Runtime does: {error:#}");
            return Ok(engine);
        }
        (Err(error), Err(_)) => return Err(error),
    };
    let row = Row { of: setting, candle, onnx };
    let faster = row.faster();
    tracing::info!("real-time factors: candle {candle:.3}, ONNX Runtime {onnx:.3}: {faster}");
    known.add(row);
    if let Err(error) = known.save(store.root()) {
        tracing::warn!("what was measured is not kept: {error}");
    }
    match faster {
        Backend::Onnx => Ok(engine),
        _ => {
            drop(engine);
            super::candle(store, found, options)
        }
    }
}

/// Seconds of computing a second of audio.
fn speed(engine: &mut dyn LiveEngine) -> anyhow::Result<f64> {
    let known = &engine.capabilities().languages;
    let mut clips = samples::all().into_iter();
    let clip = clips.find(|clip| known.contains(&clip.lang));
    let clip = clip.context("no clip in a language of this model")?;
    let mut samples = clip.audio()?;
    samples.truncate(SECONDS * SAMPLE_RATE as usize);
    let request = request(&clip.lang);
    // The first time packs weights and fills caches.
    engine.transcribe(&samples, &request)?;
    let mut least = f64::INFINITY;
    for _ in 0..TIMES {
        let begun = Instant::now();
        engine.transcribe(&samples, &request)?;
        least = least.min(begun.elapsed().as_secs_f64());
    }
    Ok(least * f64::from(SAMPLE_RATE) / samples.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_found_for_the_same_setting_alone() {
        let folder = tempfile::tempdir().unwrap();
        let of = Setting {
            model: "model".into(),
            bytes: 5,
            threads: 2,
            device: "cpu".to_owned(),
            provider: "cpu".to_owned(),
        };
        let mut known = Runtimes::load(folder.path());
        known.add(Row { of: of.clone(), candle: 0.3, onnx: 0.2 });
        known.save(folder.path()).unwrap();
        let mut known = Runtimes::load(folder.path());
        assert_eq!(known.of(&of).unwrap().faster(), Backend::Onnx);
        let other = Setting { bytes: 6, ..of.clone() };
        assert!(known.of(&other).is_none(), "another file of the same name");
        known.add(Row { of: other.clone(), candle: 0.2, onnx: 0.3 });
        assert_eq!(known.rows.len(), 1);
        assert_eq!(known.of(&other).unwrap().faster(), Backend::Candle);
        known.add(Row { of: Setting { threads: 1, ..of }, candle: 0.2, onnx: 0.3 });
        assert_eq!(known.rows.len(), 2);
        known.processor = "another".to_owned();
        known.save(folder.path()).unwrap();
        assert!(Runtimes::load(folder.path()).rows.is_empty());
        std::fs::write(folder.path().join("runtimes.json"), b"{").unwrap();
        assert!(Runtimes::load(folder.path()).rows.is_empty());
    }
}
