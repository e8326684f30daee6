//! Weight files of others and of our own: GGUF, safetensors, CTranslate2.
//!
//! [`WeightFile::open`] tells the formats apart by content and maps the file into memory; tensors
//! are decoded only when asked for. Files are taken as hostile: every declared count, length,
//! shape and offset is checked against the file's size before anything is allocated, and memory
//! stays linear in that size. [`gguf::GgufWriter`] writes our own GGUF files.
//!
//! ```
//! use partita_model::files::{WeightFile, gguf::{GgufWriter, TensorSpec}, TensorKind, Value};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("tiny.gguf");
//! let metadata = [("general.architecture".to_owned(), Value::String("whisper".to_owned()))];
//! let specs = [TensorSpec { name: "scale".to_owned(), shape: vec![2], kind: TensorKind::F32 }];
//! let mut writer = GgufWriter::create(&path, &metadata, &specs)?;
//! writer.tensor("scale", &[0, 0, 128, 63, 0, 0, 0, 64])?;
//! writer.finish()?;
//!
//! let file = WeightFile::open(&path)?;
//! assert_eq!(file.metadata_str("general.architecture")?, "whisper");
//! assert_eq!(file.floats("scale")?, (vec![2], vec![1.0, 2.0]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ctranslate2;
mod cursor;
mod decode;
mod error;
pub mod gguf;
mod kind;
mod safetensors;
mod safetensors_write;
mod shards;
mod tensor;
mod value;
mod weight_file;
pub mod whole;

pub use error::FileError;
pub use kind::TensorKind;
pub use safetensors_write::write_safetensors;
pub use tensor::TensorInfo;
pub use value::{Array, Value};
pub use weight_file::{Format, WeightFile};
