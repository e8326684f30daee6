//! Decoder-only language models that take vectors as well as tokens: Gemma 3, Llama, Qwen 2 and 3.
//!
//! One network for all; what differs is a value of [`LlmConfig`]. It follows llama.cpp's file
//! names and its arithmetic, and serves training (floats, gradients) and inference (quantized) by
//! the [`WeightSource`](crate::nn::WeightSource) that it is loaded from.

mod block;
mod config;
mod network;
mod table;
mod text;

pub use config::{LlmConfig, SlidingWindow};
pub use network::{Llm, LlmState};
pub use table::{Output, TokenTable, TrainedRows};
pub use text::TextNetwork;
pub(crate) use text::Writing;
