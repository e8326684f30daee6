//! GGUF, the container of ggml and llama.cpp: versions 2 and 3 are read, 3 is written.
//!
//! Layout (little endian): `GGUF`, version, tensor count, key count, keys with typed values,
//! tensor descriptions, padding, data. Dimensions are stored innermost first; everywhere else in
//! this crate they are in PyTorch order. Format:
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod read;
mod write;

pub(super) use read::parse;
pub use write::{GgufWriter, TensorSpec, write_gguf};

pub(super) const MAGIC: &[u8; 4] = b"GGUF";
const VERSION: u32 = 3;
const ALIGNMENT_KEY: &str = "general.alignment";
const ALIGNMENT: u64 = 32;
const MOST_DIMS: usize = 4;

/// Ids of value types in the file.
mod value_id {
    pub const U8: u32 = 0;
    pub const I8: u32 = 1;
    pub const U16: u32 = 2;
    pub const I16: u32 = 3;
    pub const U32: u32 = 4;
    pub const I32: u32 = 5;
    pub const F32: u32 = 6;
    pub const BOOL: u32 = 7;
    pub const STRING: u32 = 8;
    pub const ARRAY: u32 = 9;
    pub const U64: u32 = 10;
    pub const I64: u32 = 11;
    pub const F64: u32 = 12;
}
