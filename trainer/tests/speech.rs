//! The speech model through the whole trainer, small: random bases, clips of tones, a recipe with a
//! warm start by CTC, transcription, and translation with low-rank changes and text.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod recordings;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use candle_core::Device;
use candle_core::quantized::{GgmlDType, QTensor};
use partita_model::engine::{Engine, Request};
use partita_model::files::gguf::write_gguf;
use partita_model::files::{Value, WeightFile};
use partita_model::nn::{Init, NameSet, Parameters, TrainingSource, WeightSource};
use partita_model::speech::TrainedModel;
use partita_model::tokens::Lang;
use partita_train::run_folder::RunFolder;
use partita_train::speech::SpeechObjective;
use partita_train::train;
use partita_train::training_loop::{self, Outcome};
use recordings::wav;
use serde_json::json;

/// Words, each a tone.
const WORDS: [(&str, &str, f32); 4] = [
    ("one", "eins", 300.0),
    ("two", "zwei", 700.0),
    ("three", "drei", 1500.0),
    ("four", "vier", 3000.0),
];

fn random_tensors(shapes: &[(String, Vec<usize>)]) -> Vec<(String, QTensor)> {
    let parameters = Parameters::new(11, &Device::Cpu);
    let source = TrainingSource::new(&parameters, NameSet::default());
    let make = |(name, shape): &(String, Vec<usize>)| {
        let init = match &shape[..] {
            [_, _] if name.starts_with("token_embd") => Init::Normal(0.5),
            [_, inputs] => Init::fan_in(*inputs),
            [_, inputs, kernel] => Init::fan_in(inputs * kernel),
            _ if name.ends_with("bias") => Init::Constant(0.0),
            _ => Init::Constant(1.0),
        };
        let tensor = source.tensor_or(name, shape, init).unwrap();
        (name.clone(), QTensor::quantize(&tensor, GgmlDType::F32).unwrap())
    };
    shapes.iter().map(make).collect()
}

fn write(path: &Path, metadata: &[(String, Value)], shapes: &[(String, Vec<usize>)]) {
    let tensors = random_tensors(shapes);
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
    write_gguf(path, metadata, &tensors).unwrap();
}

/// A Whisper encoder of two layers, as the import writes it.
fn small_encoder(path: &Path) {
    let width = 64;
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
    let mut shapes = vec![
        ("a.conv1d.1.weight".to_owned(), vec![width, 80, 3]),
        ("a.conv1d.1.bias".to_owned(), vec![width]),
        ("a.conv1d.2.weight".to_owned(), vec![width, width, 3]),
        ("a.conv1d.2.bias".to_owned(), vec![width]),
        ("a.position_embd.weight".to_owned(), vec![1500, width]),
        ("a.post_ln.weight".to_owned(), vec![width]),
        ("a.post_ln.bias".to_owned(), vec![width]),
    ];
    for i in 0..2 {
        for (name, shape) in [
            ("ln1", vec![width]),
            ("attn_q", vec![width, width]),
            ("attn_k", vec![width, width]),
            ("attn_v", vec![width, width]),
            ("attn_out", vec![width, width]),
            ("ln2", vec![width]),
            ("ffn_up", vec![4 * width, width]),
            ("ffn_down", vec![width, 4 * width]),
        ] {
            if name != "attn_k" {
                shapes.push((format!("a.blk.{i}.{name}.bias"), vec![shape[0]]));
            }
            shapes.push((format!("a.blk.{i}.{name}.weight"), shape));
        }
    }
    write(path, &metadata, &shapes);
}

/// A Gemma 3 of two blocks with the tokenizer of the token tests.
fn small_llm(path: &Path) {
    let width = 32;
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/model/tests");
    let tokenizer = WeightFile::open(&tests.join("tokens/score.gguf")).unwrap();
    let vocabulary = tokenizer.metadata()["tokenizer.ggml.tokens"].as_array().unwrap().len();
    let mut metadata: Vec<(String, Value)> = tokenizer
        .metadata()
        .iter()
        .filter(|(key, _)| key.starts_with("tokenizer."))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
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
    let mut shapes = vec![
        ("token_embd.weight".to_owned(), vec![vocabulary, width]),
        ("output_norm.weight".to_owned(), vec![width]),
    ];
    for i in 0..2 {
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
            shapes.push((format!("blk.{i}.{name}.weight"), shape));
        }
    }
    write(path, &metadata, &shapes);
}

fn words(clip: usize) -> [(&'static str, &'static str, f32); 3] {
    [clip % 4, clip / 4 % 4, clip / 16 % 4].map(|i| WORDS[i])
}

fn samples(clip: usize) -> Vec<f32> {
    let tone = |frequency: f32| {
        (0..5600).map(move |i| {
            let t = i as f32 / 16_000.0;
            0.3 * (t * frequency * std::f32::consts::TAU).sin()
        })
    };
    words(clip).iter().flat_map(|(_, _, frequency)| tone(*frequency)).collect()
}

/// Clips of three tones that say three words, with German translations; noise; sentences.
fn data(folder: &Path) {
    let (mut speech, mut text) = (String::new(), String::new());
    for clip in 0..60usize {
        let words = words(clip);
        let name = format!("{clip}.wav");
        fs::write(folder.join(&name), wav(&samples(clip))).unwrap();
        let english = words.map(|(english, _, _)| english).join(" ");
        let german = words.map(|(_, german, _)| german).join(" ");
        let split = if clip % 6 == 5 { "dev" } else { "train" };
        let row = json!({
            "id": name, "audio_filepath": name, "offset": 0.0, "duration": 1.05, "lang": "en",
            "text": english, "translations": { "de": german }, "speaker": "", "voice": "",
            "split": split, "source": "own", "licence": "MIT",
        });
        speech += &format!("{row}\n");
        let row = json!({
            "id": format!("t{clip}"), "src_lang": "en", "tgt_lang": "de", "src_text": english,
            "tgt_text": german, "split": split, "source": "own", "licence": "MIT",
        });
        text += &format!("{row}\n");
    }
    for (at, split) in ["train", "train", "dev"].iter().enumerate() {
        let noise = |i: usize| (i * 7919 % 1000) as f32 / 5000.0 - 0.1;
        let name = format!("noise{at}.wav");
        fs::write(folder.join(&name), wav(&(0..16_000).map(noise).collect::<Vec<_>>())).unwrap();
        let row = json!({
            "id": name, "audio_filepath": name, "offset": 0.0, "duration": 1.0, "lang": "",
            "text": "", "translations": {}, "speaker": "", "voice": "", "split": split,
            "source": "own", "licence": "MIT",
        });
        speech += &format!("{row}\n");
    }
    fs::write(folder.join("speech.jsonl"), speech).unwrap();
    fs::write(folder.join("text.jsonl"), text).unwrap();
}

fn recipe(folder: &Path) -> PathBuf {
    small_encoder(&folder.join("encoder.gguf"));
    small_llm(&folder.join("llm.gguf"));
    data(folder);
    let (encoder, llm) = (folder.join("encoder.gguf"), folder.join("llm.gguf"));
    let text = format!(
        r#"
name = "small"
seed = 3
order = ["warm", "adapter", "joint"]
budget = {{ steps = 90 }}
[model]
encoder = {encoder:?}
llm = {llm:?}
[lora]
rank = 8
alpha = 16.0
targets = ["q", "k", "v", "o", "gate", "up", "down"]
[data]
speech = ["speech.jsonl"]
text = ["text.jsonl"]
padded_share = 0.0
noise_share = 0.1
longest = 10.0
[augmentation]
speed = [1.0, 1.0]
noise_share = 0.0
room_share = 0.0
frequency_masks = 0
time_masks = 0
[batch]
seconds = 12.0
text_tokens = 100
accumulate = 1
[evaluation]
every = 30
clips = 8
[schedule]
shape = "constant"
warmup = 0.0
floor = 1.0
[checkpoints]
steps = 20
[stage.warm]
share = 0.2
train.adapter = {{ learning_rate = 3e-3 }}
train.ctc = {{ learning_rate = 3e-3 }}
tasks = {{ ctc = 1.0 }}
[stage.adapter]
share = 0.4
train.adapter = {{ learning_rate = 3e-3 }}
train.marks = {{ learning_rate = 1e-2 }}
tasks = {{ asr = 1.0 }}
[stage.joint]
share = 0.4
train.adapter = {{ learning_rate = 2e-3 }}
train.encoder = {{ learning_rate = 1e-3, top = 1 }}
train.lora = {{ learning_rate = 1e-2 }}
train.marks = {{ learning_rate = 1e-2 }}
tasks = {{ asr = 1.0, st = 1.0 }}
late = {{ from = 0.7, tasks = {{ asr = 1.0, st = 1.0, mt = 0.5, lm = 0.2 }} }}
"#
    );
    let path = folder.join("small.toml");
    fs::write(&path, text).unwrap();
    path
}

fn lines(run: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_recipe_is_carried_out_the_losses_fall_and_a_stopped_run_ends_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let options = train::Options {
        recipe: recipe(folder.path()),
        out: Some(folder.path().join("run")),
        speech: Vec::new(),
        text: Vec::new(),
        seed: None,
    };
    let (run, outcome) = train::begin(&options, &Device::Cpu, true).unwrap();
    assert_eq!(outcome, Outcome::Finished);
    let all = lines(&run);
    let part = |line: &serde_json::Value, name: &str| line["parts"][name].as_f64();
    for (name, least) in [("loss.ctc", 0.8), ("loss.asr", 0.6), ("loss.st", 0.9)] {
        let losses: Vec<f64> = all.iter().filter_map(|line| part(line, name)).collect();
        let mean = |some: &[f64]| some.iter().sum::<f64>() / some.len() as f64;
        let third = losses.len() / 3;
        let (first, last) = (mean(&losses[..third]), mean(&losses[losses.len() - third..]));
        println!("{name}: {first:.3}, then {last:.3}");
        assert!(last < least * first, "{name}: {losses:?}");
    }
    let values: Vec<f64> = all
        .iter()
        .filter(|line| line["kind"] == "evaluation")
        .map(|line| line["values"]["loss.asr"].as_f64().unwrap())
        .collect();
    println!("evaluations: {values:?}");
    assert!(values.last().unwrap() < &(0.5 * values[0]), "{values:?}");

    // What was trained is what then runs.
    let trained = TrainedModel::read(&run).unwrap();
    assert_eq!(trained.languages, ["en".parse::<Lang>().unwrap()]);
    assert_eq!(trained.targets, ["de".parse::<Lang>().unwrap()]);
    let (encoder, llm) = (folder.path().join("encoder.gguf"), folder.path().join("llm.gguf"));
    let mut engine = trained.open(&run, (&encoder, &llm), &Device::Cpu).unwrap();
    let request = Request { translate: Some("de".to_owned()), ..Request::default() };
    let heard = engine.transcribe(&samples(5), &request).unwrap();
    println!("{heard:?}");
    assert_eq!(heard.language, "en");
    assert!(heard.text.tokens > 1 && heard.translation.is_some());

    // Another run begins from it, and its checkpoint is no model.
    let from = |start: &Path| {
        let mut recipe = partita_train::recipe::Recipe::load(&options.recipe).unwrap();
        let here = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        recipe.data.speech = vec![here("speech.jsonl")];
        recipe.data.text = vec![here("text.jsonl")];
        recipe.model.start = start.to_str().unwrap().to_owned();
        SpeechObjective::open(&recipe, &Device::Cpu)
    };
    let value = |objective: &mut SpeechObjective| {
        use partita_train::objective::Objective;
        objective.evaluate("joint").unwrap();
        let parameters = objective.parameters();
        let (_, marks) = parameters.iter().find(|(name, _)| name == "marks.weight").unwrap();
        marks.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let weights = WeightFile::open(&run.join(TrainedModel::WEIGHTS)).unwrap();
    assert_eq!(value(&mut from(&run).unwrap()), weights.floats("marks.weight").unwrap().1);
    let checkpoint = run.join("checkpoints/step-90").join(partita_train::checkpoint::PARAMETERS);
    let refused = format!("{:#}", from(&checkpoint).err().unwrap());
    assert!(refused.contains("is a checkpoint's; name its run's folder"), "{refused}");

    // The same with a stop in the middle: as if nothing had happened.
    let recipe = partita_train::recipe::Recipe::load(&options.recipe).unwrap();
    let mut recipe = recipe;
    recipe.data.speech = vec![folder.path().join("speech.jsonl").to_str().unwrap().to_owned()];
    recipe.data.text = vec![folder.path().join("text.jsonl").to_str().unwrap().to_owned()];
    let again = folder.path().join("again");
    {
        let mut objective = SpeechObjective::open(&recipe, &Device::Cpu).unwrap();
        let run = RunFolder::create(&again, &recipe).unwrap();
        struct Until<'a>(&'a AtomicBool);
        impl partita_train::objective::Watcher for Until<'_> {
            fn step(&mut self, record: &partita_train::metrics::StepRecord, _share: f64) {
                if record.step == 47 {
                    self.0.store(true, std::sync::atomic::Ordering::Relaxed);
                }
            }
        }
        let stop = AtomicBool::new(false);
        let outcome = training_loop::train(&mut objective, &run, &stop, &mut Until(&stop)).unwrap();
        assert_eq!(outcome, Outcome::Stopped);
    }
    let mut objective = {
        let recipe = RunFolder::open(&again).unwrap().recipe().clone();
        SpeechObjective::open(&recipe, &Device::Cpu).unwrap()
    };
    let resumed = RunFolder::open(&again).unwrap();
    let never = AtomicBool::new(false);
    training_loop::train(&mut objective, &resumed, &never, &mut ()).unwrap();
    let without_speed = |run: &Path| -> Vec<serde_json::Value> {
        let mut lines = lines(run);
        lines.iter_mut().for_each(|line| {
            line.as_object_mut().unwrap().remove("speed");
        });
        lines
    };
    assert_eq!(without_speed(&again), without_speed(&run));
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = recipe(folder.path());
    let text = fs::read_to_string(&path).unwrap();
    let error = |from: &str, to: &str| {
        let changed = folder.path().join("changed.toml");
        assert!(text.contains(from), "{from}");
        fs::write(&changed, text.replace(from, to)).unwrap();
        let options = train::Options {
            recipe: changed,
            out: Some(folder.path().join("none")),
            speech: Vec::new(),
            text: Vec::new(),
            seed: None,
        };
        format!("{:#}", train::begin(&options, &Device::Cpu, true).unwrap_err())
    };
    for (from, to, reason) in [
        ("encoder.gguf", "nothing.gguf", "nothing.gguf"),
        ("\"speech.jsonl\"", "\"gone.jsonl\"", "gone.jsonl"),
        ("top = 1", "top = 9", "the encoder has 2 layers, not 9"),
        ("clips = 8", "clips = 8\nmetric = \"bleu\"", "not measured by bleu yet"),
        ("[\"speech.jsonl\"]", "[]", "no clips: name manifests in data.speech, or with --speech"),
    ] {
        let found = error(from, to);
        assert!(found.contains(reason), "{reason}: {found}");
    }
    assert!(!folder.path().join("none").exists(), "no run was begun");
}
