//! Two processes that train together do what one does that accumulates twice as much.
//!
//! Runs where the feature `mpi` is built and `mpirun` is there (`make test-mpi`).
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod recordings;
mod small_speech;
mod toy;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::{Duration, Instant};

use partita_model::files::WeightFile;
use partita_train::checkpoint::{MOMENTS, PARAMETERS};
use partita_train::parallel::{self, Engine};
use partita_train::run_folder::{self, RunFolder};
use partita_train::training_loop::{Outcome, stop_on_interrupt, train, train_together};
use toy::Toy;

static NEVER: AtomicBool = AtomicBool::new(false);

/// Trains the run that `RUN` names, as one of several; started by tests under `mpirun`.
#[test]
#[ignore = "run by other tests in processes of their own"]
fn child_trains() {
    let run = PathBuf::from(std::env::var_os("RUN").unwrap());
    let (mut processes, _) = parallel::join(Some(Engine::Mpi), "cpu").unwrap();
    let rank = processes.rank();
    fs::write(run.join(format!("process-{rank}")), std::process::id().to_string()).unwrap();
    let stop = stop_on_interrupt().unwrap();
    let run = RunFolder::open_together(&*processes, &run, || RunFolder::open(&run)).unwrap();
    let mut toy = Toy::new(1);
    let batch = |name| std::env::var(name).ok().map(|number| number.parse().unwrap());
    toy.broken = batch("BROKEN");
    toy.poisoned.extend(batch("POISONED"));
    match train_together(&*processes, &mut toy, &run, &stop, &mut ()) {
        Ok(outcome) => println!("process {rank}: {outcome:?}"),
        Err(error) => {
            eprintln!("process {rank} says: {error:#}");
            std::process::exit(1);
        }
    }
    processes.end();
}

/// `mpirun` of two processes; `None` where that cannot be.
fn mpirun() -> Option<Command> {
    if !cfg!(feature = "mpi") {
        println!("skipped: built without the feature `mpi`");
        return None;
    }
    if Command::new("mpirun").arg("--version").output().is_err() {
        println!("skipped: there is no mpirun");
        return None;
    }
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", "2"]);
    // Containers often forbid one process to read another's memory, which MPI complains about.
    command.env("OMPI_MCA_btl_vader_single_copy_mechanism", "none");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Some(command)
}

/// Two processes that go on with a run of the toy.
fn two(run: &Path) -> Option<Command> {
    let mut command = mpirun()?;
    command.arg(std::env::current_exe().unwrap()).env("RUN", run);
    command.args(["--exact", "child_trains", "--ignored", "--nocapture", "--test-threads=1"]);
    Some(command)
}

fn text(output: &Output) -> String {
    let of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    of(&output.stdout) + &of(&output.stderr)
}

fn finish(mut command: Command, outcome: Outcome) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    for rank in 0..2 {
        let expected = format!("process {rank}: {outcome:?}");
        assert!(text(&output).contains(&expected), "{}", text(&output));
    }
}

/// The log without speeds.
fn metrics(run: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let parse = |line: &str| {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("speed");
        value
    };
    text.lines().map(parse).collect()
}

/// The newest checkpoint of a run.
fn last(run: &Path) -> PathBuf {
    run_folder::checkpoints(run).unwrap().whole.pop().unwrap().path
}

fn assert_same_end(run: &Path, other: &Path) {
    for file in [PARAMETERS, MOMENTS] {
        let [a, b] = [run, other].map(|run| fs::read(last(run).join(file)).unwrap());
        assert!(a == b, "{file} differs");
    }
    assert_eq!(metrics(run), metrics(other));
}

/// An empty run that accumulates so much.
fn empty(folder: &Path, name: &str, accumulate: usize) -> PathBuf {
    let recipe = toy::recipe(folder, &[("accumulate = 3", &format!("accumulate = {accumulate}"))]);
    let run = folder.join(name);
    drop(RunFolder::create(&run, &recipe).unwrap());
    run
}

/// A run of one process that accumulates so much.
fn alone(folder: &Path, accumulate: usize) -> PathBuf {
    let run = empty(folder, "alone", accumulate);
    let outcome =
        train(&mut Toy::new(1), &RunFolder::open(&run).unwrap(), &NEVER, &mut ()).unwrap();
    assert_eq!(outcome, Outcome::Finished);
    run
}

#[test]
fn two_processes_are_one_with_the_double_batch_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let run = empty(folder.path(), "two", 1);
    let Some(command) = two(&run) else { return };
    finish(command, Outcome::Finished);
    // The sum of two gradients is the same whichever comes first.
    assert_same_end(&run, &alone(folder.path(), 2));
}

#[test]
fn what_is_not_finite_in_one_process_is_skipped_in_both() {
    let folder = tempfile::tempdir().unwrap();
    let run = empty(folder.path(), "two", 1);
    let Some(mut command) = two(&run) else { return };
    command.env("POISONED", "8");
    finish(command, Outcome::Finished);
    let other = empty(folder.path(), "one", 2);
    let mut toy = Toy::new(1);
    toy.poisoned.push(8);
    train(&mut toy, &RunFolder::open(&other).unwrap(), &NEVER, &mut ()).unwrap();
    let lines = metrics(&run);
    let skipped: Vec<_> = lines.iter().filter(|line| line["skipped"] == true).collect();
    assert_eq!(skipped.len(), 1);
    assert_eq!((&skipped[0]["step"], &skipped[0]["bad"][0]), (&4.into(), &"rows 8".into()));
    assert_same_end(&run, &other);
}

/// With more than one micro-batch each, gradients are summed in another order: (a + c) + (b + d)
/// instead of ((a + b) + c) + d.
#[test]
fn with_more_micro_batches_each_only_rounding_differs() {
    let folder = tempfile::tempdir().unwrap();
    let run = empty(folder.path(), "two", 2);
    let Some(command) = two(&run) else { return };
    finish(command, Outcome::Finished);
    let other = alone(folder.path(), 4);
    let mut most = 0.0_f64;
    for (a, b) in metrics(&run).iter().zip(metrics(&other)) {
        assert_eq!((&a["kind"], &a["step"], &a["tokens"]), (&b["kind"], &b["step"], &b["tokens"]));
        if let (Some(a), Some(b)) = (a["loss"].as_f64(), b["loss"].as_f64()) {
            most = most.max((a - b).abs() / b);
        }
    }
    let [ours, theirs] =
        [&run, &other].map(|run| WeightFile::open(&last(run).join(PARAMETERS)).unwrap());
    let (mut difference, mut size) = (0.0_f64, 0.0_f64);
    for tensor in ours.tensors() {
        let (a, b) = (ours.floats(&tensor.name).unwrap().1, theirs.floats(&tensor.name).unwrap().1);
        for (a, b) in a.iter().zip(b) {
            difference += f64::from(a - b).powi(2);
            size += f64::from(b).powi(2);
        }
    }
    let difference = (difference / size).sqrt();
    println!("after 120 steps: losses differ by {most:.1e} at most, weights by {difference:.1e}");
    assert!(most < 1e-5 && difference < 1e-5, "{most} {difference}");
}

/// Starts two processes and waits until their log has so many lines; their numbers.
fn begin(run: &Path, lines: usize) -> (std::process::Child, [String; 2]) {
    let names = [0, 1].map(|rank| run.join(format!("process-{rank}")));
    for name in &names {
        let _ = fs::remove_file(name);
    }
    let mut child = two(run).unwrap().spawn().unwrap();
    let count = || {
        fs::read(run.join("metrics.jsonl"))
            .map_or(0, |text| text.iter().filter(|byte| **byte == b'\n').count())
    };
    while count() < lines || !names.iter().all(|name| name.exists()) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before its time");
        sleep(Duration::from_micros(300));
    }
    (child, names.map(|name| fs::read_to_string(name).unwrap()))
}

fn signal(name: &str, process: &str) {
    assert!(Command::new("kill").args([name, process]).status().unwrap().success());
}

#[test]
fn processes_that_are_stopped_or_killed_go_on_as_if_nothing_had_happened() {
    let folder = tempfile::tempdir().unwrap();
    let run = empty(folder.path(), "two", 1);
    if two(&run).is_none() {
        return;
    }
    // One that is asked to stop stops both.
    let (child, processes) = begin(&run, 20);
    signal("-TERM", &processes[1]);
    let output = child.wait_with_output().unwrap();
    for rank in 0..2 {
        assert!(text(&output).contains(&format!("process {rank}: Stopped")), "{}", text(&output));
    }
    let steps = metrics(&run).iter().filter(|line| line["kind"] == "step").count();
    assert!(last(&run).ends_with(format!("step-{steps}")));
    // One that is killed takes the other with it.
    for (rank, lines) in [(1, 45), (0, 80)] {
        let (child, processes) = begin(&run, lines);
        signal("-KILL", &processes[rank]);
        assert!(!child.wait_with_output().unwrap().status.success());
    }
    finish(two(&run).unwrap(), Outcome::Finished);
    assert_same_end(&run, &alone(folder.path(), 2));
}

#[test]
fn what_fails_in_one_process_ends_both() {
    let folder = tempfile::tempdir().unwrap();
    let run = empty(folder.path(), "two", 1);
    let Some(mut command) = two(&run) else { return };
    let begun = Instant::now();
    // Batch 8 is the second of its step.
    let output = command.env("BROKEN", "8").output().unwrap();
    assert!(!output.status.success());
    let text = text(&output);
    assert!(text.contains("process 1 says: step 4: batch 8 is broken"), "{text}");
    assert!(text.contains("process 0 says: process 1: step 4: batch 8 is broken"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(60));
}

/// The program itself, with a speech model: all tasks, text among them.
#[test]
fn the_program_trains_a_speech_model_in_two_processes() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = small_speech::recipe(folder.path());
    let Some(mut command) = mpirun() else { return };
    let text_of = fs::read_to_string(&recipe).unwrap();
    let with = |name: &str, accumulate: usize| {
        let path = folder.path().join(format!("{name}.toml"));
        let accumulate = format!("accumulate = {accumulate}");
        let changed = text_of.replace("accumulate = 1", &accumulate);
        let changed = changed.replace("{ steps = 90 }", "{ steps = 24 }");
        fs::write(&path, changed.replace("every = 30", "every = 12")).unwrap();
        let arguments =
            ["train".into(), path, "--quiet".into(), "--out".into(), folder.path().join(name)];
        (folder.path().join(name), arguments)
    };
    let program = env!("CARGO_BIN_EXE_partita-train");
    let (run, arguments) = with("two", 1);
    let output = command.arg(program).args(arguments).args(["--parallel", "mpi"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(text(&output).matches("two: finished").count(), 1, "{}", text(&output));
    let (one, arguments) = with("one", 2);
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let tasks = metrics(&run).iter().filter(|line| line["parts"]["loss.st"].is_number()).count();
    assert!(tasks > 0);
    assert_same_end(&run, &one);
}

#[test]
fn an_engine_that_was_not_built_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let run = |engine: &str| {
        let program = env!("CARGO_BIN_EXE_partita-train");
        let mut command = Command::new(program);
        command.arg("resume").arg(folder.path()).args(["--parallel", engine]);
        let output = command.output().unwrap();
        assert!(!output.status.success());
        text(&output)
    };
    assert!(run("smoke").contains("[possible values: mpi, nccl]"));
    for (engine, built) in [("mpi", cfg!(feature = "mpi")), ("nccl", cfg!(feature = "nccl"))] {
        if !built {
            let error = run(engine);
            let how = format!("--features partita-train/{engine}");
            assert!(error.contains("built without it") && error.contains(&how), "{error}");
        }
    }
}
