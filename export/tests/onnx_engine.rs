//! The speech engine over exported graphs against the one over weights. Where ONNX Runtime is not in
//! the store, the tests say so and pass.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "onnx_library/mod.rs"]
mod library;
#[allow(dead_code, reason = "another test uses all of it")]
#[path = "onnx_small/mod.rs"]
mod onnx_small;
mod small;

use candle_core::{Device, Tensor};
use partita_export::merged::Merged;
use partita_export::onnx::{Dtype, MOST_INSIDE, export};
use partita_model::engine::{Draft, Engine, LiveEngine, Request};
use partita_model::llm::TextNetwork;
use partita_model::nn::Precision;
use partita_model::onnx::{Provider, Runtime};
use partita_model::speech::{
    OnnxModel, OnnxSpeech, SpeechEngine, SpeechNetwork, Task, TrainedModel, Wish,
};
use small::{Made, World};
use std::path::{Path, PathBuf};

/// One model twice.
struct Pair {
    world: World,
    graphs: PathBuf,
    runtime: Runtime,
    candle: SpeechEngine,
    onnx: SpeechEngine<OnnxSpeech>,
}

fn runtime() -> Option<Runtime> {
    Some(Runtime { library: library::library()?, provider: Provider::Cpu, threads: 1 })
}

fn candle(run: &Path) -> SpeechEngine {
    let trained = TrainedModel::read(run).unwrap();
    let bases = (Path::new(&trained.encoder), Path::new(&trained.llm));
    let weights = run.join(TrainedModel::WEIGHTS);
    trained.open_weights(&weights, bases, [Precision::Float; 2], &Device::Cpu).unwrap()
}

fn exported(run: &Path, out: &Path, dtype: Dtype) {
    let merged = Merged::open(run.to_str().unwrap()).unwrap();
    export(&merged, dtype, out, MOST_INSIDE).unwrap();
}

impl Pair {
    fn new() -> Option<Self> {
        let runtime = runtime()?;
        let world = World::make(Made::default());
        let graphs = world.out("graphs");
        exported(&world.run(), &graphs, Dtype::Fp32);
        let onnx = OnnxModel::open(&graphs).unwrap().engine(&runtime).unwrap();
        Some(Self { candle: candle(&world.run()), world, graphs, runtime, onnx })
    }
}

/// Sounds that differ.
fn clips() -> Vec<Vec<f32>> {
    let chirp = |speed: f32, count: usize| -> Vec<f32> {
        (0..count).map(|i| 0.3 * (i as f32 * i as f32 * speed).sin()).collect()
    };
    let mut noise = 17u32;
    let mut draw = || {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        0.2 * ((noise >> 8) as f32 / (1 << 23) as f32 - 1.0)
    };
    let noise = (0..50_000).map(|_| draw()).collect();
    vec![small::tone(), chirp(2e-6, 40_000), chirp(7e-7, 30_080), noise]
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn texts_are_those_of_the_weights_greedily_and_by_beam() {
    let Some(mut pair) = Pair::new() else { return };
    assert_eq!(pair.onnx.capabilities(), pair.candle.capabilities());
    for clip in clips() {
        for beam in [1, 5] {
            for translate in [None, Some("de".to_owned())] {
                let request = Request { beam, translate, timestamps: true, ..Request::default() };
                let expected = pair.candle.transcribe(&clip, &request).unwrap();
                let found = pair.onnx.transcribe(&clip, &request).unwrap();
                let (own, other) = (&expected.text, &found.text);
                assert!((own.average_log_probability - other.average_log_probability).abs() < 1e-3);
                assert_eq!((&found.language, own.tokens), (&expected.language, other.tokens));
                let texts = |text: &partita_model::engine::Text| -> Vec<String> {
                    text.segments.iter().map(|segment| segment.text.clone()).collect()
                };
                assert_eq!(texts(other), texts(own), "beam {beam}");
                // By the CTC head, whose rows come out of a graph.
                for (own, other) in own.segments.iter().zip(&other.segments) {
                    assert_eq!((own.start, own.end), (other.start, other.end));
                }
                assert_eq!(
                    found.translation.as_ref().map(texts),
                    expected.translation.as_ref().map(texts)
                );
            }
        }
    }
}

/// What a model of random numbers finds likeliest is short, so it is drawn from as well.
#[test]
fn outputs_are_those_of_the_weights_over_long_answers() {
    let Some(pair) = Pair::new() else { return };
    let (candle, onnx) = (pair.candle.model(), pair.onnx.model());
    let (mut different, mut tokens) = (std::collections::BTreeSet::new(), 0);
    for clip in clips() {
        let expected = candle.begin(&pair.candle.listen(&clip).unwrap()).unwrap();
        let found = onnx.begin(&pair.onnx.listen(&clip).unwrap()).unwrap();
        let to = "de".parse().unwrap();
        for task in [Task::Transcribe, Task::Translate(to), Task::DirectTranslation(to)] {
            for (beam, temperature) in [(1, 0.0), (5, 0.0), (1, 1.0), (1, 4.0)] {
                let wish = Wish { beam, temperature, silence: false, ..Wish::new(task, 3.0) };
                let expected = candle.write(&expected, &wish).unwrap();
                let found = onnx.write(&found, &wish).unwrap();
                assert_eq!(found.places, expected.places, "{task:?}, {beam}, {temperature}");
                assert_eq!(found.text, expected.text);
                assert_eq!(found.translation, expected.translation);
                tokens += expected.places.len();
                different.insert(expected.places);
            }
        }
    }
    assert!(different.len() > 20 && tokens > 500, "{} answers, {tokens} tokens", different.len());
}

#[test]
fn logits_are_near_at_once_in_steps_and_over_rows() {
    let Some(runtime) = runtime() else { return };
    // Windows, norms of heads and tied outputs; or outputs of its own.
    for architecture in ["gemma3", "llama"] {
        let folder = tempfile::tempdir().unwrap();
        let run = onnx_small::write_model(folder.path(), architecture, onnx_small::ULTRAVOX);
        let graphs = folder.path().join("graphs");
        exported(&run, &graphs, Dtype::Fp32);
        let onnx = OnnxModel::open(&graphs).unwrap().engine(&runtime).unwrap();
        let candle = candle(&run);
        let clip = &small::tone()[..12_000];
        let (heard, expected) = (onnx.listen(clip).unwrap(), candle.listen(clip).unwrap());
        assert_eq!(heard.dims(), expected.dims());
        let flat = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(cosine(&flat(&heard), &flat(&expected)) > 0.999_99);
        let found = written(onnx.model(), &heard);
        let expected = written(candle.model(), &expected);
        assert_eq!(found.len(), expected.len());
        for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let close = cosine(found, expected);
            assert!(close > 0.999_99, "{architecture}, logits {at}: {close}");
        }
    }
}

/// Logits of every way in which decoding asks for them.
fn written<N: SpeechNetwork>(network: &N, audio: &Tensor) -> Vec<Vec<f32>> {
    let begun = network.begin(audio).unwrap();
    let prompt = Task::Transcribe.prompt(network.vocabulary().marks());
    let places = [3, 20, 11, 7, 40, 3];
    let tokens = network.vocabulary().tokens(&places);
    let embed = |tokens: &[u32], rows: usize| {
        let x = network.text().embed(tokens).unwrap();
        let (_, count, width) = x.dims3().unwrap();
        x.reshape((rows, count / rows, width)).unwrap()
    };
    let mut state = network.text().fork(&begun).unwrap();
    let mut all = network.text().read(&embed(&prompt, 1), &mut state, 1).unwrap();
    all.extend(network.text().read(&embed(&tokens, 1), &mut state, 6).unwrap());
    // Cut back, and on from there with another token.
    network.text().forget(&mut state, 4);
    all.extend(network.text().read(&embed(&tokens[5..], 1), &mut state, 1).unwrap());
    // Spread over rows, which are then read differently, dropped and doubled.
    network.text().forget(&mut state, 1);
    network.text().select(&mut state, &[0, 0, 0]).unwrap();
    all.extend(network.text().read(&embed(&tokens[..3], 3), &mut state, 1).unwrap());
    network.text().select(&mut state, &[2, 1, 2, 0]).unwrap();
    all.extend(network.text().read(&embed(&tokens[..4], 4), &mut state, 1).unwrap());
    network.text().select(&mut state, &[3]).unwrap();
    all.extend(network.text().read(&embed(&tokens[..2], 1), &mut state, 2).unwrap());
    assert!(network.text().select(&mut state, &[1]).is_err(), "there is one row");
    // What the others did is not seen by the state that they were made of.
    let mut other = network.text().fork(&begun).unwrap();
    let again = network.text().read(&embed(&prompt, 1), &mut other, 1).unwrap();
    assert_eq!(again[0], all[0]);
    all
}

#[test]
fn drafts_are_verified_and_what_is_forced_stays() {
    let Some(mut pair) = Pair::new() else { return };
    for clip in clips() {
        let languages: &[_] = &["en".parse().unwrap(), "de".parse().unwrap()];
        let audio = pair.onnx.listen(&clip).unwrap();
        let model = pair.onnx.model();
        let begun = model.begin(&audio).unwrap();
        let seconds = clip.len() as f64 / 16_000.0;
        let wish = Wish { languages, silence: false, ..Wish::new(Task::Transcribe, seconds) };
        let greedy = model.write(&begun, &wish).unwrap();
        let draft = &greedy.places[..];
        let verified = model.write(&begun, &Wish { draft, ..wish.clone() }).unwrap();
        assert_eq!(verified.places, greedy.places);
        let mut other = greedy.places.clone();
        let last = other.len() / 2;
        other[last] = (other[last] + 1) % 60 + 1;
        let forced = last + 1;
        let wish = Wish { draft: &other, forced, ..wish };
        let found = model.write(&begun, &wish).unwrap();
        let expected = pair.candle.listen(&clip).unwrap();
        let expected = pair.candle.model().begin(&expected).unwrap();
        let expected = pair.candle.model().write(&expected, &wish).unwrap();
        assert_eq!(found.places, expected.places);

        // As it is live.
        let request = Request { beam: 5, ..Request::default() };
        let live = |engine: &mut dyn LiveEngine| {
            engine.hear(&clip).unwrap();
            let first = engine.write(&request, Draft::default()).unwrap();
            let forced = first.tokens.len() / 2;
            let draft = Draft { tokens: &first.tokens, forced };
            let greedy = Request { beam: 1, ..request.clone() };
            let second = engine.write(&greedy, draft).unwrap();
            let translation = engine.translate("de", &second).unwrap();
            (engine.spell(&second.tokens).unwrap(), first.tokens, second, translation)
        };
        let found = live(&mut pair.onnx);
        let expected = live(&mut pair.candle);
        assert_eq!((&found.0, &found.1, &found.3), (&expected.0, &expected.1, &expected.3));
        assert_eq!(found.2.tokens, expected.2.tokens);
    }
}

#[test]
fn graphs_of_every_type_answer_and_one_can_be_named() {
    let Some(pair) = Pair::new() else { return };
    for dtype in [Dtype::Fp16, Dtype::Int8, Dtype::Q4] {
        exported(&pair.world.run(), &pair.graphs, dtype);
    }
    let chosen = OnnxModel::open(&pair.graphs).unwrap();
    assert!(chosen.graph("embed_tokens").ends_with("onnx/embed_tokens_int8.onnx"));
    for dtype in Dtype::ALL {
        let graph = format!("onnx/decoder_model_merged{}.onnx", dtype.suffix());
        let model = OnnxModel::open(&pair.graphs.join(graph)).unwrap();
        let mut engine = model.engine(&pair.runtime).unwrap();
        let answer = engine.transcribe(&small::tone(), &Request::default()).unwrap();
        assert!(answer.text.tokens > 0, "{dtype:?}");
    }
}

#[test]
fn a_provider_that_the_library_lacks_is_named() {
    let Some(pair) = Pair::new() else { return };
    let model = OnnxModel::open(&pair.graphs).unwrap();
    // No library has all of them.
    let refused = Provider::ALL.into_iter().filter_map(|provider| {
        let runtime = Runtime { provider, ..pair.runtime.clone() };
        Some((provider, model.engine(&runtime).err()?.to_string()))
    });
    let refused: Vec<_> = refused.collect();
    assert!(refused.iter().all(|(provider, _)| *provider != Provider::Cpu));
    let (provider, error) = refused.last().unwrap();
    assert!(error.contains(&format!("provider {provider}")) && error.contains("cpu"), "{error}");
}

/// `PARTITA_RUN=RUN`: a run of real weights, on the sample clips.
#[test]
fn a_real_run_writes_the_same_texts() {
    let Some(runtime) = runtime() else { return };
    let Some(run) = std::env::var_os("PARTITA_RUN").map(PathBuf::from) else {
        use std::io::Write;
        writeln!(std::io::stderr(), "skipped: PARTITA_RUN names no run of real weights").ok();
        return;
    };
    let trained = TrainedModel::read(&run).unwrap();
    let merged = Merged::open(run.to_str().unwrap()).unwrap();
    let out = tempfile::tempdir().unwrap();
    export(&merged, Dtype::Fp32, out.path(), MOST_INSIDE).unwrap();
    let (encoder, llm) = (
        partita_export::bases::whisper(&trained.encoder),
        partita_export::bases::gguf(&trained.llm),
    );
    let (encoder, llm) = (encoder.unwrap(), llm.unwrap());
    let (bases, floats) = ((encoder.path.as_path(), llm.path.as_path()), [Precision::Float; 2]);
    let weights = run.join(TrainedModel::WEIGHTS);
    let mut candle = trained.open_weights(&weights, bases, floats, &Device::Cpu).unwrap();
    let mut onnx = OnnxModel::open(out.path()).unwrap().engine(&runtime).unwrap();
    let clips = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/samples");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(clips).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let is_known = |file: &PathBuf| {
        let name = file.file_name().unwrap().to_string_lossy();
        trained.languages.iter().any(|lang| name.starts_with(&format!("{lang}-")))
    };
    for file in files.iter().filter(|file| is_known(file)) {
        let samples = partita_audio::read_all(file).unwrap();
        for beam in [1, 5] {
            let request = Request { beam, silence_guard: false, ..Request::default() };
            let expected = candle.transcribe(&samples, &request).unwrap();
            let found = onnx.transcribe(&samples, &request).unwrap();
            println!("{} {beam}: {:?}", file.display(), found.text.segments);
            assert_eq!(found.text.segments, expected.text.segments, "{}, {beam}", file.display());
        }
    }
}
