//! What joins a speech encoder to a language model: adapters, and CTC over the model's own words.

mod adapter;
mod conv_glu;
mod ctc;
mod ctc_align;
mod ctc_loss;
mod transformer_conv;
mod ultravox;

pub use adapter::{Adapter, AdapterConfig, AdapterShape};
pub use conv_glu::ConvGlu;
pub use ctc::CtcHead;
pub use ctc_align::{Alignment, CTC_STEP, align, greedy};
pub use ctc_loss::{CtcLoss, ctc_loss};
pub use transformer_conv::TransformerConv;
pub use ultravox::Ultravox;
