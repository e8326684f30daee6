//! The history: what is written is found, whatever is in the file is survived.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use partita::history::{Heading, History, HistoryError, HistoryWriter, Line, Untold};
use partita::live::{Event, Timing};
use partita::output::Format;
use partita::settings::Shown;
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.sqlite");
    (folder, path)
}

fn line(utterance: u64, lang: &str, text: &str) -> Line {
    let start = utterance as f64;
    let (lang, text) = (lang.to_owned(), text.to_owned());
    Line { utterance, start, end: start + 0.5, lang, text, translation: None }
}

fn spoken(utterance: u64, lang: &str, text: &str) -> Event {
    let Line { start, end, lang, text, .. } = line(utterance, lang, text);
    Event::Final { utterance, start, end, lang, text, timing: Timing::default() }
}

fn translated(utterance: u64, lang: &str, text: &str) -> Event {
    let (lang, text) = (lang.to_owned(), text.to_owned());
    Event::Translation { utterance, lang, text, to_translation: 0.1 }
}

fn texts(history: &History, query: &str) -> Vec<String> {
    history.find(query, 100).unwrap().into_iter().map(|found| found.line.text).collect()
}

#[test]
fn a_session_is_written_down_as_it_happens() {
    let (folder, path) = folder();
    let audio = folder.path().join("a.flac");
    let heading = Heading { audio: Some(audio.clone()), ..Heading::default() };
    let writer = HistoryWriter::start(History::open(&path).unwrap(), heading).unwrap();
    let sources = vec!["Mikrofon".to_owned(), "two\nlines".to_owned()];
    let (languages, targets) = (Vec::new(), Vec::new());
    writer.take(&Event::Listening { sources, engine: "whisper".into(), languages, targets });
    writer.take(&Event::Started { utterance: 1, start: 1.0 });
    writer.take(&spoken(1, "de", "Guten Tag."));
    writer.take(&translated(1, "en", "Good day."));
    writer.take(&Event::Dropped { utterance: 2 });
    writer.take(&spoken(3, "fr", " "));
    writer.take(&spoken(4, "zh", "你好。"));
    writer.take(&Event::Finished { seconds: 9.25, lost: 0.0 });
    assert_eq!((writer.failure(), writer.lost()), (None, 0));
    let session = writer.finish().unwrap().unwrap();

    let history = History::open(&path).unwrap();
    let about = history.session(session).unwrap();
    assert_eq!(about.title, "Guten Tag.");
    assert_eq!(about.heading.sources, ["Mikrofon", "two lines"]);
    assert_eq!(about.heading.engine, "whisper");
    assert_eq!(about.heading.audio, Some(audio));
    assert_eq!((about.seconds, about.lines), (9.25, 2));
    assert_eq!(about.languages, ["de", "zh"]);
    let first = Line {
        translation: Some(("en".into(), "Good day.".into())),
        ..line(1, "de", "Guten Tag.")
    };
    assert_eq!(history.lines(session).unwrap(), [first, line(4, "zh", "你好。")]);
}

#[test]
fn a_session_in_which_nothing_is_said_leaves_no_trace() {
    let (_folder, path) = folder();
    let history = History::open(&path).unwrap();
    let writer = HistoryWriter::start(history, Heading::default()).unwrap();
    writer.take(&Event::Finished { seconds: 3.0, lost: 0.0 });
    assert_eq!(writer.finish(), Ok(None));
    assert!(History::open(&path).unwrap().sessions("", 10, 0).unwrap().is_empty());
}

#[test]
fn parts_of_words_are_found_in_every_script() {
    let (_folder, path) = folder();
    let mut history = History::open(&path).unwrap();
    let said = [
        ("de", "Die Größe der Straße überrascht"),
        ("ru", "Съешь ещё этих мягких булок"),
        ("zh", "今天的天气很好，我们去爬山"),
        ("ja", "東京タワーへ行きました"),
        ("hi", "नमस्ते दुनिया"),
        ("en", "100% of \"quoted\" words_and 'more' -- AND OR NOT *"),
        ("fr", "Élève à l'école"),
    ];
    let first = line(0, said[0].0, said[0].1);
    let session = history.begin(&Heading::default(), &first).unwrap();
    for (number, (lang, text)) in said.iter().enumerate().skip(1) {
        history.write_line(session, &line(number as u64, lang, text)).unwrap();
    }
    for (query, expected) in [
        ("größe", said[0].1),
        ("GRÖSSE straße", ""),
        ("Straß überr", said[0].1),
        ("ещё МЯГК", said[1].1),
        ("булок", said[1].1),
        ("天气", said[2].1),
        ("爬", said[2].1),
        ("今天的 爬山", said[2].1),
        ("東京", said[3].1),
        ("タワー", said[3].1),
        ("दुनिया", said[4].1),
        ("0%", said[5].1),
        ("\"quoted\"", said[5].1),
        ("s_a", said[5].1),
        ("NOT *", said[5].1),
        ("%%", ""),
        ("eleve", said[6].1),
        ("école", said[6].1),
        ("Straße булок", ""),
    ] {
        let expected: Vec<_> = if expected.is_empty() { vec![] } else { vec![expected.to_owned()] };
        assert_eq!(texts(&history, query), expected, "{query}");
    }
    assert!(texts(&history, "  ").is_empty());

    history.write_translation(session, 2, "en", "The weather is fine today").unwrap();
    assert_eq!(texts(&history, "weather"), [said[2].1]);
    history.write_line(session, &line(2, "zh", "明天下雨")).unwrap();
    assert!(texts(&history, "weather").is_empty() && texts(&history, "天气").is_empty());
    assert_eq!(texts(&history, "明天下"), ["明天下雨"]);
}

#[test]
fn sessions_are_listed_named_found_and_deleted() {
    let (folder, path) = folder();
    let recordings = folder.path().join("recordings");
    fs::create_dir(&recordings).unwrap();
    let (own, other) = (recordings.join("1.flac"), folder.path().join("precious.txt"));
    let outside = recordings.join("../precious.txt");
    for file in [&own, &other] {
        fs::write(file, "x").unwrap();
    }
    let mut history = History::open(&path).unwrap();
    let mut begin = |second: i64, text: &str, audio: Option<&Path>| {
        let started = jiff::Timestamp::from_second(second).unwrap();
        let audio = audio.map(Path::to_owned);
        let heading = Heading { started, audio, ..Heading::default() };
        history.begin(&heading, &line(1, "en", text)).unwrap()
    };
    let first = begin(1000, "the first secret", Some(&own));
    let second = begin(3000, "the second", Some(&outside));
    let third = begin(2000, "the third", Some(&other));
    let ids = |history: &History, query: &str, most, skip| -> Vec<i64> {
        history.sessions(query, most, skip).unwrap().into_iter().map(|one| one.id).collect()
    };
    assert_eq!(ids(&history, "", 10, 0), [second, third, first]);
    assert_eq!(ids(&history, "", 1, 1), [third]);
    assert_eq!(ids(&history, "secret", 10, 0), [first]);
    history.rename(third, "Meeting\nabout soup").unwrap();
    assert_eq!(history.session(third).unwrap().title, "Meeting about soup");
    assert_eq!(ids(&history, "about so", 10, 0), [third]);
    assert_eq!(ids(&history, "the", 10, 0).len(), 3);

    history.delete(first, &recordings).unwrap();
    assert!(!own.exists());
    history.delete(second, &recordings).unwrap();
    history.delete(third, &recordings).unwrap();
    assert!(other.exists(), "what lies outside is not ours to delete");
    assert!(texts(&history, "the").is_empty() && ids(&history, "", 10, 0).is_empty());
    let gone = history.delete(first, &recordings).unwrap_err();
    assert!(matches!(gone, HistoryError::NoSession { .. }), "{gone}");
    drop(history);
    let bytes = fs::read(&path).unwrap();
    assert!(!bytes.windows(6).any(|part| part == b"secret"), "deleted text is still in the file");
}

#[test]
fn recordings_that_no_session_names_are_listed_and_deleted_alone() {
    let (folder, path) = folder();
    let recordings = folder.path().join("recordings");
    fs::create_dir(&recordings).unwrap();
    let mut history = History::open(&path).unwrap();
    let file = |name: &str, seconds_ago: u64| {
        let path = recordings.join(name);
        let file = fs::File::create(&path).unwrap();
        file.set_len(7).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds_ago)).unwrap();
        path
    };
    let [old, older] = ["a.wav", "b.wav"].map(|name| file(name, 600));
    let (running, elsewhere) = (file("paused.wav", 600), file("elsewhere.wav", 2));
    let (named, other) = (file("named.wav", 600), file("notes.txt", 600));
    let moved = folder.path().join("before/recordings/named.wav");
    let heading = Heading { audio: Some(moved), ..Heading::default() };
    let session = history.begin(&heading, &line(1, "en", "text")).unwrap();
    let found = history.untold_recordings(&recordings, Some(&running)).unwrap();
    let expected = [&old, &older].map(|path| Untold { path: path.clone(), bytes: 7 });
    assert_eq!(found, expected);
    history.delete_untold(&recordings, Some(&running)).unwrap();
    assert!(!old.exists() && !older.exists());
    for kept in [&running, &elsewhere, &named, &other] {
        assert!(kept.exists(), "{}", kept.display());
    }
    assert_eq!(history.audio(session, &recordings).unwrap(), named);
    // Names lead to recordings in this folder and nowhere else.
    for hostile in ["/etc/passwd", "notes.txt", "../history.sqlite", "gone.wav", ".."] {
        history.set_audio(session, Path::new(hostile)).unwrap();
        let refused = history.audio(session, &recordings).unwrap_err();
        assert!(matches!(refused, HistoryError::NoAudio { .. }), "{hostile}: {refused}");
    }
    assert!(history.untold_recordings(&folder.path().join("none"), None).unwrap().is_empty());
}

#[test]
fn a_session_is_exported_in_every_form() {
    let (_folder, path) = folder();
    let mut history = History::open(&path).unwrap();
    let said =
        Line { translation: Some(("en".into(), "Hi *you*.".into())), ..line(1, "de", "Hallo.") };
    let session = history.begin(&Heading::default(), &said).unwrap();
    history.write_line(session, &line(61, "zh", "你好")).unwrap();
    let export = |format, shown| history.export(session, format, shown).unwrap();
    assert_eq!(export(Format::Txt, Shown::Original), "Hallo.你好\n");
    assert_eq!(export(Format::Txt, Shown::Translation), "Hi *you*.你好\n");
    assert_eq!(export(Format::Txt, Shown::Both), "Hallo.你好\nHi *you*.\n");
    assert_eq!(
        export(Format::Srt, Shown::Both),
        "1\n00:00:01,000 --> 00:00:01,500\nHallo.\nHi *you*.\n\n\
         2\n00:01:01,000 --> 00:01:01,500\n你好\n\n"
    );
    assert_eq!(
        export(Format::Vtt, Shown::Translation),
        "WEBVTT\n\n00:00:01.000 --> 00:00:01.500\nHi *you*.\n\n\
         00:01:01.000 --> 00:01:01.500\n你好\n\n"
    );
    assert_eq!(
        export(Format::Md, Shown::Both),
        "# Hallo.\n\n**00:00:01** (de) Hallo.\n\n> Hi \\*you\\*.\n\n**00:01:01** (zh) 你好\n"
    );
    let json: serde_json::Value =
        serde_json::from_str(&export(Format::Json, Shown::Original)).unwrap();
    assert_eq!(json["segments"][1]["text"], "你好");
    assert_eq!(json["translation"]["segments"][0]["text"], "Hi *you*.");
    assert!(history.export(session + 1, Format::Txt, Shown::Both).is_err());
}

#[test]
fn files_that_are_no_history_are_refused_and_left_alone() {
    let (folder, path) = folder();
    drop(History::open(&path).unwrap());
    let ours = fs::read(&path).unwrap();
    let mut newer = ours.clone();
    newer[60..64].copy_from_slice(&7u32.to_be_bytes());
    let other = folder.path().join("other.sqlite");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE a (b)").unwrap();
    for (content, expected) in [
        (b"not a database at all, though it is long enough ".repeat(9), "not a history"),
        (b"SQLite format 3\0".to_vec(), "not a history"),
        (fs::read(&other).unwrap(), "not a history"),
        (newer, "newer program (version 7"),
        (ours[..ours.len() / 2].to_vec(), "history.sqlite"),
    ] {
        fs::write(&path, &content).unwrap();
        let refused = History::open(&path).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains(expected) && !refused.contains('\n'), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), content, "{refused}");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(History::open(&path).is_err());
}

#[test]
fn a_trigger_of_somebody_else_never_runs() {
    let (folder, path) = folder();
    drop(History::open(&path).unwrap());
    let hostile = rusqlite::Connection::open(&path).unwrap();
    hostile
        .execute_batch("CREATE TRIGGER x AFTER INSERT ON lines BEGIN DELETE FROM sessions; END;")
        .unwrap();
    drop(hostile);
    assert!(matches!(History::open(&path), Err(HistoryError::Foreign { .. })));
    drop(folder);
}

#[test]
fn two_write_and_read_at_once() {
    let (_folder, path) = folder();
    let writers: Vec<_> = ["eins zwei", "un deux"]
        .map(|text| {
            let path = path.clone();
            std::thread::spawn(move || {
                let history = History::open(&path).unwrap();
                let writer = HistoryWriter::start(history, Heading::default()).unwrap();
                (1..=40).for_each(|number| writer.take(&spoken(number, "de", text)));
                writer.finish().unwrap().unwrap()
            })
        })
        .into_iter()
        .collect();
    let sessions: Vec<_> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    let history = History::open(&path).unwrap();
    for session in sessions {
        assert_eq!(history.lines(session).unwrap().len(), 40);
    }
}

/// Not a test of its own: what the next one kills.
#[test]
fn writes_until_it_is_killed() {
    let Some(path) = std::env::var_os("PARTITA_TEST_KILLED") else { return };
    let history = History::open(Path::new(&path)).unwrap();
    let writer = HistoryWriter::start(history, Heading::default()).unwrap();
    for number in 1.. {
        writer.take(&spoken(number, "de", &format!("Satz {number}")));
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn what_was_final_survives_a_kill() {
    let (_folder, path) = folder();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writes_until_it_is_killed", "--nocapture"])
        .env("PARTITA_TEST_KILLED", &path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let enough = || -> bool {
        let Ok(history) = History::open(&path) else { return false };
        history.sessions("", 1, 0).is_ok_and(|found| found.first().is_some_and(|s| s.lines >= 30))
    };
    let seen = (0..600).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        enough()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(seen, "nothing was written");
    let history = History::open(&path).unwrap();
    let session = history.sessions("", 1, 0).unwrap()[0].id;
    let lines = history.lines(session).unwrap();
    assert!(lines.len() >= 30);
    for (number, line) in (1..).zip(&lines) {
        assert_eq!((line.utterance, &line.text), (number, &format!("Satz {number}")));
    }
    assert_eq!(texts(&history, "Satz 17"), ["Satz 17"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_query_is_answered(query in "\\PC{0,40}", text in "\\PC{1,40}") {
        let (_folder, path) = folder();
        let mut history = History::open(&path).unwrap();
        history.begin(&Heading::default(), &line(1, "en", &text)).unwrap();
        history.find(&query, 10).unwrap();
        history.sessions(&query, 10, 0).unwrap();
    }

    #[test]
    fn damage_is_an_error_and_never_a_crash(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..80)
    ) {
        let (_folder, path) = folder();
        let mut history = History::open(&path).unwrap();
        let session = history.begin(&Heading::default(), &line(1, "en", "some words")).unwrap();
        for number in 2..40 {
            history.write_line(session, &line(number, "en", "some more words")).unwrap();
        }
        drop(history);
        let mut bytes = fs::read(&path).unwrap();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        fs::write(&path, &bytes).unwrap();
        if let Ok(mut history) = History::open(&path) {
            let _ = history.find("more", 10);
            let _ = history.lines(session);
            let _ = history.export(session, Format::Md, Shown::Both);
            let _ = history.write_line(session, &line(99, "en", "words again"));
            let _ = history.delete(session, Path::new("none"));
        }
    }
}
