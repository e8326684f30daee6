//! Our own weights, which come with the program: what they say of themselves, and what they hear.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use partita_model::files::WeightFile;
use partita_model::speech::TrainedModel;
use partita_tests::{Run, Sample, models_installed};
use std::path::PathBuf;

/// The languages that it was trained on.
const LANGUAGES: [&str; 5] = ["de", "en", "es", "fr", "it"];

fn weights() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/models/partita-part-small.gguf"))
}

#[test]
fn the_weights_are_small_and_whole() {
    let path = weights();
    assert!(std::fs::metadata(&path).unwrap().len() <= 20_000_000);
    let model = TrainedModel::read(&path).unwrap();
    assert_eq!((model.encoder.as_str(), model.llm.as_str()), ("whisper-base", "gemma-3-270m"));
    assert_eq!(model.languages.iter().map(|lang| lang.code()).collect::<Vec<_>>(), LANGUAGES);
    let file = WeightFile::open(&path).unwrap();
    for info in file.tensors() {
        let (_, values) = file.floats(&info.name).unwrap();
        assert!(values.iter().all(|value| value.is_finite()), "{}", info.name);
    }
}

#[test]
fn the_model_that_comes_along_hears_and_translates() {
    let llm = Run::new("partita", &["models", "path", "gemma-3-270m"]);
    if !models_installed() || llm.status != Some(0) {
        eprintln!("skipped: gemma-3-270m is not in the store");
        return;
    }
    let model = weights();
    let model = ["transcribe", "--engine", "speech-llm", "--model", model.to_str().unwrap()];
    let mut rates = Vec::new();
    for lang in LANGUAGES {
        let clip = Sample::of(lang);
        let run = Run::new("partita", &[&model[..], &["--json", "--quiet", &clip.path]].concat());
        let row = &run.json_lines()[0];
        assert_eq!(row["lang"].as_str(), Some(lang), "{row}");
        let text = row["text"].as_str().unwrap();
        println!("{lang}: {:.2} of words wrong: {text}", clip.error_rate(text));
        rates.push(clip.error_rate(text));
        // Each word and when it was said.
        let segments = row["segments"].as_array().unwrap();
        let words = segments.iter().flat_map(|segment| segment["words"].as_array().unwrap());
        let words: Vec<_> = words.collect();
        let written: Vec<&str> = words.iter().map(|word| word["text"].as_str().unwrap()).collect();
        assert_eq!(written.join(" "), text);
        let mut before = 0.0;
        for word in words {
            let (start, end) = (word["start"].as_f64().unwrap(), word["end"].as_f64().unwrap());
            assert!(before <= start && start < end, "{word} behind {before}: {row}");
            before = end;
        }
        assert!(before <= row["seconds"].as_f64().unwrap() + 0.08, "{row}");
    }
    // A model that hears nothing writes other words altogether: a rate of about one.
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    assert!(mean < 0.75, "{rates:?}");
    let spanish = Sample::of("es").path;
    let to_english = ["--translate", "en", "--json", "--quiet", &spanish];
    let run = Run::new("partita", &[&model[..], &to_english].concat());
    let row = &run.json_lines()[0];
    let english = row["translation"]["text"].as_str().unwrap().to_lowercase();
    println!("es in English: {english}");
    assert!(english.contains("tomato") && english.contains("garden"), "{row}");
}
