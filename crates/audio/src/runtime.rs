//! ONNX Runtime, a shared library that is loaded when it is first needed.

use std::path::Path;
use std::sync::{Arc, Mutex};

use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::AudioError;

/// The process's one environment of ONNX Runtime, from this shared library the first time; later calls
/// get the first that loaded, whatever they name. Its telemetry is off.
///
/// # Errors
/// [`AudioError::OnnxRuntime`] if the library is missing, no ONNX Runtime, or too old.
pub fn onnx_runtime(library: &Path) -> Result<Environment, AudioError> {
    // It must outlive every session, so it is never dropped.
    static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);
    let failure = |reason: String| AudioError::OnnxRuntime { path: library.to_owned(), reason };
    let mut slot = ENVIRONMENT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(environment) = slot.as_ref() {
        return Ok(environment.clone());
    }
    // Left to itself, the loader would look for a relative path beside the program.
    let path = std::path::absolute(library).map_err(|e| failure(e.to_string()))?;
    if !path.is_file() {
        return Err(failure("no such file".to_owned()));
    }
    let builder = ort::init_from(&path).map_err(|e| failure(e.to_string()))?;
    // What goes wrong comes back as an error; the library would print it beside that, in colours.
    let log = |_: LogLevel, _: &str, _: &str, place: &str, message: &str| {
        tracing::trace!(place, "ONNX Runtime: {message}");
    };
    let builder = builder.with_telemetry(false).with_logger(Arc::new(log));
    let environment = builder.build().map_err(|e| failure(e.to_string()))?;
    Ok(slot.insert(environment).clone())
}
