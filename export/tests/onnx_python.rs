//! Exported graphs before onnx.checker and Python's ONNX Runtime. Where there is no Python with both
//! (`PARTITA_PYTHON`, or python3), the test says so and passes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with the other tests of ONNX")]
#[path = "onnx_small/mod.rs"]
mod small;

use partita_export::merged::Merged;
use partita_export::onnx::{Dtype, MOST_INSIDE, export};
use std::io::Write;
use std::process::Command;

const CHECK: &str = r#"
import sys
import onnx
import onnxruntime
for path in sys.argv[1:]:
    onnx.checker.check_model(path, full_check=True)
    onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    print("sound:", path)
"#;

#[test]
fn every_graph_is_sound() {
    let python = std::env::var_os("PARTITA_PYTHON").unwrap_or_else(|| "python3".into());
    let has = Command::new(&python).args(["-c", "import onnx, onnxruntime"]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        // Not `println!`: the test harness hides that of tests that pass.
        writeln!(std::io::stderr(), "skipped: no Python with onnx and onnxruntime").ok();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let model = small::write_model(folder.path(), "gemma3", small::ULTRAVOX);
    let merged = Merged::open(model.to_str().unwrap()).unwrap();
    let mut graphs = Vec::new();
    for (most, name) in [(MOST_INSIDE, "whole"), (60_000, "split")] {
        for dtype in Dtype::ALL {
            let files = export(&merged, dtype, &folder.path().join(name), most).unwrap();
            let is_graph = |path: &std::path::PathBuf| path.extension().unwrap() == "onnx";
            graphs.extend(files.into_iter().map(|(path, _)| path).filter(is_graph));
        }
    }
    assert_eq!(graphs.len(), 2 * 4 * 3);
    let output = Command::new(&python).args(["-c", CHECK]).args(&graphs).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().filter(|line| line.starts_with("sound:")).count(), graphs.len());
}
