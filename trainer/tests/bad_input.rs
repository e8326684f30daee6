//! What people get wrong, through the program: data, recipes, checkpoints, disks, devices.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod recordings;
mod small_speech;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use partita_train::checkpoint::PARAMETERS;
use partita_train::run_folder;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_partita-train");

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The program's only line on standard error, where it fails.
fn error(output: &Output) -> String {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.starts_with("partita-train: "), "{error}");
    error
}

/// The small recipe with changes, in a folder with its data.
fn recipe(folder: &Path, changes: &[(&str, &str)]) -> PathBuf {
    let path = small_speech::recipe(folder);
    let mut text = fs::read_to_string(&path).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    fs::write(&path, text).unwrap();
    path
}

fn train(recipe: &Path, run: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("train").arg(recipe).arg("--out").arg(run).args(more);
    command.output().unwrap()
}

fn resume(run: &Path) -> Output {
    Command::new(PROGRAM).arg("resume").arg(run).arg("--quiet").output().unwrap()
}

const SHORT: (&str, &str) = ("{ steps = 90 }", "{ steps = 16 }");

fn row(name: &str, changes: &Value) -> String {
    let mut row = json!({
        "id": name, "audio_filepath": name, "offset": 0.0, "duration": 1.05, "lang": "en",
        "text": "one two", "translations": {}, "speaker": "", "voice": "", "split": "train",
        "source": "own", "licence": "MIT",
    });
    let changes = changes.as_object().unwrap().clone();
    row.as_object_mut().unwrap().extend(changes);
    format!("{row}\n")
}

#[test]
fn rows_that_cannot_be_used_are_named_and_the_others_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path(), &[SHORT]);
    let manifest = folder.path().join("speech.jsonl");
    let mut rows = fs::read_to_string(&manifest).unwrap();
    let first = rows.lines().count() + 1;
    let mut broken = small_speech::samples(3);
    broken[99] = f32::NAN;
    fs::write(folder.path().join("nan.wav"), recordings::wav(&broken)).unwrap();
    fs::write(folder.path().join("empty.wav"), b"").unwrap();
    fs::write(folder.path().join("letters.wav"), b"no sound at all ".repeat(50)).unwrap();
    for (name, changes) in [
        ("gone.wav", json!({})),
        ("1.wav", json!({ "duration": 4.0 })),
        ("1.wav", json!({ "duration": -1.0 })),
        ("1.wav", json!({ "text": "" })),
        ("1.wav", json!({ "text": "раз два три" })),
        ("nan.wav", json!({})),
        ("empty.wav", json!({})),
        ("letters.wav", json!({})),
    ] {
        rows += &row(name, &changes);
    }
    rows += "{\"id\": \"cut off\n";
    fs::write(&manifest, rows).unwrap();
    let output = train(&recipe, &folder.path().join("run"), &[]);
    let told = text(&output.stderr);
    assert!(output.status.success(), "{told}");
    println!("{told}");
    for (line, reason) in [
        "missing audio file",
        "declared to end at 4.00 s, has 1.05 s",
        "duration -1: not a number of seconds",
        "empty transcript",
        "not in the script of its language",
        "samples are no numbers",
        "empty audio file (0 bytes)",
        "unreadable audio",
        "EOF",
    ]
    .iter()
    .enumerate()
    {
        let place = format!("left out: {}:{}: ", manifest.display(), first + line);
        let found: Vec<&str> = told.lines().filter(|told| told.starts_with(&place)).collect();
        assert!(
            found.len() == 1 && found[0].contains(reason),
            "{place}{reason}: {found:?}\n{told}"
        );
    }
}

#[test]
fn data_of_which_nothing_can_be_used_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path(), &[SHORT]);
    let manifest = folder.path().join("speech.jsonl");
    let good = fs::read_to_string(&manifest).unwrap();
    let run = folder.path().join("run");
    let refused = |rows: &str| {
        fs::write(&manifest, rows).unwrap();
        let refused = error(&train(&recipe, &run, &["--quiet"]));
        println!("{refused}");
        refused
    };
    assert!(refused("").contains("speech.jsonl"));
    assert!(refused(&row("1.wav", &json!({ "text": "" })).repeat(9)).contains("9 bad rows"));
    let none = good.replace("\"dev\"", "\"test\"");
    assert!(refused(&none).contains("no clip to use (split Dev, 0 bad rows)"));
    // Clips for evaluation none of which can be read: there would be nothing to go by.
    let dev = |line: &&str| line.contains("\"dev\"");
    let unreadable: Vec<String> = good
        .lines()
        .map(|line| if dev(&line) { line.replace(".wav", ".gone") } else { line.to_owned() })
        .collect();
    let error = refused(&unreadable.join("\n"));
    assert!(error.contains("no clip of the split `dev` can be read"), "{error}");
    assert!(error.contains("missing audio file"), "{error}");
    assert!(!run.exists(), "no run was begun");
    // The same for training is found out when they are to be read.
    let unreadable: Vec<String> = good
        .lines()
        .map(|line| if dev(&line) { line.to_owned() } else { line.replace(".wav", ".gone") })
        .collect();
    let error = refused(&unreadable.join("\n"));
    assert!(error.contains("no clip of a whole epoch can be read; the first: "), "{error}");
}

#[test]
fn recipes_that_cannot_work_are_refused_by_file_line_and_key() {
    let folder = tempfile::tempdir().unwrap();
    for (from, to, key) in [
        ("accumulate = 1", "acumulate = 1", "`batch.acumulate`: unknown field"),
        ("[lora]", "[lorra]", "`lorra`: unknown field"),
        (
            "tasks = { ctc = 1.0 }",
            "tasks = { asr = 1.0 }",
            "`stage.warm.tasks`: no task of this mix",
        ),
        ("top = 1", "top = 0", "`stage.joint.train.encoder.top`: 0 layers"),
        ("\"adapter\", \"joint\"]", "\"joint\"]", "`stage.adapter`: does not occur in `order`"),
    ] {
        let path = recipe(folder.path(), &[(from, to)]);
        let changed = fs::read_to_string(&path).unwrap();
        let lines = || changed.lines().enumerate();
        // Where the change is, or the stage that it leaves out.
        let at = lines().position(|(_, line)| match to {
            "\"joint\"]" => line == "[stage.adapter]",
            _ => line.contains(to),
        });
        let place = format!("small.toml:{}: {key}", at.unwrap() + 1);
        let refused = error(&train(&path, &folder.path().join("run"), &["--quiet"]));
        assert!(refused.contains(&place), "{place}: {refused}");
    }
    assert!(!folder.path().join("run").exists());
}

#[test]
fn a_checkpoint_of_another_recipe_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = recipe(folder.path(), &[SHORT]);
    let run = folder.path().join("run");
    assert!(train(&path, &run, &["--quiet"]).status.success());
    let other = folder.path().join("other");
    let changed = recipe(folder.path(), &[SHORT, ("rank = 8", "rank = 4")]);
    assert!(train(&changed, &other, &["--quiet"]).status.success());
    // Another recipe in the run's folder, and a checkpoint from elsewhere.
    let config = run.join("config.toml");
    let own = fs::read_to_string(&config).unwrap();
    fs::write(&config, own.replace("rank = 8", "rank = 4")).unwrap();
    let refused = error(&resume(&run));
    let difference = "made by another recipe: it has `rank = 8` where this has `rank = 4`";
    assert!(refused.contains("step-16: ") && refused.contains(difference), "{refused}");
    fs::write(&config, own).unwrap();
    let theirs = other.join("checkpoints/step-16");
    fs::rename(theirs, run.join("checkpoints/step-17")).unwrap();
    fs::rename(run.join("checkpoints/step-16"), folder.path().join("kept")).unwrap();
    let refused = error(&resume(&run));
    assert!(refused.contains("step-17: made by another recipe"), "{refused}");
    fs::remove_dir_all(run.join("checkpoints/step-17")).unwrap();
    fs::rename(folder.path().join("kept"), run.join("checkpoints/step-16")).unwrap();
    assert!(resume(&run).status.success());
}

/// The system refuses to let a file grow, as a full disk does, in the middle of a checkpoint.
#[test]
#[cfg(unix)]
fn a_checkpoint_that_cannot_be_written_leaves_the_last_one_to_go_on_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = recipe(folder.path(), &[SHORT, ("steps = 20\n", "steps = 4\n")]);
    let calm = folder.path().join("calm");
    assert!(train(&path, &calm, &["--quiet"]).status.success());

    // The limit is above what the log needs, and below the parameters of a checkpoint.
    let bytes = |run: &Path, step: u64| {
        fs::read(run.join(format!("checkpoints/step-{step}")).join(PARAMETERS)).unwrap()
    };
    let size = bytes(&calm, 16).len();
    let log = fs::metadata(calm.join("metrics.jsonl")).unwrap().len();
    println!("parameters {size} bytes, log {log} bytes");
    let run = folder.path().join("run");
    let limited = |command: &str, argument: &Path, kibibytes: usize| {
        // Shells count in blocks of 512 or of 1024 bytes.
        let script =
            format!("trap '' XFSZ; ulimit -f {kibibytes}; exec \"$0\" {command} \"$@\" --quiet");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, PROGRAM]).arg(argument);
        if command == "train" {
            shell.arg("--out").arg(&run);
        }
        shell.output().unwrap()
    };
    let kibibytes = size / 2048;
    let refused = error(&limited("train", &path, kibibytes));
    println!("{refused}");
    assert!(refused.contains("cannot write this checkpoint"), "{refused}");
    assert!(refused.contains("File too large"), "{refused}");
    assert!(run_folder::checkpoints(&run).unwrap().whole.is_empty());

    // Further with room, to be back in the middle, and then without again.
    assert!(resume(&run).status.success());
    for checkpoint in run_folder::checkpoints(&run).unwrap().whole {
        if checkpoint.state.progress.steps > 8 {
            fs::remove_dir_all(checkpoint.path).unwrap();
        }
    }
    let found = run_folder::checkpoints(&run).unwrap();
    let last = found.whole.last().unwrap().state.progress.steps;
    let kept = bytes(&run, last);
    let refused = error(&limited("resume", &run, kibibytes));
    assert!(refused.contains("cannot write this checkpoint"), "{refused}");
    let found = run_folder::checkpoints(&run).unwrap();
    assert_eq!(found.damaged.len(), 0);
    assert_eq!(found.whole.last().unwrap().state.progress.steps, last);
    assert!(bytes(&run, last) == kept, "the last checkpoint is intact");
    let left = fs::read_dir(run.join("checkpoints")).unwrap();
    assert!(left.flatten().all(|entry| !entry.file_name().to_string_lossy().starts_with('.')));

    assert!(resume(&run).status.success());
    assert!(bytes(&run, 16) == bytes(&calm, 16), "as if nothing had happened");
}

#[test]
fn devices_that_are_not_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = recipe(folder.path(), &[SHORT]);
    let refused =
        |device: &str| error(&train(&path, &folder.path().join("run"), &["--device", device]));
    assert!(refused("toaster").contains("`toaster` is no device: use cpu, cuda:N or metal"));
    if !cfg!(feature = "cuda") {
        let refused = refused("cuda:0");
        println!("{refused}");
        assert!(refused.contains("cannot use device cuda:0"), "{refused}");
        assert!(refused.contains("not been built with cuda support"), "{refused}");
    }
    assert!(!folder.path().join("run").exists());
}
