//! The tokenizer of a GGUF file.

use super::byte_level::{ByteScheme, unspelled};
use super::keys::Keys;
use super::merge::Merged;
use super::score::{SPACE, ScoreScheme, byte};
use super::vocabulary::{ENDS, TokenKind, Vocabulary};
use crate::error::ModelError;
use crate::files::WeightFile;

/// Control tokens that end a turn of a conversation, for files that do not name theirs.
const ENDS_OF_TURN: [&str; 3] = ["<end_of_turn>", "<|im_end|>", "<|eot_id|>"];

/// Turns text into token ids and back, as llama.cpp does with the same file.
///
/// Control tokens are never made from text: whoever wants `<bos>` before a text puts its id there.
///
/// ```
/// use partita_model::files::{Value, WeightFile, gguf::GgufWriter};
/// use partita_model::tokens::TextTokenizer;
///
/// let pieces = ["<unk>", "▁", "h", "i", "hi", "▁hi"].map(str::to_owned).to_vec();
/// let metadata = [
///     ("tokenizer.ggml.model".to_owned(), Value::from("llama")),
///     ("tokenizer.ggml.tokens".to_owned(), Value::from(pieces)),
///     ("tokenizer.ggml.scores".to_owned(), vec![0f32, -4.0, -3.0, -3.0, -1.0, -2.0].into()),
///     ("tokenizer.ggml.token_type".to_owned(), vec![2, 1, 1, 1, 1, 1].into()),
///     ("tokenizer.ggml.unknown_token_id".to_owned(), Value::U32(0)),
///     ("tokenizer.ggml.add_space_prefix".to_owned(), Value::Bool(false)),
/// ];
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("tiny.gguf");
/// GgufWriter::create(&path, &metadata, &[])?.finish()?;
///
/// let tokenizer = TextTokenizer::from_gguf(&WeightFile::open(&path)?)?;
/// assert_eq!(tokenizer.encode("hi hi"), [4, 5]);
/// assert_eq!(tokenizer.decode(&[4, 5]), "hi hi");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    vocabulary: Vocabulary,
    scheme: Scheme,
    /// User-defined tokens, the longest first.
    user_defined: Vec<u32>,
    bos: Option<u32>,
    eos: Option<u32>,
    end_of_turn: Option<u32>,
    unknown: Option<u32>,
    padding: Option<u32>,
    adds_bos: bool,
}

/// How tokens are made of a text.
#[derive(Debug, Clone)]
pub(super) enum Scheme {
    Scores(ScoreScheme),
    Bytes(ByteScheme),
}

/// Tokens with a use of their own, where there are such tokens.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Special {
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub unknown: Option<u32>,
    pub padding: Option<u32>,
}

/// Tokens of some kinds, the longest first.
fn of_kinds(vocabulary: &Vocabulary, kinds: &[TokenKind]) -> Vec<u32> {
    let mut found: Vec<(usize, u32)> = vocabulary
        .iter()
        .filter(|(_, piece, kind)| kinds.contains(kind) && !piece.is_empty())
        .map(|(id, piece, _)| (piece.len(), id))
        .collect();
    found.sort_by_key(|&(length, id)| (std::cmp::Reverse(length), id));
    found.into_iter().map(|(_, id)| id).collect()
}

/// A stretch of a text before merging.
enum Stretch<'t> {
    Text(&'t str),
    Token(u32),
}

impl TextTokenizer {
    /// Builds the tokenizer that a file describes by its keys `tokenizer.ggml.*`: SentencePiece
    /// with scores (`model = "llama"`) or byte-level BPE (`"gpt2"`).
    ///
    /// # Errors
    /// Keys that are missing, of another type, of different lengths or beyond the vocabulary; a
    /// kind of tokenizer or a pattern (`pre`) that is not known. Each names file and key.
    pub fn from_gguf(file: &WeightFile) -> Result<Self, ModelError> {
        let keys = Keys(file);
        let model = keys.text("model")?.ok_or_else(|| keys.wrong("model", "missing"))?;
        let vocabulary = Vocabulary::read(keys)?;
        let scheme = match model {
            "llama" => Scheme::Scores(ScoreScheme::read(keys, &vocabulary)?),
            "gpt2" => Scheme::Bytes(ByteScheme::read(keys, &vocabulary)?),
            other => {
                let other: String = other.chars().take(60).collect();
                return Err(keys.wrong("model", format!("is {other:?}; known are llama, gpt2")));
            }
        };
        let id = |key| keys.id(key, vocabulary.len());
        let by_name = || {
            let mut named = ENDS_OF_TURN.iter().filter_map(|name| vocabulary.id(name));
            named.find(|&id| vocabulary.kind(id) == Some(TokenKind::Control))
        };
        let unknown = id("unknown_token_id")?;
        if let Scheme::Scores(scores) = &scheme
            && unknown.is_none()
            && scores.byte_tokens().contains(&None)
        {
            let reason = "missing, and not every byte has a token";
            return Err(keys.wrong("unknown_token_id", reason));
        }
        Ok(Self {
            user_defined: of_kinds(&vocabulary, &[TokenKind::UserDefined]),
            bos: id("bos_token_id")?,
            eos: id("eos_token_id")?,
            end_of_turn: id("eot_token_id")?.or_else(by_name),
            unknown,
            padding: id("padding_token_id")?,
            adds_bos: keys.flag("add_bos_token")?.unwrap_or(model == "llama"),
            vocabulary,
            scheme,
        })
    }

    /// Of tokens, how they are made, and those that have a use of their own.
    pub(super) fn of(vocabulary: Vocabulary, scheme: Scheme, special: Special) -> Self {
        let Special { bos, eos, unknown, padding } = special;
        Self {
            user_defined: of_kinds(&vocabulary, &[TokenKind::UserDefined]),
            vocabulary,
            adds_bos: matches!(scheme, Scheme::Scores(_)),
            scheme,
            bos,
            eos,
            end_of_turn: None,
            unknown,
            padding,
        }
    }

    /// Tokens of a text, without any that begin or end it. Takes time proportional to the text's
    /// length and its logarithm.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.encode_with(text, &|_| true)
    }

    /// Tokens of a text in which control tokens are spelled out, as chat templates make them:
    /// `<|eot_id|>` in it is that token.
    pub fn encode_with_control(&self, text: &str) -> Vec<u32> {
        let cut = of_kinds(&self.vocabulary, &[TokenKind::Control, TokenKind::UserDefined]);
        self.encode_stretches(self.stretches(text, &cut), &|_| true)
    }

    /// The same with only the tokens that `keep` allows, and those of bytes.
    pub(super) fn encode_with(&self, text: &str, keep: &dyn Fn(u32) -> bool) -> Vec<u32> {
        let cut = self.user_defined.iter().copied().filter(|&id| keep(id));
        self.encode_stretches(self.stretches(text, &cut.collect::<Vec<_>>()), keep)
    }

    fn encode_stretches(&self, stretches: Vec<Stretch>, keep: &dyn Fn(u32) -> bool) -> Vec<u32> {
        let mut ids = Vec::new();
        let mut first = true;
        for stretch in stretches {
            match stretch {
                Stretch::Token(id) => ids.push(id),
                Stretch::Text(text) => match &self.scheme {
                    Scheme::Scores(scheme) => {
                        let mut escaped = String::with_capacity(text.len() + 3);
                        escaped.extend((scheme.prefix && first).then_some(SPACE));
                        escaped.extend(text.chars().map(|c| if c == ' ' { SPACE } else { c }));
                        let merged = scheme.merged(&self.vocabulary, &escaped, keep);
                        self.collect(&merged, escaped.as_bytes(), &mut ids);
                    }
                    Scheme::Bytes(scheme) => {
                        for word in scheme.splitter.words(text) {
                            let merged = scheme.merged(&self.vocabulary, word.as_bytes(), keep);
                            self.collect(&merged, word.as_bytes(), &mut ids);
                        }
                    }
                },
            }
            // After a token, SentencePiece's space is put again.
            first = matches!(stretch, Stretch::Token(_));
        }
        ids
    }

    /// Cuts out tokens: all of the first one first, wherever it is.
    fn stretches<'t>(&self, text: &'t str, cut: &[u32]) -> Vec<Stretch<'t>> {
        let mut stretches = vec![Stretch::Text(text)];
        for &id in cut {
            let Some(piece) = self.piece(id).filter(|piece| text.contains(piece)) else { continue };
            let mut finer = Vec::with_capacity(stretches.len() + 2);
            for stretch in stretches {
                let Stretch::Text(text) = stretch else {
                    finer.push(stretch);
                    continue;
                };
                for (i, between) in text.split(piece).enumerate() {
                    finer.extend((i > 0).then_some(Stretch::Token(id)));
                    finer.extend((!between.is_empty()).then_some(Stretch::Text(between)));
                }
            }
            stretches = finer;
        }
        stretches.retain(|stretch| !matches!(stretch, Stretch::Text("")));
        stretches
    }

    /// The ids of merged parts of `text`; characters that are no piece become bytes.
    fn collect(&self, merged: &Merged, text: &[u8], ids: &mut Vec<u32>) {
        for part in &merged.parts {
            match part.id {
                Some(id) => ids.push(id),
                None => {
                    let bytes = text.get(part.start..part.end).unwrap_or_default();
                    ids.extend(bytes.iter().filter_map(|&byte| self.byte_token(byte)));
                }
            }
        }
    }

    /// The token of a byte. Where SentencePiece has none, the unknown token stands for it;
    /// byte-level tokenizers without it leave it out, as llama.cpp does.
    pub(super) fn byte_token(&self, byte: u8) -> Option<u32> {
        let at = usize::from(byte);
        match &self.scheme {
            Scheme::Scores(s) => s.byte_tokens().get(at).copied().flatten().or(self.unknown),
            Scheme::Bytes(scheme) => scheme.byte_tokens().get(at).copied().flatten(),
        }
    }

    /// How a token comes about when its text is merged, with that text as it is merged; `None`
    /// for tokens that are not made from text.
    pub(super) fn derivation(&self, id: u32) -> Option<(Vec<u8>, Merged)> {
        let kind = self.kind(id)?;
        if !matches!(kind, TokenKind::Normal | TokenKind::UserDefined) {
            return None;
        }
        Some(match &self.scheme {
            Scheme::Scores(scheme) => {
                let text = self.piece(id)?.replace(' ', SPACE.encode_utf8(&mut [0; 4]));
                let merged = scheme.merged(&self.vocabulary, &text, &|_| true);
                (text.into_bytes(), merged)
            }
            Scheme::Bytes(scheme) => {
                let text = self.bytes(id)?;
                let merged = scheme.merged_bytes(&text, &|_| true);
                (text, merged)
            }
        })
    }

    /// The text of tokens, without control tokens. Bytes that are no UTF-8 become `U+FFFD`.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().filter_map(|&id| self.bytes(id)).flatten().collect();
        let text = String::from_utf8_lossy(&bytes);
        match &self.scheme {
            Scheme::Scores(ScoreScheme { prefix: true, .. }) => {
                text.strip_prefix(' ').unwrap_or(&text).to_owned()
            }
            _ => text.into_owned(),
        }
    }

    /// A token as it is written in the file: `▁the`, `Ġthe`, `<0x0A>`, `<bos>`.
    pub fn piece(&self, id: u32) -> Option<&str> {
        self.vocabulary.piece(id)
    }

    /// The token that is written so in the file, of any kind.
    pub fn id(&self, piece: &str) -> Option<u32> {
        self.vocabulary.id(piece)
    }

    /// The bytes that a token adds to a text; they need not end where a character does. Control,
    /// unknown and unused tokens add none. `None` for an id beyond the vocabulary.
    pub fn bytes(&self, id: u32) -> Option<Vec<u8>> {
        let piece = self.piece(id)?;
        Some(match (self.kind(id)?, &self.scheme) {
            (TokenKind::Normal, Scheme::Scores(_)) => piece.replace(SPACE, " ").into_bytes(),
            (TokenKind::Normal, Scheme::Bytes(_)) => unspelled(piece),
            (TokenKind::UserDefined, _) => piece.as_bytes().to_vec(),
            (TokenKind::Byte, _) => byte(piece).into_iter().collect(),
            (TokenKind::Control | TokenKind::Unknown | TokenKind::Unused, _) => Vec::new(),
        })
    }

    /// What a token is for.
    pub fn kind(&self, id: u32) -> Option<TokenKind> {
        self.vocabulary.kind(id)
    }

    /// Number of tokens.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary.len()
    }

    /// The token before a text.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// The token that ends a turn of a conversation.
    pub fn end_of_turn(&self) -> Option<u32> {
        self.end_of_turn
    }

    /// All tokens that end a turn or a text, [`end_of_turn`](Self::end_of_turn) and
    /// [`eos`](Self::eos) first: models of others end with any of those that llama.cpp knows.
    pub fn ends(&self) -> Vec<u32> {
        let named = ENDS.iter().filter_map(|name| self.id(name));
        let named = named.filter(|&id| self.kind(id) == Some(TokenKind::Control));
        let mut ends = Vec::new();
        for id in [self.end_of_turn, self.eos].into_iter().flatten().chain(named) {
            if !ends.contains(&id) {
                ends.push(id);
            }
        }
        ends
    }

    /// The token for what has no piece.
    pub fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    /// The token that fills up a batch.
    pub fn padding(&self) -> Option<u32> {
        self.padding
    }

    /// Whether the model wants [`bos`](Self::bos) before every text.
    pub fn adds_bos(&self) -> bool {
        self.adds_bos
    }
}
