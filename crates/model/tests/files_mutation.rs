//! Damaged files never crash a reader, nor make it allocate much more than they hold.
//!
//! `PROPTEST_CASES=300000 cargo test --release -p partita-model --test files_mutation` searches
//! for longer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::path::Path;

use candle_core::Device;
use partita_model::files::WeightFile;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::FileFailurePersistence;

/// Counts the bytes that each thread holds, and their peak.
struct Counting;

thread_local! {
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(change: isize) {
    let _ = HELD.try_with(|held| {
        let (now, peak) = held.get();
        held.set((now + change, peak.max(now + change)));
    });
}

// SAFETY: hands every request to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that `work` held at once.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let (before, _) = HELD.get();
    HELD.set((before, before));
    let done = work();
    (done, (HELD.get().1 - before) as usize)
}

fn golden(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)).unwrap()
}

/// What error messages, paths and the mapping's bookkeeping may take beside the file's share.
const SLACK: usize = 16 << 10;

/// Opens the bytes as a file and, if that goes well, decodes every tensor. Returns whether they
/// were accepted.
fn survives(bytes: &[u8], factor: usize) -> bool {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let (opened, held) = peak(|| WeightFile::open(file.path()));
    let allowed = factor * bytes.len() + SLACK;
    assert!(held <= allowed, "{held} bytes held for a file of {}", bytes.len());
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => {
            let line = error.to_string();
            assert!(!line.contains('\n') && line.len() < 2000, "{line}");
            return false;
        }
    };
    for tensor in opened.tensors() {
        if let Ok((shape, floats)) = opened.floats(&tensor.name) {
            assert_eq!(shape.iter().product::<usize>(), floats.len(), "{}", tensor.name);
        }
        let _ = opened.qtensor(&tensor.name, &Device::Cpu);
    }
    true
}

#[derive(Debug, Clone)]
enum Edit {
    Byte(Index, u8),
    Flip(Index, u8),
    /// A field of 1, 2, 4 or 8 bytes overwritten.
    Field(Index, u64, u8),
    Remove(Index, usize),
    Insert(Index, Vec<u8>),
    Repeat(Index, usize),
    Cut(Index),
}

impl Edit {
    /// Headers matter most: half of the edits fall into the first kilobytes.
    fn apply(&self, bytes: &mut Vec<u8>, early: bool) {
        let reach = if early { bytes.len().min(2048) } else { bytes.len() };
        if reach == 0 {
            return;
        }
        let end = |at: usize, length: usize, bytes: &Vec<u8>| (at + length).min(bytes.len());
        match self {
            Self::Byte(at, byte) => bytes[at.index(reach)] = *byte,
            Self::Flip(at, bit) => bytes[at.index(reach)] ^= 1 << (bit % 8),
            Self::Field(at, value, width) => {
                let at = at.index(reach);
                let end = end(at, 1 << (width % 4), bytes);
                bytes[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
            }
            Self::Remove(at, length) => {
                let at = at.index(reach);
                let end = end(at, *length, bytes);
                bytes.drain(at..end);
            }
            Self::Insert(at, new) => {
                let at = at.index(reach);
                bytes.splice(at..at, new.iter().copied());
            }
            Self::Repeat(at, length) => {
                let at = at.index(reach);
                let again = bytes[at..end(at, *length, bytes)].to_vec();
                bytes.splice(at..at, again);
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
}

fn edit() -> impl Strategy<Value = (Edit, bool)> {
    let at = any::<Index>;
    let telling = prop_oneof![
        any::<u64>(),
        0u64..300,
        Just(u64::MAX),
        Just(u64::MAX - 31),
        (0u32..64).prop_map(|bit| 1 << bit),
    ];
    let edit = prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Byte(at, byte)),
        4 => (at(), any::<u8>()).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        4 => (at(), telling, any::<u8>()).prop_map(|(at, value, w)| Edit::Field(at, value, w)),
        1 => (at(), 1usize..40).prop_map(|(at, length)| Edit::Remove(at, length)),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..40)).prop_map(|(a, v)| Edit::Insert(a, v)),
        1 => (at(), 1usize..80).prop_map(|(at, length)| Edit::Repeat(at, length)),
        1 => at().prop_map(Edit::Cut),
    ];
    (edit, any::<bool>())
}

fn damaged(name: &'static str) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(edit(), 1..5).prop_map(move |edits| {
        let mut bytes = golden(name);
        edits.iter().for_each(|(edit, early)| edit.apply(&mut bytes, *early));
        bytes
    })
}

/// Inputs that once failed are kept beside this file and tried first.
fn remembering() -> ProptestConfig {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/files_mutation.proptest-regressions");
    let failure_persistence = Some(Box::new(FileFailurePersistence::Direct(seeds)) as Box<_>);
    ProptestConfig { failure_persistence, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(remembering())]

    #[test]
    fn damaged_gguf(bytes in damaged("golden.gguf")) {
        survives(&bytes, 4);
    }

    #[test]
    fn damaged_ctranslate2(bytes in damaged("golden-ct2.bin")) {
        survives(&bytes, 4);
    }

    /// What we accept the reference implementation accepts; what it accepts we accept too, but
    /// for the rules that it does not have.
    #[test]
    fn damaged_safetensors(bytes in damaged("golden.safetensors")) {
        let ours = survives(&bytes, 4);
        let theirs = safetensors::SafeTensors::deserialize(&bytes).is_ok();
        let header = || String::from_utf8_lossy(&bytes).into_owned();
        prop_assert!(theirs || !ours, "accepted by us alone: {}", header());
        if theirs && !ours {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), &bytes).unwrap();
            let reason = WeightFile::open(file.path()).unwrap_err().to_string();
            let stricter = ["two tensors", "occurs twice", "at most 8 dimensions", "overflows"];
            prop_assert!(stricter.iter().any(|rule| reason.contains(rule)), "{reason}");
        }
    }

    #[test]
    fn bytes_without_sense(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0..4) {
        let front: &[u8] = match kind {
            0 => b"GGUF\x03\0\0\0",
            1 => b"\x20\0\0\0\0\0\0\0{",
            2 => b"\x06\0\0\0\x0c\0WhisperSpec\0\x03\0\0\0",
            _ => b"",
        };
        survives(&[front, &bytes[..]].concat(), 4);
    }
}

/// Files that are nothing but the smallest entries cost the most memory for their size.
#[test]
fn files_of_tiny_entries_stay_linear() {
    let n = 40_000u64;
    let le = |n: u64| n.to_le_bytes();
    let head = |tensors, keys| [&b"GGUF\x03\0\0\0"[..], &le(tensors), &le(keys)].concat();
    let three =
        |i: u64| [b'a' + (i / 1296) as u8, b'0' + (i / 36 % 36) as u8, b'0' + (i % 36) as u8];

    let mut keys = head(0, n);
    let mut tensors = head(n, 0);
    let mut strings = [head(0, 1), le(1).to_vec(), b"k\x09\0\0\0\x08\0\0\0".to_vec()].concat();
    strings.extend(le(n));
    let mut ct2 = b"\x06\0\0\0\x0c\0WhisperSpec\0\x03\0\0\0".to_vec();
    ct2.extend((n as u32).to_le_bytes());
    let mut json = "{".to_owned();
    for i in 0..n {
        keys.extend([&le(3)[..], &three(i), &[0; 5]].concat());
        tensors.extend([&le(3)[..], &three(i), &[0; 4], &[24, 0, 0, 0], &le(32 * i)].concat());
        strings.extend(le(0));
        ct2.extend([&[4, 0][..], &three(i), &[0, 1], &[0; 9]].concat());
        let comma = if i == 0 { "" } else { "," };
        json += &format!(r#"{comma}"{i}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#);
    }
    tensors.resize(tensors.len().next_multiple_of(32) + 32 * n as usize, 0);
    ct2.extend([0; 4]);
    json += "}";
    let safetensors = [&le(json.len() as u64)[..], json.as_bytes()].concat();
    for (name, bytes, factor) in [
        ("keys", keys, 8),
        ("tensors", tensors, 4),
        ("strings", strings, 4),
        ("ct2", ct2, 6),
        ("safetensors", safetensors, 6),
    ] {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &bytes).unwrap();
        let (opened, held) = peak(|| WeightFile::open(file.path()).map(|_| ()));
        let outcome = opened.map_or_else(|error| error.to_string(), |()| "opened".to_owned());
        println!(
            "{name}: {held} of {} = {:.1}x, {outcome}",
            bytes.len(),
            held as f64 / bytes.len() as f64
        );
        assert!(held <= factor * bytes.len() + SLACK, "{name}: {held} of {}", bytes.len());
    }
}
