//! Lying files are refused with one line that says what is wrong; failed writes leave nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use partita_model::files::gguf::{GgufWriter, TensorSpec};
use partita_model::files::{FileError, TensorKind, Value, WeightFile};

/// Bytes of fields, one after the other.
macro_rules! bytes {
    ($($field:expr),* $(,)?) => {{
        let mut all: Vec<u8> = Vec::new();
        $(all.extend_from_slice($field.as_ref());)*
        all
    }};
}

fn le32(n: u32) -> [u8; 4] {
    n.to_le_bytes()
}

fn le64(n: u64) -> [u8; 8] {
    n.to_le_bytes()
}

fn text(s: impl AsRef<[u8]>) -> Vec<u8> {
    bytes![le64(s.as_ref().len() as u64), s]
}

/// A GGUF file of raw keys and tensor descriptions, with 256 bytes of data.
fn gguf(keys: &[Vec<u8>], tensors: &[Vec<u8>]) -> Vec<u8> {
    let counts = bytes![le64(tensors.len() as u64), le64(keys.len() as u64)];
    let mut all = bytes![b"GGUF", le32(3), counts, keys.concat(), tensors.concat()];
    all.resize(all.len().next_multiple_of(32) + 256, 0);
    all
}

fn tensor(name: &str, dims: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let dims_bytes: Vec<u8> = dims.iter().copied().flat_map(le64).collect();
    bytes![text(name), le32(dims.len() as u32), dims_bytes, le32(kind), le64(offset)]
}

fn ct2(variables: u32, rest: &[u8]) -> Vec<u8> {
    bytes![le32(6), [12, 0], b"WhisperSpec\0", le32(3), le32(variables), rest]
}

fn safetensors(header: &str, data: usize) -> Vec<u8> {
    bytes![text(header), vec![0; data]]
}

fn refused(content: &[u8], expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.file");
    fs::write(&path, content).unwrap();
    let error = WeightFile::open(&path).unwrap_err().to_string();
    assert!(error.starts_with(&path.display().to_string()), "{error}");
    assert!(error.contains(expected), "wanted `{expected}`, got: {error}");
    assert!(!error.contains(['\n', '\x1b']) && error.len() < 500, "{error}");
}

#[test]
fn gguf_headers_that_lie() {
    let counts = |tensors, keys| bytes![b"GGUF", le32(3), le64(tensors), le64(keys), [0; 64]];
    refused(&counts(u64::MAX, 0), "18446744073709551615 tensors declared");
    refused(&counts(0, u64::MAX), "18446744073709551615 keys declared");
    refused(&counts(1000, 0), "1000 tensors declared, at most 2 fit in the 64 bytes left");
    refused(&counts(0, 1000), "1000 keys declared, at most 4 fit");
    refused(b"GGUF", "version needs 4 bytes, 0 left");
    refused(&bytes![b"GGUF", le32(1), [0; 64]], "GGUF version 1;");
    refused(&bytes![b"GGUF", le32(4), [0; 64]], "GGUF version 4;");
    refused(&bytes![b"GGUF", le32(3 << 24), [0; 64]], "big-endian");

    let key = |value: &[u8]| gguf(&[bytes![text("k"), value]], &[]);
    refused(&gguf(&[bytes![le64(u64::MAX)]], &[]), "key 0: key name needs 18446744073709551615");
    refused(&key(&bytes![le32(8), le64(1 << 40)]), "key `k`: string needs 1099511627776 bytes");
    refused(&key(&bytes![le32(9), le32(4), le64(1 << 62)]), "array elements declared");
    refused(&key(&bytes![le32(9), le32(8), le64(300)]), "300 array elements declared");
    refused(&key(&bytes![le32(9), le32(9), le64(1)]), "arrays of arrays");
    refused(&key(&bytes![le32(9), le32(13), le64(1)]), "unknown array element type 13");
    refused(&key(&bytes![le32(13)]), "unknown value type 13");
    refused(&key(&bytes![le32(7), [2]]), "bool is 2");
    refused(&key(&bytes![le32(8), text([0xff, 0xfe])]), "key `k`: string is not UTF-8");
    refused(&gguf(&[bytes![text([0xff]), le32(0), [1]]], &[]), "key name is not UTF-8");
    let twice = bytes![text("k"), le32(0), [1]];
    refused(&gguf(&[twice.clone(), twice], &[]), "key `k` occurs twice");
    let escape = bytes![text("\x1b[31m"), le32(13)];
    refused(&gguf(&[escape], &[]), "key `\\u{1b}[31m`");
    refused(&gguf(&[bytes![text("long".repeat(10)), le32(13)]], &[]), "longlong");
    for wrong in [0, 4, 24, 1 << 31] {
        let alignment = bytes![text("general.alignment"), le32(4), le32(wrong)];
        refused(&gguf(&[alignment], &[]), "general.alignment is");
    }
}

#[test]
fn gguf_tensors_that_lie() {
    let one = |dims: &[u64], kind, offset| gguf(&[], &[tensor("t", dims, kind, offset)]);
    refused(&one(&[65], 0, 0), "tensor `t`: needs 260 bytes at offset 0 of the data, 256 left");
    refused(&one(&[4], 0, 256), "needs 16 bytes at offset 256 of the data, 0 left");
    refused(&one(&[4], 0, u64::MAX - 31), "needs 16 bytes at offset");
    refused(&one(&[4], 0, 8), "offset 8 is not a multiple of 32");
    refused(&one(&[1 << 62, 4], 0, 0), "overflows");
    refused(&one(&[1 << 62], 0, 0), "overflows");
    refused(&one(&[1 << 40, 1 << 40, 0], 0, 0), "tensor 0: `t`: a dimension is 0");
    refused(&one(&[1; 5], 0, 0), "5 dimensions, more than 4");
    refused(&one(&[48], 8, 0), "rows of 48 are not whole blocks of 32 (Q8_0)");
    refused(&one(&[128], 12, 0), "rows of 128 are not whole blocks of 256 (Q4_K)");
    let two = |a, b| gguf(&[], &[a, b]);
    refused(&two(tensor("a", &[16], 0, 0), tensor("b", &[8], 0, 32)), "`a` overlaps `b`");
    refused(&two(tensor("b", &[16], 0, 0), tensor("a", &[16], 0, 0)), "overlaps");
    refused(&two(tensor("a", &[8], 0, 0), tensor("a", &[8], 0, 32)), "two tensors are named `a`");
}

#[test]
fn unknown_tensor_types_are_listed_but_not_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("future.gguf");
    let tensors = [tensor("new", &[64], 99, 0), tensor("old", &[8], 0, 64)];
    fs::write(&path, gguf(&[], &tensors)).unwrap();
    let file = WeightFile::open(&path).unwrap();
    let new = file.tensor("new").unwrap();
    assert_eq!((new.kind, new.bytes, &new.shape[..]), (TensorKind::Unknown(99), 64, &[64][..]));
    assert!(file.floats("new").unwrap_err().to_string().contains("type 99 cannot be decoded"));
    assert_eq!(file.floats("old").unwrap().1, [0.0; 8]);
}

#[test]
fn safetensors_headers_that_lie() {
    let lying = |length| bytes![le64(length), b"{\"a\":1}        "];
    refused(&lying(u64::MAX), "header of 18446744073709551615 bytes declared");
    refused(&lying(99_000_000), "header needs 99000000 bytes, 15 left");
    refused(&lying(3), "header: EOF while parsing");
    let one = |entry: &str, data| safetensors(&format!(r#"{{"t":{entry}}}"#), data);
    let f32 = |shape: &str, offsets: &str, data| {
        one(&format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}"#), data)
    };
    refused(&f32("[2]", "[0,8]", 4), "tensor `t`: needs 8 bytes at 0 of the data, 4 left");
    refused(&f32("[2]", "[0,4]", 4), "4 bytes declared, F32 of shape [2] takes 8");
    refused(&f32("[1]", "[4,8]", 8), "begins at byte 4 of the data, not at 0");
    refused(&f32("[1]", "[8,4]", 8), "ends at 4 before it begins at 8");
    refused(&f32("[1]", "[0,4]", 5), "the tensors take 4 bytes, the file has 5");
    refused(&f32("[4294967296,4294967296]", "[0,4]", 4), "overflows");
    refused(&f32("[1,1,1,1,1,1,1,1,1]", "[0,4]", 4), "at most 8 dimensions");
    refused(&f32("[-1]", "[0,4]", 4), "tensor `t`: invalid value");
    refused(&f32("[1]", "[0,18446744073709551616]", 4), "tensor `t`: invalid type");
    refused(&one(r#"{"dtype":"Q9","shape":[],"data_offsets":[0,4]}"#, 4), "tensor `t`: unknown");
    let entry = r#""t":{"dtype":"U8","shape":[],"data_offsets":[0,1]}"#;
    let again = r#""t":{"dtype":"U8","shape":[],"data_offsets":[1,2]}"#;
    refused(&safetensors(&format!("{{{entry},{again}}}"), 2), "two tensors are named `t`");
    let other = r#""u":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}"#;
    refused(&safetensors(&format!("{{{entry},{other}}}"), 2), "begins at byte 0");
    refused(&safetensors(r#"{"__metadata__":{"a":"b","a":"c"}}"#, 0), "key `a` occurs twice");
    refused(&safetensors(r#"{"__metadata__":{"a":1}}"#, 0), "expected a string");
    refused(&bytes![le64(5), b"{\"\xff\":1}"], "header is not UTF-8");
    let nest = format!(r#"{{"t":{{"dtype":{}"#, "[".repeat(100_000));
    refused(&safetensors(&nest, 0), "header: ");
}

#[test]
fn ctranslate2_files_that_lie() {
    let name = |s: &str| bytes![(s.len() as u16 + 1).to_le_bytes(), s, [0]];
    let scalar = |s: &str| bytes![name(s), [0, 1], le32(1), [7]];
    let good = ct2(1, &bytes![scalar("a"), le32(1), name("b"), name("a")]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.bin");
    fs::write(&path, &good).unwrap();
    assert_eq!(WeightFile::open(folder.path()).unwrap().floats("b").unwrap(), (vec![], vec![7.0]));

    refused(&bytes![good, [0]], "1 bytes follow the aliases");
    refused(&ct2(u32::MAX, &[0; 90]), "4294967295 variables declared");
    refused(&ct2(90, &[0; 90]), "90 variables declared, at most 10 fit");
    refused(&bytes![le32(5), [12, 0], b"WhisperSpec\0", [0; 9]], "binary version 5");
    refused(
        &ct2(1, &bytes![name("a"), [1], le32(9), [0], le32(36), [0; 20]]),
        "`a`: data needs 36",
    );
    refused(&ct2(1, &bytes![name("a"), [1], le32(9), [0], le32(35), [0; 40]]), "35 bytes declared");
    let huge = bytes![[255; 4], [255; 4], [255; 4]];
    refused(&ct2(1, &bytes![name("a"), [3], huge, [0], le32(36), [0; 40]]), "overflows");
    refused(&ct2(1, &bytes![name("a"), [9], [1; 60]]), "`a`: 9 dimensions, more than 8");
    refused(&ct2(1, &bytes![name("a"), [0, 6], le32(1), [0; 8]]), "`a`: unknown type 6");
    refused(&ct2(1, &bytes![[1, 0], b"a", [0; 12]]), "name does not end in its only NUL");
    refused(&ct2(1, &bytes![[0, 0], [0; 12]]), "name does not end in its only NUL");
    refused(&ct2(2, &bytes![scalar("a"), scalar("a"), le32(0)]), "two tensors are named `a`");
    refused(&ct2(1, &bytes![scalar("a"), le32(1), name("b"), name("c")]), "`c`, which is missing");
    refused(&ct2(1, &bytes![scalar("a"), le32(1), name("a"), name("a")]), "names two tensors");
    refused(&ct2(1, &bytes![scalar("a"), le32(u32::MAX), [0; 9]]), "4294967295 aliases declared");
}

#[test]
fn things_that_are_no_weight_files() {
    refused(b"", "the file is empty");
    refused(b"hello", "neither GGUF, safetensors nor CTranslate2");
    refused(b"PK\x03\x04 and so on", "a zip archive");
    refused(b"lmgg and so on", "legacy ggml");
    refused(b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer");
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &Path| WeightFile::open(path).unwrap_err().to_string();
    assert!(open(folder.path()).contains("a folder without model.safetensors"));
    assert!(open(&folder.path().join("absent")).contains("absent: No such file"));
}

/// Cuts each golden file at every length: an error each time, never a panic.
#[test]
fn every_truncation_is_refused() {
    for name in ["golden.gguf", "golden.safetensors", "golden-ct2.bin"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name);
        let whole = WeightFile::open(&path).unwrap();
        let end = whole.tensors().iter().map(|t| t.offset + t.bytes).max().unwrap();
        // GGUF may end in padding, CTranslate2 goes on with aliases.
        let end = if name.ends_with("gguf") { end } else { fs::metadata(&path).unwrap().len() };
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join(name);
        fs::copy(&path, &copy).unwrap();
        let file = fs::File::options().write(true).open(&copy).unwrap();
        for length in (0..end).rev() {
            file.set_len(length).unwrap();
            assert!(WeightFile::open(&copy).is_err(), "{name} cut to {length} bytes was accepted");
        }
    }
}

fn left_in(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn failed_writes_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let spec = |name: &str, shape: &[usize], kind| TensorSpec {
        name: name.to_owned(),
        shape: shape.to_vec(),
        kind,
    };
    let f32 = |name| spec(name, &[2], TensorKind::F32);
    let create = |metadata: &[(&str, Value)], specs: &[TensorSpec]| {
        let metadata: Vec<_> = metadata.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        GgufWriter::create(&path, &metadata, specs)
    };
    let refused = |result: Result<GgufWriter, FileError>, expected: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected), "wanted `{expected}`, got: {error}");
    };
    refused(create(&[], &[f32("a"), f32("a")]), "tensor `a`: announced twice");
    refused(create(&[], &[spec(&"x".repeat(64), &[2], TensorKind::F32)]), "1 to 63 bytes");
    refused(create(&[], &[spec("a", &[1, 48], TensorKind::Q8_0)]), "rows of 48");
    refused(create(&[], &[spec("a", &[1], TensorKind::Bool)]), "BOOL cannot be written");
    refused(create(&[], &[spec("a", &[1], TensorKind::Unknown(99))]), "cannot be written");
    refused(create(&[], &[spec("a", &[1; 5], TensorKind::F32)]), "5 dimensions");
    refused(create(&[], &[spec("a", &[usize::MAX, 4], TensorKind::F32)]), "overflows");
    refused(create(&[("k", 1u32.into()), ("k", 2u32.into())], &[]), "metadata `k`: given twice");
    refused(create(&[("general.alignment", 64u32.into())], &[]), "only an alignment of 32");

    let fails = |write: fn(GgufWriter) -> Result<(), FileError>, expected: &str| {
        let error = write(create(&[], &[f32("a"), f32("b")]).unwrap()).unwrap_err().to_string();
        assert!(error.contains(expected), "wanted `{expected}`, got: {error}");
    };
    fails(|mut writer| writer.tensor("b", &[0; 8]), "tensor `b`: written out of turn");
    fails(|mut writer| writer.tensor("a", &[0; 9]), "tensor `a`: 9 bytes given, 8 announced");
    fails(|writer| writer.finish(), "tensor `a`: announced but never written");
    assert_eq!(left_in(folder.path()), [] as [PathBuf; 0]);

    // A file that was there stays until the new one is whole.
    fs::write(&path, "old").unwrap();
    let mut writer = create(&[], &[f32("a")]).unwrap();
    writer.tensor("a", &[0; 8]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"old");
    drop(writer);
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(left_in(folder.path()), std::slice::from_ref(&path));
    let absent = folder.path().join("absent/model.gguf");
    assert!(matches!(GgufWriter::create(&absent, &[], &[]), Err(FileError::Io { .. })));
}
