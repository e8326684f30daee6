//! The tokenizer of a model's own tokens, as Hugging Face's libraries read it.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, bail, ensure};
use partita_model::files::Array;
use partita_model::tokens::{TokenKind, word_patterns};
use serde_json::{Value, json};

use crate::gguf::tokenizer::kept_merges;
use crate::merged::Text;

/// What stands for audio in a prompt.
pub const AUDIO: &str = "<|audio|>";
/// How SentencePiece writes a space.
const SPACE: &str = "\u{2581}";

/// `tokenizer.json`: pieces under their new numbers, marks under their names, and [`AUDIO`] behind
/// them all.
///
/// # Errors
/// When the tokenizer's keys are incomplete, or two tokens have one name.
pub fn json(text: &Text) -> Result<Value> {
    let names: Vec<String> = text.ids.iter().map(|&id| name(text, id)).collect::<Result<_>>()?;
    let mut vocabulary = serde_json::Map::new();
    for (place, name) in names.iter().map(String::as_str).chain([AUDIO]).enumerate() {
        let doubled = vocabulary.insert(name.to_owned(), place.into()).is_some();
        ensure!(!doubled, "two tokens are named {name:?}");
    }
    let mut added = Vec::new();
    for (place, (&id, name)) in text.ids.iter().zip(&names).enumerate() {
        let special = match text.tokenizer.kind(id) {
            _ if text.marks.of(id).is_some() => true,
            None | Some(TokenKind::Control | TokenKind::Unused | TokenKind::Unknown) => true,
            Some(TokenKind::UserDefined) => false,
            Some(TokenKind::Normal | TokenKind::Byte) => continue,
        };
        added.push(token(place, name, special));
    }
    added.push(token(names.len(), AUDIO, true));
    let pre = pre(text)?;
    let parts = match &pre {
        Some(pre) => byte_level(text, pre)?,
        None => sentence_piece(text)?,
    };
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": parts.normalizer,
        "pre_tokenizer": parts.pre_tokenizer,
        "post_processor": null,
        "decoder": parts.decoder,
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": text.tokenizer.unknown().and_then(|id| text.tokenizer.piece(id)),
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": pre.is_none(),
            "byte_fallback": pre.is_none(),
            "ignore_merges": parts.whole_words,
            "vocab": vocabulary,
            "merges": parts.merges,
        },
    }))
}

/// How a byte-level tokenizer cuts texts into words; `None` for SentencePiece's with scores.
///
/// # Errors
/// When it is neither.
pub fn pre(text: &Text) -> Result<Option<String>> {
    let file = &text.file;
    match file.metadata_str("tokenizer.ggml.model")? {
        "llama" => Ok(None),
        "gpt2" => {
            let pre = file.metadata().get("tokenizer.ggml.pre").and_then(|pre| pre.as_str());
            Ok(Some(pre.unwrap_or("default").to_owned()))
        }
        kind => bail!("a tokenizer of the kind `{kind}`"),
    }
}

/// What differs between kinds of tokenizers.
struct Parts {
    normalizer: Value,
    pre_tokenizer: Value,
    decoder: Value,
    merges: Vec<String>,
    whole_words: bool,
}

/// SentencePiece merges the pair whose piece has the highest score, so merges are all pairs that
/// make a piece, in the order of scores.
fn sentence_piece(text: &Text) -> Result<Parts> {
    let metadata = text.file.metadata();
    let scores = match metadata.get("tokenizer.ggml.scores").and_then(|v| v.as_array()) {
        Some(Array::F32(scores)) => scores,
        _ => bail!("{}: no scores of tokens", text.file.path().display()),
    };
    let prefix = metadata
        .get("tokenizer.ggml.add_space_prefix")
        .is_none_or(|value| value.as_bool().unwrap_or(true));
    let replace = |from: &str, to: &str| json!({"type": "Replace", "pattern": {"String": from}, "content": to});
    let mut normalizers = vec![replace(" ", SPACE)];
    let mut decoders =
        vec![replace(SPACE, " "), json!({"type": "ByteFallback"}), json!({"type": "Fuse"})];
    if prefix {
        normalizers.insert(0, json!({"type": "Prepend", "prepend": SPACE}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    Ok(Parts {
        normalizer: json!({"type": "Sequence", "normalizers": normalizers}),
        pre_tokenizer: Value::Null,
        decoder: json!({"type": "Sequence", "decoders": decoders}),
        merges: merges(text, scores),
        whole_words: false,
    })
}

/// Words are cut by the published patterns, and their bytes, in GPT-2's letters, merge by rank.
fn byte_level(text: &Text, pre: &str) -> Result<Parts> {
    let known = || format!("{}: words are cut as `{pre}`", text.file.path().display());
    let (patterns, whole_words) = word_patterns(pre).with_context(known)?;
    let mut steps: Vec<Value> = patterns
        .iter()
        .map(|pattern| {
            let pattern = json!({"Regex": pattern});
            json!({"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": false})
        })
        .collect();
    let bytes = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false,
    });
    steps.push(bytes.clone());
    let all = text.file.metadata().get("tokenizer.ggml.merges").and_then(|v| v.as_array());
    let all = all.and_then(Array::as_strings).context("no merges of tokens")?;
    let ids: HashSet<u32> = text.ids.iter().copied().collect();
    let kept = |piece: &str| text.tokenizer.id(piece).is_some_and(|id| ids.contains(&id));
    Ok(Parts {
        normalizer: Value::Null,
        pre_tokenizer: json!({"type": "Sequence", "pretokenizers": steps}),
        decoder: bytes,
        merges: kept_merges(all, kept),
        whole_words,
    })
}

/// A token as it is written: a mark by its name.
pub fn name(text: &Text, id: u32) -> Result<String> {
    if let Some(mark) = text.marks.of(id) {
        return Ok(mark.to_string());
    }
    text.tokenizer.piece(id).map(str::to_owned).with_context(|| format!("token {id} has no piece"))
}

fn token(place: usize, content: &str, special: bool) -> Value {
    json!({
        "id": place,
        "content": content,
        "single_word": false,
        "lstrip": false,
        "rstrip": false,
        "normalized": false,
        "special": special,
    })
}

/// Every pair of pieces that makes a piece, pieces of the highest score first.
fn merges(text: &Text, scores: &[f32]) -> Vec<String> {
    let is_piece = |id: u32| {
        matches!(text.tokenizer.kind(id), Some(TokenKind::Normal | TokenKind::UserDefined))
    };
    let pieces: Vec<(&str, f32)> = text
        .ids
        .iter()
        .filter(|&&id| is_piece(id) && text.marks.of(id).is_none())
        .filter_map(|&id| Some((text.tokenizer.piece(id)?, *scores.get(id as usize)?)))
        .collect();
    let known: HashSet<&str> = pieces.iter().map(|(piece, _)| *piece).collect();
    let places: HashMap<&str, usize> =
        pieces.iter().enumerate().map(|(place, (piece, _))| (*piece, place)).collect();
    let mut pairs = Vec::new();
    for &(piece, score) in &pieces {
        for (at, _) in piece.char_indices().skip(1) {
            let (left, right) = piece.split_at(at);
            if known.contains(left) && known.contains(right) && !piece.contains(' ') {
                pairs.push((score, places.get(left), places.get(right), left, right));
            }
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    pairs.iter().map(|(.., left, right)| format!("{left} {right}")).collect()
}
