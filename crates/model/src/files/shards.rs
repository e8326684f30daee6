//! Models in several files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::error::{Fault, shown};
use super::tensor::index_by_name;
use super::weight_file::{Part, map};
use super::{FileError, Value, WeightFile};

/// Largest index of a sharded checkpoint that is read.
const LONGEST_INDEX: u64 = 100_000_000;

/// Keys of GGUF files in shards, and the most shards that are opened.
const SHARD_NUMBER: &str = "split.no";
const SHARD_COUNT: &str = "split.count";
const SHARD_TENSORS: &str = "split.tensors.count";
const MOST_SHARDS: u64 = 1000;

impl WeightFile {
    /// safetensors in several files, by their index.
    pub(super) fn open_shards(path: &Path) -> Result<Self, FileError> {
        #[derive(serde::Deserialize)]
        struct Index {
            weight_map: BTreeMap<String, String>,
        }
        let wrong = |reason: String| Fault::new(0, reason).in_file(path);
        let map = map(path)?;
        if map.len() as u64 > LONGEST_INDEX {
            return Err(wrong(format!("an index of {} bytes is too long", map.len())));
        }
        let index: Index =
            serde_json::from_slice(&map).map_err(|error| wrong(error.to_string()))?;
        let names: BTreeSet<&str> = index.weight_map.values().map(String::as_str).collect();

        let mut shards = names.into_iter().map(|name| {
            // A shard lies beside its index: `..` and absolute paths lead elsewhere.
            match Path::new(name).file_name() {
                Some(plain) if plain == name => Self::open_one(&path.with_file_name(name)),
                _ => Err(wrong(format!("shard `{}` is no plain file name", shown(name)))),
            }
        });
        let mut whole =
            shards.next().unwrap_or_else(|| Err(wrong("an index without shards".to_owned())))?;
        for shard in shards {
            let shard = shard?;
            let first = whole.tensors.len();
            whole.parts.extend(shard.parts.into_iter().map(|part| Part { first, ..part }));
            whole.tensors.extend(shard.tensors);
            whole.metadata.extend(shard.metadata);
        }
        whole.path = path.to_owned();
        whole.by_name = index_by_name(&whole.tensors).map_err(|fault| fault.in_file(path))?;
        for (tensor, shard) in &index.weight_map {
            let part = whole.find(tensor).and_then(|i| whole.part(i));
            if part.and_then(|part| part.path.file_name()).is_none_or(|name| name != shard.as_str())
            {
                return Err(wrong(format!("no `{}` in `{}`", shown(tensor), shown(shard))));
            }
        }
        Ok(whole)
    }

    /// With the tensors of the other shards, if this is the first of several: llama.cpp's
    /// `NAME-00001-of-00003.gguf`, which has all keys.
    pub(super) fn with_shards(mut self) -> Result<Self, FileError> {
        let number = |file: &Self, key: &str| file.metadata.get(key).and_then(Value::as_u64);
        let count = number(&self, SHARD_COUNT).unwrap_or(1);
        if count <= 1 || number(&self, SHARD_NUMBER) != Some(0) {
            return Ok(self);
        }
        let wrong =
            |file: &Self, key, reason: String| Err(FileError::metadata(&file.path, key, reason));
        if count > MOST_SHARDS {
            return wrong(&self, SHARD_COUNT, format!("{count} shards, more than {MOST_SHARDS}"));
        }
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        let Some(stem) = name.strip_suffix(&format!("-00001-of-{count:05}.gguf")) else {
            let reason = format!("{count}, but the file is not named -00001-of-{count:05}.gguf");
            return wrong(&self, SHARD_COUNT, reason);
        };
        for shard in 1..count {
            let next = format!("{stem}-{:05}-of-{count:05}.gguf", shard + 1);
            let next = Self::open_one(&self.path.with_file_name(next))?;
            if number(&next, SHARD_NUMBER) != Some(shard)
                || number(&next, SHARD_COUNT) != Some(count)
            {
                return wrong(&next, SHARD_NUMBER, format!("not shard {shard} of {count}"));
            }
            let first = self.tensors.len();
            self.parts.extend(next.parts.into_iter().map(|part| Part { first, ..part }));
            self.tensors.extend(next.tensors);
        }
        let tensors = self.tensors.len() as u64;
        if number(&self, SHARD_TENSORS).is_some_and(|told| told != tensors) {
            return wrong(&self, SHARD_TENSORS, format!("there are {tensors}"));
        }
        self.by_name = index_by_name(&self.tensors).map_err(|fault| fault.in_file(&self.path))?;
        Ok(self)
    }
}
