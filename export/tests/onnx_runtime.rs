//! Exported graphs in ONNX Runtime against the networks that they are of. Where the library is not in
//! the store, the tests say so and pass.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "onnx_library/mod.rs"]
mod library;
#[path = "onnx_small/mod.rs"]
mod small;

use candle_core::{Device, Tensor};
use ort::environment::Environment;
use ort::session::{Session, SessionInputValue};
use partita_export::merged::Merged;
use partita_export::onnx;
use partita_export::onnx::{Dtype, MOST_INSIDE, export};
use partita_model::nn::Precision;
use partita_model::speech::{SpeechEngine, TrainedModel};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

/// The process's one environment.
fn environment() -> Option<&'static Environment> {
    static ENVIRONMENT: OnceLock<Option<Environment>> = OnceLock::new();
    let made = || Some(partita_audio::onnx_runtime(&library::library()?).unwrap());
    ENVIRONMENT.get_or_init(made).as_ref()
}

/// A small model, its folder of graphs, and the model itself in floats.
struct World {
    _folder: TempDir,
    graphs: PathBuf,
    merged: Merged,
    engine: SpeechEngine,
    environment: &'static Environment,
}

impl World {
    fn new(architecture: &'static str, most_inside: u64) -> Option<Self> {
        let environment = environment()?;
        let folder = tempfile::tempdir().unwrap();
        let model = small::write_model(folder.path(), architecture, small::ULTRAVOX);
        let merged = Merged::open(model.to_str().unwrap()).unwrap();
        let graphs = folder.path().join("out");
        for dtype in Dtype::ALL {
            export(&merged, dtype, &graphs, most_inside).unwrap();
        }
        let trained = TrainedModel::read(&model).unwrap();
        let bases = (Path::new(&trained.encoder), Path::new(&trained.llm));
        let weights = model.join(TrainedModel::WEIGHTS);
        let floats = [Precision::Float, Precision::Float];
        let engine = trained.open_weights(&weights, bases, floats, &Device::Cpu).unwrap();
        Some(Self { _folder: folder, graphs, merged, engine, environment })
    }

    fn session(&self, name: &str, dtype: Dtype) -> Session {
        let path = self.graphs.join("onnx").join(format!("{name}{}.onnx", dtype.suffix()));
        let builder = Session::builder(self.environment).unwrap();
        builder.with_intra_threads(1).unwrap().commit_from_file(path).unwrap()
    }
}

type Input = (String, SessionInputValue<'static>);

fn floats(name: &str, tensor: &Tensor) -> Input {
    let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let value = ort::value::Tensor::from_array((tensor.dims().to_vec(), values)).unwrap();
    (name.to_owned(), value.into())
}

fn ints(name: &str, shape: &[usize], values: Vec<i64>) -> Input {
    let value = ort::value::Tensor::from_array((shape.to_vec(), values)).unwrap();
    (name.to_owned(), value.into())
}

/// Runs a graph; its outputs in order.
fn run(session: &mut Session, inputs: Vec<Input>) -> Vec<Tensor> {
    let names: Vec<String> =
        session.outputs().iter().map(|output| output.name().to_owned()).collect();
    let outputs = session.run(inputs).unwrap();
    let tensor = |name: &String| {
        let (shape, values) = outputs[name.as_str()].try_extract_tensor::<f32>().unwrap();
        let shape: Vec<usize> = shape.iter().map(|&dim| dim as usize).collect();
        Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
    };
    names.iter().map(tensor).collect()
}

fn cosine(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let values = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (a, b) = (values(a), values(b));
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
    };
    dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
}

/// The least cosine that is expected of random networks with these weights.
fn tolerance(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::Fp32 => 0.999_999,
        Dtype::Fp16 => 0.9999,
        Dtype::Int8 => 0.99,
        Dtype::Q4 => 0.9,
    }
}

/// A reading of the decoder: vectors behind what the caches hold, `padded` positions at the front
/// left out.
fn decode(
    session: &mut Session,
    x: &Tensor,
    caches: &[Tensor],
    (padded, kept): (usize, i64),
) -> (Tensor, Vec<Tensor>) {
    let (batch, time, _) = x.dims3().unwrap();
    let past = caches.first().map_or(0, |cache| cache.dim(2).unwrap());
    let total = past + time;
    let there = |at: usize| i64::from(at >= padded);
    let mut inputs = vec![
        floats("inputs_embeds", x),
        ints("attention_mask", &[batch, total], (0..total).map(there).collect()),
        ints(
            "position_ids",
            &[batch, time],
            (past..total).map(|at| at.saturating_sub(padded) as i64).collect(),
        ),
        ints("num_logits_to_keep", &[], vec![kept]),
    ];
    let names = session.inputs().iter().skip(4).map(|input| input.name().to_owned());
    let names: Vec<String> = names.collect();
    for (index, name) in names.iter().enumerate() {
        let heads = key_heads(session);
        let none = Tensor::zeros((1, heads, 0, 16), candle_core::DType::F32, &Device::Cpu).unwrap();
        inputs.push(floats(name, caches.get(index).unwrap_or(&none)));
    }
    let mut outputs = run(session, inputs);
    let caches = outputs.split_off(1);
    (outputs.remove(0), caches)
}

fn key_heads(session: &Session) -> usize {
    let cache = &session.inputs()[4];
    cache.dtype().tensor_shape().unwrap()[1] as usize
}

#[test]
fn audio_gives_what_the_encoder_and_the_adapter_give() {
    let Some(world) = World::new("gemma3", MOST_INSIDE) else { return };
    let model = world.engine.model();
    for dtype in Dtype::ALL {
        let mut session = world.session("audio_encoder", dtype);
        // A multiple of the stack and not, odd frames, the shortest and the longest.
        for frames in [1, 2, 15, 16, 17, 40, 120] {
            let mel = small::drawn(frames as u64, 1.0, &[1, 80, frames]);
            let (heard, _) = model.listen(&mel, &[frames]).unwrap();
            let start = model.llm().embed(&[model.vocabulary().start()]).unwrap();
            let expected = Tensor::cat(&[&start, &heard], 1).unwrap();
            let found = &run(&mut session, vec![floats("audio_values", &mel)])[0];
            assert_eq!(found.dim(1).unwrap(), 1 + frames.div_ceil(2).div_ceil(4));
            let close = cosine(found, &expected);
            assert!(close > tolerance(dtype), "{dtype:?}, {frames} frames: {close}");
        }
        // More than the encoder has positions for.
        let mel = small::drawn(1, 1.0, &[1, 80, 124]);
        let refused = session.run(vec![floats("audio_values", &mel)]);
        assert!(refused.is_err(), "{dtype:?}");
    }
}

#[test]
fn tokens_become_the_vectors_of_the_table_and_of_marks() {
    let Some(world) = World::new("gemma3", MOST_INSIDE) else { return };
    let text = world.merged.text.as_ref().unwrap();
    let all: Vec<i64> = (0..text.ids.len() as i64).collect();
    let expected = world.engine.model().llm().embed(&text.ids).unwrap();
    for dtype in Dtype::ALL {
        let mut session = world.session("embed_tokens", dtype);
        let found = &run(&mut session, vec![ints("input_ids", &[1, all.len()], all.clone())])[0];
        let close = cosine(found, &expected);
        assert!(close > 0.9999, "{dtype:?}: {close}");
    }
    // What stands for audio has a vector too, whatever it is.
    let mut session = world.session("embed_tokens", Dtype::Fp32);
    let audio = vec![text.ids.len() as i64];
    assert_eq!(run(&mut session, vec![ints("input_ids", &[1, 1], audio)])[0].dims(), [1, 1, 32]);
}

#[test]
fn logits_are_the_language_models_at_once_in_steps_and_behind_padding() {
    for architecture in ["gemma3", "llama"] {
        let Some(world) = World::new(architecture, MOST_INSIDE) else { return };
        let llm = world.engine.model().llm();
        // Longer than the window of the layers that have one.
        let x = small::drawn(3, 2.0, &[1, 13, small::WIDTH]);
        let expected = llm.logits(&llm.forward(&x, None).unwrap()).unwrap();
        for dtype in Dtype::ALL {
            let mut session = world.session("decoder_model_merged", dtype);
            let (found, caches) = decode(&mut session, &x, &[], (0, 0));
            let close = cosine(&found, &expected);
            println!("{architecture} {dtype:?}: {close}");
            assert!(close > tolerance(dtype), "{architecture} {dtype:?}: {close}");
            assert_eq!(caches[0].dim(2).unwrap(), 13);

            let (last, _) = decode(&mut session, &x, &[], (0, 2));
            let close = cosine(&last, &expected.narrow(1, 11, 2).unwrap());
            assert!(last.dim(1).unwrap() == 2 && close > tolerance(dtype));

            // Numbers of 8 bits depend on what else is in a pass.
            let same = if dtype == Dtype::Fp32 { 0.999_999 } else { 2.0 * tolerance(dtype) - 1.0 };
            let (_, mut caches) = decode(&mut session, &x.narrow(1, 0, 7).unwrap(), &[], (0, 1));
            for at in 7..13 {
                let step;
                (step, caches) =
                    decode(&mut session, &x.narrow(1, at, 1).unwrap(), &caches, (0, 1));
                let close = cosine(&step, &expected.narrow(1, at, 1).unwrap());
                assert!(close > same, "{architecture} {dtype:?}, position {at}: {close}");
            }

            let padding = small::drawn(9, 5.0, &[1, 4, small::WIDTH]);
            let behind = Tensor::cat(&[&padding, &x], 1).unwrap();
            let (found, _) = decode(&mut session, &behind, &[], (4, 13));
            let close = cosine(&found, &expected);
            assert!(close > same, "{architecture} {dtype:?} behind padding: {close}");
        }
    }
}

#[test]
fn weights_beside_a_graph_are_found() {
    let Some(world) = World::new("gemma3", 60_000) else { return };
    assert!(world.graphs.join("onnx/audio_encoder.onnx_data").is_file());
    let mel = small::drawn(2, 1.0, &[1, 80, 30]);
    let (heard, _) = world.engine.model().listen(&mel, &[30]).unwrap();
    let mut session = world.session("audio_encoder", Dtype::Fp32);
    let found = &run(&mut session, vec![floats("audio_values", &mel)])[0];
    let found = found.narrow(1, 1, heard.dim(1).unwrap()).unwrap();
    let close = cosine(&found, &heard);
    assert!(close > tolerance(Dtype::Fp32), "{close}");
}

#[test]
fn a_whisper_encoder_hears_as_before() {
    let Some(environment) = environment() else { return };
    use partita_model::nn::FileSource;
    use partita_model::whisper::{Encoder, WhisperConfig};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whisper.gguf");
    small::write_encoder(&path);
    let merged = Merged::open(path.to_str().unwrap()).unwrap();
    let file = partita_model::files::WeightFile::open(&path).unwrap();
    let config = WhisperConfig::from_file(&file).unwrap();
    let source = FileSource::new(&file, &Device::Cpu, Precision::Float);
    let encoder = Encoder::load(&source, &config).unwrap();
    let mel = small::drawn(4, 1.0, &[2, 80, 33]);
    let expected = encoder.forward(&mel).unwrap();
    for dtype in Dtype::ALL {
        onnx::export(&merged, dtype, folder.path(), MOST_INSIDE).unwrap();
        let path = folder.path().join(format!("onnx/encoder_model{}.onnx", dtype.suffix()));
        let mut session = Session::builder(environment).unwrap().commit_from_file(path).unwrap();
        let close = cosine(&run(&mut session, vec![floats("input_features", &mel)])[0], &expected);
        assert!(close > tolerance(dtype), "{dtype:?}: {close}");
    }
}
