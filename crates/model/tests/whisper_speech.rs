//! Whisper base on speech: the clips in `assets/samples`, silence, noise, and a long recording.
//! Looks for the model where `partita pull whisper-base` puts it; without it nothing is tested.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock};

use candle_core::Device;
use partita_audio::vad::{EnergyGate, Segmenter, VadOptions};
use partita_corpus::error_rate;
use partita_corpus::normalize::normalize;
use partita_model::engine::{Engine, Request, Transcript};
use partita_model::longform::{Cutting, LongForm};
use partita_model::whisper::{Padding, Whisper};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Deserialize;

const RATE: usize = 16_000;

#[derive(Deserialize)]
struct Clip {
    file: String,
    lang: String,
    text: String,
}

/// Weights of Whisper base in the store, if it has been pulled.
fn weights() -> Option<PathBuf> {
    let home = match std::env::var_os("PARTITA_HOME").filter(|home| !home.is_empty()) {
        Some(home) => PathBuf::from(home),
        None => PathBuf::from(std::env::var_os("HOME")?).join(".local/share/partita"),
    };
    let files = std::fs::read_dir(home.join("models/whisper-base")).ok()?;
    let mut found: Vec<_> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "gguf"));
    found.into_iter().min()
}

/// The model, loaded once a padding; tests take turns, as each uses all cores.
fn engine(padding: Padding) -> Option<MutexGuard<'static, Whisper>> {
    static ENGINES: [OnceLock<Option<Mutex<Whisper>>>; 2] = [OnceLock::new(), OnceLock::new()];
    let engine = ENGINES[usize::from(padding == Padding::Full)].get_or_init(|| {
        let path = weights()?;
        Some(Mutex::new(Whisper::load(&path, &Device::Cpu, padding).unwrap()))
    });
    let Some(engine) = engine else {
        println!("skipped: no Whisper base in the store; `partita pull whisper-base` gets it");
        return None;
    };
    Some(engine.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

fn clips() -> Vec<(Clip, Vec<f32>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/samples");
    let list = std::fs::read_to_string(folder.join("samples.json")).unwrap();
    let clips: Vec<Clip> = serde_json::from_str(&list).unwrap();
    assert!(clips.len() >= 7);
    let read = |clip: Clip| {
        let samples = partita_audio::read_all(&folder.join(&clip.file)).unwrap();
        (clip, samples)
    };
    clips.into_iter().map(read).collect()
}

fn joined(found: &Transcript) -> String {
    let texts: Vec<&str> = found.text.segments.iter().map(|segment| &*segment.text).collect();
    texts.join(" ")
}

/// Word errors; for Chinese, written without spaces, character errors.
fn errors(lang: &str, said: &str, heard: &str) -> f64 {
    let (said, heard) = (normalize(lang, said), normalize(lang, heard));
    error_rate::words(&said, &heard).rate().unwrap()
}

/// Unpadded with the language to be found out, except that an accent may hide German; padded with
/// the language given. What is written does not depend on who named the language.
#[test]
fn clips_are_understood_and_their_languages_found_out() {
    for padding in [Padding::Natural, Padding::Full] {
        let Some(mut engine) = engine(padding) else { return };
        let mut wrong = Vec::new();
        for (clip, samples) in clips() {
            let given = padding == Padding::Full || clip.lang == "de";
            let language = given.then(|| clip.lang.clone());
            let request = Request { language, ..Request::default() };
            let found = engine.transcribe(&samples, &request).unwrap();
            let text = joined(&found);
            let rate = errors(&clip.lang, &clip.text, &text);
            let (language, sure) = (&found.language, found.language_probability);
            println!(
                "{padding:?} {}: {language} {sure:.2}, silence {:.2}, errors {rate:.2} | {text}",
                clip.file, found.no_speech,
            );
            // The German clip is spoken with an accent; Chinese comes in traditional characters.
            let most = match clip.lang.as_str() {
                "zh" => 0.4,
                "de" => 0.35,
                _ => 0.15,
            };
            if rate > most || *language != clip.lang {
                wrong.push(format!("{}: {language}, {rate:.2}: {text}", clip.file));
            }
            assert!(if given { sure == 1.0 } else { sure > 0.5 && sure <= 1.0 }, "sure: {sure}");
            assert!(found.no_speech < 0.5);
            let times = found.text.segments.iter().flat_map(|s| [s.start, s.end]);
            assert!(times.is_sorted(), "{}: {:?}", clip.file, found.text.segments);
            let seconds = samples.len() as f64 / RATE as f64;
            assert!(found.text.segments.last().unwrap().end <= seconds);
        }
        assert!(wrong.is_empty(), "{padding:?}: {wrong:#?}");
    }
}

#[test]
fn beams_and_translation() {
    let Some(mut engine) = engine(Padding::Natural) else { return };
    for (clip, samples) in clips() {
        if !["es", "fr"].contains(&clip.lang.as_str()) {
            continue;
        }
        let request = Request {
            language: Some(clip.lang.clone()),
            translate: Some("en".to_owned()),
            beam: 5,
            ..Request::default()
        };
        let found = engine.transcribe(&samples, &request).unwrap();
        assert!(errors(&clip.lang, &clip.text, &joined(&found)) <= 0.15);
        let translation = found.translation.unwrap();
        let text: String = translation.segments.iter().map(|s| format!("{} ", s.text)).collect();
        println!("{}: {text}", clip.file);
        let words = if clip.lang == "es" { ["garden", "week"] } else { ["meeting", "questions"] };
        assert!(words.iter().any(|word| text.to_lowercase().contains(word)), "{text}");
    }
}

/// What the model makes of a sound in which nobody speaks.
fn heard_in(engine: &mut Whisper, name: &str, samples: &[f32]) -> String {
    let found = engine.transcribe(samples, &Request::default()).unwrap();
    let (silence, average) = (found.no_speech, found.text.average_log_probability);
    let text = joined(&found);
    println!("{name}: silence {silence:.2}, average {average:.2}, {} | {text}", found.language);
    text
}

#[test]
fn noise_says_nothing() {
    let Some(mut engine) = engine(Padding::Natural) else { return };
    let mut random = StdRng::seed_from_u64(5);
    for level in [0.002, 0.1, 0.7] {
        let noise: Vec<f32> = (0..5 * RATE).map(|_| random.random_range(-level..level)).collect();
        assert_eq!(heard_in(&mut engine, &format!("noise at {level}"), &noise), "");
    }
}

#[test]
fn digital_silence_says_nothing() {
    for padding in [Padding::Full, Padding::Natural] {
        let Some(mut engine) = engine(padding) else { return };
        let text = heard_in(&mut engine, &format!("silence, {padding:?}"), &[0.0; 5 * RATE]);
        assert_eq!(text, "");
    }
}

#[test]
fn two_minutes_keep_their_times() {
    let Some(mut engine) = engine(Padding::Natural) else { return };
    let clips = clips();
    let mut recording = vec![0.0f32; 3 * RATE];
    let mut said = Vec::new();
    for (i, (clip, samples)) in clips.iter().cycle().enumerate() {
        if recording.len() > 115 * RATE {
            break;
        }
        let start = recording.len() as f64 / RATE as f64;
        recording.extend(samples);
        said.push((start, recording.len() as f64 / RATE as f64, clip));
        // Pauses of half a second to four and a half: some windows are joined.
        recording.extend(std::iter::repeat_n(0.0, RATE / 2 + RATE * (i % 5)));
    }
    let end = recording.len() as f64 / RATE as f64;
    let gate = Segmenter::new(Box::new(EnergyGate::new()) as Box<_>, VadOptions::default());
    let mut long = LongForm::new(&mut *engine, Request::default(), Cutting::Voice(Box::new(gate)));
    let mut found = Vec::new();
    for block in recording.chunks(8_000) {
        found.extend(long.push(block).unwrap());
    }
    found.extend(long.finish().unwrap());
    let mut times = Vec::new();
    for utterance in &found {
        println!("{:.2} – {:.2} {}", utterance.start, utterance.end, joined(&utterance.transcript));
        assert!(utterance.end - utterance.start <= 30.0);
        for segment in &utterance.transcript.text.segments {
            assert!(utterance.start <= segment.start && segment.end <= utterance.end + 0.02);
            times.extend([segment.start, segment.end]);
        }
    }
    assert!(times.is_sorted(), "{times:?}");
    assert!(times.last().unwrap() <= &end);
    // The English clip says what it says where it was put, at the beginning and near the end.
    let mut heard = 0;
    for (start, end, clip) in said.iter().filter(|(_, _, clip)| clip.lang == "en") {
        let inside = found.iter().flat_map(|found| &found.transcript.text.segments);
        let inside = inside.filter(|s| s.end > start - 0.5 && s.start < end + 0.5);
        let text: String = inside.map(|segment| format!("{} ", segment.text)).collect();
        heard += usize::from(text.to_lowercase().contains("train to the coast"));
        println!("{start:.1} s, {}: {text}", clip.file);
    }
    let expected = said.iter().filter(|(_, _, clip)| clip.lang == "en").count();
    assert!(expected >= 2 && heard == expected, "{heard} of {expected}");
}
