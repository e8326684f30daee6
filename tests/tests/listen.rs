//! `partita listen`: text while somebody speaks, of a recording played as if it were live and of a
//! virtual microphone.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use partita_tests::{Run, Sample, VirtualMicrophone, Wav, models_installed, program};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Seconds of silence before each clip, and behind the last.
const PAUSE: f64 = 1.5;
const LANGUAGES: [&str; 3] = ["en", "es", "it"];

/// Clips in a row with pauses between, as a file in a folder; and when each begins and ends.
fn conversation(
    folder: &Path,
    languages: &[&str],
    pause: f64,
) -> (String, Vec<(Sample, f64, f64)>) {
    let silence = vec![0.0; (pause * 16_000.0) as usize];
    let mut samples = silence.clone();
    let mut clips = Vec::new();
    for clip in languages.iter().map(|lang| Sample::of(lang)) {
        let start = samples.len() as f64 / 16_000.0;
        samples.extend(clip.samples());
        clips.push((clip, start, samples.len() as f64 / 16_000.0));
        samples.extend(&silence);
    }
    let path = folder.join("conversation.wav");
    fs::write(&path, Wav { rate: 16_000, channels: 1, bits: 16 }.file(&samples)).unwrap();
    (path.to_str().unwrap().to_owned(), clips)
}

/// Fails where a committed text is taken back; tells the numbers of each utterance.
fn check(events: &[Value]) {
    let mut kept = String::new();
    for event in events {
        let text = |key: &str| event[key].as_str().unwrap().to_owned();
        match event["event"].as_str().unwrap() {
            "started" => kept.clear(),
            "partial" => {
                let committed = text("committed");
                assert!(committed.starts_with(&kept), "{committed:?} after {kept:?}");
                kept = committed;
            }
            "final" => {
                let whole = text("text");
                assert!(whole.starts_with(&kept), "{whole:?} after {kept:?}");
                println!("{:.1} s {}: {whole} {}", event["start"], event["lang"], event["timing"]);
            }
            "warning" | "failed" | "source_lost" => panic!("{event}"),
            _ => {}
        }
    }
}

/// What was said within a stretch of time, and its languages.
fn said(events: &[Value], start: f64, end: f64) -> (String, Vec<String>) {
    let within = |event: &&Value| {
        let middle = (event["start"].as_f64().unwrap() + event["end"].as_f64().unwrap()) / 2.0;
        (start..end).contains(&middle)
    };
    let finals = events.iter().filter(|event| event["event"] == "final").filter(within);
    let pair = |event: &Value| {
        (event["text"].as_str().unwrap().to_owned(), event["lang"].as_str().unwrap().to_owned())
    };
    let (texts, languages): (Vec<_>, Vec<_>) = finals.map(pair).unzip();
    (texts.join(" "), languages)
}

/// All that was said in a language.
fn of_language(events: &[Value], lang: &str) -> String {
    let finals = events.iter().filter(|event| event["event"] == "final" && event["lang"] == lang);
    finals.map(|event| event["text"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

/// Fails where what was heard live has two words in a hundred more wrong than the file's transcript.
fn check_against_file(clip: &Sample, heard: &str) {
    let run = Run::new("partita", &["transcribe", "--json", "--quiet", &clip.path]);
    let row = &run.json_lines()[0];
    let [live, file] = [heard, row["text"].as_str().unwrap()].map(|text| clip.error_rate(text));
    println!("{}: word error rate {live:.3} live, {file:.3} of the file", clip.lang);
    assert!(live <= file + 0.02, "{}: {live:.2} live, {file:.2} of the file: {heard}", clip.lang);
}

#[test]
fn speech_is_written_down_as_it_is_spoken() {
    if !models_installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (file, clips) = conversation(folder.path(), &LANGUAGES, PAUSE);
    let record = folder.path().join("kept.wav");
    let record = record.to_str().unwrap();
    let source = format!("file:{file}");
    let run = Run::new(
        "partita",
        &["listen", "--json", "--translate", "en", "--source", &source, "--record", record],
    );
    run.assert_orderly();
    let events = run.json_lines();
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    check(&events);
    for (clip, start, end) in &clips {
        let (heard, languages) = said(&events, *start, *end);
        assert!(!languages.is_empty(), "{}: nothing was heard", clip.lang);
        assert!(languages.iter().all(|lang| *lang == clip.lang), "{}: {languages:?}", clip.lang);
        check_against_file(clip, &heard);
    }
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    assert_eq!(of("translation").len(), of("final").len());
    let last = events.last().unwrap();
    assert_eq!((last["event"].as_str(), last["lost"].as_f64()), (Some("finished"), Some(0.0)));
    // What was kept is what was played.
    let [kept, played] =
        [record, &file].map(|path| partita_audio::read_all(Path::new(path)).unwrap());
    assert_eq!(kept.len(), played.len());
}

/// Whisper writes one language at a time, and ends where another begins.
#[test]
fn another_language_without_a_pause_is_heard_too() {
    if !models_installed() {
        return;
    }
    for languages in [["en", "it"], ["es", "de"]] {
        one_language_behind_another(&languages);
    }
}

fn one_language_behind_another(languages: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let (file, clips) = conversation(folder.path(), languages, 0.1);
    let source = format!("file:{file}");
    let run = Run::new("partita", &["listen", "--json", "--source", &source]);
    run.assert_orderly();
    let events = run.json_lines();
    check(&events);
    for (clip, ..) in &clips {
        let text = of_language(&events, &clip.lang);
        let rate = clip.error_rate(&text);
        println!("{}: word error rate {rate:.3} of {text:?}", clip.lang);
        assert!(rate <= 0.35, "{}: {rate:.2}: {text:?}", clip.lang);
    }
}

#[test]
fn a_microphone_is_heard() {
    let Some(microphone) = VirtualMicrophone::start().filter(|_| models_installed()) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (file, clips) = conversation(folder.path(), &LANGUAGES, PAUSE);
    let mut command = Command::new(program("partita"));
    command.args(["listen", "--json", "--seconds", "40"]).envs(microphone.environment());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
    let child = command.spawn().unwrap();
    // Models take a moment to load; what is played before that is heard all the same.
    std::thread::sleep(Duration::from_secs(2));
    microphone.play(Path::new(&file));
    let run = Run::from(child.wait_with_output().unwrap());
    run.assert_orderly();
    let events = run.json_lines();
    check(&events);
    for (clip, ..) in &clips {
        // When a clip is heard depends on when the microphone was open: its language tells it.
        let heard = of_language(&events, &clip.lang);
        check_against_file(clip, &heard);
    }
}

#[test]
fn what_is_wrong_is_said_in_a_line() {
    for (arguments, part) in [
        (&["--source", "file:/nowhere/at/all.wav"][..], "/nowhere/at/all.wav"),
        (&["--lang", "tlh", "--source", "file:x"][..], ""),
        (&["--source", "no such microphone"][..], "no such"),
    ] {
        let run = Run::new("partita", &[&["listen"], arguments].concat());
        run.assert_orderly();
        assert_ne!(run.status, Some(0));
        assert!(!run.complaints("error:", part).is_empty(), "{}", run.stderr);
    }
}
