//! `partita-export compare` as it is run, on a small model and its exports.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod onnx_library;
mod small;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use partita_export::compare::{Comparison, Row};
use partita_export::gguf::{Options, Quant, export, vocabulary};
use partita_export::merged::Merged;
use partita_export::onnx::{self, Dtype, MOST_INSIDE};
use small::{Made, World};

fn options(world: &World, quant: Quant, out: &str) -> Options {
    Options {
        model: world.run().to_str().unwrap().to_owned(),
        quant,
        projector: None,
        vocabulary: None,
        name: Some(out.to_owned()),
        shard_size: None,
        calibration: None,
        card: Vec::new(),
        out: world.out(out),
    }
}

fn pair(options: &Options) -> PathBuf {
    export(options).unwrap().files.remove(0).path
}

fn compare(world: &World, pairs: &[&Path], more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_partita-export"));
    command.arg("compare").arg(world.run()).args(pairs).arg("--manifest").arg(world.manifest());
    // No model of this machine's store may play a part.
    command.args(more).env("PARTITA_HOME", world.out("home")).output().unwrap()
}

fn error(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn what_is_exact_costs_nothing_and_what_is_not_costs_more() {
    let world = World::make(Made::default());
    let [exact, rough] = [Quant::F32, Quant::Q4_0]
        .map(|quant| pair(&options(&world, quant, &format!("small-{quant}-pair"))));
    let out = world.out("cost");
    let more = ["--clips", "6", "--threads", "2", "--out", out.to_str().unwrap()];
    // As a shell names all files of folders: halves with encoders go along with the others.
    let projector = rough.with_file_name("mmproj-small-Q4_0-pair-Q8_0.gguf");
    assert!(projector.is_file());
    let output = compare(&world, &[&exact, &projector, &rough], &more);
    assert!(output.status.success(), "{}", error(&output));
    let text = fs::read(out.join("compare.json")).unwrap();
    let found: Comparison = serde_json::from_slice(&text).unwrap();
    let [run, float, small] = &found.rows[..] else { panic!("{found:?}") };
    assert_eq!((found.clips, found.translated), (6, 3));
    assert_eq!(found.languages, ["de", "en"]);
    assert!(found.unheard.is_empty() && run.agreement.is_none());
    let size = |row: &Row, files: &[PathBuf]| {
        let bytes: u64 = files.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
        assert_eq!(row.bytes, bytes, "{}", row.name);
    };
    let mmproj = |file: &Path, quant: &str| {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        let base = stem.rsplit_once('-').unwrap().0;
        file.with_file_name(format!("mmproj-{base}-{quant}.gguf"))
    };
    size(run, &[world.run().join("weights.safetensors"), world.encoder.clone(), world.llm.clone()]);
    size(float, &[exact.clone(), mmproj(&exact, "F32")]);
    size(small, &[rough.clone(), mmproj(&rough, "Q8_0")]);
    for row in &found.rows {
        assert!(row.load_seconds > 0.0 && row.real_time_factor > 0.0, "{row:?}");
        if cfg!(target_os = "linux") {
            assert!(row.peak_mib.unwrap() > 1.0, "{row:?}");
        }
        assert!(row.scores.error_rate.is_some() && row.scores.chrf.is_some(), "{row:?}");
    }
    let (near, far) = (float.agreement.unwrap(), small.agreement.unwrap());
    println!("F32 {near:?}\nQ4_0 {far:?}");
    assert!(near.cosine >= 0.99999 && near.divergence < 1e-6, "{near:?}");
    assert_eq!((near.left_out, near.tokens[0]), (0, near.tokens[1]));
    assert!(near.places > 12 && near.same_best > 0.99, "{near:?}");
    assert!(far.divergence > 100.0 * near.divergence && far.divergence > 1e-4, "{far:?}");
    assert!(far.cosine < near.cosine && far.cosine > 0.9, "{far:?}");
    // The same answers: nothing is lost, whichever clips are drawn.
    let change = float.scores.error_rate.unwrap().change;
    assert_eq!((change.value, change.low, change.high), (0.0, 0.0, 0.0));

    let page = fs::read_to_string(out.join("compare.md")).unwrap();
    assert!(page.contains("| small-Q4_0-pair-Q4_0 |") && page.contains("compare.png"), "{page}");
    assert!(fs::read(out.join("compare.png")).unwrap().starts_with(b"\x89PNG"));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(page.contains(&printed), "{printed}");
}

#[test]
fn graphs_stand_in_the_same_table() {
    let Some(library) = onnx_library::library() else { return };
    let world = World::make(Made::default());
    let merged = Merged::open(world.run().to_str().unwrap()).unwrap();
    let out = world.out("graphs");
    for dtype in [Dtype::Fp32, Dtype::Q4] {
        onnx::export(&merged, dtype, &out, MOST_INSIDE).unwrap();
    }
    let decoders = ["", "_q4"].map(|end| out.join(format!("onnx/decoder_model_merged{end}.onnx")));
    let mut command = Command::new(env!("CARGO_BIN_EXE_partita-export"));
    command.arg("compare").arg(world.run()).args(&decoders).arg("--manifest").arg(world.manifest());
    command.args(["--clips", "4", "--json"]).env("PARTITA_HOME", world.out("home"));
    let output = command.env("ORT_DYLIB_PATH", library).output().unwrap();
    assert!(output.status.success(), "{}", error(&output));
    let found: Comparison = serde_json::from_slice(&output.stdout).unwrap();
    let [_, exact, rough] = &found.rows[..] else { panic!("{found:?}") };
    assert_eq!((exact.name.as_str(), rough.name.as_str()), ("graphs", "graphs_q4"));
    let (near, far) = (exact.agreement.unwrap(), rough.agreement.unwrap());
    println!("fp32 {near:?}\nq4 {far:?}");
    assert!(near.cosine >= 0.99999 && near.divergence < 1e-6 && near.left_out == 0, "{near:?}");
    assert!(far.divergence > 100.0 * near.divergence && far.cosine > 0.9, "{far:?}");
    assert!(rough.bytes < exact.bytes, "{} {}", rough.bytes, exact.bytes);
    let change = exact.scores.error_rate.unwrap().change;
    assert_eq!((change.value, change.low, change.high), (0.0, 0.0, 0.0));
}

#[test]
fn fewer_tokens_are_compared_over_those_that_both_have() {
    let world = World::make(Made::default());
    let sentences = world.out("sentences");
    fs::create_dir_all(&sentences).unwrap();
    let words = ["eins", "zwei", "drei", "vier"];
    let line = |i: usize| format!("{} {} {}\n", words[i % 4], words[i / 4 % 4], words[i / 16]);
    fs::write(sentences.join("de.txt"), (0..64).map(line).collect::<String>()).unwrap();
    let cut = Options {
        vocabulary: Some(vocabulary::Options {
            languages: vec!["de".parse().unwrap()],
            text: vec![sentences],
            least: 1,
        }),
        ..options(&world, Quant::F32, "cut")
    };
    let cut = pair(&cut);
    let output = compare(&world, &[&cut], &["--clips", "4", "--json", "--languages", "de"]);
    assert!(output.status.success(), "{}", error(&output));
    let found: Comparison = serde_json::from_slice(&output.stdout).unwrap();
    let same = found.rows[1].agreement.unwrap();
    println!("{same:?}");
    assert!(same.tokens[0] < same.tokens[1] && same.tokens[0] > 20, "{same:?}");
    assert!(same.cosine >= 0.99999 && same.divergence < 1e-6 && same.left_out == 0, "{same:?}");
    let table = partita_export::compare::render::table(&found);
    let tokens = format!("{} of {}", same.tokens[0], same.tokens[1]);
    assert!(table.contains(&tokens) && table.contains("those that both have"), "{table}");

    // Answers with words that are gone are left out, and that is said.
    let output = compare(&world, &[&cut], &["--clips", "4", "--json"]);
    let found: Comparison = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found.rows[1].agreement.unwrap().left_out, 2, "{found:?}");
    let table = partita_export::compare::render::table(&found);
    assert!(table.contains("2 of 4 answers have tokens that cut-F32 lacks"), "{table}");
    let [run, cut] = [0, 1].map(|row| found.rows[row].scores);
    assert!(run.error_rate.is_some() && cut.error_rate.is_some(), "{found:?}");
    assert!(run.chrf.is_some() && cut.chrf.is_some(), "both translate into German: {cut:?}");
}

#[test]
fn what_cannot_be_compared_is_named_and_leaves_nothing() {
    let world = World::make(Made::default());
    let file = pair(&options(&world, Quant::F16, "half"));
    let out = world.out("none");
    let there = ["--out", out.to_str().unwrap()];
    let projector = file.with_file_name("mmproj-half-F16.gguf");
    for (pair, more, reason) in [
        (projector.as_path(), vec![], "the other half of the pair"),
        (world.llm.as_path(), vec![], "alone cannot hear"),
        (Path::new("nowhere"), vec![], "no nowhere in"),
        (file.as_path(), vec!["--languages", "fr"], "`fr` is not among"),
        (file.as_path(), vec!["--split", "dev"], "split dev"),
    ] {
        let output = compare(&world, &[pair], &[&there[..], &more].concat());
        let error = error(&output);
        assert!(!output.status.success() && error.contains(reason), "{reason}: {error}");
        assert!(!out.exists(), "{reason}");
    }
    // A file that is cut off is named by the process that opens it.
    let whole = fs::read(&projector).unwrap();
    fs::write(&projector, &whole[..whole.len() - 100]).unwrap();
    let output = compare(&world, &[&file], &there);
    assert!(error(&output).contains("mmproj-half-F16.gguf"), "{}", error(&output));
    assert!(!out.exists());
}
