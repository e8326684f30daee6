//! Where ONNX Runtime is.

use partita_model::installed;
use std::io::Write;
use std::path::PathBuf;

/// The shared library: `$ORT_DYLIB_PATH`, or the store's; says so where there is none.
pub fn library() -> Option<PathBuf> {
    let found = installed::onnx_runtime().ok();
    if found.is_none() {
        // Not `println!`: the test harness hides that of tests that pass.
        writeln!(std::io::stderr(), "skipped: onnxruntime is not in the store (make models)").ok();
    }
    found
}
