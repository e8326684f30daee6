//! A model that lies in a folder in both forms: which runtime runs it, and that this is remembered.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../export/tests/small/mod.rs"]
mod small;

use partita_tests::{Run, Sample, program, stored};
use serde_json::Value;
use small::{Made, World};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with a pair and graphs of a small model of random numbers.
struct Both {
    world: World,
    folder: PathBuf,
    /// ONNX Runtime, if there is one.
    library: Option<PathBuf>,
}

impl Both {
    fn new() -> Self {
        let world = World::make(Made::default());
        let folder = world.out("both");
        let (run, out) = (world.run(), folder.to_str().unwrap().to_owned());
        let run = run.to_str().unwrap();
        for arguments in [["gguf", run, "--quant", "f32"], ["onnx", run, "--dtype", "fp32"]] {
            Run::new("partita-export", &[&arguments[..], &["-o", &out]].concat()).success();
        }
        let named = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from);
        let library = named.or_else(|| stored("onnxruntime", "libonnxruntime"));
        Self { world, folder, library }
    }

    /// A command in a home of its own.
    fn partita(&self, arguments: &[&str], library: Option<&Path>) -> Run {
        let mut command = Command::new(program("partita"));
        command.args(arguments).env("PARTITA_HOME", self.home()).env_remove("ORT_DYLIB_PATH");
        if let Some(library) = library {
            command.env("ORT_DYLIB_PATH", library);
        }
        Run::of(&mut command, &[])
    }

    fn home(&self) -> PathBuf {
        self.world.out("home")
    }

    /// Runs `partita COMMAND` with this model.
    fn with(&self, command: &[&str], model: &Path, library: Option<&Path>) -> Run {
        let model =
            ["--engine", "speech-llm", "--model", model.to_str().unwrap(), "--threads", "1"];
        self.partita(&[command, &model].concat(), library)
    }
}

#[test]
fn the_faster_runtime_is_measured_once_and_remembered() {
    let both = Both::new();
    let Some(library) = both.library.as_deref() else {
        use std::io::Write;
        writeln!(std::io::stderr(), "skipped: onnxruntime is not in the store (make models)").ok();
        return;
    };
    let clip = Sample::of("en").path;
    let transcribe = ["transcribe", &clip, "--beam", "1", "--json"];
    let remembered = both.home().join("runtimes.json");
    let first = both.with(&transcribe, &both.folder, Some(library)).success();
    let known: Value = serde_json::from_slice(&std::fs::read(&remembered).unwrap()).unwrap();
    let row = &known["rows"][0];
    assert!(row["candle"].as_f64().unwrap() > 0.0 && row["onnx"].as_f64().unwrap() > 0.0);
    assert_eq!(row["of"]["threads"], 1);

    // What is remembered is believed, whatever it says.
    for (candle, onnx) in [(1.0, 2.0), (2.0, 1.0)] {
        let mut changed = known.clone();
        changed["rows"][0]["candle"] = candle.into();
        changed["rows"][0]["onnx"] = onnx.into();
        std::fs::write(&remembered, changed.to_string()).unwrap();
        // Without the library, candle alone can go on; the other way round it is said.
        let run = both.with(&transcribe, &both.folder, None);
        assert_eq!(run.status == Some(0), candle < onnx, "{}", run.stderr);
        run.assert_orderly();
        assert_eq!(std::fs::read_to_string(&remembered).unwrap(), changed.to_string());
    }
    std::fs::write(&remembered, known.to_string()).unwrap();
    assert_eq!(text(&both.with(&transcribe, &both.folder, Some(library)).success()), text(&first));

    // Another size is another model: measured anew, here with one runtime gone, so not kept.
    std::fs::remove_file(&remembered).unwrap();
    let run = both.with(&transcribe, &both.folder, None);
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("onnxruntime is not installed"), "{}", run.stderr);
    assert!(!remembered.exists());

    let rows = both.with(&["bench", "--json", "--runs", "1"], &both.folder, Some(library));
    let rows = rows.json_lines();
    let backends: Vec<&str> = rows.iter().map(|row| row["backend"].as_str().unwrap()).collect();
    assert_eq!(backends, ["candle", "onnx"]);
    assert!(!remembered.exists(), "a benchmark decides nothing");
}

fn text(json: &str) -> String {
    let value: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    value["text"].to_string()
}

#[test]
fn what_a_runtime_cannot_run_is_said_in_a_line() {
    let both = Both::new();
    let clip = Sample::of("en").path;
    let run = both.world.run();
    let transcribe = |more: &[&str], model: &Path| {
        let run = both.with(&[&["transcribe", &clip], more].concat(), model, None);
        run.assert_orderly();
        assert_eq!((run.status, run.stdout.as_str()), (Some(1), ""), "{}", run.stderr);
        run.stderr
    };
    let onnx = ["--backend", "onnx"];
    assert!(transcribe(&onnx, &run).contains("partita-export onnx"));
    assert!(transcribe(&onnx, &both.folder).contains("partita models pull onnxruntime"));
    let graph = both.folder.join("onnx/decoder_model_merged.onnx");
    assert!(transcribe(&["--backend", "candle"], &graph).contains("ONNX graphs alone"));
    assert!(transcribe(&["--provider", "cuda"], &run).contains("provider cuda"));
    let whisper = ["transcribe", &clip, "--engine", "whisper", "--backend", "onnx"];
    let run = both.partita(&whisper, None);
    assert!(run.stderr.contains("Whisper runs on candle alone"), "{}", run.stderr);
    let run = both.partita(&["transcribe", &clip, "--backend", "sphinx"], None);
    assert!(run.stderr.contains("auto, candle, onnx"), "{}", run.stderr);
    if let Some(library) = &both.library {
        // Of all libraries that are fetched, one for Linux has neither.
        for provider in ["coreml", "directml"].into_iter().filter(|_| cfg!(target_os = "linux")) {
            let wants = ["transcribe", &clip, "--backend", "onnx", "--provider", provider];
            let run = both.with(&wants, &both.folder, Some(library));
            let reason = format!("provider {provider}: {}", library.display());
            assert!(run.stderr.contains(&reason), "{}", run.stderr);
        }
    }
}

/// What somebody else's files hold is copied whole and asked in words.
#[test]
fn a_pair_of_others_is_imported_and_used() {
    let world = World::make(Made::default());
    let pair = world.pair_of_others();
    let partita = |arguments: &[&str]| {
        let mut command = Command::new(program("partita"));
        Run::of(command.args(arguments).env("PARTITA_HOME", world.out("home")), &[])
    };
    let said = partita(&["models", "import", pair.to_str().unwrap(), "--name", "mine"]).success();
    assert!(said.contains("partita transcribe --engine speech-llm --model mine FILE"), "{said}");
    let clip = Sample::of("en").path;
    let whole = ["transcribe", "--quiet", "--json", "--engine", "speech-llm", "--translate", "de"];
    let imported = partita(&[&whole[..], &["--model", "mine", &clip]].concat()).success();
    let direct = partita(&[&whole[..], &["--model", pair.to_str().unwrap(), &clip]].concat());
    assert_eq!(text(&imported), text(&direct.success()));

    // A language model alone, and the other half of a pair, say so.
    for (file, reason) in [
        (world.llm.clone(), "neither Whisper nor half of a speech model's pair"),
        (pair.with_file_name("mmproj-others-F32.gguf"), "neither Whisper nor half"),
    ] {
        let run = partita(&["models", "import", file.to_str().unwrap(), "--name", "other"]);
        assert_eq!((run.status, run.stderr.lines().count()), (Some(1), 1), "{}", run.stderr);
        assert!(run.stderr.contains(reason), "{}", run.stderr);
    }
}

#[test]
fn what_is_used_where_it_lies_is_not_imported() {
    let both = Both::new();
    for (path, way) in [
        (both.world.run(), "partita-train pack"),
        (both.folder.join("onnx/decoder_model_merged.onnx"), "--model"),
    ] {
        let run = both.partita(&["models", "import", path.to_str().unwrap()], None);
        assert_eq!((run.status, run.stderr.lines().count()), (Some(1), 1), "{}", run.stderr);
        assert!(run.stderr.contains(way), "{}", run.stderr);
    }
}
