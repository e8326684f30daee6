//! A small Whisper model in the files of others, made from the recipe in `weights.json`.
//! `make_golden.py` wrote the recipe, and has an implementation of its own of the same network.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use partita_model::files::WeightFile;
use partita_model::nn::{FileSource, Precision};
use partita_model::whisper::{Decoder, Encoder, Quantization, WhisperConfig, import};
use safetensors::tensor::{Dtype, TensorView};
use serde::Deserialize;
use tempfile::TempDir;

/// Mel bins of the small model.
pub const BINS: usize = 80;

#[derive(Deserialize)]
struct Recipe {
    tensors: Vec<Made>,
    /// Variables of CTranslate2, and the tensors of which they are made.
    ctranslate2: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Made {
    name: String,
    shape: Vec<usize>,
    #[serde(default)]
    sinusoids: bool,
    #[serde(default)]
    scale: f64,
    #[serde(default)]
    offset: f64,
}

/// The file of that name beside the script that made it.
pub fn golden_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/whisper").join(name)
}

/// A tensor that the independent implementation computed.
pub fn golden(name: &str) -> Tensor {
    let file = WeightFile::open(&golden_path("golden.safetensors")).unwrap();
    let (shape, values) = file.floats(name).unwrap();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// A text that the independent implementation was given.
pub fn golden_tokens(name: &str) -> Vec<u32> {
    let file = WeightFile::open(&golden_path("golden.safetensors")).unwrap();
    let bytes = file.bytes(&format!("tokens.{name}")).unwrap();
    bytes.as_chunks().0.iter().map(|&id| u32::from_le_bytes(id)).collect()
}

/// Mel frames `[1, bins, frames]` that the independent implementation was given.
pub fn golden_mel(name: &str, frames: usize) -> Tensor {
    let values = values(&format!("mel {name}"), BINS * frames, 1.0, 0.3);
    Tensor::from_vec(values, (1, BINS, frames), &Device::Cpu).unwrap()
}

/// SplitMix64 from the name's FNV-1a hash, as 24 bits in -1 ‥ 1, scaled and moved.
fn values(name: &str, count: usize, scale: f32, offset: f32) -> Vec<f32> {
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let value = |i: usize| {
        let z = seed.wrapping_add((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let z = z ^ (z >> 31);
        ((z >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale + offset
    };
    (0..count).map(value).collect()
}

fn sinusoids(length: usize, width: usize) -> Vec<f32> {
    let half = width / 2;
    let rate = |i: usize| (-(10_000f64.ln()) / (half - 1) as f64 * i as f64).exp();
    let row = |position: usize| {
        let angle = move |i: usize| position as f64 * rate(i);
        let sines = (0..half).map(move |i| angle(i).sin() as f32);
        sines.chain((0..half).map(move |i| angle(i).cos() as f32))
    };
    (0..length).flat_map(row).collect()
}

fn recipe() -> (Recipe, BTreeMap<String, Vec<f32>>) {
    let text = fs::read_to_string(golden_path("weights.json")).unwrap();
    let recipe: Recipe = serde_json::from_str(&text).unwrap();
    let made = recipe.tensors.iter().map(|made| {
        let values = match made.sinusoids {
            true => sinusoids(made.shape[0], made.shape[1]),
            false => values(
                &made.name,
                made.shape.iter().product(),
                made.scale as f32,
                made.offset as f32,
            ),
        };
        (made.name.clone(), values)
    });
    let made = made.collect();
    (recipe, made)
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A folder as Hugging Face lays it out: `model.safetensors` and its companions.
pub fn hugging_face() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, made) = recipe();
    let data: Vec<Vec<u8>> = recipe.tensors.iter().map(|made_| bytes(&made[&made_.name])).collect();
    let views = recipe.tensors.iter().zip(&data).map(|(tensor, data)| {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), data).unwrap();
        (tensor.name.clone(), view)
    });
    let path = folder.path().join("model.safetensors");
    safetensors::serialize_to_file(views, None, &path).unwrap();
    companions(folder.path(), "config.json");
    folder
}

/// A folder as CTranslate2 lays it out: `model.bin`, binary version 6, and its companions.
pub fn ctranslate2() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, made) = recipe();
    let mut file = Vec::new();
    let string = |file: &mut Vec<u8>, text: &str| {
        file.extend((text.len() as u16 + 1).to_le_bytes());
        file.extend(text.bytes().chain([0]));
    };
    file.extend(6u32.to_le_bytes());
    string(&mut file, "WhisperSpec");
    file.extend(3u32.to_le_bytes());
    file.extend((recipe.ctranslate2.len() as u32 + 1).to_le_bytes());
    // A number, as that library keeps its options: rank 0, 16 bits.
    string(&mut file, "encoder/num_heads");
    file.extend([0u8, 2, 2, 0, 0, 0, 2, 0]);
    for (name, parts) in &recipe.ctranslate2 {
        let part = |part: &String| match recipe.tensors.iter().find(|made| made.name == *part) {
            Some(tensor) => (tensor.shape.clone(), made[part].clone()),
            None => (vec![128], vec![0.0; 128]),
        };
        let parts: Vec<_> = parts.iter().map(part).collect();
        let mut shape = parts[0].0.clone();
        shape[0] *= parts.len();
        string(&mut file, name);
        file.push(shape.len() as u8);
        shape.iter().for_each(|&dim| file.extend((dim as u32).to_le_bytes()));
        let data: Vec<u8> = parts.iter().flat_map(|(_, values)| bytes(values)).collect();
        file.push(0);
        file.extend((data.len() as u32).to_le_bytes());
        file.extend(data);
    }
    file.extend(1u32.to_le_bytes());
    string(&mut file, "decoder/projection/weight");
    string(&mut file, "decoder/embeddings/weight");
    fs::write(folder.path().join("model.bin"), file).unwrap();
    companions(folder.path(), "config-ct2.json");
    folder
}

fn companions(folder: &Path, config: &str) {
    fs::copy(golden_path(config), folder.join("config.json")).unwrap();
    fs::copy(golden_path("tokenizer.json"), folder.join("tokenizer.json")).unwrap();
}

/// The small model as imported from Hugging Face's files; the folder lives as long as the file.
pub fn imported(quantization: Quantization) -> (TempDir, PathBuf) {
    let folder = hugging_face();
    let path = folder.path().join("imported.gguf");
    import(folder.path(), &path, quantization).unwrap();
    (folder, path)
}

/// Both networks of an imported file, matrices held as given.
pub fn load(path: &Path, precision: Precision) -> (WhisperConfig, Encoder, Decoder) {
    let file = WeightFile::open(path).unwrap();
    let config = WhisperConfig::from_file(&file).unwrap();
    let source = FileSource::new(&file, &Device::Cpu, precision);
    let encoder = Encoder::load(&source, &config).unwrap();
    let decoder = Decoder::load(&source, &config).unwrap();
    (config, encoder, decoder)
}

/// Logits of every position of `tokens`, read in one pass.
pub fn all_logits(decoder: &Decoder, audio: &Tensor, tokens: &[u32]) -> Vec<Vec<f32>> {
    let mut state = decoder.start(audio).unwrap();
    let hidden = decoder.forward(tokens, 1, &mut state).unwrap();
    (0..tokens.len()).map(|at| decoder.logits(&hidden, at).unwrap().remove(0)).collect()
}

/// The largest difference of two lists of numbers of the same length.
pub fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// All numbers of a tensor.
pub fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}
