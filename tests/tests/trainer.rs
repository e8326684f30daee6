//! `partita-train` over a folder made of the sample clips: checked, prepared, checked again.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use partita_tests::{Run, Sample};
use serde_json::Value;
use std::fs;
use std::path::Path;

const LANGUAGES: [&str; 4] = ["de", "en", "fr", "zh"];

/// The clips in the layout of human speech, one table, with a row whose file is not there.
fn corpus(folder: &Path) {
    let mut table =
        "path\tlang\ttranscript\ttranslation_en\tspeaker\tsource\tlicence\tseconds\n".to_owned();
    for lang in LANGUAGES {
        let clip = Sample::of(lang);
        let seconds = clip.samples().len() as f64 / 16_000.0;
        fs::copy(&clip.path, folder.join(format!("{lang}.flac"))).unwrap();
        let text = &clip.text;
        table +=
            &format!("{lang}.flac\t{lang}\t{text}\t\tvoice\town : {lang}\tMIT\t{seconds:.2}\n");
    }
    table += "gone.flac\tde\tNicht da.\t\tvoice\town : gone\tMIT\t1.00\n";
    fs::write(folder.join("manifest.tsv"), table).unwrap();
}

fn json(arguments: &[&str]) -> Value {
    let run = Run::new("partita-train", &[arguments, &["--json", "--quiet"]].concat());
    serde_json::from_str(&run.success()).unwrap()
}

#[test]
fn samples_are_checked_and_prepared() {
    let folder = tempfile::tempdir().unwrap();
    corpus(folder.path());
    let data = folder.path().to_str().unwrap();
    let report = json(&["check-data", data]);
    assert_eq!(report["audio_decoded"], true);
    for lang in LANGUAGES {
        let clips = if lang == "de" { 2 } else { 1 };
        assert_eq!(report["speech"][lang]["clips"], clips, "{report}");
    }
    for finding in ["damaged_audio", "silent", "wrong_duration", "wrong_script", "leaks"] {
        assert_eq!(report["findings"][finding]["count"], 0, "{finding}: {report}");
    }
    let bad = report["bad_rows"].as_array().unwrap();
    assert_eq!((bad.len(), &bad[0]["line"]), (1, &6.into()), "{report}");
    assert!(bad[0]["reason"].as_str().unwrap().starts_with("missing audio file ("));

    let out = folder.path().join("speech.jsonl");
    let out = out.to_str().unwrap();
    json(&["prepare", data, "--out", out]);
    let rows = fs::read_to_string(out).unwrap();
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), LANGUAGES.len());
    for (row, lang) in rows.iter().zip(LANGUAGES) {
        assert_eq!(row["text"], Sample::of(lang).text);
        assert_eq!(row["audio_filepath"], format!("{lang}.flac"));
        assert!((5.0..8.0).contains(&row["duration"].as_f64().unwrap()), "{row}");
    }
    let again = json(&["check-data", out]);
    assert_eq!(again["bad_rows"].as_array().map(Vec::len), Some(0), "{again}");

    let strict = Run::new("partita-train", &["check-data", "--strict", "--quiet", data]);
    assert_eq!(strict.status, Some(1));
    assert!(strict.stdout.contains("manifest.tsv:6: missing audio file"), "{}", strict.stdout);
}

#[test]
fn what_cannot_be_read_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let missing = missing.to_str().unwrap();
    let out = folder.path().join("out.jsonl");
    for arguments in
        [&["check-data", missing][..], &["prepare", missing, "--out", out.to_str().unwrap()]]
    {
        let run = Run::new("partita-train", arguments);
        run.assert_orderly();
        assert_eq!((run.status, run.stdout.as_str()), (Some(1), ""));
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        assert!(run.stderr.contains(missing), "{}", run.stderr);
    }
    assert!(!out.exists());
}
