//! Our tokenizers against llama.cpp's on small vocabularies, and against the `tokenizers` crate's
//! on random texts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod tokens;

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::LazyLock;

use partita_model::files::Value;
use partita_model::tokens::{Mark, Marks, TextTokenizer, TokenKind};
use proptest::prelude::*;
use serde::Deserialize;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{Model, SplitDelimiterBehavior, Tokenizer};
use tokens::{Texts, changed, keys, pulled, tokenizer};

#[derive(Deserialize)]
struct Golden {
    ids: Vec<Vec<u32>>,
    texts: Vec<String>,
}

/// The small tokenizer of a variant named as in `golden.json`.
fn variant(name: &str) -> TextTokenizer {
    let keys = match name.split_once(", ") {
        None => keys(name),
        Some((kind, "add_space_prefix")) => {
            changed(kind, "add_space_prefix", Some(Value::Bool(true)))
        }
        Some((kind, pattern)) => changed(kind, "pre", Some(Value::from(pattern))),
    };
    tokenizer(&keys).unwrap()
}

#[test]
fn ids_and_texts_are_those_of_llama_cpp() {
    let golden = std::fs::read_to_string(tokens::golden_path("golden.json")).unwrap();
    let golden: BTreeMap<String, Golden> = serde_json::from_str(&golden).unwrap();
    assert_eq!(golden.len(), 7);
    let texts = Texts::read();
    for (name, expected) in golden {
        let tokenizer = variant(&name);
        assert_eq!(texts.all().count(), expected.ids.len());
        for ((text, ids), decoded) in texts.all().zip(&expected.ids).zip(&expected.texts) {
            assert_eq!(&tokenizer.encode(text), ids, "{name}: {text:?}");
            let ours = tokenizer.decode(ids);
            // llama.cpp leaves the space before a text in place.
            let decoded = match name.ends_with("add_space_prefix") {
                true => decoded.strip_prefix(' ').unwrap_or(decoded),
                false => decoded,
            };
            assert_eq!(ours, decoded, "{name}: {text:?}");
        }
    }
}

/// Bytes of single tokens put together are the text, wherever characters are cut.
#[test]
fn tokens_spell_the_text() {
    let tokenizer = variant("score");
    for text in Texts::read().all() {
        let ids = tokenizer.encode(text);
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.bytes(id).unwrap()).collect();
        // SentencePiece cannot tell its own sign for a space from a space.
        assert_eq!(String::from_utf8(bytes).unwrap(), text.replace('▁', " "));
    }
    let (newline, smile) = (tokenizer.id("<0x0A>").unwrap(), tokenizer.encode("🙂"));
    assert_eq!(tokenizer.bytes(newline), Some(vec![b'\n']));
    assert_eq!(smile.len(), 4);
    assert_eq!(tokenizer.decode(&smile[..3]), "\u{FFFD}");
}

#[test]
fn what_the_file_says_of_tokens() {
    let small = variant("score");
    assert_eq!((small.bos(), small.eos(), small.padding()), (Some(2), Some(1), Some(0)));
    assert_eq!((small.unknown(), small.adds_bos()), (Some(3), true));
    assert_eq!(small.end_of_turn(), small.id("<end_of_turn>"));
    assert_eq!(small.piece(2), Some("<bos>"));
    assert_eq!((small.kind(2), small.bytes(2)), (Some(TokenKind::Control), Some(Vec::new())));
    assert_eq!(small.kind(small.id("<b>").unwrap()), Some(TokenKind::UserDefined));
    assert_eq!(small.kind(small.id("<0x00>").unwrap()), Some(TokenKind::Byte));
    let end = small.vocabulary() as u32;
    assert_eq!((small.piece(end), small.bytes(end), small.kind(end)), (None, None, None));
    assert_eq!(small.decode(&[2, end, 1]), "");

    let byte = variant("byte, qwen2");
    assert_eq!((byte.unknown(), byte.adds_bos()), (None, false));
    assert_eq!(byte.end_of_turn(), byte.id("<|im_end|>"));
    assert_eq!(small.ends()[..2], [small.end_of_turn().unwrap(), small.eos().unwrap()]);
    assert!(small.ends().iter().all(|&id| small.kind(id) == Some(TokenKind::Control)));
    assert!(byte.ends().contains(&byte.id("<|endoftext|>").unwrap()), "{:?}", byte.ends());
}

#[test]
fn marks_are_reserved_tokens_or_rows_behind_the_vocabulary() {
    let small = variant("score");
    let marks = Marks::for_tokenizer(&small);
    assert_eq!(marks.appended(), 0);
    for mark in Mark::all() {
        let id = marks.mark(mark);
        assert_eq!(small.piece(id), Some(&*format!("<unused{}>", mark.row())));
        assert_eq!(marks.of(id), Some(mark));
    }
    assert_eq!(marks.of(small.id("<unused5>").unwrap()), None, "a row kept for later");

    let byte = variant("byte, smollm");
    let (marks, end) = (Marks::for_tokenizer(&byte), byte.vocabulary() as u32);
    assert_eq!(marks.appended(), Mark::rows() as usize);
    assert_eq!((marks.mark(Mark::Transcribe), marks.of(end)), (end, Some(Mark::Transcribe)));
    assert!(marks.ids().all(|id| id >= end && id < end + Mark::rows()));
    assert_eq!((marks.of(0), marks.of(end + Mark::rows())), (None, None));
}

#[test]
fn gemma_and_smollm_as_published() {
    if let Some(gemma) = pulled("gemma-3-270m") {
        assert_eq!(gemma.vocabulary(), 262_144);
        assert_eq!((gemma.bos(), gemma.eos(), gemma.padding()), (Some(2), Some(1), Some(0)));
        assert_eq!((gemma.unknown(), gemma.end_of_turn()), (Some(3), Some(106)));
        // The ids of llama.cpp.
        assert_eq!(gemma.encode("<b>x</b>\n\n\nx"), [200, 236_781, 209, 109, 236_781]);
        let turn = [236_820, 3041, 236_779, 1340, 236_779, 887, 236_813, 2202];
        assert_eq!(gemma.encode("<start_of_turn>hi"), turn);
        let marks = Marks::for_tokenizer(&gemma);
        let id = |mark: &str| marks.mark(mark.parse().unwrap());
        assert_eq!((marks.appended(), id("<asr>"), id("<lang:none>")), (0, 6, 10));
        assert_eq!((id("<to:de>"), id("<lang:de>"), id("<lang:zh>")), (22, 23, 39));
        for text in Texts::read().all() {
            assert_eq!(gemma.decode(&gemma.encode(text)), text.replace('▁', " "));
        }
    }
    if let Some(smollm) = pulled("smollm2-135m-instruct") {
        assert_eq!(smollm.vocabulary(), 49_152);
        assert_eq!((smollm.bos(), smollm.eos(), smollm.end_of_turn()), (Some(1), Some(2), Some(2)));
        for text in Texts::read().all().filter(|text| !text.chars().any(rare)) {
            assert_eq!(&smollm.decode(&smollm.encode(text)), text);
        }
    }
}

/// Whether SmolLM2 lacks a byte of a character: of those with bytes it never met in training.
fn rare(c: char) -> bool {
    c < ' ' && !"\t\n\r".contains(c) || c as u32 >= 0xE000 || "\u{7f}\u{85}".contains(c)
}

/// The `tokenizers` crate's model of the small SentencePiece vocabulary, with merges derived from
/// scores, and ours; scores all differ, and every character of a piece is a piece.
static DERIVED: LazyLock<(BPE, TextTokenizer)> = LazyLock::new(|| {
    let full = variant("score");
    let pieces = || (0..full.vocabulary() as u32).map(|id| (id, full.piece(id).unwrap()));
    let normal = |id: u32| full.kind(id) == Some(TokenKind::Normal);
    let known = |piece: &str| full.id(piece).is_some_and(normal);
    let spelled = |piece: &str| piece.chars().all(|letter| known(letter.encode_utf8(&mut [0; 4])));

    let mut merges = Vec::new();
    for (_, piece) in pieces().filter(|&(id, piece)| normal(id) && spelled(piece)) {
        let splits = piece.char_indices().skip(1).map(|(at, _)| piece.split_at(at));
        let splits = splits.filter(|(left, right)| known(left) && known(right));
        merges.extend(splits.map(|(left, right)| (left.to_owned(), right.to_owned())));
    }
    let vocabulary: Vocab = pieces().map(|(id, piece)| (piece.to_owned(), id)).collect();
    let theirs = BPE::builder().vocab_and_merges(vocabulary, merges).byte_fallback(true);
    let kinds: Vec<i32> = pieces()
        .map(|(id, piece)| match full.kind(id).unwrap() {
            TokenKind::Normal if spelled(piece) => 1,
            TokenKind::Byte => 6,
            _ => 3,
        })
        .collect();
    let scores: Vec<f32> = pieces().map(|(id, _)| -(id as f32)).collect();
    let mut keys = changed("score", "scores", Some(scores.into()));
    keys.retain(|(key, _)| key != "tokenizer.ggml.token_type");
    keys.push(("tokenizer.ggml.token_type".to_owned(), kinds.into()));
    (theirs.build().unwrap(), tokenizer(&keys).unwrap())
});

/// The published patterns with their look-ahead, for the `tokenizers` crate.
fn published(name: &str) -> Tokenizer {
    let gpt2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
    let later = |digits: &str| {
        format!(
            "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\\r\\n\\p{{L}}\\p{{N}}]?\
             \\p{{L}}+|{digits}| ?[^\\s\\p{{L}}\\p{{N}}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
        )
    };
    let patterns = match name {
        "gpt-2" => vec![gpt2.to_owned()],
        "smollm" => vec![r"\p{N}".to_owned(), gpt2.to_owned()],
        "qwen2" => vec![later(r"\p{N}")],
        _ => vec![later(r"\p{N}{1,3}")],
    };
    let isolated = SplitDelimiterBehavior::Isolated;
    let split = |pattern| Split::new(SplitPattern::Regex(pattern), isolated, false).unwrap().into();
    let mut steps: Vec<_> = patterns.into_iter().map(split).collect();
    steps.push(ByteLevel::new(false, false, false).into());

    let keys = keys("byte");
    let strings = |key: &str| {
        let found = keys.iter().find(|(known, _)| *known == format!("tokenizer.ggml.{key}"));
        found.unwrap().1.as_array().unwrap().as_strings().unwrap().to_vec()
    };
    let vocabulary: Vocab = (0..).zip(strings("tokens")).map(|(id, piece)| (piece, id)).collect();
    let merges = strings("merges");
    let merges = merges.iter().map(|merge| merge.split_once(' ').unwrap());
    let merges = merges.map(|(left, right)| (left.to_owned(), right.to_owned())).collect();
    let model = BPE::builder().vocab_and_merges(vocabulary, merges);
    let mut tokenizer = Tokenizer::new(model.ignore_merges(name == "llama-bpe").build().unwrap());
    tokenizer.with_pre_tokenizer(Some(Sequence::new(steps)));
    tokenizer
}

static PUBLISHED: LazyLock<Vec<(Tokenizer, TextTokenizer)>> = LazyLock::new(|| {
    let names = ["gpt-2", "smollm", "qwen2", "llama-bpe"];
    names.map(|name| (published(name), variant(&format!("byte, {name}")))).into()
});

/// Bytes that the small byte-level vocabulary has.
static BYTES: LazyLock<HashSet<u8>> = LazyLock::new(|| {
    let tokenizer = variant("byte, gpt-2");
    let bytes = (0..tokenizer.vocabulary() as u32).filter_map(|id| tokenizer.bytes(id));
    bytes.filter_map(|bytes| <[u8; 1]>::try_from(bytes).ok()).map(|[byte]| byte).collect()
});

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn scores_merge_as_derived_merges_do(text in "[ aehinrst]{0,30}|[ha]{0,20}|\\PC{0,20}") {
        let (theirs, ours) = &*DERIVED;
        let expected = theirs.tokenize(&text.replace(' ', "▁")).unwrap();
        let expected: Vec<u32> = expected.iter().map(|token| token.id).collect();
        prop_assert_eq!(ours.encode(&text), expected);
    }

    #[test]
    fn words_are_cut_as_published(text in "[ \\n\\ra'sreT0-9.,!é一]{0,30}|(?s:.){0,20}") {
        // Its user-defined tokens are not known there, and its byte-level letters are.
        prop_assume!(!["<b>", "</s>", "[multimodal]"].iter().any(|piece| text.contains(piece)));
        // Around a byte that the small vocabulary lacks they merge; real ones have all bytes.
        let known = |char: &char| char.to_string().bytes().all(|byte| BYTES.contains(&byte));
        let text: String = text.chars().filter(known).collect();
        for (theirs, ours) in &*PUBLISHED {
            let expected = theirs.encode_fast(&*text, false).unwrap();
            prop_assert_eq!(ours.encode(&text), expected.get_ids());
        }
    }
}
