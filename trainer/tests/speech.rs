//! The speech model through the whole trainer, small: random bases, clips of tones, a recipe with a
//! warm start by CTC, transcription, and translation with low-rank changes and text.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod recordings;
mod small_speech;

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use candle_core::Device;
use partita_model::engine::{Engine, Request};
use partita_model::files::{TensorKind, WeightFile};
use partita_model::nn::{DeltaSource, FileSource, Precision, WeightSource};
use partita_model::speech::TrainedModel;
use partita_model::tokens::Lang;
use partita_train::pack::{Options, pack};
use partita_train::report::history::History;
use partita_train::run_folder::RunFolder;
use partita_train::speech::SpeechObjective;
use partita_train::train;
use partita_train::training_loop::{self, Outcome};
use small_speech::{recipe, samples};

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

    // Of every step it is known what was drawn.
    let history = History::read(&run).unwrap();
    let drawn = history.drawn();
    println!("{}", drawn.render());
    assert!(drawn.clips["en"] > 100 && drawn.clips["none"] > 5, "{drawn:?}");
    assert!((0.02..0.2).contains(&drawn.noise_share()) && drawn.padded == 0, "{drawn:?}");
    let heard = |line: &&serde_json::Value| {
        line["kind"] == "step" && line["speed"]["audio"].as_f64().unwrap() > 0.0
    };
    assert!(all.iter().filter(heard).all(|line| line["drawn"]["clips"].is_object()));

    // What was trained is what then runs.
    let trained = TrainedModel::read(&run).unwrap();
    assert_eq!(trained.languages, ["en".parse::<Lang>().unwrap()]);
    assert_eq!(trained.targets, ["de".parse::<Lang>().unwrap()]);
    let (encoder, llm) = (folder.path().join("encoder.gguf"), folder.path().join("llm.gguf"));
    let mut engine = trained.open(&run, (encoder.as_path(), llm.as_path()), &Device::Cpu).unwrap();
    let request = Request { translate: Some("de".to_owned()), ..Request::default() };
    let heard = engine.transcribe(&samples(5), &request).unwrap();
    println!("{heard:?}");
    assert_eq!(heard.language, "en");
    assert!(heard.text.tokens > 1 && heard.translation.is_some());

    // Packed into one small file it is nearly the same: less of it is lost than was learned.
    let small = folder.path().join("small.gguf");
    let options_of_pack = Options { model: run.clone(), out: small.clone() };
    let report = pack(&options_of_pack).unwrap();
    println!("{}", partita_train::pack::render(&report));
    assert!(report.after < report.before / 2 && report.changes.len() > 10);
    let again = TrainedModel::read(&small).unwrap();
    assert_eq!(again, trained);
    let packed = |path: &Path| TrainedModel::is_packed(path);
    assert!(packed(&small) && !packed(&run) && !packed(&encoder));
    let base = WeightFile::open(&encoder).unwrap();
    let source = || FileSource::new(&base, &Device::Cpu, Precision::Float);
    let values = |source: &dyn Fn() -> partita_model::nn::Linear| {
        let weight = source().weight(&Device::Cpu).unwrap();
        weight.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let of = |source: &dyn WeightSource| source.linear("a.blk.1.ffn_up", (256, 64), true).unwrap();
    let changed = |path: &Path| {
        let delta = WeightFile::open(&TrainedModel::weights(path)).unwrap();
        values(&|| of(&DeltaSource::new(source(), &delta, &Device::Cpu).unwrap()))
    };
    let (before, full, packed) = (values(&|| of(&source())), changed(&run), changed(&small));
    let apart =
        |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
    let (lost, learned) = (apart(&full, &packed), apart(&full, &before));
    println!("of {learned} that were learned {lost} are lost");
    assert!(lost > 0.0 && lost < 0.2 * learned, "{:?}", report.changes);
    let mut engine = again.open(&small, (encoder.as_path(), llm.as_path()), &Device::Cpu).unwrap();
    assert_eq!(engine.transcribe(&samples(5), &request).unwrap().language, "en");
    let twice = pack(&options_of_pack).unwrap_err();
    assert!(twice.to_string().contains("there is a file already"), "{twice}");

    // Another run begins from it, and its checkpoint is no model.
    let scaled = |start: &Path, factor: f64| {
        let mut recipe = partita_train::recipe::Recipe::load(&options.recipe).unwrap();
        let here = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        recipe.data.speech = vec![here("speech.jsonl")];
        recipe.data.text = vec![here("text.jsonl")];
        recipe.model.start = start.to_str().unwrap().to_owned();
        recipe.lora.alpha *= factor;
        SpeechObjective::open(&recipe, &Device::Cpu)
    };
    let from = |start: &Path| scaled(start, 1.0);
    let value = |objective: &mut SpeechObjective| {
        use partita_train::objective::Objective;
        objective.evaluate("joint").unwrap();
        let parameters = objective.parameters();
        let (_, marks) = parameters.iter().find(|(name, _)| name == "marks.weight").unwrap();
        marks.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let weights = WeightFile::open(&run.join(TrainedModel::WEIGHTS)).unwrap();
    assert_eq!(value(&mut from(&run).unwrap()), weights.floats("marks.weight").unwrap().1);
    let stored = WeightFile::open(&small).unwrap().floats("marks.weight").unwrap().1;
    assert_eq!(value(&mut from(&small).unwrap()), stored);
    let refused = format!("{:#}", scaled(&small, 2.0).err().unwrap());
    assert!(refused.contains("trained with lora.alpha = "), "{refused}");
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
        ("[\"text.jsonl\"]", "[]", "data.text: names nothing, and a stage has tasks of text alone"),
        ("[\"speech.jsonl\"]", "[]", "no clips: name manifests in data.speech, or with --speech"),
    ] {
        let found = error(from, to);
        assert!(found.contains(reason), "{reason}: {found}");
    }
    let speech = fs::read_to_string(folder.path().join("speech.jsonl")).unwrap();
    let untranslated = speech.replace("\"de\":", "\"xx\":");
    fs::write(folder.path().join("speech.jsonl"), untranslated).unwrap();
    let found = error("clips = 8", "clips = 8\nmetric = \"bleu\"");
    assert!(found.contains("bleu, and no development clip has a translation"), "{found}");
    assert!(!folder.path().join("none").exists(), "no run was begun");
}

#[test]
fn in_bfloat16_losses_fall_and_what_is_trained_stays_single() {
    let folder = tempfile::tempdir().unwrap();
    let path = recipe(folder.path());
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("[model]", "[model]\nprecision = \"bf16\"")).unwrap();
    let mut recipe = partita_train::recipe::Recipe::load(&path).unwrap();
    let here = |name: &str| vec![folder.path().join(name).to_str().unwrap().to_owned()];
    (recipe.data.speech, recipe.data.text) = (here("speech.jsonl"), here("text.jsonl"));
    let run = folder.path().join("run");
    let opened = RunFolder::create(&run, &recipe).unwrap();
    let mut objective = SpeechObjective::open(&recipe, &Device::Cpu).unwrap();
    let never = AtomicBool::new(false);
    let outcome = train::go_on(&mut objective, &opened, &never, true).unwrap();
    assert_eq!(outcome, Outcome::Finished);
    for name in ["loss.ctc", "loss.asr", "loss.st"] {
        let all = lines(&run);
        let losses: Vec<f64> = all.iter().filter_map(|line| line["parts"][name].as_f64()).collect();
        println!("{name}: {losses:.3?}");
        let third = losses.len() / 3;
        let mean = |some: &[f64]| some.iter().sum::<f64>() / some.len() as f64;
        assert!(mean(&losses[losses.len() - third..]) < 0.9 * mean(&losses[..third]), "{name}");
    }
    let weights = WeightFile::open(&run.join(TrainedModel::WEIGHTS)).unwrap();
    assert!(weights.tensors().iter().all(|tensor| tensor.kind == TensorKind::F32));
}

#[test]
fn clips_whose_ctc_loss_is_not_finite_are_named_and_counted() {
    use partita_train::objective::Objective;

    let folder = tempfile::tempdir().unwrap();
    let mut recipe = partita_train::recipe::Recipe::load(&recipe(folder.path())).unwrap();
    let here = |name: &str| vec![folder.path().join(name).to_str().unwrap().to_owned()];
    (recipe.data.speech, recipe.data.text) = (here("speech.jsonl"), here("text.jsonl"));
    let run = RunFolder::create(&folder.path().join("run"), &recipe).unwrap();
    let mut objective = SpeechObjective::open(&recipe, &Device::Cpu).unwrap();
    let parameters = objective.parameters();
    let (_, blank) = parameters.iter().find(|(name, _)| name == "ctc.blank").unwrap();
    blank.set(&(blank.as_tensor() * f64::NAN).unwrap()).unwrap();
    let never = AtomicBool::new(false);
    let found = training_loop::train(&mut objective, &run, &never, &mut ());
    let error = format!("{:#}", found.unwrap_err());
    println!("{error}");
    assert!(error.contains("step 10, batches: ctc, not finite, "), "{error}");
    assert!(error.contains(".wav") && error.contains("10 steps in a row"), "{error}");
    for line in lines(run.path()) {
        assert_eq!(
            (&line["skipped"], &line["parts"]["ctc.not_finite"]),
            (&true.into(), &1.0.into())
        );
        assert!(line["bad"][0].as_str().unwrap().starts_with("ctc, not finite, "), "{line}");
    }
}
