//! `partita-export inspect` as it is run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::Read;
use std::process::{Command, Output, Stdio};

const GGUF: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/model/tests/files/golden.gguf");
const CT2: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/model/tests/files/golden-ct2.bin");

fn inspect(arguments: &[&str]) -> Output {
    program().arg("inspect").args(arguments).output().unwrap()
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_partita-export"))
}

fn utf8(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn text_shows_metadata_sizes_and_tensors() {
    let output = inspect(&["--tensors", GGUF]);
    assert!(output.status.success() && output.stderr.is_empty());
    let text = utf8(output.stdout);
    let squeezed: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "format GGUF v3",
        "tensors 20",
        "undecodable 2 tensors, of types that are only listed",
        "golden.float32 0.000001",
        "golden.ints [40 i32] -20, -19, -18, -17, -16, -15, -14, -13, …",
        r#"golden.strings [5 strings] "", "a", "Grüße", "世界", "\t""#,
        "Q4_K 1 768 432 4.50 8.5 %",
        "tensor.Q8_0 Q8_0 [3, 64] 204",
        "tensor.I32 I32 [2, 3, 1, 2] 48",
    ] {
        assert!(squeezed.iter().any(|l| l == line), "no line `{line}` in\n{text}");
    }
    assert!(!utf8(inspect(&[GGUF]).stdout).contains("tensor.Q8_0"));
}

#[test]
fn json_is_one_object_per_line() {
    let output = inspect(&["--json", "--tensors", GGUF, CT2]);
    let text = utf8(output.stdout);
    let objects: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [gguf, ct2] = &objects[..] else { panic!("{} lines", objects.len()) };
    assert_eq!(gguf["format"], "GGUF v3");
    assert_eq!(gguf["metadata"]["golden.float32"], 1e-6);
    assert_eq!(gguf["metadata"]["golden.uint64"], (1u64 << 63) + 1);
    assert_eq!(gguf["metadata"]["golden.ints"]["length"], 40);
    assert_eq!(gguf["summary"]["by_type"]["Q6_K"]["bytes"], 630);
    assert_eq!(gguf["tensors"].as_array().unwrap().len(), 20);
    assert_eq!(ct2["format"], "CTranslate2");
    assert_eq!(ct2["aliases"]["decoder/projection/weight"], "decoder/embeddings/weight");
    let tensors = ct2["tensors"].as_array().unwrap();
    let conv = tensors.iter().find(|t| t["name"] == "encoder/conv1/weight").unwrap();
    assert_eq!((&conv["type"], &conv["shape"]), (&"F16".into(), &vec![4, 3].into()));
    assert!(inspect(&["--json", GGUF]).stdout.len() < text.len() / 2);
}

/// One line names file and reason, the rest of the batch is shown, the status is 1.
#[test]
fn a_bad_file_does_not_stop_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    let half = folder.path().join("half.bin");
    let whole = std::fs::read(CT2).unwrap();
    std::fs::write(&half, &whole[..whole.len() / 2]).unwrap();
    let (half, absent) = (half.to_str().unwrap(), folder.path().join("absent.gguf"));
    let output = inspect(&[half, absent.to_str().unwrap(), CT2]);
    assert_eq!(output.status.code(), Some(1));
    let errors = utf8(output.stderr);
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines.len(), 2, "{errors}");
    assert!(lines[0].starts_with(&format!("error: {half}: at byte ")), "{errors}");
    assert!(lines[0].contains(" bytes, ") && lines[0].ends_with(" left"), "{errors}");
    assert!(lines[1].contains("absent.gguf: No such file"), "{errors}");
    assert!(utf8(output.stdout).contains("CTranslate2"));
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let mut arguments = vec!["inspect", "--tensors"];
    arguments.extend([GGUF; 200]);
    let mut child =
        program().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut few = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut few).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    assert_eq!(utf8(output.stderr), "");
}

#[test]
fn help_names_the_formats() {
    let help = utf8(inspect(&["--help"]).stdout);
    assert!(help.contains("GGUF") && help.contains("--tensors") && help.contains("Examples"));
    assert_eq!(inspect(&[]).status.code(), Some(2));
}
