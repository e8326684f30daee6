//! Files as live sources, and the recorder.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod capture_support;

use capture_support::{RATE, Take, signal, write_wav};
use partita::capture::{CaptureError, Heard, OpenOptions, Recorder, Source, devices, open};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const AT_ONCE: OpenOptions = OpenOptions { speed: 0.0 };

fn wav(folder: &tempfile::TempDir, name: &str, samples: &[f32]) -> Source {
    let path = folder.path().join(name);
    write_wav(&path, samples);
    Source::File(path)
}

fn path(source: &Source) -> PathBuf {
    match source {
        Source::File(path) => path.clone(),
        _ => panic!("not a file"),
    }
}

#[test]
fn a_file_gives_all_its_samples_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let source = wav(&folder, "talk.wav", &signal(5.0, 1));
    let mut capture = open(&[source.clone(), source.clone()], &AT_ONCE).unwrap();
    assert_eq!(capture.names(), ["talk.wav"], "the same source twice counts once");
    let mut take = Take::default();
    take.read(&mut *capture, 60.0, |_| false);
    assert_eq!(take.samples, partita_audio::read_all(&path(&source)).unwrap());
    assert_eq!((take.lost, capture.meter().lost()), (0, 0));
    assert_eq!(take.told, [(Heard::Ended, take.samples.len())]);
    assert_eq!(capture.read(Duration::ZERO, &mut take.samples).unwrap(), Heard::Ended);
}

#[test]
fn a_file_is_given_at_the_speed_that_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let source = wav(&folder, "talk.wav", &signal(4.0, 2));
    let begin = Instant::now();
    let mut capture = open(&[source], &OpenOptions { speed: 4.0 }).unwrap();
    let mut take = Take::default();
    let mut ahead = 0.0_f64;
    let mut level = 0.0_f32;
    let meter = capture.meter();
    take.read(&mut *capture, 60.0, |take| {
        ahead = ahead.max(take.seconds() - 4.0 * begin.elapsed().as_secs_f64());
        level = level.max(meter.level(0).rms);
        false
    });
    assert_eq!(take.samples.len(), 4 * 16_000);
    assert!(ahead < 0.01, "{ahead} s came before they had sounded");
    assert!(begin.elapsed().as_secs_f64() >= 1.0);
    assert!(level > 0.05, "the meter showed {level}");
    assert!(!meter.level(0).present, "it is over");
}

#[test]
fn files_are_mixed_from_their_beginnings_to_the_end_of_the_longer() {
    let folder = tempfile::tempdir().unwrap();
    let quieter = |samples: Vec<f32>| -> Vec<f32> { samples.iter().map(|s| s * 0.4).collect() };
    let (a, b) = (quieter(signal(2.0, 3)), quieter(signal(3.0, 4)));
    let sources = [wav(&folder, "a.wav", &a), wav(&folder, "b.wav", &b)];
    let mut capture = open(&sources, &AT_ONCE).unwrap();
    let mut take = Take::default();
    take.read(&mut *capture, 60.0, |_| false);
    assert_eq!(take.samples.len(), b.len());
    for (n, sample) in take.samples.iter().enumerate() {
        let sum = a.get(n).copied().unwrap_or(0.0) + b[n];
        assert!((sample - sum).abs() < 1e-4, "sample {n}: {sample} for {sum}");
    }
}

#[test]
fn what_cannot_be_opened_is_named() {
    let missing = Source::File("no/such/talk.wav".into());
    let error = open(&[missing], &AT_ONCE).err().unwrap();
    assert!(error.to_string().contains("no/such/talk.wav"), "{error}");
    assert!(matches!(open(&[], &AT_ONCE), Err(CaptureError::Unsupported(_))));
    let nobody = Source::Device("no such microphone".to_owned());
    match open(&[nobody], &AT_ONCE).err().unwrap() {
        CaptureError::NotFound { wanted, known } => {
            assert_eq!(wanted, "no such microphone");
            assert!(!known.is_empty());
        }
        // Without any sound system.
        other => assert!(devices().is_err(), "{other}"),
    }
}

#[test]
fn closing_does_not_wait_for_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let source = wav(&folder, "long.wav", &signal(60.0, 5));
    for speed in [0.0, 0.01] {
        let capture = open(std::slice::from_ref(&source), &OpenOptions { speed }).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        let begin = Instant::now();
        drop(capture);
        assert!(begin.elapsed() < Duration::from_millis(900), "{:?}", begin.elapsed());
    }
}

#[test]
fn a_recording_is_whole_at_any_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session.wav");
    let samples = signal(3.5, 6);
    let mut recorder = Recorder::create(&path, 10).unwrap();
    assert!(partita_audio::read_all(&path).is_err(), "no sample yet, and it says so");
    for block in samples.chunks(1000) {
        assert_eq!(recorder.write(block), None);
    }
    assert_eq!(recorder.seconds(), 3.5);
    // As if the process was killed here: nobody finishes the file.
    let copy = folder.path().join("killed.wav");
    std::fs::copy(&path, &copy).unwrap();
    let left = partita_audio::read_all(&copy).unwrap();
    assert!(left.len() >= 3 * 16_000, "{} samples", left.len());
    assert!(left.iter().zip(&samples).all(|(a, b)| (a - b).abs() < 1e-4));
    assert_eq!(recorder.finish(), None);
    assert_eq!(partita_audio::read_all(&path).unwrap().len(), samples.len());
}

#[test]
fn a_recording_stops_at_its_limit_and_says_so_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session.wav");
    let mut recorder = Recorder::create(&path, 1).unwrap();
    let said: Vec<String> =
        (0..60).filter_map(|_| recorder.write(&vec![0.25; RATE as usize])).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("session.wav") && said[0].contains("1 MiB"), "{said:?}");
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(((1 << 20) - 64..=1 << 20).contains(&size), "{size} bytes");
    assert_eq!(partita_audio::read_all(&path).unwrap().len() as f64 / RATE, recorder.seconds());
}

/// `/dev/full` takes nothing: every write finds the disk full.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_stops_the_recording_only() {
    let error = Recorder::create("/dev/full".as_ref(), 1).err().expect("nothing can be written");
    assert!(error.to_string().contains("/dev/full"), "{error}");
    assert!(Recorder::create("/no/such/folder/a.wav".as_ref(), 1).is_err());
}
