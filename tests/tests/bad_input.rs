//! Files of others: broken, empty, lying, odd or very long. One clear line each, and the rest of
//! the batch goes on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use partita_tests::{Run, Sample, Wav, models_installed, program};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const SPEECH: Wav = Wav { rate: 16_000, channels: 1, bits: 16 };

/// A file in a folder, by its path.
fn put(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A header with one number replaced.
fn lying(at: usize, number: &[u8]) -> Vec<u8> {
    let mut file = SPEECH.file(&[0.1; 4000]);
    file[at..at + number.len()].copy_from_slice(number);
    file
}

#[test]
fn bad_recordings_get_a_line_each_and_the_batch_goes_on() {
    if !models_installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let good = Sample::of("en");
    let flac = fs::read(&good.path).unwrap();
    let wav = SPEECH.file(&good.samples());
    fs::create_dir(folder.join("folder.wav")).unwrap();
    let name = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let bad = [
        (put(folder, "empty.wav", b""), "empty (0 bytes)"),
        (put(folder, "text.wav", b"Not a sound in here.\n"), "not an audio file"),
        (put(folder, "stub.flac", &flac[..60]), "not an audio file"),
        (put(folder, "stub.wav", &wav[..20]), "not an audio file"),
        (put(folder, "rate.wav", &lying(24, &u32::MAX.to_le_bytes())), "header makes no sense"),
        (put(folder, "channels.wav", &lying(22, &[255, 255])), "channel count"),
        (put(folder, "still.wav", &lying(24, &[0; 4])), "sampling rate of 0 Hz"),
        (name("folder.wav"), "is a directory"),
        (name("missing.wav"), "No such file"),
        (name("no-*-such.wav"), "No such file"),
        (name("[.wav"), "No such file"),
    ];
    let cut = [
        put(folder, "cut.flac", &flac[..flac.len() / 3]),
        put(folder, "cut.wav", &wav[..wav.len() / 3]),
        // As streams do that are written before their length is known.
        put(folder, "endless.wav", &[&Wav::header(SPEECH, u32::MAX)[..], &wav[44..]].concat()),
    ];
    let (before, after) = bad.split_at(bad.len() / 2);
    let mut arguments = vec!["transcribe", "--json", "--lang", "en"];
    arguments.extend(before.iter().map(|(file, _)| file.as_str()));
    arguments.push(&good.path);
    arguments.extend(after.iter().map(|(file, _)| file.as_str()));
    arguments.extend(cut.iter().map(String::as_str));
    let run = Run::new("partita", &arguments);

    run.assert_orderly();
    assert_eq!(run.status, Some(1));
    for (file, reason) in &bad {
        let lines: Vec<&str> = run.stderr.lines().filter(|line| line.contains(file)).collect();
        assert_eq!(lines.len(), 1, "{file}: {}", run.stderr);
        assert!(lines[0].starts_with(&format!("error: {file}: ")), "{}", lines[0]);
        assert!(lines[0].contains(reason), "{}", lines[0]);
    }
    for file in &cut[..2] {
        assert_eq!(run.complaints(&format!("warning: {file}: cut off"), "").len(), 1, "{run:?}");
    }
    // One line a bad file, one a cut file, the totals, and how many failed.
    let failed = format!("error: {} of {} recordings failed", bad.len(), bad.len() + 4);
    assert_eq!(run.stderr.lines().last(), Some(failed.as_str()));
    let warnings = run.complaints("warning: ", "").len();
    assert_eq!(run.stderr.lines().count(), bad.len() + warnings + 2, "{}", run.stderr);

    let shown = run.json_lines();
    let text = |index: usize| shown[index]["text"].as_str().unwrap();
    assert_eq!(shown.len(), 4, "{}", run.stdout);
    assert_eq!(shown[0]["file"], good.path.as_str());
    assert!(good.error_rate(text(0)) <= 0.2, "{}", text(0));
    assert!(text(1).starts_with("The train"), "{}", text(1));
    assert!(text(2).starts_with("The train"), "{}", text(2));
    assert!(good.error_rate(text(3)) <= 0.2, "{}", text(3));
}

#[test]
fn odd_recordings_are_read_as_they_are_meant() {
    if !models_installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let clip = Sample::of("en");
    let speech = clip.samples();
    // Each sample held six times: its images lie above 8 kHz, where resampling ends.
    let held: Vec<f32> = speech.iter().flat_map(|&sample| [sample; 6]).collect();
    let mut holes = speech.clone();
    holes.iter_mut().step_by(997).for_each(|sample| *sample = f32::NAN);
    holes[500] = f32::INFINITY;
    let float = Wav { bits: 32, ..SPEECH };
    let files = [
        ("eight-bit.wav", Wav { bits: 8, ..SPEECH }.file(&speech)),
        ("wide.wav", Wav { rate: 96_000, channels: 6, bits: 16 }.file(&held)),
        ("holes.wav", float.file(&holes)),
        ("silent.wav", SPEECH.file(&[0.0; 80_000])),
        ("no-numbers.wav", float.file(&[f32::NAN; 48_000])),
        ("one-sample.wav", SPEECH.file(&[0.5])),
    ]
    .map(|(name, bytes)| put(folder.path(), name, &bytes));
    let mut arguments = vec!["transcribe", "--json", "--lang", "en"];
    arguments.extend(files.iter().map(String::as_str));
    let run = Run::new("partita", &arguments);

    run.assert_orderly();
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    let shown = run.json_lines();
    assert_eq!(shown.len(), files.len());
    for (row, file) in shown.iter().zip(&files) {
        let text = row["text"].as_str().unwrap();
        assert_eq!(row["file"], file.as_str());
        if file.contains("eight") || file.contains("wide") || file.contains("holes") {
            assert!(clip.error_rate(text) <= 0.2, "{file}: {text}");
            assert!((row["seconds"].as_f64().unwrap() - 6.287).abs() < 0.05, "{row}");
        } else {
            assert_eq!((text, &row["lang"]), ("", &Value::Null), "{file}");
        }
    }
    let repaired = run.complaints("warning: ", "no numbers were read as silence");
    assert_eq!(repaired.len(), 2, "{}", run.stderr);
    assert!(repaired[1].contains("no-numbers.wav: 48000 samples"), "{}", repaired[1]);
}

/// Half an hour as a stream, its memory watched: kept whole, its samples would take 115 MB, on top
/// of the 215 MB of the program and its models. Three hours take no more.
#[test]
#[cfg(target_os = "linux")]
fn long_recordings_do_not_sit_in_memory() {
    if !models_installed() {
        return;
    }
    const SECONDS: u32 = 1800;
    const MOST_KIB: u64 = 300_000;
    let telephone = Wav { rate: 8000, channels: 1, bits: 8 };
    let mut child = Command::new(program("partita"))
        .args(["transcribe", "--json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || {
        stdin.write_all(&telephone.header(SECONDS * telephone.rate))?;
        (0..SECONDS).try_for_each(|_| stdin.write_all(&[128; 8000]))
    });
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let now = fs::read_to_string(&status).unwrap_or_default();
        let line = now.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(50));
    }
    feeder.join().unwrap().unwrap();
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    let shown = run.json_lines();
    assert_eq!((&shown[0]["text"], &shown[0]["seconds"]), (&"".into(), &f64::from(SECONDS).into()));
    assert!(peak > 0 && peak < MOST_KIB, "peak memory {peak} KiB");
}

/// A little-endian GGUF 3 header: counts of tensors and of metadata, then whatever follows.
fn gguf(tensors: u64, metadata: u64, rest: &[u8]) -> Vec<u8> {
    [b"GGUF\x03\0\0\0", &tensors.to_le_bytes()[..], &metadata.to_le_bytes(), rest].concat()
}

fn safetensors(length: u64, header: &str, data: &[u8]) -> Vec<u8> {
    [&length.to_le_bytes()[..], header.as_bytes(), data].concat()
}

/// CTranslate2's model.bin of one tensor of four floats.
fn ctranslate2() -> Vec<u8> {
    let mut file = vec![6, 0, 0, 0, 5, 0];
    file.extend(b"Spec\0\x01\0\0\0\x01\0\0\0\x02\0w\0\x01\x04\0\0\0\0\x10\0\0\0");
    file.extend([0; 16]);
    file.extend([0; 4]);
    file
}

#[test]
fn bad_weight_files_get_a_line_each_and_the_others_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let whole = r#"{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#;
    let length = whole.len() as u64;
    let beyond = whole.replace("[4]", "[4000000000]").replace("16", "16000000000");
    let text = |bytes: u64, text: &str| [&bytes.to_le_bytes()[..], text.as_bytes()].concat();
    let pair = [text(1, "k"), 8u32.to_le_bytes().to_vec(), text(1, "v")].concat();
    let endless = [text(1, "k"), 8u32.to_le_bytes().to_vec(), text(u64::MAX, "v")].concat();
    let array = [&text(1, "k")[..], &9u32.to_le_bytes(), &4u32.to_le_bytes(), &[255; 8]].concat();
    let ct2 = ctranslate2();
    let good = [
        put(folder, "good.gguf", &gguf(0, 1, &pair)),
        put(folder, "good.safetensors", &safetensors(length, whole, &[0; 16])),
        put(folder, "good.bin", &ct2),
    ];
    fs::create_dir(folder.join("folder")).unwrap();
    let bad = [
        put(folder, "tensors.gguf", &gguf(u64::MAX, 0, b"")),
        put(folder, "metadata.gguf", &gguf(0, u64::MAX / 2, &pair)),
        put(folder, "string.gguf", &gguf(0, 1, &endless)),
        put(folder, "array.gguf", &gguf(0, 1, &array)),
        put(folder, "half.gguf", &gguf(0, 1, &pair)[..30]),
        put(folder, "header.safetensors", &safetensors(u64::MAX, whole, &[0; 16])),
        put(folder, "short.safetensors", &safetensors(length, whole, &[0; 15])),
        put(folder, "beyond.safetensors", &safetensors(beyond.len() as u64, &beyond, &[0; 16])),
        put(folder, "half.bin", &ct2[..ct2.len() / 2]),
        put(folder, "photo.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0 no weights in here"),
        put(folder, "empty.gguf", b""),
        folder.join("folder").to_str().unwrap().to_owned(),
        folder.join("missing.gguf").to_str().unwrap().to_owned(),
    ];
    let mut arguments = vec!["inspect", "--json", "--tensors", good[0].as_str()];
    arguments.extend(bad.iter().map(String::as_str));
    arguments.extend(good[1..].iter().map(String::as_str));
    let run = Run::new("partita-export", &arguments);

    run.assert_orderly();
    assert_eq!(run.status, Some(1));
    assert_eq!(run.stderr.lines().count(), bad.len(), "{}", run.stderr);
    for (line, file) in run.stderr.lines().zip(&bad) {
        let reason = line.strip_prefix(&format!("error: {file}: "));
        assert!(reason.is_some_and(|reason| reason.len() > 8), "{line}");
    }
    let shown = run.json_lines();
    let formats: Vec<&str> = shown.iter().map(|row| row["format"].as_str().unwrap()).collect();
    assert_eq!(formats, ["GGUF v3", "safetensors", "CTranslate2"]);
    for row in &shown[1..] {
        assert_eq!(row["tensors"][0]["shape"], serde_json::json!([4]), "{row}");
    }
}

/// A store whose quantized file has its right length, and nonsense in it.
#[test]
#[cfg(unix)]
fn a_broken_model_is_one_line() {
    if !models_installed() {
        return;
    }
    let clip = Sample::of("en");
    // Makes the quantized file, should it not be there yet.
    Run::new("partita", &["transcribe", "--quiet", &clip.path]).success();
    let real = Run::new("partita", &["models", "path", "whisper-base"]).success();
    let real = Path::new(real.trim_end());
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("models/whisper-base");
    fs::create_dir_all(&folder).unwrap();
    let mut broken = Vec::new();
    for entry in fs::read_dir(real).unwrap() {
        let (from, to) = {
            let entry = entry.unwrap();
            (entry.path(), folder.join(entry.file_name()))
        };
        if from.extension().is_some_and(|extension| extension == "gguf") {
            let file = fs::File::create(&to).unwrap();
            file.set_len(fs::metadata(&from).unwrap().len()).unwrap();
            (&file).write_all(&gguf(u64::MAX, u64::MAX, b"")).unwrap();
            broken.push(to);
        } else {
            std::os::unix::fs::symlink(from, to).unwrap();
        }
    }
    let mut command = Command::new(program("partita"));
    let run =
        Run::of(command.args(["transcribe", &clip.path]).env("PARTITA_HOME", home.path()), &[]);
    run.assert_orderly();
    assert_eq!((run.status, run.stdout.as_str()), (Some(1), ""));
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    assert!(run.stderr.starts_with("error: "), "{}", run.stderr);
    let named = broken.iter().any(|file| run.stderr.contains(file.to_str().unwrap()));
    assert!(named, "{} of {broken:?}", run.stderr);

    // A file that was cut off is made again.
    for file in &broken {
        fs::File::options().write(true).open(file).unwrap().set_len(100_000).unwrap();
    }
    let mut command = Command::new(program("partita"));
    let arguments = ["transcribe", "--quiet", "--lang", "en", &clip.path];
    let run = Run::of(command.args(arguments).env("PARTITA_HOME", home.path()), &[]);
    let rate = clip.error_rate(&run.success());
    assert!(rate <= 0.2, "word error rate {rate:.2}");

    // With no model at all, the line says how to get it.
    let empty = tempfile::tempdir().unwrap();
    let mut command = Command::new(program("partita"));
    let run =
        Run::of(command.args(["transcribe", &clip.path]).env("PARTITA_HOME", empty.path()), &[]);
    assert_eq!((run.status, run.stderr.lines().count()), (Some(1), 1), "{}", run.stderr);
    assert!(run.stderr.contains("partita models pull whisper-base"), "{}", run.stderr);
}
