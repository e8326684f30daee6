//! Silero VAD (version 5 and 6 of its network) through ONNX Runtime.

use std::path::{Path, PathBuf};

use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;

use super::{FRAME, VoiceActivity};
use crate::{AudioError, SAMPLE_RATE, onnx_runtime};

/// Samples of the frame before that the network wants to see again.
const CONTEXT: usize = 64;
/// Shape of the recurrent state.
const STATE: [usize; 3] = [2, 1, 128];
const STATE_LENGTH: usize = 256;

/// The network of Silero VAD, its memory of the stream included.
pub struct SileroVad {
    path: PathBuf,
    session: Session,
    /// The last samples of the previous frame, followed by the frame at hand.
    input: [f32; CONTEXT + FRAME],
    state: Vec<f32>,
    /// Some exports of the network know 16 kHz only and have no such input.
    takes_rate: bool,
}

impl SileroVad {
    /// Loads the network `model` (`silero_vad.onnx`) and, the first time, the shared library of
    /// ONNX Runtime. One library serves the whole process: later calls use the first that loaded.
    ///
    /// It runs on the calling thread, and ONNX Runtime's telemetry is off.
    ///
    /// # Errors
    /// [`AudioError::OnnxRuntime`] if the library is missing, no ONNX Runtime, or too old;
    /// [`AudioError::VoiceModel`] if the model is missing, or does not behave like this network.
    pub fn load(model: &Path, onnxruntime: &Path) -> Result<Self, AudioError> {
        let environment = onnx_runtime(onnxruntime)?;
        let failure = |reason: String| failure(model, reason);
        if !model.is_file() {
            return Err(failure("no such file".to_owned()));
        }
        let session = Session::builder(&environment)
            .map_err(|e| failure(e.to_string()))?
            .with_intra_threads(1)
            .map_err(|e| failure(e.to_string()))?
            .with_inter_threads(1)
            .map_err(|e| failure(e.to_string()))?
            .commit_from_file(model)
            .map_err(|e| failure(e.to_string()))?;
        let takes_rate = session.inputs().iter().any(|input| input.name() == "sr");
        let input = [0.0; CONTEXT + FRAME];
        let state = vec![0.0; STATE_LENGTH];
        let mut vad = Self { path: model.to_owned(), session, input, state, takes_rate };
        // One frame of silence shows whether this is the network that it should be.
        vad.probability(&[0.0; FRAME])?;
        vad.reset();
        Ok(vad)
    }

    fn run(&mut self) -> ort::Result<(f32, Vec<f32>)> {
        let audio = Tensor::from_array(([1, CONTEXT + FRAME], self.input.to_vec()))?;
        let state = Tensor::from_array((STATE, self.state.clone()))?;
        let mut inputs: Vec<(&str, SessionInputValue)> =
            vec![("input", audio.into()), ("state", state.into())];
        if self.takes_rate {
            let rate = Tensor::from_array((Vec::<i64>::new(), vec![i64::from(SAMPLE_RATE)]))?;
            inputs.push(("sr", rate.into()));
        }
        let outputs = self.session.run(inputs)?;
        let output = |name: &str| {
            outputs.get(name).ok_or_else(|| ort::Error::new(format!("has no output `{name}`")))
        };
        let (_, probability) = output("output")?.try_extract_tensor::<f32>()?;
        let (_, state) = output("stateN")?.try_extract_tensor::<f32>()?;
        match probability.first() {
            Some(probability) if state.len() == STATE_LENGTH => Ok((*probability, state.to_vec())),
            _ => Err(ort::Error::new("gives outputs of another shape than Silero VAD")),
        }
    }
}

impl VoiceActivity for SileroVad {
    fn probability(&mut self, frame: &[f32; FRAME]) -> Result<f32, AudioError> {
        let (_, place) = self.input.split_at_mut(CONTEXT);
        for (place, sample) in place.iter_mut().zip(frame) {
            // Anything not finite would stay in the recurrent state for ever.
            *place = if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 };
        }
        let (probability, state) = self.run().map_err(|e| failure(&self.path, e.to_string()))?;
        self.input.copy_within(FRAME.., 0);
        if !probability.is_finite() || state.iter().any(|value| !value.is_finite()) {
            self.reset();
            return Ok(0.0);
        }
        self.state = state;
        Ok(probability.clamp(0.0, 1.0))
    }

    fn reset(&mut self) {
        self.input.fill(0.0);
        self.state.fill(0.0);
    }
}

fn failure(model: &Path, reason: String) -> AudioError {
    // ONNX Runtime's messages may run over several lines.
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    AudioError::VoiceModel { path: model.to_owned(), reason }
}
