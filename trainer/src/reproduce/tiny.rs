//! A model and a corpus of nothing but tones, small enough that everything about a reproduction can
//! be tried in minutes and without a download.
//!
//! The encoder is a Whisper encoder of two layers and the language model a Gemma 3 of two blocks,
//! both random; each word of two languages is a tone.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use partita_audio::SAMPLE_RATE;
use partita_model::nn::{Init, NameSet, Parameters, TrainingSource, WeightSource};
use partita_small::{Encoder, Llm, Tokenizer};

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

/// Writes a random Whisper encoder, as the import writes encoders.
///
/// # Errors
/// When the file cannot be written.
pub fn write_encoder(path: &Path) -> Result<()> {
    let encoder = Encoder { width: ENCODER_WIDTH, heads: 1, ..Encoder::default() };
    Ok(encoder.write(path, begun())?)
}

/// Writes a random Gemma 3 with a tokenizer of the words.
///
/// # Errors
/// When the file cannot be written.
pub fn write_llm(path: &Path) -> Result<()> {
    let words = Tokenizer::of_words(WORDS.iter().flat_map(|(words, _)| words).copied());
    let llm = Llm { width: LLM_WIDTH, ..Llm::default() };
    Ok(llm.write(path, &words, begun())?)
}

/// Makes weights as training begins what it makes anew.
fn begun() -> impl Fn(&str, &[usize]) -> candle_core::Result<Tensor> {
    let parameters = Parameters::new(11, &Device::Cpu);
    move |name, shape| {
        let init = match shape {
            [_, _] if name.starts_with("token_embd") => Init::Normal(0.5),
            [_, inputs] => Init::fan_in(*inputs),
            [_, inputs, kernel] => Init::fan_in(inputs * kernel),
            _ if name.ends_with("bias") => Init::Constant(0.0),
            _ => Init::Constant(1.0),
        };
        let source = TrainingSource::new(&parameters, NameSet::default());
        source.tensor_or(name, shape, init).map_err(candle_core::Error::wrap)
    }
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
