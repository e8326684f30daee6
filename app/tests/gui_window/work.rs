//! Work that takes its time, seen and cancelled while it goes on: recordings that are read, models
//! that are fetched.

use crate::support::Desk;
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use partita::gui::pages::Page;
use partita::store::{State, Store};
use partita_audio::{AudioReader, SAMPLE_RATE};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Writes the sample clip so many times into one recording.
fn recording(path: &Path, times: usize) {
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/samples/en-train.flac");
    let mut reader = AudioReader::open(&clip).unwrap();
    let mut samples = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        samples.extend(block);
    }
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec).unwrap();
    for _ in 0..times {
        for sample in &samples {
            file.write_sample((sample * f32::from(i16::MAX)) as i16).unwrap();
        }
    }
    file.finalize().unwrap();
}

#[test]
fn a_long_recording_shows_how_far_it_is_and_can_be_cancelled() {
    let installed = Store::open().unwrap().state("whisper-base");
    if !matches!(installed, Ok(State::Installed { .. })) {
        println!("skipped: whisper-base is not installed, so nothing is transcribed here");
        return;
    }
    let mut desk = Desk::new();
    desk.press(Page::Files.name());
    let add = |desk: &mut Desk, name: &str, times| {
        let path = desk.folder.path().join(name);
        recording(&path, times);
        desk.write("Path of a recording", path.to_str().unwrap());
        desk.press("Add this path");
    };
    // Ten minutes: never done before it is cancelled.
    add(&mut desk, "lecture.wav", 100);
    add(&mut desk, "talk.wav", 8);
    desk.expect("Waiting");
    desk.wait_for("Progress of lecture.wav");
    desk.expect("2 recordings to go");
    desk.wait_for(" of 10:");
    assert!(!desk.shows("Show the text of lecture.wav") && !desk.shows("Remove lecture.wav"));
    desk.press("Cancel lecture.wav");
    desk.wait_for("Cancelled");
    desk.expect("Again");
    assert!(!desk.shows("Progress of lecture.wav"));
    // The one behind it comes next, and its text is longer than the window is high.
    desk.wait_within("Show the text of talk.wav", Duration::from_secs(240));
    desk.press("Show the text of talk.wav");
    desk.expect("train to the coast");
    // A label's text is its value.
    let text = {
        let mut texts = desk.harness.query_all_by_label_contains("train to the coast");
        texts.next().and_then(|node| node.accesskit_node().value()).unwrap_or_default()
    };
    let said = text.matches("train").count();
    assert!(said >= 8, "{said} of 8: {:#?}", desk.names());
    desk.press("Export");
    desk.expect("Saved as");
    desk.press("Hide the text of talk.wav");
    assert!(!desk.shows("train to the coast"));
}

const SIZE: usize = 1_000_000;
/// What comes of the file before the server falls silent.
const FIRST: usize = 400_000;

/// A hub that begins a file and falls silent, and sends the rest to whoever comes back for it. Returns
/// its address and the first byte that each request asks for.
fn hub(content: Vec<u8>) -> (String, Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (asked, requests) = sync_channel(8);
    thread::spawn(move || {
        let mut silent = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let headers: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
            let range = headers.iter().find_map(|line| {
                let line = line.to_lowercase();
                line.strip_prefix("range: bytes=")?.trim_end_matches('-').parse().ok()
            });
            let start: usize = range.unwrap_or(0);
            let (status, end) = match range {
                Some(_) => ("206 Partial Content", SIZE),
                None => ("200 OK", FIRST),
            };
            let length = SIZE - start;
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n");
            let sent = stream.write_all(head.as_bytes());
            // The other side may have gone.
            let _ = sent.and_then(|()| stream.write_all(&content[start..end]));
            silent.push(stream);
            asked.send(start).unwrap();
        }
    });
    (address, requests)
}

#[test]
fn a_model_that_is_being_fetched_can_be_cancelled_and_gone_on_with() {
    let content: Vec<u8> = (0..SIZE).map(|at| (at * at / 7) as u8).collect();
    let (address, requests) = hub(content.clone());
    let mut desk = Desk::with_folder(|folder| {
        let text = format!(
            "[[model]]\nname = \"toy\"\ntitle = \"Toy\"\nabout = \"A file\"\nlanguages = \"none\"\n\
             [model.licence]\nname = \"Toy terms\"\nsummary = \"Do as you like.\"\n\
             terms = \"none\"\naccept = false\n\
             [[model.file]]\nname = \"toy.bin\"\nsize = {SIZE}\nsha256 = \"{:x}\"\n\
             [[model.source]]\nkind = \"hub\"\nrepo = \"some/toy\"\nrevision = \"v1\"\n\
             endpoint = \"{address}\"\n",
            Sha256::digest(&content)
        );
        fs::write(folder.join("models.toml"), text).unwrap();
    });
    let path = desk.folder.path().join("models/toy/toy.bin");
    desk.press(Page::Models.name());
    desk.wait_for("Download Toy");
    desk.press("Download Toy");
    desk.wait_for("Progress of toy");
    desk.wait_for("of 1.0 MB");
    assert_eq!(requests.recv().unwrap(), 0);
    desk.expect("toy: toy.bin");
    // One model at a time.
    let other = |desk: &Desk| {
        let button = desk.harness.get_by_label("Download Whisper base");
        button.accesskit_node().is_disabled()
    };
    assert!(other(&desk));
    // All that the server sends has come.
    let part = || {
        let parts = fs::read_dir(desk.folder.path().join("downloads/fetched/toy"));
        let lengths = parts.into_iter().flatten().flatten().map(|part| part.metadata());
        lengths.flatten().map(|about| about.len()).max().unwrap_or(0)
    };
    let begun = Instant::now();
    while part() < FIRST as u64 {
        assert!(begun.elapsed().as_secs() < 60, "{} bytes came", part());
        thread::sleep(Duration::from_millis(10));
    }
    desk.press("Cancel toy");
    desk.wait_for("Download Toy");
    assert!(!desk.shows("Progress of toy") && !other(&desk));
    assert!(!path.exists());
    desk.press("Download Toy");
    desk.wait_for("Verify toy");
    assert_eq!(requests.recv().unwrap(), FIRST);
    assert_eq!(fs::read(path).unwrap(), content);
}
