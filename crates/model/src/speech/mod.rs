//! A language model that hears: Whisper's encoder, an adapter, and a small language model that
//! writes transcript and translation in one pass; CTC over the language model's own words.

mod adapter;
mod chat;
mod conv_glu;
mod ctc;
mod ctc_align;
mod ctc_loss;
mod ends;
mod engine;
mod exported;
mod follow;
mod grammar;
mod instructed;
mod loss;
mod model;
mod network;
mod onnx_model;
mod onnx_network;
mod pair;
mod task;
mod timing;
mod trained;
mod transformer_conv;
mod ultravox;
mod vocabulary;
mod writing;

pub use adapter::{Adapter, AdapterConfig, AdapterShape};
pub use conv_glu::ConvGlu;
pub use ctc::CtcHead;
pub use ctc_align::{Alignment, CTC_STEP, align, greedy};
pub use ctc_loss::{CtcLoss, ctc_loss, ctc_losses};
pub use engine::SpeechEngine;
pub use exported::ExportedModel;
pub use grammar::Grammar;
pub use instructed::{InstructedEngine, InstructedModel};
pub use loss::{AnswerLoss, Sequence};
pub use model::{Bases, SpeechConfig, SpeechLlm};
pub use network::{SpeechNetwork, State};
pub use onnx_model::OnnxModel;
pub use onnx_network::{OnnxSpeech, OnnxState};
pub use task::{Task, answer};
pub use trained::TrainedModel;
pub use transformer_conv::TransformerConv;
pub use ultravox::Ultravox;
pub use vocabulary::Vocabulary;
pub use writing::{Answer, Wish};
