//! A file's tokenizer keys, with errors that name file and key.

use crate::error::ModelError;
use crate::files::{Array, FileError, Value, WeightFile};

/// Every key begins with this.
const PREFIX: &str = "tokenizer.ggml.";

/// The keys `tokenizer.ggml.*` of one file; they are named here without that prefix.
#[derive(Clone, Copy)]
pub(super) struct Keys<'f>(pub &'f WeightFile);

impl<'f> Keys<'f> {
    /// What is wrong with a key.
    pub fn wrong(self, key: &str, reason: impl Into<String>) -> ModelError {
        ModelError::File(FileError::Metadata {
            path: self.0.path().to_owned(),
            key: format!("{PREFIX}{key}"),
            reason: reason.into(),
        })
    }

    fn get(self, key: &str) -> Option<&'f Value> {
        self.0.metadata().get(&format!("{PREFIX}{key}"))
    }

    /// A string that may be missing.
    pub fn text(self, key: &str) -> Result<Option<&'f str>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.wrong(key, "is not a string"))
    }

    /// A truth value that may be missing.
    pub fn flag(self, key: &str) -> Result<Option<bool>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.wrong(key, "is not a bool"))
    }

    /// The id of one of `vocabulary` tokens; it may be missing.
    pub fn id(self, key: &str, vocabulary: usize) -> Result<Option<u32>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let id = value.as_u64().ok_or_else(|| self.wrong(key, "is not a non-negative integer"))?;
        match u32::try_from(id) {
            Ok(id) if (id as usize) < vocabulary => Ok(Some(id)),
            _ => Err(self.wrong(key, format!("is {id}, and there are {vocabulary} tokens"))),
        }
    }

    /// An array that may be missing, of `length` elements where that is known.
    pub fn array(self, key: &str, length: Option<usize>) -> Result<Option<&'f Array>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let array = value.as_array().ok_or_else(|| self.wrong(key, "is not an array"))?;
        match length {
            Some(length) if length != array.len() => {
                let found = array.len();
                Err(self.wrong(key, format!("has {found} elements for {length} tokens")))
            }
            _ => Ok(Some(array)),
        }
    }

    /// An array of strings that must be there.
    pub fn strings(self, key: &str) -> Result<&'f [String], ModelError> {
        let array = self.array(key, None)?.ok_or_else(|| self.wrong(key, "missing"))?;
        array
            .as_strings()
            .ok_or_else(|| self.wrong(key, format!("holds {}, not strings", array.type_name())))
    }
}
