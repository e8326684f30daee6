//! A model and a corpus of nothing but tones, small enough that everything about a reproduction can
//! be tried in minutes and without a download.
//!
//! The encoder is a Whisper encoder of two layers and the language model a Gemma 3 of two blocks,
//! both random; each word of two languages is a tone.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use candle_core::Device;
use candle_core::quantized::{GgmlDType, QTensor};
use partita_audio::SAMPLE_RATE;
use partita_model::files::Value;
use partita_model::files::gguf::write_gguf;
use partita_model::nn::{Init, NameSet, Parameters, TrainingSource, WeightSource};
use partita_model::tokens::Mark;

use crate::data::shards::wav;

/// Words in English, German and French, and their tones in hertz.
pub const WORDS: [([&str; 3], f32); 5] = [
    (["one", "eins", "un"], 300.0),
    (["two", "zwei", "deux"], 600.0),
    (["three", "drei", "trois"], 1100.0),
    (["four", "vier", "quatre"], 1900.0),
    (["five", "fünf", "cinq"], 3100.0),
];

/// Length of a word.
const WORD_SECONDS: f32 = 0.3;
/// Sentences of a language; each is three words.
const SENTENCES: usize = 100;
/// Clips of noise, of a second each.
const NOISES: usize = 6;

const ENCODER_WIDTH: usize = 64;
const LLM_WIDTH: usize = 32;

type Shapes = Vec<(String, Vec<usize>)>;

/// Writes a random Whisper encoder, as the import writes encoders.
///
/// # Errors
/// When the file cannot be written.
pub fn write_encoder(path: &Path) -> Result<()> {
    let width = ENCODER_WIDTH;
    let mut metadata =
        vec![("general.architecture".to_owned(), Value::String("whisper".to_owned()))];
    for (key, value) in [
        ("mel_bins", 80),
        ("audio_positions", 1500),
        ("text_positions", 8),
        ("width", width as u32),
        ("heads", 1),
        ("encoder_layers", 2),
        ("decoder_layers", 1),
        ("vocabulary", 16),
    ] {
        metadata.push((format!("whisper.{key}"), Value::U32(value)));
    }
    let mut shapes: Shapes = vec![
        ("a.conv1d.1.weight".to_owned(), vec![width, 80, 3]),
        ("a.conv1d.1.bias".to_owned(), vec![width]),
        ("a.conv1d.2.weight".to_owned(), vec![width, width, 3]),
        ("a.conv1d.2.bias".to_owned(), vec![width]),
        ("a.position_embd.weight".to_owned(), vec![1500, width]),
        ("a.post_ln.weight".to_owned(), vec![width]),
        ("a.post_ln.bias".to_owned(), vec![width]),
    ];
    for layer in 0..2 {
        for (name, outputs, inputs) in [
            ("ln1", width, None),
            ("attn_q", width, Some(width)),
            ("attn_k", width, Some(width)),
            ("attn_v", width, Some(width)),
            ("attn_out", width, Some(width)),
            ("ln2", width, None),
            ("ffn_up", 4 * width, Some(width)),
            ("ffn_down", width, Some(4 * width)),
        ] {
            if name != "attn_k" {
                shapes.push((format!("a.blk.{layer}.{name}.bias"), vec![outputs]));
            }
            let shape = std::iter::once(outputs).chain(inputs).collect();
            shapes.push((format!("a.blk.{layer}.{name}.weight"), shape));
        }
    }
    write(path, &metadata, &shapes)
}

/// Writes a random Gemma 3 with a tokenizer of the words.
///
/// # Errors
/// When the file cannot be written.
pub fn write_llm(path: &Path) -> Result<()> {
    let width = LLM_WIDTH;
    let (mut metadata, vocabulary) = tokenizer();
    metadata.push(("general.architecture".to_owned(), Value::String("gemma3".to_owned())));
    for (key, value) in [
        ("block_count", 2),
        ("context_length", 256),
        ("embedding_length", width as u32),
        ("feed_forward_length", 64),
        ("attention.head_count", 2),
        ("attention.head_count_kv", 1),
        ("attention.key_length", 16),
        ("attention.sliding_window", 64),
        ("attention.sliding_window_pattern", 2),
    ] {
        metadata.push((format!("gemma3.{key}"), Value::U32(value)));
    }
    metadata.push(("gemma3.attention.layer_norm_rms_epsilon".to_owned(), Value::F32(1e-6)));
    let mut shapes: Shapes = vec![
        ("token_embd.weight".to_owned(), vec![vocabulary, width]),
        ("output_norm.weight".to_owned(), vec![width]),
    ];
    for block in 0..2 {
        for (name, shape) in [
            ("attn_q", vec![32, width]),
            ("attn_k", vec![16, width]),
            ("attn_v", vec![16, width]),
            ("attn_output", vec![width, 32]),
            ("ffn_gate", vec![64, width]),
            ("ffn_up", vec![64, width]),
            ("ffn_down", vec![width, 64]),
            ("attn_norm", vec![width]),
            ("ffn_norm", vec![width]),
            ("post_attention_norm", vec![width]),
            ("post_ffw_norm", vec![width]),
            ("attn_q_norm", vec![16]),
            ("attn_k_norm", vec![16]),
        ] {
            shapes.push((format!("blk.{block}.{name}.weight"), shape));
        }
    }
    write(path, &metadata, &shapes)
}

/// Keys of a SentencePiece tokenizer that writes each word as one token and all else byte by byte,
/// and its number of tokens.
fn tokenizer() -> (Vec<(String, Value)>, usize) {
    const NORMAL: i32 = 1;
    const UNKNOWN: i32 = 2;
    const CONTROL: i32 = 3;
    const BYTE: i32 = 6;
    let control = |name: &str| (name.to_owned(), CONTROL, 0.0);
    let mut tokens: Vec<(String, i32, f32)> = ["<pad>", "<eos>", "<bos>"].map(control).to_vec();
    tokens.push(("<unk>".to_owned(), UNKNOWN, 0.0));
    tokens.extend((0..Mark::rows()).map(|row| control(&format!("<unused{row}>"))));
    tokens.extend((0..=255).map(|byte| (format!("<0x{byte:02X}>"), BYTE, 0.0)));
    // A word is made from its beginning on: every beginning of it is a piece.
    for word in WORDS.iter().flat_map(|(words, _)| words) {
        let mut piece = "\u{2581}".to_owned();
        for letter in std::iter::once(None).chain(word.chars().map(Some)) {
            piece.extend(letter);
            if tokens.iter().all(|(known, ..)| *known != piece) {
                tokens.push((piece.clone(), NORMAL, -(tokens.len() as f32)));
            }
        }
    }
    let pieces: Vec<String> = tokens.iter().map(|(piece, ..)| piece.clone()).collect();
    let kinds: Vec<i32> = tokens.iter().map(|(_, kind, _)| *kind).collect();
    let scores: Vec<f32> = tokens.iter().map(|(.., score)| *score).collect();
    let metadata = [
        ("model", Value::from("llama")),
        ("tokens", pieces.into()),
        ("token_type", kinds.into()),
        ("scores", scores.into()),
        ("padding_token_id", Value::U32(0)),
        ("eos_token_id", Value::U32(1)),
        ("bos_token_id", Value::U32(2)),
        ("unknown_token_id", Value::U32(3)),
        ("add_space_prefix", Value::Bool(true)),
    ];
    let named = metadata.map(|(key, value)| (format!("tokenizer.ggml.{key}"), value));
    (named.to_vec(), tokens.len())
}

/// Writes a weight file of random tensors.
fn write(path: &Path, metadata: &[(String, Value)], shapes: &Shapes) -> Result<()> {
    let parameters = Parameters::new(11, &Device::Cpu);
    let source = TrainingSource::new(&parameters, NameSet::default());
    let mut tensors = Vec::new();
    for (name, shape) in shapes {
        let init = match &shape[..] {
            [_, _] if name.starts_with("token_embd") => Init::Normal(0.5),
            [_, inputs] => Init::fan_in(*inputs),
            [_, inputs, kernel] => Init::fan_in(inputs * kernel),
            _ if name.ends_with("bias") => Init::Constant(0.0),
            _ => Init::Constant(1.0),
        };
        let tensor = source.tensor_or(name, shape, init)?;
        tensors.push((name.as_str(), QTensor::quantize(&tensor, GgmlDType::F32)?));
    }
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, t)| (*name, t)).collect();
    Ok(write_gguf(path, metadata, &tensors)?)
}

/// Writes a corpus in the layout of our own data folders: German and French clips with English
/// translations, and noise.
///
/// # Errors
/// When a file cannot be written.
pub fn write_corpus(folder: &Path) -> Result<()> {
    for (place, lang) in [(1, "de"), (2, "fr")] {
        let inside = folder.join("speech").join(lang);
        create(&inside)?;
        let mut table =
            "path\tlang\ttranscript\ttranslation_en\tspeaker\tsource\tlicence\tseconds\n"
                .to_owned();
        for sentence in 0..SENTENCES {
            let words = [sentence % 5, sentence / 5 % 5, sentence / 25].map(|word| WORDS.get(word));
            let words: Vec<_> = words.into_iter().flatten().collect();
            let text = |place: usize| {
                let words = words.iter().filter_map(|(words, _)| words.get(place).copied());
                words.collect::<Vec<_>>().join(" ")
            };
            // The second language is an octave higher, which tells them apart.
            let samples: Vec<f32> =
                words.iter().flat_map(|(_, hertz)| tone(hertz * place as f32)).collect();
            let name = format!("{sentence:04}.wav");
            let path = inside.join(&name);
            fs::write(&path, wav(&samples)).with_context(|| path.display().to_string())?;
            let seconds = samples.len() as f64 / f64::from(SAMPLE_RATE);
            let (said, english) = (text(place), text(0));
            table += &format!("{name}\t{lang}\t{said}\t{english}\t\town\tCC0-1.0\t{seconds:.2}\n");
        }
        let path = inside.join("manifest.tsv");
        fs::write(&path, table).with_context(|| path.display().to_string())?;
    }
    let inside = folder.join("noise");
    create(&inside)?;
    let mut table = "path\tkind\tsource\tlicence\tseconds\n".to_owned();
    for noise in 0..NOISES {
        let sample = |i: usize| ((i + noise) * 7919 % (1000 + noise)) as f32 / 5000.0 - 0.1;
        let samples: Vec<f32> = (0..SAMPLE_RATE as usize).map(sample).collect();
        let name = format!("noise{noise}.wav");
        let path = inside.join(&name);
        fs::write(&path, wav(&samples)).with_context(|| path.display().to_string())?;
        table += &format!("{name}\tsound\town\tCC0-1.0\t1.00\n");
    }
    let path = inside.join("manifest.tsv");
    fs::write(&path, table).with_context(|| path.display().to_string())
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())
}

fn tone(hertz: f32) -> impl Iterator<Item = f32> {
    let rate = SAMPLE_RATE as f32;
    let sample = move |i: usize| 0.3 * (i as f32 / rate * hertz * std::f32::consts::TAU).sin();
    (0..(WORD_SECONDS * rate) as usize).map(sample)
}

#[cfg(test)]
mod tests {
    use super::*;
    use partita_model::files::WeightFile;
    use partita_model::tokens::{Marks, TextTokenizer};

    #[test]
    fn every_word_is_a_token_and_other_text_is_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("llm.gguf");
        write_llm(&path).unwrap();
        let tokenizer = TextTokenizer::from_gguf(&WeightFile::open(&path).unwrap()).unwrap();
        for text in ["one three two", "eins fünf drei", "un deux quatre cinq"] {
            let tokens = tokenizer.encode(text);
            assert_eq!(tokens.len(), text.split(' ').count(), "{text}: {tokens:?}");
            assert_eq!(tokenizer.decode(&tokens), text);
        }
        assert_eq!(tokenizer.decode(&tokenizer.encode("äh, ja")), "äh, ja");
        assert_eq!(Marks::for_tokenizer(&tokenizer).appended(), 0);
    }
}
