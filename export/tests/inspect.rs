//! `partita-export inspect` as it is run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "graphs are damaged otherwise here")]
#[path = "../../crates/model/tests/damage/mod.rs"]
mod damage;
#[path = "onnx_small/mod.rs"]
mod small;

use std::io::Read;
use std::process::{Command, Output, Stdio};

use damage::peak;
use partita_export::merged::Merged;
use partita_export::onnx::{Dtype, OnnxFile, export};
use proptest::prelude::*;
use proptest::sample::Index;

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

/// The messages that [`partita_export::onnx::write`] streams, read back; and the file of another.
#[test]
fn graphs_show_what_goes_in_and_out_operators_and_weights() {
    let folder = tempfile::tempdir().unwrap();
    let run = small::write_model(folder.path(), "gemma3", small::ULTRAVOX);
    let out = folder.path().join("graphs");
    let merged = Merged::open(run.to_str().unwrap()).unwrap();
    // One graph with its weights beside it, two with theirs inside.
    export(&merged, Dtype::Q4, &out, 10_000).unwrap();
    let inside = |name: &str| out.join("onnx").join(name).to_str().unwrap().to_owned();
    let [decoder, embed] = ["decoder_model_merged_q4.onnx", "embed_tokens_q4.onnx"].map(inside);
    let output = inspect(&["--json", "--tensors", &decoder, &embed]);
    let text = utf8(output.stdout);
    let objects: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [graph, table] = &objects[..] else { panic!("{}", utf8(output.stderr)) };
    assert_eq!(graph["format"], "ONNX, IR version 9");
    assert_eq!(graph["metadata"]["opset.ai.onnx"], 20);
    assert_eq!(graph["inputs"][0]["name"], "inputs_embeds");
    assert_eq!(graph["inputs"][0]["type"], "F32");
    let shape = graph["inputs"][0]["shape"].as_str().unwrap();
    assert!(shape.ends_with(&format!(", {}]", small::WIDTH)), "{shape}");
    assert_eq!(graph["outputs"].as_array().unwrap().len(), 1 + 2 * small::LAYERS);
    let products = graph["operators"]["com.microsoft.MatMulNBits"].as_u64().unwrap();
    assert_eq!(products as usize, 7 * small::LAYERS + 1);
    // What the tensors take is what the files hold, but for nodes, names and filling to 4 KiB.
    for (object, name) in [(graph, &decoder), (table, &embed)] {
        let tensors = object["tensors"].as_array().unwrap();
        let sum: u64 = tensors.iter().map(|tensor| tensor["bytes"].as_u64().unwrap()).sum();
        assert_eq!(object["summary"]["total"]["bytes"], sum);
        let length = |path: &str| std::fs::metadata(path).map_or(0, |data| data.len());
        let files = length(name) + length(&format!("{name}_data"));
        assert!(sum <= files && files - sum < 80_000, "{name}: {sum} of {files}");
    }
    assert_eq!(graph["metadata"]["external_data"][0], "decoder_model_merged_q4.onnx_data");
    let output = inspect(&[&embed]);
    let text = utf8(output.stdout);
    assert!(text.contains("Inputs") && text.contains("input_ids"), "{text}");

    // The header of a safetensors file may be as long as makes it begin as ONNX does.
    let header = format!("{:<1288}", r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#);
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.push(7);
    let alike = folder.path().join("alike.safetensors");
    std::fs::write(&alike, bytes).unwrap();
    assert!(utf8(inspect(&[alike.to_str().unwrap()]).stdout).contains("safetensors"));

    let bytes = std::fs::read(&embed).unwrap();
    let cut = folder.path().join("cut.onnx");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let output = inspect(&[cut.to_str().unwrap()]);
    let error = utf8(output.stderr);
    assert!(error.contains("cut.onnx: a field of ") && error.trim().ends_with(" left"), "{error}");
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1));
}

/// What an error's message may take beside the file's share.
const SLACK: usize = 16 << 10;

/// Looks into the bytes, which must not hold more than is said.
fn parsed(bytes: &[u8]) -> anyhow::Result<OnnxFile> {
    let (found, held) = peak(|| OnnxFile::parse(bytes));
    let most = OnnxFile::SHARE * bytes.len() + SLACK;
    assert!(held <= most, "{held} bytes held for {}", bytes.len());
    found
}

/// A field of bytes: its number, its length, what is in it.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = content.len();
    while length > 0x7f {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(content);
    bytes
}

/// Graphs that are nothing but the smallest of entries cost the most memory for their size.
#[test]
fn graphs_of_tiny_entries_stay_linear() {
    let graph = |content: &[u8]| [&[0x08, 9][..], &field(7, content)].concat();
    let name =
        |i: usize| [b'a' + (i / 676) as u8, b'a' + (i / 26 % 26) as u8, b'a' + (i % 26) as u8];
    let numbers = 0..17_000;
    let weights = field(5, &field(8, b"a")).repeat(100_000);
    let inputs = field(11, &field(1, b"a")).repeat(100_000);
    let operators: Vec<u8> = numbers.clone().flat_map(|i| field(1, &field(4, &name(i)))).collect();
    let named: Vec<u8> = numbers.clone().flat_map(|i| field(5, &field(8, &name(i)))).collect();
    let constants =
        field(1, &[field(4, b"o"), field(5, &field(10, &field(8, b"a")).repeat(100_000))].concat());
    let dimensions = field(2, &field(1, &field(2, &field(1, &[10, 0].repeat(50_000)))));
    let shape = field(12, &[field(1, b"a"), dimensions].concat());
    let dims = field(5, &[field(8, b"a"), field(1, &[1; 100_000])].concat());
    let notes: Vec<u8> = numbers.flat_map(|i| field(14, &field(1, &name(i)))).collect();
    for (kind, bytes) in [
        ("weights", graph(&weights)),
        ("inputs", graph(&inputs)),
        ("inputs without a name", graph(&field(11, &[]).repeat(100_000))),
        ("operators", graph(&operators)),
        ("weights by name", graph(&named)),
        ("constants", graph(&constants)),
        ("an output's shape", graph(&shape)),
        ("a weight's shape", graph(&dims)),
        ("notes", [graph(&[]), notes].concat()),
    ] {
        let (found, held) = peak(|| OnnxFile::parse(&bytes));
        let outcome = found.map_or_else(|error| format!("{error:#}"), |_| "read".to_owned());
        let share = held as f64 / bytes.len() as f64;
        println!("{kind}: {held} of {} = {share:.1}x, {outcome}", bytes.len());
        assert!(held <= OnnxFile::SHARE * bytes.len() + SLACK, "{kind}: {share:.1}x");
    }
}

fn cases(usual: u32) -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    asked.unwrap_or(usual)
}

fn graph() -> &'static [u8] {
    static GRAPH: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    GRAPH.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let run = small::write_model(folder.path(), "gemma3", small::ULTRAVOX);
        let merged = Merged::open(run.to_str().unwrap()).unwrap();
        export(&merged, Dtype::Int8, folder.path(), 1000).unwrap();
        std::fs::read(folder.path().join("onnx/decoder_model_merged_int8.onnx")).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(300),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// A graph with bytes changed, taken out and cut off: what it holds, or an error; never more than
    /// it can hold.
    #[test]
    fn damaged_graphs(
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..6),
        from in any::<Index>(),
        keep in any::<Index>(),
        cut in any::<bool>(),
    ) {
        let whole = graph();
        let mut bytes = whole.to_vec();
        for (place, byte) in changes {
            *place.get_mut(&mut bytes) = byte;
        }
        if cut {
            let (a, b) = (from.index(bytes.len()), keep.index(bytes.len()));
            bytes.drain(a.min(b)..a.max(b));
        }
        if let Ok(file) = parsed(&bytes) {
            // A tensor inside of an attribute takes two bytes at least.
            prop_assert!(file.tensors.len() <= bytes.len() / 2);
            let names: usize = file.tensors.iter().map(|tensor| tensor.name.len()).sum();
            prop_assert!(names <= bytes.len());
            for tensor in &file.tensors {
                let end = tensor.offset.map(|offset| offset + tensor.bytes);
                prop_assert!(end.is_none_or(|end| end <= bytes.len() as u64));
            }
        }
    }

    /// The wire format alone, at random: fields of any number with anything in them.
    #[test]
    fn fields_without_sense(
        fields in prop::collection::vec((1u8..32, 0u8..6, prop::collection::vec(any::<u8>(), 0..24)), 0..24),
    ) {
        let mut bytes = vec![0x08, 9];
        let mut graph = Vec::new();
        for (tag, wire, content) in fields {
            graph.push(tag << 3 | wire);
            graph.push(content.len() as u8);
            graph.extend(content);
        }
        bytes.extend([0x3a, graph.len() as u8 | 0x80, (graph.len() >> 7) as u8]);
        bytes.extend(graph);
        let _ = parsed(&bytes);
    }
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
