//! Text to token ids and back, the marks of tasks and languages, and shortlists of tokens.
//!
//! - [`TextTokenizer`]: the tokenizer inside a GGUF file, with the ids of llama.cpp, or of an exported
//!   `tokenizer.json`;
//! - [`Marks`]: which token stands for `<asr>`, `<to:de>`, `<lang:none>` and the others;
//! - [`Shortlist`]: the tokens that some languages need, closed under the tokenizer's merges.
//!
//! Merging is ours, not the `tokenizers` crate's: there a merge is a pair with a rank of its own,
//! while SentencePiece orders merges by the score of what they make and then from left to right.
//! It needs half a million pairs for Gemma's 262,144 pieces where one score a piece will do, and
//! a shortlist has to see the merges that lead to a piece. The tests compare the two.

mod byte_level;
mod json;
mod keys;
mod marks;
mod merge;
mod score;
mod shortlist;
mod split;
mod tokenizer;
mod vocabulary;

pub use marks::{Lang, Mark, Marks};
pub use shortlist::{Shortlist, ShortlistBuilder};
pub use split::word_patterns;
pub use tokenizer::TextTokenizer;
pub use vocabulary::TokenKind;
