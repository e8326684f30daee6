//! Files of independent writers are read exactly, and what we write reads back the same.
//! `files/make_golden.py` made the files and the expected numbers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod drawn;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Device;
use candle_core::quantized::{GgmlDType, QTensor};
use drawn::drawn;
use partita_model::files::gguf::{GgufWriter, TensorSpec, write_gguf};
use partita_model::files::{Array, FileError, Format, TensorInfo, TensorKind, Value, WeightFile};

fn golden(name: &str) -> WeightFile {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name);
    WeightFile::open(&path).unwrap()
}

#[test]
fn every_gguf_metadata_type() {
    let file = golden("golden.gguf");
    assert_eq!(file.format(), Format::Gguf(3));
    let expected: BTreeMap<String, Value> = [
        ("general.architecture", Value::from("golden")),
        ("golden.uint8", Value::from(250u8)),
        ("golden.int8", Value::from(-3i8)),
        ("golden.uint16", Value::from(65000u16)),
        ("golden.int16", Value::from(-300i16)),
        ("golden.uint32", Value::from(4_000_000_000u32)),
        ("golden.int32", Value::from(-70_000i32)),
        ("golden.float32", Value::from(1e-6f32)),
        ("golden.bool", Value::from(true)),
        ("golden.string", Value::from("Grüße, 世界")),
        ("golden.uint64", Value::from((1u64 << 63) + 1)),
        ("golden.int64", Value::from(-(1i64 << 62))),
        ("golden.float64", Value::from(0.1f64)),
        (
            "golden.strings",
            Value::from(["", "a", "Grüße", "世界", "\t"].map(String::from).to_vec()),
        ),
        ("golden.floats", Value::from(vec![0.5f32, -1.25])),
        ("golden.ints", Value::from((-20..20).collect::<Vec<i32>>())),
        ("golden.bools", Value::from(vec![true, false, true])),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    assert_eq!(*file.metadata(), expected);
    assert_eq!(file.metadata_u64("golden.uint8").unwrap(), 250);
    assert!(matches!(file.metadata_u64("golden.int8"), Err(FileError::Metadata { .. })));
    assert_eq!(file.metadata_str("general.architecture").unwrap(), "golden");
}

#[test]
fn every_type_decodes_bit_by_bit_as_the_reference_does() {
    let (file, expected) = (golden("golden.gguf"), golden("golden.safetensors"));
    let mut compared = 0;
    for tensor in file.tensors() {
        if matches!(tensor.kind, TensorKind::IQ4_NL | TensorKind::MXFP4) {
            let error = file.floats(&tensor.name).unwrap_err().to_string();
            assert!(error.contains(&tensor.name) && error.contains("cannot be decoded"), "{error}");
            continue;
        }
        assert_eq!(tensor.name, format!("tensor.{}", tensor.kind));
        let (shape, ours) = file.floats(&tensor.name).unwrap();
        let (reference_shape, reference) = expected.floats(&tensor.name).unwrap();
        assert_eq!(shape, reference_shape, "{}", tensor.name);
        let bits = |floats: &[f32]| floats.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&ours), bits(&reference), "{}", tensor.name);

        let quantized = file.qtensor(&tensor.name, &Device::Cpu).unwrap();
        let stored = tensor.kind.candle().unwrap_or(GgmlDType::F32);
        assert_eq!((quantized.dtype(), quantized.shape().dims()), (stored, &shape[..]));
        let floats = quantized.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap();
        assert_eq!(bits(&floats.to_vec1().unwrap()), bits(&reference), "{}", tensor.name);
        compared += 1;
    }
    assert_eq!(compared, 18);
    assert_eq!(file.undecodable(), 2);
}

#[test]
fn safetensors_types_shapes_and_metadata() {
    let file = golden("golden.safetensors");
    assert_eq!(file.format(), Format::Safetensors);
    assert_eq!(file.metadata_str("made by").unwrap(), "make_golden.py");
    let floats = |name| file.floats(name).unwrap();
    assert_eq!(floats("plain.f16"), (vec![2, 3], vec![0.0, 0.25, 0.5, 0.75, 1.0, 1.25]));
    assert_eq!(floats("plain.u8"), (vec![3], vec![0.0, 7.0, 255.0]));
    assert_eq!(floats("plain.bool"), (vec![2], vec![1.0, 0.0]));
    assert_eq!(floats("plain.scalar"), (vec![], vec![2.5]));
    assert_eq!(floats("plain.empty"), (vec![0, 4], vec![]));
    assert_eq!(file.qtensor("plain.scalar", &Device::Cpu).unwrap().shape().dims(), [1]);
    assert_eq!(file.qtensor("plain.f16", &Device::Cpu).unwrap().dtype(), GgmlDType::F32);
    let missing = file.floats("plain.f61").unwrap_err();
    assert!(missing.to_string().ends_with("golden.safetensors: no tensor `plain.f61`"));
}

#[test]
fn ctranslate2_variables_and_aliases() {
    let (file, expected) = (golden("golden-ct2.bin"), golden("golden.safetensors"));
    assert_eq!(file.format(), Format::CTranslate2);
    assert_eq!(file.metadata_str("ctranslate2.specification").unwrap(), "WhisperSpec");
    for tensor in file.tensors() {
        let reference = expected.floats(&format!("ct2:{}", tensor.name)).unwrap();
        assert_eq!(file.floats(&tensor.name).unwrap(), reference, "{}", tensor.name);
    }
    assert_eq!(file.tensors().len(), 39);
    let (tied, embeddings) = ("decoder/projection/weight", "decoder/embeddings/weight");
    assert_eq!(file.aliases().get(tied).map(String::as_str), Some(embeddings));
    assert_eq!(file.floats(tied).unwrap(), file.floats(embeddings).unwrap());
    assert_eq!(file.floats("encoder/num_heads").unwrap(), (vec![], vec![2.0]));
    let halves = file.tensors().iter().filter(|tensor| tensor.kind == TensorKind::F16);
    assert_eq!(halves.count(), 28);
}

/// Rewrites a GGUF file with our writer. With the two variables set, it is a file of one's own
/// choice, for `files/check_gguf.py` to judge.
#[test]
fn rewritten_file_reads_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let given = |name| std::env::var_os(name).map(PathBuf::from);
    let file = match given("PARTITA_REWRITE_FROM") {
        Some(path) => WeightFile::open(&path).unwrap(),
        None => golden("golden.gguf"),
    };
    let path = given("PARTITA_REWRITE_TO").unwrap_or_else(|| folder.path().join("again.gguf"));

    let metadata: Vec<_> = file.metadata().clone().into_iter().collect();
    let spec = |tensor: &partita_model::files::TensorInfo| TensorSpec {
        name: tensor.name.clone(),
        shape: tensor.shape.clone(),
        kind: tensor.kind,
    };
    let specs: Vec<_> = file.tensors().iter().map(spec).collect();
    let mut writer = GgufWriter::create(&path, &metadata, &specs).unwrap();
    for spec in &specs {
        writer.tensor(&spec.name, file.bytes(&spec.name).unwrap()).unwrap();
    }
    writer.finish().unwrap();

    let again = WeightFile::open(&path).unwrap();
    let mut expected = file.metadata().clone();
    expected.insert("general.quantization_version".to_owned(), Value::U32(2));
    assert_eq!(*again.metadata(), expected);
    assert_eq!(again.tensors().len(), file.tensors().len());
    for (a, b) in file.tensors().iter().zip(again.tensors()) {
        assert_eq!((&a.name, &a.shape, a.kind, b.offset % 32), (&b.name, &b.shape, b.kind, 0));
        assert_eq!(file.bytes(&a.name).unwrap(), again.bytes(&b.name).unwrap());
    }
}

/// candle's own reader of GGUF agrees on what we wrote from its tensors.
#[test]
fn quantized_tensors_reach_candles_reader() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.gguf");
    let weights = drawn(1, 1.0, (4, 256));
    let kinds = [GgmlDType::Q8_0, GgmlDType::Q4K, GgmlDType::F16, GgmlDType::F32];
    let tensors = kinds.map(|kind| QTensor::quantize(&weights, kind).unwrap());
    let names = ["q8", "q4", "half", "float"];
    let named: Vec<_> = names.into_iter().zip(&tensors).collect();
    let metadata =
        [("a.tokens".to_owned(), Value::Array(Array::String(vec!["x".to_owned(); 300_000])))];
    write_gguf(&path, &metadata, &named).unwrap();

    let mut file = std::fs::File::open(&path).unwrap();
    let content = candle_core::quantized::gguf_file::Content::read(&mut file).unwrap();
    assert_eq!(content.metadata["a.tokens"].to_vec().unwrap().len(), 300_000);
    for (name, tensor) in named {
        let read = content.tensor(&mut file, name, &Device::Cpu).unwrap();
        assert_eq!(read.shape().dims(), [4, 256]);
        assert_eq!(read.data().unwrap(), tensor.data().unwrap(), "{name}");
        let ours = WeightFile::open(&path).unwrap().qtensor(name, &Device::Cpu).unwrap();
        assert_eq!(ours.data().unwrap(), tensor.data().unwrap(), "{name}");
    }
}

#[test]
fn shards_open_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let shard = |name: &str, tensor: &str| {
        let bytes = 1.5f32.to_le_bytes();
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &bytes);
        let tensors = [(tensor, view.unwrap())];
        safetensors::serialize_to_file(tensors, None, &folder.path().join(name)).unwrap();
    };
    shard("one.safetensors", "a");
    shard("two.safetensors", "b");
    let index = |map: &str| {
        let json = format!(r#"{{"metadata":{{"total_size":8}},"weight_map":{map}}}"#);
        std::fs::write(folder.path().join("model.safetensors.index.json"), json).unwrap();
        WeightFile::open(folder.path())
    };
    let file = index(r#"{"a":"one.safetensors","b":"two.safetensors"}"#).unwrap();
    assert_eq!(file.floats("a").unwrap(), (vec![1], vec![1.5]));
    assert_eq!(file.floats("b").unwrap(), (vec![1], vec![1.5]));
    assert_eq!(file.tensors().iter().map(TensorInfo::elements).sum::<u64>(), 2);

    for (map, expected) in [
        (r#"{"a":"two.safetensors","b":"one.safetensors"}"#, "no `a` in `two.safetensors`"),
        (r#"{"a":"../one.safetensors"}"#, "is no plain file name"),
        (r#"{"a":"three.safetensors"}"#, "three.safetensors: No such file"),
        // It leads to itself, and would for ever.
        (r#"{"a":"model.safetensors.index.json"}"#, "model.safetensors.index.json"),
        ("{}", "an index without shards"),
        ("[]", "invalid type"),
    ] {
        let error = index(map).unwrap_err().to_string();
        assert!(error.contains(expected), "{map}: {error}");
    }
    shard("two.safetensors", "a");
    let error = index(r#"{"a":"one.safetensors","b":"two.safetensors"}"#).unwrap_err();
    assert!(error.to_string().contains("two tensors are named `a`"), "{error}");
}
