//! `partita-train reproduce part --tiny` through the program: killed, stopped, resumed, extended;
//! and `partita-train report` of its runs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_partita-train");

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().expect("the program runs")
}

fn succeeds(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// The one line that says what is wrong.
fn fails(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stderr));
    let error = text(&output.stderr);
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.starts_with("partita-train: ") && output.stdout.is_empty(), "{error}");
    error
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Starts the program, waits until `path` is there, and sends it a signal; returns its exit code.
#[cfg(unix)]
fn interrupt(arguments: &[&str], path: &Path, signal: nix::sys::signal::Signal) -> Option<i32> {
    let mut command = Command::new(PROGRAM);
    let mut child = command.args(arguments).stdout(Stdio::null()).spawn().unwrap();
    let begin = Instant::now();
    while !path.exists() {
        assert!(begin.elapsed() < Duration::from_secs(300), "{}: never came", path.display());
        assert!(child.try_wait().unwrap().is_none(), "it ended before {}", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(id, signal).unwrap();
    child.wait().unwrap().code()
}

/// How many colours an image has; it decodes as a whole.
fn colours(path: &Path) -> usize {
    let bytes = fs::read(path).unwrap();
    let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert!(info.width >= 400 && info.height >= 200, "{}", path.display());
    let mut counts: BTreeMap<&[u8], usize> = BTreeMap::new();
    pixels.chunks(3).for_each(|pixel| *counts.entry(pixel).or_default() += 1);
    counts.values().filter(|&&count| count > 50).count()
}

/// The images that a page shows, which are all there.
fn images(page: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(page).unwrap();
    let shown = text.lines().filter_map(|line| {
        let (_, file) = line.strip_prefix("![")?.strip_suffix(')')?.split_once("](")?;
        Some(page.with_file_name(file))
    });
    shown.collect()
}

#[cfg(unix)]
#[test]
fn a_comparison_goes_on_after_every_interruption_and_ends_with_a_page() {
    use nix::sys::signal::Signal;

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("part");
    let place = |inside: &str| out.join(inside);
    let command = ["reproduce", "part", "--tiny", "--arms", "a,b", "--seeds", "1", "--steps", "24"];
    let command =
        [&command[..], &["--warm", "16", "--gradients", "8", "--out", out.to_str().unwrap()]]
            .concat();

    // Killed in the warm start, stopped in arm A: it says so, and a checkpoint is there.
    let killed = interrupt(&command, &place("runs/warm/checkpoints/step-8"), Signal::SIGKILL);
    assert_eq!(killed, None);
    assert!(!place("runs/a-1").exists());
    let stopped = interrupt(&command, &place("runs/a-1/checkpoints/step-8"), Signal::SIGTERM);
    assert_eq!(stopped, Some(0));
    assert!(place("runs/a-1/weights.safetensors").is_file() && !place("runs/b-1").exists());
    let a = lines(&place("runs/a-1/metrics.jsonl"));
    assert!(a.iter().all(|line| line["step"].as_u64().unwrap() < 24), "{a:?}");

    // In between, other settings are refused.
    let other = |from: &str, to: &str| -> Vec<&str> {
        let value = command.iter().position(|word| *word == from).unwrap() + 1;
        let mut other = command.clone();
        other[value] = Box::leak(to.to_owned().into_boxed_str());
        other
    };
    let error = fails(&[&other("--steps", "25")[..], &["--quiet"]].concat());
    assert!(error.contains("was begun with another --steps"), "{error}");

    let said = succeeds(&command);
    assert_eq!(said, format!("wrote {}\n", place("report.md").display()));
    let page = fs::read_to_string(place("report.md")).unwrap();
    for words in [
        "| A | Two-stage baseline",
        "| B | PART",
        "- A against B: ",
        "partita-train train recipes/arm-b.toml --seed 1 --out runs/b-1",
        "partita-train eval runs/a-1 data/speech.jsonl --task asr,st",
        "Alignment counts as emerged where",
        "| asr de | 1.00 |",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let shown = images(&place("report.md"));
    // Accuracy, loss, and the ends of two and of four stages.
    assert_eq!(shown.len(), 2 + 2 + 4, "{shown:?}");
    for image in &shown {
        assert!(colours(image) >= 4, "{}", image.display());
    }

    let results: Value = serde_json::from_slice(&fs::read(place("results.json")).unwrap()).unwrap();
    assert_eq!(results["arms"].as_array().unwrap().len(), 2);
    assert!(results["arms"][0]["error_rate_against_b"]["value"].is_number(), "{results}");
    let runs = results["runs"].as_array().unwrap();
    for run in runs {
        assert_eq!((&run["steps"], &run["seed"]), (&24.into(), &1.into()));
        // Two languages; of each, its clips of the test split.
        let languages = run["summary"]["languages"].as_array().unwrap();
        assert_eq!(languages.len(), 2);
        assert!(languages.iter().all(|one| one["clips"].as_u64().unwrap() > 2), "{languages:?}");
        let cosines = &run["gradients"][0]["cosines"];
        assert_eq!(
            cosines["labels"],
            serde_json::json!(["asr de", "asr fr", "st de-en", "st fr-en"])
        );
    }
    // B has low-rank updates and A has none, and yet they are of one size.
    assert_eq!(runs[0]["size"]["whole"], runs[1]["size"]["whole"]);
    assert!(runs[0]["size"]["written"]["lora"].is_null());
    assert!(runs[1]["size"]["written"]["lora"].as_u64().unwrap() > 0);

    // What was killed and stopped has lost no step and counts none twice, and it learnt.
    for (name, steps, measure) in
        [("warm", 16, "loss"), ("a-1", 24, "loss.asr"), ("b-1", 24, "loss.asr")]
    {
        let log = lines(&place(&format!("runs/{name}/metrics.jsonl")));
        let of = |kind: &str| log.iter().filter(|line| line["kind"] == kind).collect::<Vec<_>>();
        let done: Vec<u64> = of("step").iter().map(|line| line["step"].as_u64().unwrap()).collect();
        assert_eq!(done, (1..=steps).collect::<Vec<u64>>(), "{name}");
        let values: Vec<f64> =
            of("evaluation").iter().map(|line| line["values"][measure].as_f64().unwrap()).collect();
        println!("{name}: {measure} {values:?}");
        assert!(values.last() < values.first(), "{name}: {values:?}");
    }

    // Clips are heard as they are, so the features of each were kept once, for all runs.
    let kept = |folder: &Path| fs::read_dir(folder).unwrap().map(|one| one.unwrap().path());
    let files = kept(&place("features")).flat_map(|folder| kept(&folder).collect::<Vec<_>>());
    let files: Vec<PathBuf> = files.collect();
    let clips = lines(&place("data/speech.jsonl"));
    let heard = clips.iter().filter(|row| row["split"] == "train" && row["lang"] != "none").count();
    println!("features of {} of {heard} clips", files.len());
    assert!(files.len() > heard / 2 && files.len() <= heard, "{} of {heard}", files.len());
    let written = |file: &PathBuf| fs::metadata(file).unwrap().modified().unwrap();
    let warm = fs::metadata(place("runs/warm/weights.safetensors")).unwrap().modified().unwrap();
    let early = files.iter().filter(|file| written(file) <= warm).count();
    assert!(early > 0, "the arms find what the warm start has kept");

    // Again: nothing is trained or evaluated twice.
    let trained = |name: &str| fs::metadata(place(name)).unwrap().modified().unwrap();
    let before = ["runs/a-1/metrics.jsonl", "runs/b-1/eval/speech-test.json"].map(trained);
    succeeds(&[&command[..], &["--quiet"]].concat());
    assert_eq!(["runs/a-1/metrics.jsonl", "runs/b-1/eval/speech-test.json"].map(trained), before);
    assert_eq!(fs::read_to_string(place("report.md")).unwrap(), page);

    report_of_a_run(&place("runs/b-1"), folder.path());
}

/// A run's own page, elsewhere, and with gradients measured again.
fn report_of_a_run(run: &Path, folder: &Path) {
    let out = folder.join("page");
    let (run, elsewhere) = (run.to_str().unwrap(), out.to_str().unwrap());
    let page = out.join("report.md");
    let said = succeeds(&["report", run, "--out", elsewhere]);
    assert_eq!(said, format!("wrote {}\n", page.display()));
    let text = fs::read_to_string(&page).unwrap();
    for words in [
        "# Run arm-b",
        "| steps | 24 |",
        "| waiting for data |",
        "| de | 88 |",
        "| joint | adapter, encoder, lora, marks |",
        "| language | reference | what the model wrote |",
        "| de to en |",
        "Gradients after stage joint",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let shown = images(&page);
    assert_eq!(shown.len(), 3 + 4, "loss, accuracy, rates, stages: {shown:?}");
    assert!(shown.iter().all(|image| colours(image) >= 4));

    // Without what was measured it is measured again, the same.
    let kept = Path::new(run).join("gradients/joint.json");
    let first = fs::read_to_string(&kept).unwrap();
    fs::remove_file(&kept).unwrap();
    succeeds(&["report", run, "--out", elsewhere]);
    assert!(!fs::read_to_string(&page).unwrap().contains("Gradients after stage joint"));
    succeeds(&["report", run, "--out", elsewhere, "--gradients", "--clips", "8", "--quiet"]);
    assert_eq!(fs::read_to_string(&kept).unwrap(), first);

    // Damaged files are named.
    fs::write(&kept, "{\"stage\":\"joint\"}").unwrap();
    let error = fails(&["report", run, "--out", elsewhere]);
    assert!(error.contains("joint.json"), "{error}");
    fs::write(&kept, first.replacen("\"asr fr\",", "", 1)).unwrap();
    assert!(fails(&["report", run, "--out", elsewhere]).contains("no matrix of 3 rows"));
    fs::remove_file(&kept).unwrap();
    fs::write(Path::new(run).join("metrics.jsonl"), "{\"kind\":\"step\"}\nnothing\n").unwrap();
    assert!(fails(&["report", run, "--out", elsewhere]).contains("metrics.jsonl:2"));
}

#[test]
fn what_cannot_work_is_one_line_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let out = path("out");
    let part = |arguments: &[&str]| {
        let error =
            fails(&[&["reproduce", "part", "--quiet", "--out", &out][..], arguments].concat());
        assert!(!Path::new(&out).join("runs").exists());
        error
    };
    let error = part(&[]);
    assert!(
        error.contains("no data: name a folder of corpora, or manifests, with --data"),
        "{error}"
    );
    assert!(!Path::new(&out).exists());
    assert!(part(&["--tiny", "--data", &path("x")]).contains("--tiny makes its own data"));
    let empty = path("");
    assert!(part(&["--tiny", "--warm", &empty]).contains("no finished run"));
    assert!(part(&["--tiny", "--warm", &path("gone")]).contains("no finished run"));
    assert!(part(&["--data", &path("gone.jsonl")]).contains("gone.jsonl"));
    assert!(part(&["--tiny", "--steps", "2"]).contains("fewer steps than stages"));
    assert!(!Path::new(&out).join("runs").exists());

    // The same sentence in two splits.
    let row = |id: &str, split: &str| {
        serde_json::json!({
            "id": id, "audio_filepath": format!("{id}.wav"), "duration": 1.0, "lang": "de",
            "text": "Guten Tag.", "split": split,
        })
    };
    let manifest = path("speech.jsonl");
    fs::write(&manifest, format!("{}\n{}\n", row("1", "train"), row("2", "test"))).unwrap();
    let leaking = path("leaking");
    let output = run(&["reproduce", "part", "--data", &manifest, "--out", &leaking, "--quiet"]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("the data leak from one split into another"), "{error}");
    fs::write(&manifest, format!("{}\n", row("1", "train"))).unwrap();
    let error = fails(&["reproduce", "part", "--data", &manifest, "--out", &path("no-test")]);
    assert!(error.contains("split `dev`"), "{error}");

    for arguments in [&["report", &empty[..]][..], &["report", &path("gone")]] {
        assert!(fails(arguments).contains("no run here (there is no config.toml)"));
    }
    // Words that are no arm, no comparison: the command line says which there are.
    for arguments in [&["reproduce", "part", "--arms", "d"][..], &["reproduce", "whole"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("possible values"), "{}", text(&output.stderr));
    }
}
