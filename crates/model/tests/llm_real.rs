//! Language models with real weights against llama.cpp (`llm/make_real_golden.py`); skipped where
//! the model store does not have them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use candle_core::{Device, IndexOp};
use partita_model::files::WeightFile;
use partita_model::llm::Llm;
use partita_model::nn::{Precision, log_sum_exp};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A model's GGUF file in the store, and where its golden numbers lie.
fn model(name: &str) -> Option<(PathBuf, WeightFile)> {
    let golden =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/llm/{name}.safetensors"));
    let home = std::env::var_os("PARTITA_HOME").map(PathBuf::from).or_else(|| {
        let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
        let data =
            data.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/share")));
        Some(data?.join("partita"))
    })?;
    let folder = home.join("models").join(name);
    let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let found =
        files.map(|file| file.path()).find(|path| path.extension().is_some_and(|e| e == "gguf"));
    if found.is_none() {
        println!("skipped: no {name} in {}", home.display());
    }
    Some((found?, WeightFile::open(&golden).unwrap()))
}

fn numbers(golden: &WeightFile, name: &str) -> Vec<u32> {
    golden.floats(name).unwrap().1.into_iter().map(|x| x as u32).collect()
}

/// Logits after all of `ids`, less the logarithm of their sum of exponentials.
fn log_probabilities(llm: &Llm, ids: &[u32]) -> Vec<f32> {
    let hidden = llm.forward(&llm.embed(ids).unwrap(), None).unwrap();
    let logits = llm.logits(&hidden.i((.., ids.len() - 1)).unwrap()).unwrap();
    let logits: Vec<f32> = logits.flatten_all().unwrap().to_vec1().unwrap();
    let sum = log_sum_exp(&logits);
    logits.into_iter().map(|logit| logit - sum).collect()
}

/// The likeliest continuation.
fn greedy(llm: &Llm, ids: &[u32], count: usize) -> Vec<u32> {
    let mut state = llm.start();
    let mut next = ids.to_vec();
    let mut text = Vec::new();
    while text.len() < count {
        let hidden = llm.forward(&llm.embed(&next).unwrap(), Some(&mut state)).unwrap();
        let logits = llm.logits(&hidden.i((.., next.len() - 1)).unwrap()).unwrap();
        let best = logits.argmax(1).unwrap().to_vec1::<u32>().unwrap()[0];
        text.push(best);
        next = vec![best];
    }
    text
}

/// Cosine of two vectors, each less its mean: log-probabilities are logits but for a constant.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let centred = |x: &[f32]| {
        let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / x.len() as f64;
        x.iter().map(|&x| f64::from(x) - mean).collect::<Vec<_>>()
    };
    let (a, b) = (centred(a), centred(b));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
}

fn compare(name: &str) {
    let Some((path, golden)) = model(name) else { return };
    let file = Arc::new(WeightFile::open(&path).unwrap());
    // Unquantized: the same numbers. Quantized for this processor: nearly.
    for (precision, least) in [(Precision::Float, 0.9999), (Precision::Decoding, 0.99)] {
        let llm = Llm::open(file.clone(), precision, None, &Device::Cpu).unwrap();
        let prompts = (0..).take_while(|i| golden.contains(&format!("{i}.ids")));
        for i in prompts {
            let ids = numbers(&golden, &format!("{i}.ids"));
            let ours = log_probabilities(&llm, &ids);
            let picked = numbers(&golden, &format!("{i}.picked"));
            let ours: Vec<f32> = picked.iter().map(|&id| ours[id as usize]).collect();
            let theirs = golden.floats(&format!("{i}.log_probabilities")).unwrap().1;
            let cosine = cosine(&ours, &theirs);
            let text = numbers(&golden, &format!("{i}.greedy"));
            let same = greedy(&llm, &ids, text.len())
                .iter()
                .zip(&text)
                .take_while(|(ours, theirs)| ours == theirs)
                .count();
            println!(
                "{name}, {precision:?}, prompt {i}: cosine {cosine:.7}, {same} of {} tokens alike",
                text.len()
            );
            assert!(cosine >= least, "{precision:?}, prompt {i}: {cosine}");
            assert!(precision != Precision::Float || same == text.len(), "prompt {i}: {same}");
        }
    }
}

#[test]
fn gemma_gives_what_llama_cpp_gives() {
    compare("gemma-3-270m");
}

#[test]
fn smollm2_gives_what_llama_cpp_gives() {
    compare("smollm2-135m-instruct");
}
