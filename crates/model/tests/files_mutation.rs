//! Damaged files never crash a reader, nor make it allocate much more than they hold.
//!
//! `PROPTEST_CASES=300000 cargo test --release -p partita-model --test files_mutation` searches
//! for longer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod damage;

use std::fs;
use std::path::Path;

use candle_core::Device;
use damage::{damaged, peak};
use partita_model::files::WeightFile;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

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

/// Inputs that once failed are kept beside this file and tried first.
fn remembering() -> ProptestConfig {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/files_mutation.proptest-regressions");
    let failure_persistence = Some(Box::new(FileFailurePersistence::Direct(seeds)) as Box<_>);
    ProptestConfig { failure_persistence, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(remembering())]

    #[test]
    fn damaged_gguf(bytes in damaged(golden("golden.gguf"))) {
        survives(&bytes, 4);
    }

    #[test]
    fn damaged_ctranslate2(bytes in damaged(golden("golden-ct2.bin"))) {
        survives(&bytes, 4);
    }

    /// What we accept the reference implementation accepts; what it accepts we accept too, but
    /// for the rules that it does not have.
    #[test]
    fn damaged_safetensors(bytes in damaged(golden("golden.safetensors"))) {
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
