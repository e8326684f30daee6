//! `partita` on the sample clips: what is heard, every form of output, options, and the commands
//! beside `transcribe`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use partita_tests::{Run, Sample, Wav, models_installed, program};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the clip of [`short_clip`] says.
const SHORT: &str = "The train to the coast was late this morning.";

fn transcribe(arguments: &[&str]) -> Run {
    let run = Run::new("partita", &[&["transcribe"], arguments].concat());
    run.assert_orderly();
    run
}

/// The first sentence of the English clip, as a file in a folder.
fn short_clip(folder: &Path) -> String {
    let path = folder.join("short.wav");
    let samples = Sample::of("en").samples();
    let wav = Wav { rate: 16_000, channels: 1, bits: 16 };
    fs::write(&path, wav.file(&samples[..16_000 * 3])).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What was heard, without what the run cost.
fn heard(mut row: Value) -> Value {
    let row = row.as_object_mut().unwrap();
    row.remove("elapsed");
    row.remove("cpu");
    row.remove("file");
    Value::Object(row.clone())
}

#[test]
fn the_samples_are_understood() {
    if !models_installed() {
        return;
    }
    for lang in ["en", "es", "fr", "it", "pt"] {
        let clip = Sample::of(lang);
        let run = transcribe(&["--json", "--quiet", "--lang", lang, &clip.path]);
        let row = &run.json_lines()[0];
        let text = row["text"].as_str().unwrap();
        let rate = clip.error_rate(text);
        assert!(rate <= 0.2, "{lang}: word error rate {rate:.2}: {text}");
        assert_eq!(row["lang"], lang);
    }
}

#[test]
fn json_has_what_was_said_and_what_it_cost() {
    if !models_installed() {
        return;
    }
    let clips = ["es", "en"].map(Sample::of);
    let run = transcribe(&["--json", "--translate", "en", &clips[0].path, &clips[1].path]);
    let rows = run.json_lines();
    assert_eq!(rows.len(), 2, "{}", run.stdout);
    for (row, clip) in rows.iter().zip(&clips) {
        assert_eq!(row["file"], clip.path.as_str());
        assert_eq!(row["lang"], clip.lang.as_str(), "the language is found");
        assert!(row["elapsed"].as_f64().unwrap() > 0.0 && row["tokens"].as_u64().unwrap() > 5);
        assert!(row["cpu"].as_f64().is_none_or(|cpu| cpu > 0.0), "{row}");
        let seconds = row["seconds"].as_f64().unwrap();
        assert!(seconds > 5.0 && seconds < 7.0, "{row}");
        let segments = row["segments"].as_array().unwrap();
        let mut clock = 0.0;
        for segment in segments {
            let [start, end] = ["start", "end"].map(|name| segment[name].as_f64().unwrap());
            assert!(clock <= start && start < end && end <= seconds + 0.1, "{row}");
            assert_eq!(segment["lang"], row["lang"]);
            clock = end;
        }
        let joined: Vec<&str> = segments.iter().map(|s| s["text"].as_str().unwrap()).collect();
        assert_eq!(row["text"], joined.join(" "));
        assert_eq!(row["translation"]["lang"], "en");
        let english = row["translation"]["text"].as_str().unwrap().to_lowercase();
        let word = if clip.lang == "es" { "garden" } else { "train" };
        assert!(english.contains(word), "{english}");
    }
    assert!(run.stderr.contains("2 recordings: 12."), "{}", run.stderr);
}

/// `00:00:01,500`, with its mark before the milliseconds, in milliseconds.
fn clock(text: &str, mark: char) -> u64 {
    let (rest, milliseconds) = text.split_once(mark).unwrap();
    let parts: Vec<u64> = rest.split(':').map(|part| part.parse().unwrap()).collect();
    let [hours, minutes, seconds] = parts[..] else { panic!("{text}") };
    assert_eq!(milliseconds.len(), 3);
    ((hours * 60 + minutes) * 60 + seconds) * 1000 + milliseconds.parse::<u64>().unwrap()
}

/// The texts of subtitles, after a look at their structure.
fn cues(subtitles: &str, mark: char, numbered: bool) -> String {
    assert!(subtitles.ends_with("\n\n"));
    let mut texts = Vec::new();
    let mut last = 0;
    for (index, cue) in subtitles.trim_end().split("\n\n").enumerate() {
        let mut lines = cue.lines();
        if numbered {
            assert_eq!(lines.next(), Some((index + 1).to_string().as_str()));
        }
        let (start, end) = lines.next().unwrap().split_once(" --> ").unwrap();
        let [start, end] = [start, end].map(|text| clock(text, mark));
        assert!(last <= start && start < end && end < 7000, "{subtitles}");
        last = end;
        texts.extend(lines.map(str::to_owned));
    }
    texts.join(" ")
}

#[test]
fn every_format_holds_the_same_words_and_is_written_whole() {
    if !models_installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let clip = short_clip(folder.path());
    let plain = transcribe(&["--lang", "en", &clip]).success();
    assert_eq!(plain, format!("{SHORT}\n"));
    let printed = |format: &str| transcribe(&["--lang", "en", "--format", format, &clip]).success();

    assert_eq!(cues(&printed("srt"), ',', true), SHORT);
    let json: Value = serde_json::from_str(&printed("json")).unwrap();
    assert_eq!(json["text"], SHORT);
    let table = printed("tsv");
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows[0], ["start", "end", "text"]);
    let [start, end, text] = rows[1][..] else { panic!("{table}") };
    assert!(start.parse::<u64>().unwrap() < end.parse::<u64>().unwrap());
    assert!(SHORT.starts_with(text), "{table}");

    // Into a folder that is not there yet, over a file of an earlier run.
    let out = folder.path().join("new/out");
    fs::create_dir_all(&out).unwrap();
    fs::write(out.join("short.wav.vtt"), "of an earlier run, and longer than what comes").unwrap();
    let out = out.to_str().unwrap();
    let run = transcribe(&["--lang", "en", "--format", "vtt", "-o", out, &clip]);
    assert_eq!(run.success(), "");
    let names: Vec<_> = fs::read_dir(out).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["short.wav.vtt"], "nothing else is left");
    let vtt = fs::read_to_string(Path::new(out).join("short.wav.vtt")).unwrap();
    assert_eq!(cues(vtt.strip_prefix("WEBVTT\n\n").unwrap(), '.', false), SHORT);
}

#[test]
fn options_change_what_they_should_and_nothing_else() {
    if !models_installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let clip = short_clip(folder.path());
    let row = |more: &[&str]| {
        let run = transcribe(&[&["--json", "--lang", "en", &clip], more].concat());
        heard(run.json_lines().remove(0))
    };
    let usual = row(&[]);
    assert_eq!(usual["text"], SHORT);
    assert_eq!(row(&[]), usual, "the same again");
    assert_eq!(row(&["--threads", "1"])["text"], usual["text"]);
    assert_eq!(row(&["--threads", "2"])["text"], usual["text"]);
    assert_eq!(row(&["--unpadded"]), usual, "unpadded is the default");
    assert_eq!(row(&["--padded", "--no-vad"])["text"], usual["text"]);
    assert_eq!(row(&["--beam", "3", "--no-fallback", "--no-timestamps"])["text"], usual["text"]);
}

#[test]
fn standard_input_and_patterns_are_read() {
    if !models_installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let clip = short_clip(folder.path());
    let bytes = fs::read(&clip).unwrap();
    let mut command = Command::new(program("partita"));
    let run = Run::of(command.args(["transcribe", "--json", "--lang", "en", "-"]), &bytes);
    let row = &run.json_lines()[0];
    assert_eq!((&row["file"], &row["text"]), (&"-".into(), &SHORT.into()));

    fs::copy(&clip, folder.path().join("short [2].wav")).unwrap();
    let pattern = folder.path().join("s*.wav");
    let odd = folder.path().join("short [2].wav");
    let (pattern, odd) = (pattern.to_str().unwrap(), odd.to_str().unwrap());
    let run = transcribe(&["--json", "--lang", "en", pattern, odd]);
    let rows = run.json_lines();
    let files: Vec<&str> = rows.iter().map(|row| row["file"].as_str().unwrap()).collect();
    assert_eq!(files, [odd, &clip, odd], "a name is a name even where it looks like a pattern");
    assert!(rows.iter().all(|row| row["text"] == SHORT), "{}", run.stdout);

    let run = Run::of(Command::new(program("partita")).args(["transcribe", "-"]), b"");
    assert_eq!(run.complaints("error: standard input: ", "empty").len(), 1, "{}", run.stderr);
}

#[test]
fn wrong_options_are_one_line() {
    if !models_installed() {
        return;
    }
    let clip = Sample::of("en").path;
    let cases: [(&[&str], &str); 6] = [
        (&["--lang", "xx"], "does not understand `xx`"),
        (&["--translate", "de"], "does not translate into `de`; it does: en"),
        (&["--engine", "speech-llm", "--model", "/nowhere"], "/nowhere"),
        (&["--device", "toaster"], "`toaster` is no device: use cpu, cuda:N or metal"),
        (&["--device", "cuda:99"], "cannot use device cuda:99"),
        (&["--model", "whisper-none"], "whisper-none"),
    ];
    for (options, reason) in cases {
        let run = transcribe(&[options, &[clip.as_str()]].concat());
        assert_eq!((run.status, run.stdout.as_str()), (Some(1), ""), "{options:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{options:?}: {}", run.stderr);
        assert_eq!(run.complaints("error: ", reason).len(), 1, "{}", run.stderr);
    }
    for options in [
        &["--threads", "0"][..],
        &["--beam", "many"],
        &["--engine", "none"],
        &["--quant", "q1"],
        &["--padded", "--unpadded"],
        &["--json", "--format", "srt"],
    ] {
        let run = transcribe(&[options, &[clip.as_str()]].concat());
        assert_eq!(run.status, Some(2), "{options:?}");
        assert!(run.stderr.starts_with("error: ") && run.stderr.contains(options[0]));
    }
}

#[test]
fn results_never_overwrite_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let clips = ["a", "b"].map(|name| {
        fs::create_dir(folder.path().join(name)).unwrap();
        short_clip(&folder.path().join(name))
    });
    let output = folder.path().join("out");
    let run = transcribe(&["-o", output.to_str().unwrap(), &clips[0], &clips[1]]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(1), ""));
    let reason = "would be written to one file";
    assert_eq!(run.complaints(&format!("error: {} and {}", clips[0], clips[1]), reason).len(), 1);
    assert!(!output.exists(), "nothing was begun");
}

#[test]
fn bench_measures_three_lengths() {
    if !models_installed() {
        return;
    }
    let run = Run::new("partita", &["bench", "--json", "--runs", "1"]);
    let row: Value = serde_json::from_str(&run.success()).unwrap();
    for name in ["engine", "model", "quantization", "padding", "device", "processor"] {
        assert!(row[name].as_str().is_some_and(|text| !text.is_empty()), "{name}: {row}");
    }
    assert!(row["threads"].as_u64().unwrap() > 0 && row["features"].is_array());
    assert!(row["load_seconds"].as_f64().unwrap() > 0.0);
    assert!(row["peak_memory_mib"].as_f64().is_none_or(|mib| mib > 50.0), "{row}");
    let lengths = row["lengths"].as_array().unwrap();
    assert_eq!(
        lengths.iter().map(|l| l["seconds"].as_u64().unwrap()).collect::<Vec<_>>(),
        [5, 11, 30]
    );
    for length in lengths {
        let number = |name: &str| length[name].as_f64().unwrap();
        assert!(number("tokens") > 5.0, "{length}");
        let factor = number("wall_seconds") / number("seconds");
        assert!((number("real_time_factor") - factor).abs() < 1e-9, "{length}");
        assert!(number("tokens_per_second") > 0.0);
    }
    let clip = Sample::of("en").path;
    let run = Run::new("partita", &["bench", "--runs", "1", &clip]);
    assert_eq!(run.complaints(&format!("error: {clip}: shorter than 30 s"), "").len(), 1);
}

#[test]
fn models_are_listed_and_found() {
    let empty = tempfile::tempdir().unwrap();
    let models = |arguments: &[&str]| {
        let mut command = Command::new(program("partita"));
        command.arg("models").args(arguments).env("PARTITA_HOME", empty.path());
        Run::of(&mut command, &[])
    };
    let rows = models(&["list", "--json"]).json_lines();
    let names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    for name in ["whisper-base", "silero-vad", "onnxruntime"] {
        assert!(names.contains(&name), "{names:?}");
    }
    for row in &rows {
        assert!(row["licence"].as_str().is_some_and(|licence| !licence.is_empty()), "{row}");
        assert!(["absent", "not_for_platform"].contains(&row["state"].as_str().unwrap()), "{row}");
    }
    for (arguments, part) in [
        (["path", "whisper-base"], "partita models pull whisper-base"),
        (["path", "nothing"], "nothing"),
        (["verify", "whisper-base"], "whisper-base"),
    ] {
        let run = models(&arguments);
        assert_eq!(run.status, Some(1));
        assert_eq!(run.complaints("error: ", part).len(), 1, "{}", run.stderr);
    }
    if models_installed() {
        let folder = Run::new("partita", &["models", "path", "whisper-base"]).success();
        let file = Run::new("partita", &["models", "path", "whisper-base", "model.bin"]).success();
        let (folder, file) = (Path::new(folder.trim_end()), Path::new(file.trim_end()));
        assert!(folder.is_dir() && file.is_file() && file.starts_with(folder));
    }
}

/// `partita … | head`: whoever reads has gone before the first line comes.
/// A copy of Whisper base as others publish it, brought into a store that has no model.
#[test]
fn a_model_of_others_is_imported_and_used() {
    if !models_installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let partita = |arguments: &[&str]| {
        let mut command = Command::new(program("partita"));
        Run::of(command.args(arguments).env("PARTITA_HOME", folder.path()), &[])
    };
    let whisper = Run::new("partita", &["models", "path", "whisper-base"]).success();
    let found = partita(&["models", "import", whisper.trim(), "--name", "mine", "--quant", "q8_0"]);
    let said = found.success();
    assert!(said.contains("partita transcribe --engine whisper --model mine FILE"), "{said}");
    let clip = short_clip(folder.path());
    let heard = partita(&["transcribe", "--quiet", "--model", "mine", "--lang", "en", &clip]);
    assert_eq!(heard.success().trim(), SHORT);
    let listed = partita(&["models", "list"]).success();
    assert!(listed.contains("mine") && partita(&["models", "verify", "mine"]).status == Some(0));

    // The file that was made is a model of its own.
    let file = format!("{}/models/mine/mine-Q8_0.gguf", folder.path().display());
    partita(&["models", "import", &file, "--name", "again"]).success();
    let heard = partita(&["transcribe", "--quiet", "--model", "again", "--lang", "en", &clip]);
    assert_eq!(heard.success().trim(), SHORT);
    partita(&["models", "rm", "again"]).success();
    assert!(!partita(&["models", "list"]).success().contains("again"));

    for (arguments, reason) in [
        (["models", "import", &file, "--name", "mine"], "there is a model of this name"),
        (["models", "import", &file, "--quant", "q4_k"], "leave --quant out"),
        (["models", "import", &clip, "--name", "sound"], "short.wav"),
        (["models", "import", "/nowhere", "--name", "it"], "/nowhere: cannot read"),
    ] {
        let run = partita(&arguments);
        assert_eq!((run.status, run.stderr.lines().count()), (Some(1), 1), "{}", run.stderr);
        assert!(run.stderr.contains(reason), "{}", run.stderr);
    }
    assert_eq!(fs::read_dir(folder.path().join("models")).unwrap().count(), 1);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let clip = Sample::of("en").path;
    let mut cases = vec![vec!["models", "list", "--json"], vec!["transcribe", "--help"]];
    if models_installed() {
        cases.push(vec!["transcribe", "--json", "--quiet", &clip]);
    }
    for arguments in cases {
        let mut command = Command::new(program("partita"));
        command.args(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let run = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&run.stderr), "", "{arguments:?}");
    }
}

#[test]
fn every_command_explains_itself() {
    let commands: [(&str, &[&str], &[&str]); 14] = [
        ("partita", &[], &["transcribe", "bench", "models", "--verbose"]),
        (
            "partita",
            &["transcribe"],
            &["--lang", "--translate", "--format", "--output", "--json", "--no-vad", "--device"],
        ),
        ("partita", &["bench"], &["--runs", "--json", "--threads", "--padded"]),
        ("partita", &["models"], &["list", "pull", "path", "rm", "verify"]),
        ("partita", &["models", "list"], &["--json"]),
        ("partita", &["models", "pull"], &["--accept-licence", "--quiet"]),
        ("partita", &["models", "path"], &["<NAME>", "[FILE]"]),
        ("partita", &["models", "rm"], &["<NAME>"]),
        ("partita", &["models", "verify"], &["[NAMES]"]),
        ("partita-train", &[], &["prepare", "check-data"]),
        ("partita-train", &["prepare"], &["--out", "--kind", "--lang", "--strict"]),
        ("partita-train", &["check-data"], &["--no-audio", "--json", "--all"]),
        ("partita-export", &[], &["inspect"]),
        ("partita-export", &["inspect"], &["--json", "--tensors"]),
    ];
    for (name, command, options) in commands {
        let help = Run::new(name, &[command, &["--help"]].concat()).success();
        for option in options {
            assert!(help.contains(option), "{name} {command:?} --help: no {option} in\n{help}");
        }
    }
}
