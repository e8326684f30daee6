//! Bytes from an enemy: no panic, no memory beyond measure, no endless work.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Cursor;
use std::time::{Duration, Instant};

use common::{Kind, fixtures, sine, wav};
use partita_audio::AudioReader;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

/// Notes the largest single allocation of each thread.
struct Watching;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

fn note(layout: Layout) {
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(layout.size())));
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if let Ok(layout) = Layout::from_size_align(size, layout.align()) {
            note(layout);
        }
        // SAFETY: as promised by the caller.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// Reads at most a minute of audio, from a file of these bytes and from a stream of them.
fn read(bytes: &[u8], extension: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("hostile.{extension}"));
    std::fs::write(&path, bytes).unwrap();
    let begin = Instant::now();
    LARGEST.set(0);
    let stream = || AudioReader::from_stream(Box::new(Cursor::new(bytes.to_vec())), "stream");
    for reader in [AudioReader::open(&path), stream()] {
        let mut total = 0;
        for block in reader.into_iter().flatten() {
            let Ok(block) = block else { break };
            assert!(block.iter().all(|sample| sample.abs() <= 1.0));
            total += block.len();
            if total > 60 * 16_000 {
                break;
            }
        }
    }
    assert!(LARGEST.get() < 64 << 20, "one allocation of {} bytes", LARGEST.get());
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds: Vec<_> = std::fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension != "sh"))
        .map(|path| {
            let extension = path.extension().unwrap().to_str().unwrap().to_owned();
            (extension, std::fs::read(path).unwrap())
        })
        .collect();
    for (kind, channels) in [(Kind::U8, 1), (Kind::I24, 2), (Kind::F32, 6)] {
        let samples = sine(8_000, channels, 500.0, 0.1);
        seeds.push(("wav".to_owned(), wav(kind, 8_000, channels, &samples)));
    }
    seeds.sort();
    seeds
}

#[test]
fn every_header_byte_at_its_extremes() {
    for (extension, bytes) in seeds() {
        for at in 0..bytes.len().min(120) {
            for value in [0, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                read(&bytes, &extension);
            }
        }
    }
}

#[test]
fn every_header_word_at_its_extremes() {
    for (extension, bytes) in seeds() {
        for at in (0..bytes.len().min(400) - 4).step_by(4) {
            for value in [0x7fff_ffff_u32, u32::MAX] {
                let mut bytes = bytes.clone();
                bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
                read(&bytes, &extension);
            }
        }
    }
}

/// How many are tried; `PROPTEST_CASES` asks for more.
fn cases(usual: u32) -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    asked.unwrap_or(usual)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(200),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/hostile.proptest-regressions",
        ))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_bytes(
        bytes in proptest::collection::vec(any::<u8>(), 0..4000),
        magic in prop::sample::select(vec![
            &b""[..], b"RIFF\xff\xff\xff\xffWAVEfmt ", b"fLaC\0\0\0\x22", b"ID3\x04\0\0", b"OggS\0\x02",
            b"\0\0\0\x18ftypM4A ", b"FORM\0\0\xff\xffAIFFCOMM", b"caff\0\x01\0\0desc",
            b"\x1a\x45\xdf\xa3", b"\xff\xfb\x90\x64", b"\xff\xf1\x50\x80",
        ]),
    ) {
        read(&[magic, &bytes].concat(), "wav");
    }

    #[test]
    fn mutated_files(
        seed in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let seeds = seeds();
        let (extension, bytes) = seed.get(&seeds);
        let mut bytes = bytes.clone();
        if !whole {
            bytes.truncate(cut.index(bytes.len()) + 1);
        }
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        read(&bytes, extension);
    }
}
