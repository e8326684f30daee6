//! How a language model of others is asked: an instruction in the chat template that its file carries.
//!
//! A template is a program of others. It gets a bounded number of steps, a few methods that cannot make
//! much out of little, and a thread whose stack is larger than anything that it can nest.

use crate::error::ModelError;
use crate::files::{FileError, Value, WeightFile};
use crate::tokens::TextTokenizer;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Rest as Others, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use std::path::PathBuf;

/// Stands for the audio while a template is rendered; for private use, so in no text.
const AUDIO: &str = "\u{F0A0D}";
const KEY: &str = "tokenizer.chat_template";
/// Largest template that is read, and longest turn that it may make, in bytes; published templates have
/// up to 20,000, and a turn of theirs some hundred.
const LONGEST: usize = 1 << 16;
/// Steps that rendering may take.
const FUEL: u64 = 100_000;
/// Bytes of stack for a template of nothing but nested signs, taken from the system as they are used.
const STACK: usize = 256 << 20;
/// Python's methods that give no more than they get.
const METHODS: [&str; 14] = [
    "strip",
    "lstrip",
    "rstrip",
    "split",
    "startswith",
    "endswith",
    "upper",
    "lower",
    "title",
    "capitalize",
    "items",
    "keys",
    "values",
    "get",
];

/// Arguments of whatever number and kind.
type Rest = Others<minijinja::Value>;

/// A chat template (Jinja, as Hugging Face's tokenizers have it).
#[derive(Debug)]
pub(super) struct ChatTemplate {
    text: String,
    path: PathBuf,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Takes the template of a language model's file, and tries it.
    ///
    /// # Errors
    /// When there is none, it fails, or it does not say what a user says just once.
    pub fn read(file: &WeightFile, tokenizer: &TextTokenizer) -> Result<Self, ModelError> {
        let path = file.path().to_owned();
        let Some(text) = file.metadata().get(KEY).and_then(Value::as_str) else {
            let reason = "missing: a language model that was not taught to follow instructions";
            return Err(FileError::metadata(&path, KEY, reason).into());
        };
        if text.len() > LONGEST {
            let reason = format!("{} bytes are no template", text.len());
            return Err(FileError::metadata(&path, KEY, reason).into());
        }
        let piece = |id: Option<u32>| id.and_then(|id| tokenizer.piece(id)).unwrap_or_default();
        let (bos, eos) = (piece(tokenizer.bos()).to_owned(), piece(tokenizer.eos()).to_owned());
        let template = Self { text: text.to_owned(), path, bos, eos };
        template.ask(tokenizer, "Transcribe")?;
        Ok(template)
    }

    /// Tokens before and behind the audio of a turn that says these words and then the audio.
    ///
    /// # Errors
    /// When the template fails, or says the turn not just once.
    pub fn ask(&self, tokenizer: &TextTokenizer, words: &str) -> Result<[Vec<u32>; 2], ModelError> {
        let content = format!("{words}\n{AUDIO}");
        let chat = std::thread::scope(|scope| {
            let render = || self.render(&content).map_err(|error| shown(&error));
            let name = "chat template".to_owned();
            let thread = std::thread::Builder::new().name(name).stack_size(STACK);
            match thread.spawn_scoped(scope, render).map(|thread| thread.join()) {
                Ok(Ok(rendered)) => rendered,
                Ok(Err(_)) => Err("fails".to_owned()),
                Err(cause) => Err(format!("no thread to render it: {cause}")),
            }
        });
        let wrong = |reason: String| FileError::metadata(&self.path, KEY, reason);
        let chat = chat.map_err(wrong)?;
        if chat.len() > LONGEST {
            return Err(wrong(format!("makes {} bytes of a turn", chat.len())).into());
        }
        let mut parts = chat.split(AUDIO);
        let (Some(before), Some(behind), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong("does not say what a user says just once".to_owned()).into());
        };
        let mut before = tokenizer.encode_with_control(before);
        let begins = tokenizer.bos().filter(|_| tokenizer.adds_bos());
        if let Some(bos) = begins.filter(|&bos| before.first() != Some(&bos)) {
            before.insert(0, bos);
        }
        Ok([before, tokenizer.encode_with_control(behind)])
    }

    fn render(&self, content: &str) -> Result<String, Error> {
        let mut environment = Environment::new();
        environment
            .set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(method);
        environment.add_function("raise_exception", |reason: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, reason))
        });
        // What tools are offered is written so, not what a user says; it counts as steps only what it
        // has made already.
        environment.add_filter(
            "tojson",
            |_: &minijinja::Value, _: Rest| -> Result<String, Error> {
                Err(Error::new(
                    ErrorKind::InvalidOperation,
                    "a user's turn has nothing for `tojson`",
                ))
            },
        );
        // What day it is must not change what is heard.
        environment.add_function("strftime_now", |_: String| "26 Jul 2024");
        environment.render_str(
            &self.text,
            context! {
                messages => [context! { role => "user", content }],
                bos_token => self.bos.as_str(),
                eos_token => self.eos.as_str(),
                add_generation_prompt => true,
                // Qwen 3 and others think aloud unless they are told not to.
                enable_thinking => false,
            },
        )
    }
}

/// Python's methods, which templates call on texts and dictionaries.
fn method(
    state: &mut State,
    value: &minijinja::Value,
    name: &str,
    arguments: &[minijinja::Value],
) -> Result<minijinja::Value, Error> {
    let simple = |argument: &minijinja::Value| {
        let kind = argument.kind();
        matches!(kind, ValueKind::String | ValueKind::Number | ValueKind::Bool | ValueKind::None)
    };
    match name {
        // The filter counts what it makes as steps.
        "replace" => {
            let all: Vec<_> = std::iter::once(value).chain(arguments).cloned().collect();
            state.apply_filter("replace", &all)
        }
        _ if METHODS.contains(&name) && arguments.iter().all(simple) => {
            unknown_method_callback(state, value, name, arguments)
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

/// One line of an error, without signs that steer a terminal.
fn shown(error: &Error) -> String {
    let line = error.to_string();
    let line = line.lines().next().unwrap_or_default();
    line.chars().filter(|sign| !sign.is_control()).take(200).collect()
}
