//! How fast and how well engines do on this machine, on the clips that the program carries.
//!
//! Kept in `$PARTITA_HOME/measured.json`, so that the best form of a model is chosen by what was
//! measured here and not by a table.

use crate::engines::{self, EngineChoice, Options};
use crate::measurements::{self, Measurements};
use crate::runtimes::Backend;
use crate::{bundled, samples};
use partita_model::engine::Request;
use partita_model::machine::Threads;
use partita_model::onnx::Provider;
use partita_model::whisper::{Padding, Quantization};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::time::Instant;

/// Forms that are worth measuring: the larger ones are slower everywhere.
pub const FORMS: [Quantization; 3] = [Quantization::Q8_0, Quantization::Q6K, Quantization::Q4K];
/// What may be lost of the best accuracy for the sake of speed.
const WORTH: f64 = 0.01;
/// The model that is used where nothing better was measured.
pub const USUAL_MODEL: &str = "whisper-base";

/// What was measured of engines.
pub type Measured = Measurements<Row>;

/// One engine in one form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The engine.
    pub engine: String,
    /// The model.
    pub model: String,
    /// The type its weights are stored in.
    pub quantization: String,
    /// Seconds until it could begin.
    pub load_seconds: f64,
    /// Seconds of computing a second of audio.
    pub real_time_factor: f64,
    /// Share of characters that were right, 0 to 1; letters and digits alone count.
    pub accuracy: f64,
}

impl Row {
    fn choice(&self) -> EngineChoice {
        match self.engine.as_str() {
            "speech-llm" => EngineChoice::SpeechLlm,
            _ => EngineChoice::Whisper,
        }
    }
}

impl measurements::Row for Row {
    const FILE: &'static str = "measured.json";
}

impl Measured {
    /// Adds a row, or puts it in the place of an older one.
    pub fn add(&mut self, row: Row) {
        let key = |row: &Row| (row.engine.clone(), row.model.clone(), row.quantization.clone());
        let new = key(&row);
        self.rows.retain(|old| key(old) != new);
        self.rows.push(row);
    }

    /// The form of a model to use: the best one measured here, or else what suits the processor.
    pub fn form(&self, model: &str) -> Quantization {
        let measured = self.best(model).and_then(|row| Quantization::from_name(&row.quantization));
        measured.unwrap_or_else(Quantization::for_this_machine)
    }

    /// The engine and model that "automatic" means. Of models that keep up with speech, as far as any
    /// does, the one that is right most often; the usual one unless another is right clearly more
    /// often, as few clips prove little.
    pub fn automatic(&self) -> (EngineChoice, String) {
        self.automatic_of(|row| engines::is_installed(row.choice(), &row.model))
    }

    /// As [`Self::automatic`], of the rows whose models are there.
    fn automatic_of(&self, there: impl Fn(&Row) -> bool) -> (EngineChoice, String) {
        let usual = (EngineChoice::Whisper, USUAL_MODEL.to_owned());
        // Beside nothing, nothing is better.
        if self.best(USUAL_MODEL).is_none() {
            return usual;
        }
        let rank = |row: &Row| {
            let ahead = if row.model == USUAL_MODEL { WORTH } else { 0.0 };
            (row.real_time_factor < 1.0, row.accuracy + ahead)
        };
        let best = self.rows.iter().filter(|row| self.best(&row.model) == Some(*row));
        let best = best.filter(|row| row.model == USUAL_MODEL || there(row));
        let best = best.max_by(|one, other| {
            let ((keeps_up, right), (other_keeps_up, other_right)) = (rank(one), rank(other));
            keeps_up.cmp(&other_keeps_up).then(right.total_cmp(&other_right))
        });
        match best {
            Some(row) => (row.choice(), row.model.clone()),
            None => usual,
        }
    }

    /// The fastest form of a model among those that are about as good as its best.
    pub fn best(&self, model: &str) -> Option<&Row> {
        let rows = || self.rows.iter().filter(|row| row.model == model);
        let most = rows().map(|row| row.accuracy).fold(0.0, f64::max);
        let good = rows().filter(|row| row.accuracy >= most - WORTH);
        good.min_by(|a, b| a.real_time_factor.total_cmp(&b.real_time_factor))
    }
}

/// Measures an engine in one form: all clips, greedy, one after the other, after one to warm up.
/// `watch` is told the part that is done; where it breaks, `None` comes back.
///
/// # Errors
/// When the engine cannot be opened or used.
pub fn measure(
    options: &Options,
    watch: &mut dyn FnMut(f32) -> ControlFlow<()>,
) -> anyhow::Result<Option<Row>> {
    let started = Instant::now();
    let mut engine = engines::open(options)?;
    let load_seconds = started.elapsed().as_secs_f64();
    let known = engine.capabilities().languages.clone();
    let clips: Vec<_> = samples::all().into_iter().filter(|s| known.contains(&s.lang)).collect();
    if let Some(first) = clips.first() {
        engine.transcribe(&first.audio()?, &request(&first.lang))?;
    }
    let (mut audio, mut elapsed, mut right) = (0.0, 0.0, 0.0);
    for (number, clip) in clips.iter().enumerate() {
        if watch((number + 1) as f32 / (clips.len() + 1) as f32).is_break() {
            return Ok(None);
        }
        let samples = clip.audio()?;
        let begun = Instant::now();
        let heard = engine.transcribe(&samples, &request(&clip.lang))?;
        elapsed += begun.elapsed().as_secs_f64();
        audio += samples.len() as f64 / f64::from(partita_audio::SAMPLE_RATE);
        let said: Vec<_> = heard.text.segments.iter().map(|s| s.text.as_str()).collect();
        right += likeness(&clip.text, &said.join(" "));
    }
    // What is said in a language that it does not know is not right.
    let count = samples::all().len().max(1) as f64;
    Ok(Some(Row {
        engine: engine.capabilities().engine.to_owned(),
        model: options.model.clone(),
        quantization: options.quantization.name().to_owned(),
        load_seconds,
        real_time_factor: if audio > 0.0 { elapsed / audio } else { 0.0 },
        accuracy: right / count,
    }))
}

/// A plain transcript in a language that is known.
pub(crate) fn request(lang: &str) -> Request {
    let language = Some(lang.to_owned());
    Request {
        language,
        timestamps: false,
        fallback: false,
        silence_guard: false,
        ..Request::default()
    }
}

/// One less the share of characters to change (Levenshtein), letters and digits alone.
fn likeness(one: &str, other: &str) -> f64 {
    let plain = |text: &str| -> String {
        text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    strsim::normalized_levenshtein(&plain(one), &plain(other))
}

/// The engine that settings mean: what they say, and for what they leave open the best form that was
/// measured here, or else what suits the processor.
///
/// # Errors
/// When a name in the settings is not known, or the device is not there.
pub fn chosen(engine: &crate::settings::Engine, measured: &Measured) -> anyhow::Result<Options> {
    let (choice, model) = match (engine.name.as_str(), engine.model.as_str()) {
        ("auto" | "", "") => measured.automatic(),
        ("speech-llm", "") => (EngineChoice::SpeechLlm, bundled::speech_model()?),
        ("whisper", "") => (EngineChoice::Whisper, USUAL_MODEL.to_owned()),
        ("speech-llm", model) => (EngineChoice::SpeechLlm, model.to_owned()),
        ("auto" | "whisper" | "", model) => (EngineChoice::Whisper, model.to_owned()),
        (other, _) => anyhow::bail!("engine {other}: known are auto, whisper, speech-llm"),
    };
    let quantization = match engine.quantization.as_str() {
        "" => measured.form(&model),
        name => Quantization::from_name(name)
            .ok_or_else(|| anyhow::anyhow!("quantization {name}: not known"))?,
    };
    let backend = Backend::from_name(&engine.backend)
        .ok_or_else(|| anyhow::anyhow!("backend {}: not known", engine.backend))?;
    let provider = Provider::from_name(&engine.provider)
        .ok_or_else(|| anyhow::anyhow!("provider {}: not known", engine.provider))?;
    // Both are of trained models; Whisper goes on as if they were not there.
    let (backend, provider) = match choice {
        EngineChoice::Whisper => Default::default(),
        EngineChoice::SpeechLlm => (backend, provider),
    };
    Ok(Options {
        engine: choice,
        model,
        quantization,
        padding: Padding::Natural,
        device: partita_model::device::named(&engine.device)?,
        backend,
        provider,
        threads: Threads::of(Some(engine.threads).filter(|count| *count > 0)).all,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(quantization: &str, real_time_factor: f64, accuracy: f64) -> Row {
        let (engine, model) = ("whisper".to_owned(), "whisper-base".to_owned());
        let quantization = quantization.to_owned();
        Row { engine, model, quantization, load_seconds: 1.0, real_time_factor, accuracy }
    }

    #[test]
    fn the_fastest_of_the_good_is_best_and_chosen() {
        let mut measured = Measured::default();
        measured.add(row("Q8_0", 0.20, 0.970));
        measured.add(row("Q4_K", 0.10, 0.930));
        measured.add(row("Q6_K", 0.30, 0.965));
        measured.add(row("Q6_K", 0.15, 0.965));
        assert_eq!(measured.rows.len(), 3);
        assert_eq!(measured.best("whisper-base").unwrap().quantization, "Q6_K");
        assert!(measured.best("other").is_none());
        let mut engine = crate::settings::Engine::default();
        assert_eq!(chosen(&engine, &measured).unwrap().quantization, Quantization::Q6K);
        engine.quantization = "q8_0".to_owned();
        assert_eq!(chosen(&engine, &measured).unwrap().quantization, Quantization::Q8_0);
        engine.backend = "onnx".to_owned();
        assert_eq!(chosen(&engine, &measured).unwrap().backend, Backend::Auto);
        engine.name = "speech-llm".to_owned();
        engine.model = "runs/mine".to_owned();
        let found = chosen(&engine, &measured).unwrap();
        assert_eq!((found.engine, found.model.as_str()), (EngineChoice::SpeechLlm, "runs/mine"));
    }

    #[test]
    fn automatic_is_the_usual_model_unless_another_is_clearly_better() {
        let of = |rows: &[(&str, &str, f64, f64)]| {
            let mut measured = Measured::default();
            for (engine, model, factor, accuracy) in rows {
                let (engine, model) = ((*engine).to_owned(), (*model).to_owned());
                measured.add(Row { engine, model, ..row("Q8_0", *factor, *accuracy) });
            }
            measured.automatic_of(|row| row.model != "removed")
        };
        let whisper = |model: &str| (EngineChoice::Whisper, model.to_owned());
        let usual = ("whisper", USUAL_MODEL, 0.3, 0.90);
        assert_eq!(of(&[]), whisper(USUAL_MODEL));
        assert_eq!(of(&[("whisper", "large", 0.3, 0.99)]), whisper(USUAL_MODEL));
        assert_eq!(of(&[usual, ("whisper", "large", 0.9, 0.95)]), whisper("large"));
        assert_eq!(of(&[usual, ("whisper", "large", 1.1, 0.95)]), whisper(USUAL_MODEL));
        assert_eq!(of(&[usual, ("whisper", "removed", 0.9, 0.95)]), whisper(USUAL_MODEL));
        assert_eq!(of(&[usual, ("whisper", "tiny", 0.1, 0.905)]), whisper(USUAL_MODEL));
        let slow = ("whisper", USUAL_MODEL, 1.3, 0.90);
        assert_eq!(of(&[slow, ("whisper", "tiny", 0.6, 0.80)]), whisper("tiny"));
        let own = ("speech-llm", "runs/own", 0.2, 0.93);
        assert_eq!(of(&[usual, own]), (EngineChoice::SpeechLlm, "runs/own".to_owned()));
    }

    #[test]
    fn threads_are_those_of_the_settings() {
        let of = |threads| {
            let engine = crate::settings::Engine { threads, ..Default::default() };
            chosen(&engine, &Measured::default()).unwrap().threads
        };
        assert_eq!(of(3), 3);
        assert_eq!(of(0), Threads::of(None).all);
    }

    #[test]
    fn what_was_measured_is_kept_for_this_machine_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut measured = Measured::load(folder.path());
        measured.add(row("Q8_0", 0.2, 0.97));
        measured.save(folder.path()).unwrap();
        assert_eq!(Measured::load(folder.path()), measured);
        let other = Measured { processor: "another".to_owned(), ..measured };
        other.save(folder.path()).unwrap();
        assert!(Measured::load(folder.path()).rows.is_empty());
        std::fs::write(folder.path().join("measured.json"), b"{").unwrap();
        assert!(Measured::load(folder.path()).rows.is_empty());
    }

    #[test]
    fn likeness_counts_letters_alone() {
        assert_eq!(likeness("Hallo, Welt!", "hallo welt"), 1.0);
        assert!((likeness("abcd", "abxd") - 0.75).abs() < 1e-9);
    }
}
