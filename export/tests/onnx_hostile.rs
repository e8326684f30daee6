//! Folders of graphs that are not what they should be: an error that names the file, never a panic.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "onnx_library/mod.rs"]
mod library;
#[allow(dead_code, reason = "another test uses all of it")]
#[path = "onnx_small/mod.rs"]
mod small;

use partita_export::merged::{Merged, Weight};
use partita_export::onnx::{Dtype, Element, Graph, Length, MOST_INSIDE, Value, export, write};
use partita_export::pending::Pending;
use partita_model::engine::{Engine, Request};
use partita_model::onnx::{Provider, Runtime};
use partita_model::speech::OnnxModel;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

struct Folder {
    _made: TempDir,
    path: PathBuf,
}

impl Folder {
    fn new() -> Self {
        let made = tempfile::tempdir().unwrap();
        let model = small::write_model(made.path(), "gemma3", small::ULTRAVOX);
        let path = made.path().join("graphs");
        let merged = Merged::open(model.to_str().unwrap()).unwrap();
        export(&merged, Dtype::Fp32, &path, MOST_INSIDE).unwrap();
        Self { _made: made, path }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What opening it complains about.
    fn complaint(&self, runtime: &Runtime) -> String {
        let opened = OnnxModel::open(&self.path).and_then(|model| model.engine(runtime));
        opened.err().unwrap().to_string()
    }
}

fn runtime() -> Option<Runtime> {
    Some(Runtime { library: library::library()?, provider: Provider::Cpu, threads: 1 })
}

fn put(path: &Path, graph: &Graph) {
    let mut pending = Pending::inside(path.parent().unwrap()).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let none = |_: &Weight| -> anyhow::Result<Vec<f32>> { anyhow::bail!("no weights here") };
    write(&mut pending, name, graph, MOST_INSIDE, &none).unwrap();
    pending.place().unwrap();
}

const AUDIO: &str = "onnx/audio_encoder.onnx";
const EMBED: &str = "onnx/embed_tokens.onnx";
const DECODER: &str = "onnx/decoder_model_merged.onnx";

#[test]
fn graphs_that_are_missing_broken_or_of_another_kind_are_named() {
    let Some(runtime) = runtime() else { return };
    for name in [AUDIO, EMBED, DECODER] {
        let folder = Folder::new();
        let whole = fs::read(folder.at(name)).unwrap();
        let complains = |part: &str| {
            let error = folder.complaint(&runtime);
            assert!(error.contains(name) && error.contains(part), "{name}: {error}");
            assert!(error.len() < 700 && !error.contains('\n'), "{error}");
        };
        for length in [0, 10, whole.len() / 2, whole.len() - 7] {
            fs::write(folder.at(name), &whole[..length]).unwrap();
            complains("");
        }
        fs::write(folder.at(name), vec![0xFF; 5000]).unwrap();
        complains("");
        let other = if name == EMBED { AUDIO } else { EMBED };
        fs::copy(folder.at(other), folder.at(name)).unwrap();
        complains("missing");
        fs::remove_file(folder.at(name)).unwrap();
        complains(if name == DECODER { "" } else { "no such file" });
    }
}

/// An encoder with one thing that may be wrong.
fn encoder(name: &str, kind: Element, mel: &[Length], output: &str, width: usize) -> Graph {
    let mut graph = Graph::new("audio_encoder");
    let x = graph.input(name, kind, mel);
    let shape = graph.ints(&[0, -1, width as i64]);
    let y = graph.op("Reshape", &[&x, &shape]);
    let shape = [Length::Named("a"), Length::Named("b"), Length::Fixed(width)];
    graph.output(output, &y, kind, &shape);
    graph
}

#[test]
fn inputs_and_outputs_of_other_names_types_and_shapes_are_named() {
    let Some(runtime) = runtime() else { return };
    let folder = Folder::new();
    let (batch, time) = (Length::Named("a"), Length::Named("b"));
    let mel = [batch, Length::Fixed(80), time];
    let (float, width) = (Element::F32, small::WIDTH);
    let (audio, features) = ("audio_values", "audio_features");
    let cases = [
        (encoder("audio", float, &mel, features, width), "input `audio_values`: missing"),
        (encoder(audio, float, &mel, "out", width), "output `audio_features`: missing"),
        (encoder(audio, float, &[batch, time, time], features, width), "axis 1 must be fixed"),
        (encoder(audio, float, &mel[..1], features, width), ""),
        (encoder(audio, float, &mel, features, width + 8), "output `audio_features`"),
        (encoder(audio, Element::I64, &mel, features, width), "input `audio_values`"),
    ];
    for (graph, part) in cases {
        put(&folder.at(AUDIO), &graph);
        let error = folder.complaint(&runtime);
        assert!(error.contains(AUDIO) && error.contains(part), "{part}: {error}");
    }
    let mut graph = encoder(audio, float, &mel, features, width);
    graph.input("more", float, &[batch]);
    put(&folder.at(AUDIO), &graph);
    let error = folder.complaint(&runtime);
    assert!(error.contains("input `more`: not known"), "{error}");
}

#[test]
fn a_decoder_without_a_layers_cache_or_with_other_heads_is_refused() {
    let Some(runtime) = runtime() else { return };
    let folder = Folder::new();
    let (batch, time) = (Length::Named("a"), Length::Named("b"));
    let decoder = |heads: [usize; 2], second: &str| {
        let mut graph = Graph::new("decoder_model_merged");
        let x =
            graph.input("inputs_embeds", Element::F32, &[batch, time, Length::Fixed(small::WIDTH)]);
        graph.input("attention_mask", Element::I64, &[batch, Length::Named("c")]);
        graph.input("position_ids", Element::I64, &[batch, time]);
        graph.input("num_logits_to_keep", Element::I64, &[]);
        let mut caches: Vec<(Value, usize)> = Vec::new();
        for (name, heads) in ["past_key_values.0.key", second].into_iter().zip(heads) {
            let shape = [batch, Length::Fixed(heads), Length::Named("d"), Length::Fixed(16)];
            caches.push((graph.input(name, Element::F32, &shape), heads));
        }
        let outputs = Length::Fixed(small::WIDTH);
        graph.output("logits", &x, Element::F32, &[batch, Length::Named("e"), outputs]);
        for ((cache, heads), what) in caches.iter().zip(["key", "value"]) {
            let shape = [batch, Length::Fixed(*heads), Length::Named("f"), Length::Fixed(16)];
            let cache = graph.op("Identity", &[cache]);
            graph.output(&format!("present.0.{what}"), &cache, Element::F32, &shape);
        }
        graph
    };
    let value = "past_key_values.0.value";
    for (graph, part) in [
        (decoder([1, 1], "past_key_values.1.key"), "input `past_key_values.0.value`: missing"),
        (decoder([1, 2], value), "input `past_key_values.0.value`: "),
        (decoder([2, 2], value), "no token"),
    ] {
        put(&folder.at(DECODER), &graph);
        let error = folder.complaint(&runtime);
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn outputs_that_are_not_as_declared_are_refused_when_they_come() {
    let Some(runtime) = runtime() else { return };
    let folder = Folder::new();
    let mut graph = Graph::new("audio_encoder");
    let (batch, time) = (Length::Named("a"), Length::Named("b"));
    let x = graph.input("audio_values", Element::F32, &[batch, Length::Fixed(80), time]);
    // More vectors than there were frames.
    let wide: Vec<&Value> = vec![&x; 40];
    let y = graph.op_with("Concat", &wide, &[("axis", partita_export::onnx::Setting::Int(2))]);
    let shape = graph.ints(&[0, -1, small::WIDTH as i64]);
    let y = graph.op("Reshape", &[&y, &shape]);
    let out = [batch, Length::Named("c"), Length::Fixed(small::WIDTH)];
    graph.output("audio_features", &y, Element::F32, &out);
    put(&folder.at(AUDIO), &graph);
    let model = OnnxModel::open(&folder.path).unwrap();
    let mut engine = model.engine(&runtime).unwrap();
    let error = engine.transcribe(&[0.1; 8000], &Request::default()).unwrap_err().to_string();
    assert!(error.contains(AUDIO) && error.contains("vectors of"), "{error}");
}

#[test]
fn files_beside_the_graphs_are_read_with_suspicion() {
    let folder = Folder::new();
    for name in ["config.json", "tokenizer.json"] {
        let whole = fs::read(folder.at(name)).unwrap();
        let open = |content: &[u8]| {
            fs::write(folder.at(name), content).unwrap();
            OnnxModel::open(&folder.path).map_err(|error| error.to_string())
        };
        let error = open(b"{}").unwrap_err();
        assert!(error.contains(name), "{error}");
        assert!(open(b"[1, 2]").unwrap_err().contains(name));
        assert!(open(&whole[..whole.len() / 2]).unwrap_err().contains(name));
        // Bytes that are changed one by one, all over the file.
        let step = whole.len() / 300 + 1;
        for (at, byte) in (0..whole.len()).step_by(step).zip((1..=255u8).cycle()) {
            let mut changed = whole.clone();
            changed[at] = changed[at].wrapping_add(byte);
            if let Err(error) = open(&changed) {
                assert!(error.contains("json"), "{error}");
            }
        }
        fs::write(folder.at(name), &whole).unwrap();
    }
    let open = |file: &str, from: &str, to: &str| {
        let whole = fs::read_to_string(folder.at(file)).unwrap();
        assert!(whole.contains(from), "{file} has {from}");
        fs::write(folder.at(file), whole.replacen(from, to, 1)).unwrap();
        let error = OnnxModel::open(&folder.path).unwrap_err().to_string();
        fs::write(folder.at(file), whole).unwrap();
        error
    };
    let error = open("config.json", "\"partita\"", "\"other\"");
    assert!(error.contains("config.json") && error.contains("partita"), "{error}");
    assert!(open("config.json", "\"de\"", "\"tlh\"").contains("tlh"));
    assert!(
        open("config.json", "\"eos_token_id\": 1", "\"eos_token_id\": 99999").contains("99999")
    );
    assert!(open("tokenizer.json", "\"BPE\"", "\"WordPiece\"").contains("tokenizer.json"));
    fs::remove_file(folder.at("tokenizer.json")).unwrap();
    assert!(OnnxModel::open(&folder.path).unwrap_err().to_string().contains("tokenizer.json"));
    let nowhere = folder.at("nowhere");
    assert!(!OnnxModel::is_at(&nowhere) && OnnxModel::open(&nowhere).is_err());
}
