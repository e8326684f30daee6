//! How a language model of others is asked: an instruction in the chat template that its file carries.

use crate::error::ModelError;
use crate::files::{FileError, Value, WeightFile};
use crate::tokens::TextTokenizer;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use std::path::PathBuf;

/// Stands for the audio while a template is rendered; for private use, so in no text.
const AUDIO: &str = "\u{F0A0D}";
const KEY: &str = "tokenizer.chat_template";
/// Largest template that is read; published ones have some thousand bytes.
const LONGEST: usize = 1 << 20;
/// Steps that rendering may take: a template of others may loop.
const FUEL: u64 = 1_000_000;

/// A chat template (Jinja, as Hugging Face's tokenizers have it).
#[derive(Debug)]
pub(super) struct ChatTemplate {
    environment: Environment<'static>,
    path: PathBuf,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Takes the template of a language model's file.
    ///
    /// # Errors
    /// When there is none, or it is malformed.
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
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| wrong(&path, &error))?);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.add_function("raise_exception", |reason: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, reason))
        });
        // What day it is must not change what is heard.
        environment.add_function("strftime_now", |_: String| "26 Jul 2024");
        let added = environment.add_template_owned("chat", text.to_owned());
        added.map_err(|error| wrong(&path, &error))?;
        let piece = |id: Option<u32>| id.and_then(|id| tokenizer.piece(id)).unwrap_or_default();
        let (bos, eos) = (piece(tokenizer.bos()).to_owned(), piece(tokenizer.eos()).to_owned());
        Ok(Self { environment, path, bos, eos })
    }

    /// Tokens before and behind the audio of a turn that says these words and then the audio.
    ///
    /// # Errors
    /// When the template fails, or says the turn not just once.
    pub fn ask(&self, tokenizer: &TextTokenizer, words: &str) -> Result<[Vec<u32>; 2], ModelError> {
        let content = format!("{words}\n{AUDIO}");
        let chat = self.environment.get_template("chat").and_then(|template| {
            template.render(context! {
                messages => [context! { role => "user", content }],
                bos_token => self.bos.as_str(),
                eos_token => self.eos.as_str(),
                add_generation_prompt => true,
            })
        });
        let chat = chat.map_err(|error| wrong(&self.path, &error))?;
        let mut parts = chat.split(AUDIO);
        let (Some(before), Some(behind), None) = (parts.next(), parts.next(), parts.next()) else {
            let reason = "does not say what a user says just once";
            return Err(FileError::metadata(&self.path, KEY, reason).into());
        };
        let mut before = tokenizer.encode_with_control(before);
        let begins = tokenizer.bos().filter(|_| tokenizer.adds_bos());
        if let Some(bos) = begins.filter(|&bos| before.first() != Some(&bos)) {
            before.insert(0, bos);
        }
        Ok([before, tokenizer.encode_with_control(behind)])
    }
}

fn wrong(path: &std::path::Path, error: &Error) -> ModelError {
    let reason: String =
        error.to_string().lines().next().unwrap_or_default().chars().take(200).collect();
    FileError::metadata(path, KEY, reason).into()
}
