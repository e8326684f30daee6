//! What a model says in 32-bit floats, for `scripts/check-onnx.py` to hold ONNX graphs against.
//!
//! ```text
//! cargo run --release --workspace --example onnx_reference -- RUN|MODEL OUT.safetensors CLIP…
//! ```
//!
//! Of each clip, cut to whole frames of the encoder: `N.samples`, `N.mel`, `N.audio` (what
//! `audio_encoder`, or of a Whisper model `encoder_model`, has to give), `N.prompt` (what the language
//! model reads), `N.logits` and the greedy answer's outputs, `N.answer`; in the metadata `N.text`.

use std::path::Path;

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use partita_audio::mel::{Frames, HOP, LogMel};
use partita_export::bases;
use partita_model::files::{WeightFile, write_safetensors};
use partita_model::nn::{FileSource, Precision};
use partita_model::speech::{SpeechEngine, SpeechNetwork, Task, TrainedModel, Wish};
use partita_model::whisper::{Encoder, WhisperConfig};

/// Mel frames of an encoder frame.
const PAIR: usize = 2;
/// The encoder's window.
const MOST: usize = 3000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, output, clips @ ..] = &arguments[..] else {
        anyhow::bail!("usage: onnx_reference RUN|MODEL OUT.safetensors CLIP…");
    };
    let speech = Path::new(model).join(TrainedModel::DESCRIPTION).is_file();
    let (mut tensors, mut texts) = (Vec::new(), Vec::new());
    let listen: Listen = match speech {
        true => {
            let engine = open(Path::new(model))?;
            Box::new(move |index, clip, kept| say(&engine, index, clip, kept))
        }
        false => {
            let found = bases::whisper(model)?;
            let file = WeightFile::open(&found.path)?;
            let config = WhisperConfig::from_file(&file)?;
            let source = FileSource::new(&file, &Device::Cpu, Precision::Float);
            let encoder = Encoder::load(&source, &config)?;
            Box::new(move |index, clip, (tensors, _)| {
                tensors.push((format!("{index}.audio"), encoder.forward(&clip.mel)?));
                Ok(())
            })
        }
    };
    for (index, path) in clips.iter().enumerate() {
        let clip = Clip::read(Path::new(path)).with_context(|| path.clone())?;
        let mut kept: Kept = (Vec::new(), Vec::new());
        listen(index, &clip, &mut kept)?;
        let samples = Tensor::new(&clip.samples[..], &Device::Cpu)?;
        tensors.extend([(format!("{index}.samples"), samples), (format!("{index}.mel"), clip.mel)]);
        tensors.extend(kept.0);
        texts.extend(kept.1);
    }
    Ok(write_safetensors(Path::new(output), &texts, &tensors)?)
}

/// Tensors and texts by name.
type Kept = (Vec<(String, Tensor)>, Vec<(String, String)>);

/// Keeps what a model makes of a clip.
type Listen = Box<dyn Fn(usize, &Clip, &mut Kept) -> Result<()>>;

struct Clip {
    samples: Vec<f32>,
    /// `[1, bins, frames]`
    mel: Tensor,
}

impl Clip {
    fn read(path: &Path) -> Result<Self> {
        let mut samples = partita_audio::read_all(path)?;
        let frames = (samples.len() / (PAIR * HOP) * PAIR).clamp(PAIR, MOST);
        samples.resize(frames * HOP, 0.0);
        let mel = LogMel::new(80)?.compute(&samples, Frames::Padded(frames));
        let mel = Tensor::from_vec(mel.data, (1, mel.bins, mel.frames), &Device::Cpu)?;
        Ok(Self { samples, mel })
    }
}

fn open(folder: &Path) -> Result<SpeechEngine> {
    let trained = TrainedModel::read(folder)?;
    let (encoder, llm) = (bases::whisper(&trained.encoder)?, bases::gguf(&trained.llm)?);
    let weights = folder.join(TrainedModel::WEIGHTS);
    let floats = [Precision::Float, Precision::Float];
    let bases = (encoder.path.as_path(), llm.path.as_path());
    Ok(trained.open_weights(&weights, bases, floats, &Device::Cpu)?)
}

fn say(engine: &SpeechEngine, index: usize, clip: &Clip, kept: &mut Kept) -> Result<()> {
    let model = engine.model();
    let (llm, vocabulary) = (model.llm(), model.vocabulary());
    let heard = engine.listen(&clip.samples)?;
    let start = llm.embed(&[vocabulary.start()])?;
    let audio = Tensor::cat(&[&start, &heard], 1)?;
    let task = llm.embed(&Task::Transcribe.prompt(vocabulary.marks()))?;
    let prompt = Tensor::cat(&[&audio, &task], 1)?;
    let logits = llm.logits(&llm.forward(&prompt, None)?)?;
    let seconds = clip.samples.len() as f64 / f64::from(partita_audio::SAMPLE_RATE);
    let answer = model.write(&model.begin(&heard)?, &Wish::new(Task::Transcribe, seconds))?;
    let places = Tensor::new(&answer.places[..], &Device::Cpu)?.to_dtype(DType::F32)?;
    println!("{index}: {}", answer.text);
    for (name, tensor) in
        [("audio", audio), ("prompt", prompt), ("logits", logits), ("answer", places)]
    {
        kept.0.push((format!("{index}.{name}"), tensor));
    }
    kept.1.push((format!("{index}.text"), answer.text));
    Ok(())
}
