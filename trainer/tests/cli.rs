//! The program on folders made by the tests: good rows, broken rows, broken audio.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn run(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_partita-train");
    Command::new(program).args(arguments).output().expect("the program runs")
}

fn json(arguments: &[&str]) -> Value {
    let output = run(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().expect("parent")).expect("folder");
    fs::write(path, bytes).expect("write");
}

/// A mono 16-bit WAV file at 16 kHz: a tone, or silence.
fn wav(seconds: f64, hertz: f64) -> Vec<u8> {
    let samples = (seconds * 16_000.0) as u32;
    let bytes = samples * 2;
    let mut file = Vec::from(*b"RIFF");
    file.extend((36 + bytes).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    for half in [1_u16, 1] {
        file.extend(half.to_le_bytes());
    }
    file.extend(16_000_u32.to_le_bytes());
    file.extend(32_000_u32.to_le_bytes());
    file.extend([2, 0, 16, 0]);
    file.extend(b"data");
    file.extend(bytes.to_le_bytes());
    for n in 0..samples {
        let phase = std::f64::consts::TAU * hertz * f64::from(n) / 16_000.0;
        file.extend(((phase.sin() * 8000.0) as i16).to_le_bytes());
    }
    file
}

const HEADER: &str = "path\tlang\ttranscript\ttranslation_en\tspeaker\tsource\tlicence\tseconds\n";

/// Our data layout with one of every fault.
fn corpus(folder: &Path) {
    let rows = [
        "a.wav\tde\tGuten Tag.\tGood day.\tanna\town : a\tCC0-1.0\t1.00",
        "b.wav\tde\tGuten Tag!\tGood day.\tbert\town : b\tCC0-1.0\t1.00",
        "same.wav\tde\tEtwas anderes.\t\tanna\town : c\tCC0-1.0\t1.00",
        "long.wav\tde\tDas ist \"länger\".\t\tanna\town : d\tCC0-1.0\t9.00",
        "quiet.wav\tde\tMan hört nichts.\t\tanna\town : e\tCC0-1.0\t1.00",
        "a.wav\tde\tПривет, мир.\t\tanna\town : f\tCC0-1.0\t1.00",
        "c.wav\tde\t\t\tanna\town : g\tCC0-1.0\t1.00",
        "missing.wav\tde\tFehlt.\t\tanna\town : h\tCC0-1.0\t1.00",
        "empty.wav\tde\tLeer.\t\tanna\town : i\tCC0-1.0\t1.00",
        "text.wav\tde\tKein Ton.\t\tanna\town : j\tCC0-1.0\t1.00",
        "a.wav\tde\tZahl.\t\tanna\town : k\tCC0-1.0\tNaN",
        "a.wav\tde\tZu wenig.",
    ];
    let german = folder.join("speech/de");
    write(&german.join("manifest.tsv"), format!("{HEADER}{}\n", rows.join("\n")));
    write(&german.join("a.wav"), wav(1.0, 440.0));
    write(&german.join("b.wav"), wav(1.0, 550.0));
    write(&german.join("c.wav"), wav(1.0, 660.0));
    write(&german.join("same.wav"), wav(1.0, 440.0));
    write(&german.join("long.wav"), wav(2.0, 440.0));
    write(&german.join("quiet.wav"), wav(1.0, 0.0));
    write(&german.join("empty.wav"), b"");
    write(&german.join("text.wav"), b"This is no sound at all, only some letters.\n".repeat(20));
    let noise = "path\tkind\tsource\tlicence\tseconds\nhum.wav\tsound\town\tCC0-1.0\t0.5\n";
    write(&folder.join("noise/manifest.tsv"), noise);
    write(&folder.join("noise/hum.wav"), wav(0.5, 50.0));
    let pairs = "src_lang\tsrc_text\ttgt_lang\ttgt_text\tsource\n\
        en\tGood day.\tde\tGuten Tag.\town\nen\tgood day\tde\tguten tag\town\n";
    write(&folder.join("text/parallel/en-de.tsv"), pairs);
    write(&folder.join("text/sentences/de.txt"), "Ein Satz.\n");
}

#[test]
fn check_data_finds_every_fault() {
    let folder = tempfile::tempdir().expect("folder");
    corpus(folder.path());
    let source = folder.path().to_str().expect("path");
    let report = json(&["check-data", source]);
    let count = |name: &str| report["findings"][name]["count"].as_u64().expect("count");
    assert_eq!(count("duplicate_audio"), 1);
    assert_eq!(count("duplicate_transcripts"), 1);
    assert_eq!(count("duplicate_texts"), 1);
    assert_eq!(count("wrong_script"), 1);
    assert_eq!(count("empty_text"), 1);
    assert_eq!(count("wrong_duration"), 1);
    assert_eq!(count("silent"), 1);
    assert_eq!(count("damaged_audio"), 0);
    assert_eq!(count("leaks"), 0);
    let bad: Vec<(u64, &str)> = report["bad_rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|bad| (bad["line"].as_u64().expect("line"), bad["reason"].as_str().expect("reason")))
        .collect();
    assert_eq!(bad.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [9, 10, 11, 12, 13]);
    assert!(bad[0].1.starts_with("missing audio file ("), "{bad:?}");
    assert!(bad[1].1.starts_with("empty audio file (0 bytes)"), "{bad:?}");
    assert!(bad[2].1.starts_with("unreadable audio: "), "{bad:?}");
    assert_eq!(bad[3].1, "seconds \"NaN\": not a number of seconds");
    assert_eq!(bad[4].1, "3 fields, the header has 8");
    let german = &report["speech"]["de"];
    assert_eq!((&german["clips"], &german["speakers"]), (&10.into(), &2.into()));
    assert_eq!((&german["min_seconds"], &german["max_seconds"]), (&1.0.into(), &9.0.into()));
    assert_eq!(report["speech"]["none"]["clips"], 1);
    assert_eq!(report["licences"]["CC0-1.0"]["clips"], 11);

    let plain = run(&["check-data", source, "--strict"]);
    assert_eq!(plain.status.code(), Some(1));
    let page = text(&plain.stdout);
    let manifest = folder.path().join("speech/de/manifest.tsv");
    assert!(
        page.contains(&format!("{}:13: 3 fields, the header has 8", manifest.display())),
        "{page}"
    );

    let rows_only = json(&["check-data", source, "--no-audio"]);
    assert_eq!(rows_only["bad_rows"].as_array().map(Vec::len), Some(4));
    assert_eq!(rows_only["findings"]["silent"]["count"], 0);
}

#[test]
fn prepare_writes_manifests_that_check_data_reads() {
    let folder = tempfile::tempdir().expect("folder");
    corpus(&folder.path().join("data"));
    let (data, out) = (folder.path().join("data"), folder.path().join("out/new"));
    let (data, out) = (data.to_str().expect("path"), out.to_str().expect("path"));
    let report = json(&["prepare", data, "--out", out]);
    assert_eq!(report["manifests"].as_array().map(Vec::len), Some(3));
    assert_eq!(report["bad_rows"].as_array().map(Vec::len), Some(5), "{report}");
    let speech = fs::read_to_string(Path::new(out).join("speech.jsonl")).expect("speech.jsonl");
    let rows: Vec<Value> = speech.lines().map(|l| serde_json::from_str(l).expect("row")).collect();
    assert_eq!(rows.len(), 8);
    assert_eq!(rows[0]["audio_filepath"], "../../data/noise/hum.wav");
    let day: Vec<&Value> = rows.iter().filter(|r| r["translations"]["en"] == "Good day.").collect();
    assert_eq!(day.len(), 2);
    let pairs = fs::read_to_string(Path::new(out).join("text.jsonl")).expect("text.jsonl");
    let pair: Value = serde_json::from_str(pairs.lines().next().expect("row")).expect("row");
    assert_eq!(pair["split"], day[0]["split"], "a clip and its sentence pair go together");

    // Prepare does not decode clips of known length: the one that is no sound is found here.
    let checked = json(&["check-data", out]);
    let bad = checked["bad_rows"].as_array().expect("rows");
    assert_eq!(bad.len(), 1, "{bad:?}");
    assert!(bad[0]["reason"].as_str().is_some_and(|r| r.starts_with("unreadable audio: ")));
    assert_eq!(checked["splits_stated"], true);
    assert_eq!(checked["findings"]["leaks"]["count"], 0);

    // The same sentence in another split is a leak.
    let other = if pair["split"] == "test" { "train" } else { "test" };
    let mut moved = pair.clone();
    moved["split"] = other.into();
    write(&Path::new(out).join("text.jsonl"), format!("{pair}\n{moved}\n"));
    let leaking = json(&["check-data", out]);
    assert_eq!(leaking["findings"]["leaks"]["count"], 2, "the English and the German sentence");
}

#[test]
fn common_voice_without_lengths_is_measured() {
    let folder = tempfile::tempdir().expect("folder");
    let table =
        "client_id\tpath\tsentence\tlocale\ns\tx.wav\tHej.\tsv-SE\ns\ty.wav\tBorta.\tsv-SE\n";
    write(&folder.path().join("validated.tsv"), table);
    write(&folder.path().join("clips/x.wav"), wav(1.25, 300.0));
    let out = folder.path().join("sv.jsonl");
    let arguments = ["prepare", folder.path().to_str().expect("path"), "--kind", "common-voice"];
    let report = json(&[&arguments[..], &["--out", out.to_str().expect("path")]].concat());
    assert_eq!(report["bad_rows"].as_array().map(Vec::len), Some(1));
    let row: Value = serde_json::from_str(&fs::read_to_string(&out).expect("read")).expect("row");
    assert_eq!(row["audio_filepath"], "clips/x.wav");
    assert!((row["duration"].as_f64().expect("seconds") - 1.25).abs() < 0.01, "{row}");
}

#[test]
fn what_cannot_be_read_is_one_line_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    corpus(&folder.path().join("data"));
    let path = |name: &str| folder.path().join(name).to_str().expect("path").to_owned();
    write(&folder.path().join("empty.tsv"), b"");
    let out = path("out.jsonl");
    for (arguments, part) in [
        (vec!["check-data", &path("nowhere")], "cannot read"),
        (vec!["check-data", &path("empty.tsv")], "empty file"),
        (vec!["prepare", &path("data"), "--out", &out], "two manifests"),
        (vec!["prepare", &path("data"), "--kind", "common-voice", "--out", &out], "common-voice"),
        (vec!["prepare", &path("data"), "--out", &path("empty.tsv")], "cannot create"),
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let error = text(&output.stderr);
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(part) && error.starts_with("partita-train: "), "{error}");
        assert!(output.stdout.is_empty());
    }
    assert!(!Path::new(&out).exists());
}

#[test]
fn many_bad_rows_are_cut_short() {
    let folder = tempfile::tempdir().expect("folder");
    let table = folder.path().join("t.tsv");
    write(&table, format!("{HEADER}{}", "one field\n".repeat(30)));
    let table = table.to_str().expect("path");
    let page = text(&run(&["check-data", table]).stdout);
    assert!(page.contains("… and 10 more; --all lists them"), "{page}");
    assert!(page.contains("t.tsv:21:") && !page.contains("t.tsv:22:"), "{page}");
    let page = text(&run(&["check-data", table, "--all"]).stdout);
    assert!(page.contains("t.tsv:31:"), "{page}");
}

/// The project's data folder, where `PARTITA_TEST_DATA` names it.
#[test]
fn the_real_data_has_no_bad_rows() {
    let Some(data) = std::env::var_os("PARTITA_TEST_DATA") else {
        println!("skipped: PARTITA_TEST_DATA does not name a data folder");
        return;
    };
    let report = json(&["check-data", "--no-audio", data.to_str().expect("path")]);
    assert_eq!(report["bad_rows"].as_array().map(Vec::len), Some(0), "{}", report["bad_rows"]);
    assert!(report["speech"]["en"]["clips"].as_u64().is_some_and(|clips| clips > 1000));
    assert_eq!(report["findings"]["leaks"]["count"], 0);
}
