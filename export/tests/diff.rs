//! `partita-export diff` as it is run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod small;

use std::fs;
use std::path::Path;
use std::process::Command;

use partita_export::diff::Difference;
use partita_export::gguf::{Options, Quant, export};
use partita_export::merged::Merged;
use partita_export::onnx::{self, Dtype, MOST_INSIDE};
use partita_model::files::{Value, WeightFile};
use serde_json::Value as Json;
use small::{Made, World};

const GOLDEN: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/model/tests/files/golden.gguf");

fn diff(files: [&Path; 2], more: &[&str]) -> (Option<i32>, String, String) {
    let program = env!("CARGO_BIN_EXE_partita-export");
    let output = Command::new(program).arg("diff").args(files).args(more).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_file_does_not_differ_from_itself() {
    let golden = Path::new(GOLDEN);
    assert_eq!(diff([golden, golden], &[]), (Some(0), String::new(), String::new()));
    let (code, text, _) = diff([golden, golden], &["--all"]);
    assert!(code == Some(0) && text.contains("tensor.Q8_0") && text.contains("same"), "{text}");
    let (code, text, _) = diff([golden, golden], &["--json"]);
    let found: Json = serde_json::from_str(&text).unwrap();
    assert_eq!((code, found["tensors"].as_array().unwrap().len()), (Some(0), 20));
    // Numbers that are none are in it, too.
    let file = WeightFile::open(golden).unwrap();
    assert!(Difference::of(&file, &file).unwrap().is_empty());
}

#[test]
fn a_changed_byte_is_found() {
    let world = World::make(Made::default());
    let name = "blk.2.ffn_up.weight";
    let file = WeightFile::open(&world.llm).unwrap();
    let before = file.floats(name).unwrap().1;
    let bytes = file.bytes(name).unwrap().to_vec();
    let mut whole = fs::read(&world.llm).unwrap();
    let place = whole.windows(bytes.len()).position(|window| window == bytes).unwrap();
    // The exponent's lowest bit of one of its numbers: half of it, or twice as much.
    whole[place + 4 * 100 + 2] ^= 0x80;
    let changed = world.out("changed.gguf");
    fs::write(&changed, &whole).unwrap();
    let (code, text, _) = diff([&world.llm, &changed], &["--json"]);
    assert_eq!(code, Some(1));
    let found: Json = serde_json::from_str(&text).unwrap();
    let different = found["tensors"].as_array().unwrap().iter().filter(|one| one["same"] == false);
    let different: Vec<&Json> = different.collect();
    let [one] = &different[..] else { panic!("{different:?}") };
    assert_eq!(one["name"], name);
    let after = WeightFile::open(&changed).unwrap().floats(name).unwrap().1[100];
    let wanted = f64::from((before[100] - after).abs());
    assert!(wanted > 0.0 && (one["gap"]["most"].as_f64().unwrap() - wanted).abs() < 1e-9, "{one}");
    let sum: f64 = before.iter().map(|value| f64::from(*value).powi(2)).sum();
    let relative = one["gap"]["relative"].as_f64().unwrap();
    assert!((relative / (wanted / sum.sqrt()) - 1.0).abs() < 1e-6, "{relative}");
    let (_, text, _) = diff([&world.llm, &changed], &[]);
    assert!(text.contains(name) && !text.contains("blk.3.ffn_up"), "{text}");
}

#[test]
fn keys_types_shapes_and_names_are_told_apart() {
    let world = World::make(Made::default());
    let other = World::make(Made { architecture: "llama", ..Made::default() });
    let quantized = |quant: Quant| {
        let out = world.out(quant.name());
        let model = world.llm.to_str().unwrap().to_owned();
        let (projector, vocabulary, shard_size) = (None, None, None);
        let name = Some("small".to_owned());
        let (calibration, card) = (None, Vec::new());
        let options = Options {
            model,
            quant,
            projector,
            vocabulary,
            name,
            shard_size,
            calibration,
            card,
            out,
        };
        export(&options).unwrap().files.remove(0).path
    };
    let [float, small] = [Quant::F32, Quant::Q4_0].map(quantized);
    let open = |path: &Path| WeightFile::open(path).unwrap();
    let found = Difference::of(&open(&float), &open(&small)).unwrap();
    let keys: Vec<&str> = found.keys.iter().map(|key| key.name.as_str()).collect();
    assert_eq!(keys, ["general.file_type"]);
    let up = found.tensors.iter().find(|tensor| tensor.name == "blk.0.ffn_up.weight").unwrap();
    assert_eq!(up.types, ["F32", "Q4_0"]);
    let gap = up.gap.unwrap();
    assert!(gap.relative > 0.02 && gap.relative < 0.12 && gap.cosine > 0.99, "{gap:?}");
    let norm = found.tensors.iter().find(|tensor| tensor.name == "blk.0.ffn_norm.weight").unwrap();
    assert!(norm.same);

    let found = Difference::of(&open(&world.llm), &open(&other.llm)).unwrap();
    assert!(found.keys_only_in[0].contains(&"gemma3.block_count".to_owned()), "{found:?}");
    assert!(found.keys_only_in[1].contains(&"llama.block_count".to_owned()));
    assert!(found.tensors_only_in[0].contains(&"blk.0.attn_q_norm.weight".to_owned()));
    let table = found.tensors.iter().find(|tensor| tensor.name == "token_embd.weight").unwrap();
    assert!(table.shapes[0] != table.shapes[1] && table.gap.is_none() && !table.same);
    let text = found.text(false);
    for title in ["Keys of one file alone", "Other values", "Tensors of one", "Other shapes"] {
        assert!(text.contains(title), "{text}");
    }
    assert!(open(&world.llm).metadata().get("general.name") == Some(&Value::from("Small")));
}

#[test]
fn a_file_that_cannot_be_read_is_neither() {
    let (code, text, error) = diff([Path::new(GOLDEN), Path::new("/no/such/file")], &[]);
    assert_eq!((code, text.as_str()), (Some(2), ""));
    assert!(error.starts_with("error: ") && error.contains("/no/such/file"), "{error}");
}

#[test]
fn graphs_are_compared_by_what_they_compute_and_by_weights_wherever_they_lie() {
    let world = World::make(Made::default());
    let merged = Merged::open(world.run().to_str().unwrap()).unwrap();
    let encoder = |name: &str, dtype: Dtype, most: u64| {
        let out = world.out(name);
        onnx::export(&merged, dtype, &out, most).unwrap();
        out.join("onnx").join(format!("audio_encoder{}.onnx", dtype.suffix()))
    };
    let whole = encoder("whole", Dtype::Fp32, MOST_INSIDE);
    let apart = encoder("apart", Dtype::Fp32, 1);
    assert_eq!(diff([&whole, &whole], &[]), (Some(0), String::new(), String::new()));
    // Weights in a second file are the same weights.
    let (code, text, _) = diff([&whole, &apart], &["--json"]);
    let found: Json = serde_json::from_str(&text).unwrap();
    let tensors = found["tensors"].as_array().unwrap();
    assert!(code == Some(1) && tensors.len() > 20, "{text}");
    assert!(tensors.iter().all(|tensor| tensor["same"] == true), "{text}");
    assert_eq!(found["keys_only_in"], serde_json::json!([[], ["external_data"]]));
    // A changed byte of the second file is found, and one matrix alone is another.
    let beside = apart.with_file_name("audio_encoder.onnx_data");
    let mut bytes = fs::read(&beside).unwrap();
    bytes[402] ^= 0x80;
    fs::write(&beside, &bytes).unwrap();
    let (_, text, _) = diff([&whole, &apart], &["--json"]);
    let found: Json = serde_json::from_str(&text).unwrap();
    let tensors = found["tensors"].as_array().unwrap();
    let others: Vec<_> = tensors.iter().filter(|tensor| tensor["same"] == false).collect();
    assert!(others.len() == 1 && others[0]["gap"]["most"].as_f64().unwrap() > 0.0, "{others:?}");
    // Halves have names of their own, and are made floats.
    let halves = encoder("halves", Dtype::Fp16, MOST_INSIDE);
    let (code, text, _) = diff([&whole, &halves], &["--all"]);
    assert!(code == Some(1) && text.contains("+  operator.Cast"), "{text}");
    assert!(text.contains("Tensors of one file alone"), "{text}");
}
