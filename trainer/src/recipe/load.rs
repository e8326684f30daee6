//! Recipes from files: `extends`, and where in which file something is wrong.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::Recipe;
use super::check::Problem;

/// Recipes that extend each other, at most.
const LONGEST_CHAIN: usize = 8;

/// What is wrong with a recipe.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file cannot be read.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        cause: io::Error,
    },
    /// It is not TOML.
    #[error("{}:{line}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser expected.
        reason: String,
    },
    /// A key is unknown, of another type, or set to something that cannot work.
    #[error("{}:{line}: `{key}`: {reason}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The line of the key, or of the nearest one around it, from 1.
        line: usize,
        /// The key, with dots.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A value has no TOML form.
    #[error("this recipe cannot be written as TOML: {cause}")]
    NoToml {
        /// Which.
        cause: toml::ser::Error,
    },
}

/// A file of a recipe's chain.
struct Source {
    path: PathBuf,
    text: String,
}

impl Recipe {
    /// Reads a recipe and those it extends, and checks that it can work.
    ///
    /// # Errors
    /// [`RecipeError`], with file, line and key.
    pub fn load(path: &Path) -> Result<Self, RecipeError> {
        let mut chain: Vec<Source> = Vec::new();
        let mut next = Some(path.to_owned());
        let mut tables = Vec::new();
        while let Some(path) = next {
            let text = fs::read_to_string(&path)
                .map_err(|cause| RecipeError::Io { path: path.clone(), cause })?;
            let source = Source { path, text };
            let recipe: Self = source.parse()?;
            tables.push(source.parse::<Table>()?);
            next = recipe.extends.map(|other| match source.path.parent() {
                Some(folder) => folder.join(other),
                None => PathBuf::from(other),
            });
            if next.is_some() && chain.len() + 1 == LONGEST_CHAIN {
                let reason = format!("more than {LONGEST_CHAIN} recipes extend each other");
                return Err(source.error(&Problem::new(["extends"], reason)));
            }
            chain.push(source);
        }
        let extended = chain.len() > 1;
        let mut joined = Table::new();
        for table in tables.into_iter().rev() {
            join(&mut joined, table, &[]);
        }
        let fault = |problem: &Problem| locate(&chain, problem);
        let mut recipe: Self = joined
            .try_into()
            .map_err(|error: toml::de::Error| fault(&Problem::new([], error.message())))?;
        recipe.extends = None;
        if extended {
            // Stages of the other recipe that this one leaves out.
            recipe.stage.retain(|name, _| recipe.order.contains(name));
        }
        recipe.check().map_err(|problem| fault(&problem))?;
        Ok(recipe)
    }
}

/// Puts `over` into `base`: tables key by key, other values and the tables that are taken whole in
/// one piece.
fn join(base: &mut Table, over: Table, path: &[&str]) {
    for (key, value) in over {
        let whole = match path {
            [] => key == "budget",
            ["stage", _] => matches!(key.as_str(), "train" | "tasks" | "late"),
            _ => false,
        };
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) if !whole => {
                let path: Vec<&str> = path.iter().copied().chain([key.as_str()]).collect();
                join(base, over, &path);
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// The error in the file that says most about the key; the first of the chain when several do.
fn locate(chain: &[Source], problem: &Problem) -> RecipeError {
    let mut best: Option<(&Source, usize, usize)> = None;
    for source in chain {
        let (depth, line) = source.find(&problem.path);
        if best.is_none_or(|(_, deepest, _)| depth > deepest) {
            best = Some((source, depth, line));
        }
    }
    let (path, line) =
        best.map(|(source, _, line)| (source.path.clone(), line)).unwrap_or_default();
    RecipeError::Key { path, line, key: problem.path.join("."), reason: problem.reason.clone() }
}

impl Source {
    fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, RecipeError> {
        toml::from_str(&self.text).map_err(|error| {
            let at = error.span().unwrap_or_default().start;
            let (path, line) = (self.path.clone(), line_of(&self.text, at));
            let reason = error.message().replace('\n', ", ");
            match DeTable::parse(&self.text).ok().and_then(|root| key_at(root.get_ref(), at)) {
                Some(key) => RecipeError::Key { path, line, key, reason },
                None => RecipeError::Syntax { path, line, reason },
            }
        })
    }

    fn error(&self, problem: &Problem) -> RecipeError {
        locate(std::slice::from_ref(self), problem)
    }

    /// How many parts of the path are there, and the line of the last of them.
    fn find(&self, path: &[String]) -> (usize, usize) {
        let Ok(root) = DeTable::parse(&self.text) else { return (0, 1) };
        let (mut table, mut found) = (root.get_ref(), (0, 1));
        for (depth, part) in path.iter().enumerate() {
            let Some((key, value)) = table.iter().find(|(key, _)| *key.get_ref() == part.as_str())
            else {
                break;
            };
            found = (depth + 1, line_of(&self.text, key.span().start));
            match value.get_ref() {
                DeValue::Table(inner) => table = inner,
                _ => break,
            }
        }
        found
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// The deepest key at a place of the text, with dots.
fn key_at(table: &DeTable<'_>, at: usize) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        let name = key.get_ref();
        let deeper = match value.get_ref() {
            DeValue::Table(inner) => key_at(inner, at).map(|rest| format!("{name}.{rest}")),
            _ => None,
        };
        let inside = key.span().contains(&at) || value.span().contains(&at);
        deeper.or_else(|| inside.then(|| name.to_string()))
    })
}
