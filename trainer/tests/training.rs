//! The training loop: it learns, it stops and goes on, and it says what is wrong.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod toy;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Var;
use partita_train::checkpoint::{self, Checkpoint, PARAMETERS};
use partita_train::metrics::StepRecord;
use partita_train::objective::{Loss, Objective, Position, Watcher};
use partita_train::run_folder::RunFolder;
use partita_train::stages::{Move, Trained};
use partita_train::training_loop::{Outcome, train};
use serde_json::Value;
use toy::Toy;

type Named = (String, Var);

static NEVER: AtomicBool = AtomicBool::new(false);

fn metrics(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let without_speed = |line: &str| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("speed");
        value
    };
    text.lines().map(without_speed).collect()
}

fn of_kind<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["kind"] == kind).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let name =
        |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(name).collect();
    names.sort_by_key(|name| (name.len(), name.clone()));
    names
}

fn values(variables: &BTreeMap<String, Var>) -> BTreeMap<String, Vec<f32>> {
    let of = |variable: &Var| variable.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    variables.iter().map(|(name, variable)| (name.clone(), of(variable))).collect()
}

/// Raises a flag after a step, and keeps notes and the parameters at every end of a stage.
struct Observer<'a> {
    stop_after: u64,
    stop: &'a AtomicBool,
    variables: BTreeMap<String, Var>,
    ends: Vec<BTreeMap<String, Vec<f32>>>,
    notes: Vec<String>,
}

impl<'a> Observer<'a> {
    fn new(toy: &Toy, stop: &'a AtomicBool, stop_after: u64) -> Self {
        let variables = toy.variables.clone();
        Self { stop_after, stop, variables, ends: Vec::new(), notes: Vec::new() }
    }
}

impl Watcher for Observer<'_> {
    fn step(&mut self, record: &StepRecord, share: f64) {
        assert!(share > 0.0 && share <= 1.0);
        if record.step == self.stop_after {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn stage(&mut self, _change: &Move) {
        self.ends.push(values(&self.variables));
    }

    fn note(&mut self, line: &str) {
        self.notes.push(line.to_owned());
    }
}

/// Trains until after a step.
fn train_until(run: &RunFolder, step: u64) -> Vec<String> {
    let mut toy = Toy::new(1);
    let stop = AtomicBool::new(false);
    let mut observer = Observer::new(&toy, &stop, step);
    assert_eq!(train(&mut toy, run, &stop, &mut observer).unwrap(), Outcome::Stopped);
    observer.notes
}

#[test]
fn the_loss_falls_and_only_what_is_trained_changes() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let recipe = toy::recipe(folder.path(), &[]);
    let mut toy = Toy::new(1);
    let begun = values(&toy.variables);
    let mut observer = Observer::new(&toy, &NEVER, 0);
    let folder = RunFolder::create(&run, &recipe).unwrap();
    assert_eq!(train(&mut toy, &folder, &NEVER, &mut observer).unwrap(), Outcome::Finished);

    let lines = metrics(&run);
    let steps = of_kind(&lines, "step");
    let numbers: Vec<u64> = steps.iter().map(|step| step["step"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=120).collect::<Vec<u64>>());
    let losses: Vec<f64> = of_kind(&lines, "evaluation")
        .iter()
        .map(|e| e["values"]["loss"].as_f64().unwrap())
        .collect();
    assert!(losses.last().unwrap() * 3.0 < losses[0], "{losses:?}");
    let stages: Vec<&Value> = of_kind(&lines, "stage");
    assert_eq!(stages.iter().map(|s| &s["step"]).collect::<Vec<_>>(), [36, 72, 120]);
    assert_eq!((&stages[2]["from"], &stages[2]["to"]), (&"joint".into(), &Value::Null));
    // Three micro-batches a step; the second half of the last stage draws the other task.
    assert_eq!(toy.seen.len(), 360);
    let late = toy.seen.iter().filter(|at| at.tasks.st > 0.0).count();
    assert_eq!(late, 24 * 3);
    let step = steps[50];
    assert_eq!(step["stage"], "top");
    assert!(
        step["rates"]["encoder"].as_f64().unwrap() > 0.0 && step["rates"].get("lora").is_none()
    );
    assert!(
        step["accuracy"].as_f64().unwrap() > 0.2 && step["parts"]["rows"].as_f64().unwrap() >= 1.0
    );

    let changed =
        |from: &BTreeMap<String, Vec<f32>>, to: &BTreeMap<String, Vec<f32>>| -> Vec<String> {
            from.iter()
                .filter(|(name, value)| to[*name] != **value)
                .map(|(name, _)| name.clone())
                .collect()
        };
    assert_eq!(changed(&begun, &observer.ends[0]), ["adapter.weight", "marks"]);
    let top = [
        "adapter.weight",
        "encoder.layers.1.bias",
        "encoder.layers.1.weight",
        "encoder.ln_post.weight",
        "marks",
    ];
    assert_eq!(changed(&observer.ends[0], &observer.ends[1]), top);
    assert_eq!(changed(&observer.ends[1], &observer.ends[2]).len(), begun.len());

    // The ends of stages, the last two and the best are kept, and nothing besides.
    let kept = names(&run.join("checkpoints"));
    assert!(
        ["step-36", "step-72", "step-120"].iter().all(|name| kept.contains(&(*name).to_owned())),
        "{kept:?}"
    );
    assert!(kept.len() <= 5 && kept.iter().all(|name| name.starts_with("step-")), "{kept:?}");
    let found = folder.checkpoints().unwrap();
    let best = folder.best(&found.whole).next().unwrap().state.evaluation.unwrap();
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(best, least as f32);
    assert!(run.join("events").read_dir().unwrap().count() == 1);

    // A run that is finished has nothing left to do, but gives back its parameters.
    let mut again = Toy::new(2);
    assert_eq!(train(&mut again, &folder, &NEVER, &mut ()).unwrap(), Outcome::Finished);
    assert_eq!(values(&again.variables), values(&toy.variables));
    assert_eq!(metrics(&run), lines);
}

/// A toy whose evaluations say what they are told to.
struct Told {
    toy: Toy,
    values: std::collections::VecDeque<f64>,
}

impl Objective for Told {
    fn parameters(&self) -> Vec<(String, Var)> {
        self.toy.parameters()
    }
    fn enter_stage(&mut self, stage: &str, trained: &[Trained]) -> anyhow::Result<()> {
        self.toy.enter_stage(stage, trained)
    }
    fn loss(&mut self, at: &Position) -> anyhow::Result<Loss> {
        self.toy.loss(at)
    }
    fn evaluate(&mut self, _stage: &str) -> anyhow::Result<BTreeMap<String, f64>> {
        let value = self.values.pop_front().unwrap();
        Ok([("loss".to_owned(), value), ("accuracy".to_owned(), -value)].into())
    }
    fn state(&self) -> anyhow::Result<Value> {
        self.toy.state()
    }
    fn restore(&mut self, state: &Value) -> anyhow::Result<()> {
        self.toy.restore(state)
    }
}

#[test]
fn the_best_checkpoints_are_kept_not_those_that_were_best_once() {
    // Of the last stage the three best come after its best, in any order.
    let values = [2.0, 0.1, 0.2, 0.9, 0.3, 0.8, 0.7, 0.4, 0.3];
    for metric in ["loss", "accuracy"] {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = "steps = 0, minutes = 60.0, keep_last = 1, keep_best = 3 }";
        let metric = format!("every = 5, metric = \"{metric}\" }}");
        let changes = [
            ("steps = 120 }", "steps = 45 }"),
            ("every = 15 }", metric.as_str()),
            ("steps = 4, minutes = 60.0, keep_last = 2, keep_best = 1 }", checkpoints),
            ("share = 0.3", "share = 0.1111111111"),
            ("share = 0.4", "share = 0.7777777778"),
        ];
        let recipe = toy::recipe(folder.path(), &changes);
        let run = RunFolder::create(&folder.path().join("run"), &recipe).unwrap();
        // One evaluation in each of the first two stages, seven in the last one; stopped on the way.
        let kept = |stop_after: u64, values: &[f64]| {
            let mut told = Told { toy: Toy::new(1), values: values.iter().copied().collect() };
            let stop = AtomicBool::new(false);
            let mut observer = Observer::new(&told.toy, &stop, stop_after);
            train(&mut told, &run, &stop, &mut observer).unwrap();
            let found = run.checkpoints().unwrap().whole;
            // Accuracy is told as the loss with its sign turned.
            let best = run.best(&found).take(3);
            best.map(|one| (one.state.progress.steps, one.state.evaluation.unwrap().abs()))
                .collect()
        };
        let first: Vec<(u64, f32)> = kept(27, &values);
        assert_eq!(first, [(15, 0.2), (25, 0.3), (20, 0.9)]);
        let last: Vec<(u64, f32)> = kept(0, &values[5..]);
        assert_eq!(last, [(15, 0.2), (25, 0.3), (45, 0.3)]);
    }
}

#[test]
fn stopped_runs_go_on_as_if_nothing_had_happened() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = toy::recipe(folder.path(), &[]);
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let mut toy = Toy::new(1);
    train(&mut toy, &RunFolder::create(&whole, &recipe).unwrap(), &NEVER, &mut ()).unwrap();
    drop(RunFolder::create(&parts, &recipe).unwrap());
    // In a stage, at its end, right before one, at an evaluation.
    for step in [5, 36, 71, 90] {
        train_until(&RunFolder::open(&parts).unwrap(), step);
    }
    let mut last = Toy::new(77);
    train(&mut last, &RunFolder::open(&parts).unwrap(), &NEVER, &mut ()).unwrap();
    assert_eq!(values(&last.variables), values(&toy.variables));
    assert_eq!(metrics(&parts), metrics(&whole));
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = toy::recipe(folder.path(), &[]);
    let (whole, run) = (folder.path().join("whole"), folder.path().join("run"));
    train(&mut Toy::new(1), &RunFolder::create(&whole, &recipe).unwrap(), &NEVER, &mut ()).unwrap();
    train_until(&RunFolder::create(&run, &recipe).unwrap(), 22);
    assert_eq!(names(&run.join("checkpoints")).last().unwrap(), "step-22");
    let damaged = run.join("checkpoints/step-22").join(PARAMETERS);
    let bytes = fs::read(&damaged).unwrap();
    fs::write(&damaged, &bytes[..bytes.len() / 2]).unwrap();
    // What a trainer that was killed leaves is cleared away.
    fs::create_dir_all(run.join("checkpoints/.step-24.unfinished")).unwrap();
    let notes = train_until(&RunFolder::open(&run).unwrap(), 30);
    assert_eq!(notes.len(), 1);
    assert!(
        notes[0].contains("step-22: not a whole checkpoint") && notes[0].contains("bytes"),
        "{notes:?}"
    );
    assert!(names(&run.join("checkpoints")).iter().all(|name| !name.starts_with('.')));
    train(&mut Toy::new(1), &RunFolder::open(&run).unwrap(), &NEVER, &mut ()).unwrap();
    assert_eq!(metrics(&run), metrics(&whole));
    assert!(Checkpoint::open(&run).is_err());
}

#[test]
fn batches_that_are_not_finite_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = toy::recipe(folder.path(), &[]);
    let run = RunFolder::create(&folder.path().join("run"), &recipe).unwrap();
    let mut toy = Toy::new(1);
    // Steps have three batches: one bad step, then three in a row.
    toy.poisoned = vec![8, 31, 35, 37];
    let mut observer = Observer::new(&toy, &NEVER, 0);
    let error = format!("{:#}", train(&mut toy, &run, &NEVER, &mut observer).unwrap_err());
    assert!(error.contains("step 13, batches: rows 37: 3 steps in a row"), "{error}");
    assert!(observer.notes[0].contains("step 3 skipped") && observer.notes[0].contains("rows 8"));
    let lines = metrics(run.path());
    let skipped: Vec<_> = lines.iter().filter(|line| line["skipped"] == true).collect();
    assert_eq!(
        skipped.iter().map(|line| &line["bad"][0]).collect::<Vec<_>>(),
        ["rows 8", "rows 31", "rows 35"]
    );
    assert!(values(&toy.variables).values().flatten().all(|value| value.is_finite()));
}

#[test]
fn a_run_is_for_one_trainer_and_one_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = toy::recipe(folder.path(), &[]);
    let path = folder.path().join("run");
    let run = RunFolder::create(&path, &recipe).unwrap();
    for second in [RunFolder::open(&path), RunFolder::create(&path, &recipe)] {
        let error = second.unwrap_err().to_string();
        assert!(error.contains("another trainer is at work"), "{error}");
    }
    train_until(&run, 6);
    drop(run);
    let error = RunFolder::create(&path, &recipe).unwrap_err().to_string();
    assert!(error.contains("there is a run already"), "{error}");
    let error = RunFolder::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("no run here"), "{error}");

    let config = path.join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("accumulate = 3", "accumulate = 4")).unwrap();
    let run = RunFolder::open(&path).unwrap();
    let before = values(&Toy::new(1).variables);
    let mut toy = Toy::new(1);
    let error = train(&mut toy, &run, &NEVER, &mut ()).unwrap_err().to_string();
    assert!(error.contains("step-6: made by another recipe: it has `accumulate = 3` where this has `accumulate = 4`"), "{error}");
    assert_eq!(values(&toy.variables), before);
    drop(run);
    fs::write(&config, text.replace("accumulate = 3", "accumulat = 3")).unwrap();
    let error = RunFolder::open(&path).unwrap_err().to_string();
    assert!(error.contains("config.toml:") && error.contains("accumulat"), "{error}");
}

#[test]
fn parameters_of_another_model_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = toy::recipe(folder.path(), &[]);
    let run = RunFolder::create(&folder.path().join("run"), &recipe).unwrap();
    train_until(&run, 4);
    let load = |change: &dyn Fn(&mut BTreeMap<String, Var>)| {
        let mut toy = Toy::new(1);
        change(&mut toy.variables);
        format!("{:#}", train(&mut toy, &run, &NEVER, &mut ()).unwrap_err())
    };
    let marks = || Var::zeros((2, 4), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
    let error = load(&|variables| drop(variables.insert("marks".to_owned(), marks())));
    assert!(error.contains("tensor `marks`: shape [1, 4], wanted [2, 4]"), "{error}");
    let error = load(&|variables| drop(variables.insert("marks.new".to_owned(), marks())));
    assert!(error.contains("no tensor `marks.new`"), "{error}");
    let error = load(&|variables| drop(variables.remove("lora.a")));
    assert!(error.contains("tensor `lora.a` is unknown here"), "{error}");
}

#[test]
fn an_evaluation_must_measure_what_the_recipe_goes_by() {
    let folder = tempfile::tempdir().unwrap();
    let change = ("every = 15 }", "every = 2, metric = \"wer\" }");
    let recipe = toy::recipe(folder.path(), &[change]);
    let run = RunFolder::create(&folder.path().join("run"), &recipe).unwrap();
    let error = train(&mut Toy::new(1), &run, &NEVER, &mut ()).unwrap_err().to_string();
    assert!(error.contains("does not measure `wer`"), "{error}");
}

#[test]
fn checkpoints_are_averaged() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = toy::recipe(folder.path(), &[]);
    let run = RunFolder::create(&folder.path().join("run"), &recipe).unwrap();
    train_until(&run, 22);
    let found = run.checkpoints().unwrap().whole;
    let out = folder.path().join("mean.safetensors");
    checkpoint::average(&found, &out).unwrap();
    let load = |load: &dyn Fn(&[Named])| {
        let toy = Toy::new(5);
        let all: Vec<_> =
            toy.variables.iter().map(|(name, var)| (name.clone(), var.clone())).collect();
        load(&all);
        values(&toy.variables)
    };
    let mean = load(&|into| checkpoint::load_tensors(&out, into).unwrap());
    let single: Vec<_> =
        found.iter().map(|one| load(&|into| one.load(PARAMETERS, into).unwrap())).collect();
    assert!(single.len() >= 2);
    for (name, mean) in &mean {
        for (i, mean) in mean.iter().enumerate() {
            let sum: f64 = single.iter().map(|values| f64::from(values[name][i])).sum();
            assert_eq!(*mean, (sum / single.len() as f64) as f32);
        }
    }
    assert!(checkpoint::average(&[], &out).is_err());
}
