//! One graph: a session of ONNX Runtime, what it takes and what it gives.

use super::Runtime;
use crate::error::ModelError;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, TensorElementType, ValueType};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Types of what graphs take and give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    F32,
    I64,
}

/// An input or output that a graph must have: `None` in its shape is any length, which differs from
/// run to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outlet<'a> {
    pub name: &'a str,
    pub kind: Type,
    pub shape: &'a [Option<usize>],
}

/// A loaded graph.
#[derive(Debug)]
pub(crate) struct Graph {
    path: PathBuf,
    inputs: Vec<Known>,
    outputs: Vec<Known>,
    /// ONNX Runtime wants one run at a time.
    session: Mutex<Session>,
}

/// An input or output that a graph has; `-1` in its shape is any length.
#[derive(Debug)]
struct Known {
    name: String,
    kind: Option<TensorElementType>,
    shape: Vec<i64>,
}

/// The largest dimension that is believed.
const LIMIT: i64 = 1 << 22;
/// The longest part of a foreign message or name that is told.
const LONGEST_REASON: usize = 300;

impl Graph {
    /// Loads a graph.
    ///
    /// # Errors
    /// When there is no such file, it is no graph that the library can run, or the library or its
    /// provider cannot be used.
    pub fn open(path: &Path, runtime: &Runtime) -> Result<Self, ModelError> {
        let environment = partita_audio::onnx_runtime(&runtime.library)?;
        let wrong = |reason: String| fault(path, reason);
        if !path.is_file() {
            return Err(wrong("no such file".to_owned()));
        }
        let provider = runtime.provider.dispatch(&runtime.library);
        let provider = provider.map_err(ModelError::Unsupported)?;
        let build = || -> Result<Session, String> {
            let text = |error: ort::Error<_>| error.to_string();
            let mut builder = Session::builder(&environment)
                .map_err(|error| error.to_string())?
                .with_intra_threads(runtime.threads.max(1))
                .map_err(text)?
                .with_inter_threads(1)
                .map_err(text)?
                // Threads that wait by computing burn what other programs need.
                .with_intra_op_spinning(false)
                .map_err(text)?
                // Lengths differ from run to run, so there is no pattern.
                .with_memory_pattern(false)
                .map_err(text)?;
            if let Some(provider) = provider {
                builder = builder.with_execution_providers([provider]).map_err(text)?;
            }
            builder.commit_from_file(path).map_err(|error| error.to_string())
        };
        // The wrapper panics at types that it does not know.
        let session = partita_audio::guarded(build)
            .unwrap_or_else(|| Err("inputs or outputs of a type that is not known".to_owned()))
            .map_err(wrong)?;
        let known = |outlet: &ort::value::Outlet| {
            let (kind, shape) = match outlet.dtype() {
                ValueType::Tensor { ty, shape, .. } => (Some(*ty), shape.to_vec()),
                _ => (None, Vec::new()),
            };
            Known { name: outlet.name().to_owned(), kind, shape }
        };
        let (inputs, outputs) = (session.inputs(), session.outputs());
        Ok(Self {
            path: path.to_owned(),
            inputs: inputs.iter().map(known).collect(),
            outputs: outputs.iter().map(known).collect(),
            session: Mutex::new(session),
        })
    }

    /// The length of an input along an axis, where the graph fixes it.
    ///
    /// # Errors
    /// When there is no such input or axis, or its length is not fixed to what can be believed.
    pub fn input_length(&self, name: &str, axis: usize) -> Result<usize, ModelError> {
        self.length(&self.inputs, "input", name, axis)
    }

    /// As [`Graph::input_length`], of an output.
    ///
    /// # Errors
    /// As there.
    pub fn output_length(&self, name: &str, axis: usize) -> Result<usize, ModelError> {
        self.length(&self.outputs, "output", name, axis)
    }

    fn length(
        &self,
        all: &[Known],
        what: &str,
        name: &str,
        axis: usize,
    ) -> Result<usize, ModelError> {
        let known = all.iter().find(|known| known.name == name);
        let known = known.ok_or_else(|| self.wrong(what, name, missing(all)))?;
        match known.shape.get(axis) {
            Some(&length @ 1..=LIMIT) => Ok(length as usize),
            _ => {
                let reason = format!("shape {:?}, where axis {axis} must be fixed", known.shape);
                Err(self.wrong(what, name, reason))
            }
        }
    }

    /// How many inputs it has.
    pub fn inputs(&self) -> usize {
        self.inputs.len()
    }

    /// Makes sure that it takes just these inputs and gives these outputs.
    ///
    /// # Errors
    /// Names the file and the first input or output that is missing, too many, or of another type or
    /// shape.
    pub fn expect(&self, inputs: &[Outlet], outputs: &[Outlet]) -> Result<(), ModelError> {
        self.agree(&self.inputs, "input", inputs)?;
        self.agree(&self.outputs, "output", outputs)?;
        let more = self.inputs.iter().find(|known| inputs.iter().all(|i| i.name != known.name));
        match more {
            Some(known) => Err(self.wrong("input", &known.name, "not known".to_owned())),
            None => Ok(()),
        }
    }

    fn agree(&self, all: &[Known], what: &str, wanted: &[Outlet]) -> Result<(), ModelError> {
        for Outlet { name, kind, shape } in wanted {
            let known = all.iter().find(|known| known.name == *name);
            let known = known.ok_or_else(|| self.wrong(what, name, missing(all)))?;
            let element = match kind {
                Type::F32 => TensorElementType::Float32,
                Type::I64 => TensorElementType::Int64,
            };
            let fits = |(known, wanted): (&i64, &Option<usize>)| match wanted {
                Some(length) => *known == *length as i64,
                None => *known < 0,
            };
            let same = known.shape.len() == shape.len() && known.shape.iter().zip(*shape).all(fits);
            if known.kind != Some(element) || !same {
                let wanted: Vec<String> = shape
                    .iter()
                    .map(|length| length.map_or("any".to_owned(), |length| length.to_string()))
                    .collect();
                let (found, wanted) = (&known.shape, wanted.join(", "));
                let found_kind = known.kind.map_or("no tensor".to_owned(), |kind| kind.to_string());
                let reason = format!("{found_kind} {found:?}, not {element} [{wanted}]");
                return Err(self.wrong(what, name, reason));
            }
        }
        Ok(())
    }

    /// Runs it; the outputs of these names in their order.
    ///
    /// # Errors
    /// When the graph fails.
    pub fn run(
        &self,
        inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)>,
        outputs: &[impl AsRef<str>],
    ) -> Result<Vec<DynValue>, ModelError> {
        let mut session: MutexGuard<Session> =
            self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let run = || {
            session.run(inputs).map(|mut found| {
                outputs.iter().map(|name| found.remove(name.as_ref())).collect::<Vec<_>>()
            })
        };
        // The wrapper panics at outputs that are not there.
        let found = partita_audio::guarded(run)
            .ok_or_else(|| fault(&self.path, "gives an output that is none".to_owned()))?
            .map_err(|error| fault(&self.path, error.to_string()))?;
        let named = |(value, name): (Option<DynValue>, &_)| {
            let name: &str = AsRef::<str>::as_ref(name);
            value.ok_or_else(|| self.wrong("output", name, "missing".to_owned()))
        };
        found.into_iter().zip(outputs).map(named).collect()
    }

    /// Runs it; the output of this name.
    ///
    /// # Errors
    /// As [`Graph::run`].
    pub fn give(
        &self,
        inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)>,
        output: &str,
    ) -> Result<DynValue, ModelError> {
        let found = self.run(inputs, &[output])?.pop();
        found.ok_or_else(|| self.wrong("output", output, "missing".to_owned()))
    }

    /// Numbers of an output that must be of this shape; lengths of `None` are any.
    ///
    /// # Errors
    /// When it is not.
    pub fn numbers<'v>(
        &self,
        name: &str,
        value: &'v DynValue,
        shape: &[Option<usize>],
    ) -> Result<(Vec<usize>, &'v [f32]), ModelError> {
        let numbers = value.try_extract_tensor::<f32>();
        let (found, numbers) =
            numbers.map_err(|error| self.wrong("output", name, error.to_string()))?;
        let fits = |(&found, wanted): (&i64, &Option<usize>)| {
            found >= 0 && wanted.is_none_or(|wanted| found == wanted as i64)
        };
        if found.len() != shape.len() || !found.iter().zip(shape).all(fits) {
            let reason = format!("has come out as {found:?}, not as declared");
            return Err(self.wrong("output", name, reason));
        }
        Ok((found.iter().map(|&length| length as usize).collect(), numbers))
    }

    /// An error that names the file.
    pub fn fault(&self, reason: &str) -> ModelError {
        fault(&self.path, reason.to_owned())
    }

    /// What is wrong with an input or output.
    fn wrong(&self, what: &str, name: &str, reason: String) -> ModelError {
        let name: String = name.chars().take(LONGEST_REASON).collect();
        fault(&self.path, format!("{what} `{name}`: {reason}"))
    }
}

fn missing(all: &[Known]) -> String {
    let names: Vec<&str> = all.iter().take(6).map(|known| known.name.as_str()).collect();
    format!("missing; there are {}", names.join(", "))
}

/// ONNX Runtime's messages may run over several lines.
fn fault(path: &Path, reason: String) -> ModelError {
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    let reason = reason.chars().take(LONGEST_REASON).collect();
    ModelError::Graph { path: path.to_owned(), reason }
}
