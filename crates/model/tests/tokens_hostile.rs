//! Tokenizer keys that contradict each other, or ask for the absurd: errors that name file and
//! key, and never a crash.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod tokens;

use partita_model::ModelError;
use partita_model::files::{FileError, Value, WeightFile};
use partita_model::tokens::{Marks, ShortlistBuilder, TextTokenizer};
use proptest::prelude::*;
use proptest::sample::Index;
use tokens::{changed, keys, tokenizer};

/// Loads a small tokenizer with one key changed, which must be the key at fault.
fn refused(name: &str, key: &str, value: Option<Value>, reason: &str) {
    let error = tokenizer(&changed(name, key, value)).unwrap_err();
    let message = error.to_string();
    assert!(message.contains(reason), "{message}");
    assert!(!message.contains('\n') && message.len() < 400, "{message}");
    let ModelError::File(FileError::Metadata { path, key: named, .. }) = error else {
        panic!("{message}");
    };
    assert_eq!(named, format!("tokenizer.ggml.{key}"));
    assert!(path.ends_with("some.gguf"));
}

fn of<T: Clone>(value: T, count: usize) -> Vec<T> {
    vec![value; count]
}

#[test]
fn keys_of_all_tokenizers() {
    for name in ["score", "byte"] {
        let count = tokenizer(&keys(name)).unwrap().vocabulary();
        refused(name, "model", None, "missing");
        refused(name, "model", Some(Value::U32(1)), "is not a string");
        refused(name, "model", Some("bert".into()), "is \"bert\"; known are llama, gpt2");
        refused(name, "model", Some("x\n".repeat(1000).as_str().into()), "known are");
        refused(name, "tokens", None, "missing");
        refused(name, "tokens", Some(1u32.into()), "is not an array");
        refused(name, "tokens", Some(of(1u32, count).into()), "holds u32, not strings");
        refused(name, "tokens", Some(Vec::<String>::new().into()), "has 0 elements");
        refused(name, "tokens", Some(of("same".to_owned(), count).into()), "0 and 1 are the same");
        refused(name, "token_type", Some(of(1, count - 1).into()), "elements for");
        refused(name, "token_type", Some(of(1f32, count).into()), "holds f32, not i32");
        refused(name, "token_type", Some(of(7, count).into()), "token 0 is of type 7");
        refused(name, "token_type", Some(of(-1, count).into()), "token 0 is of type -1");
        for key in ["bos_token_id", "eos_token_id", "eot_token_id", "padding_token_id"] {
            refused(name, key, Some(Value::U32(count as u32)), "and there are");
            refused(name, key, Some(Value::U64(u64::MAX)), "and there are");
            refused(name, key, Some(Value::I32(-1)), "is not a non-negative integer");
        }
        refused(name, "add_bos_token", Some(Value::U32(1)), "is not a bool");
    }
}

#[test]
fn keys_of_scores() {
    let count = tokenizer(&keys("score")).unwrap().vocabulary();
    refused("score", "scores", None, "missing");
    refused("score", "scores", Some(of(1f32, count + 1).into()), "elements for");
    refused("score", "scores", Some(of(1f64, count).into()), "holds f64, not f32");
    for score in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut scores = of(0f32, count);
        scores[5] = score;
        refused("score", "scores", Some(scores.into()), "token 5 has no finite score");
    }
    refused("score", "add_space_prefix", Some("yes".into()), "is not a bool");
    refused("score", "tokens", Some(numbered("token", count)), "is not named <0x00>");
    // All tokens normal: no bytes.
    let mut keys = changed("score", "unknown_token_id", None);
    keys.retain(|(key, _)| key != "tokenizer.ggml.token_type");
    let message = tokenizer(&keys).unwrap_err().to_string();
    assert!(message.contains("not every byte has a token"), "{message}");
}

fn numbered(name: &str, count: usize) -> Value {
    (0..count).map(|i| format!("{name}{i}")).collect::<Vec<_>>().into()
}

#[test]
fn keys_of_byte_level_tokenizers() {
    let merges = |merge: &str| Some(Value::from(vec![merge.to_owned()]));
    refused("byte", "merges", None, "missing");
    refused("byte", "merges", Some(of(1u8, 3).into()), "holds u8, not strings");
    refused("byte", "merges", merges("ab"), "merge 0 is not two pieces");
    refused("byte", "merges", merges(""), "merge 0 is not two pieces");
    refused("byte", "merges", merges(" a"), "merge 0 is not two pieces");
    refused("byte", "merges", merges("a "), "merge 0 is of a piece that is no token");
    refused("byte", "merges", merges("a b c"), "merge 0 is of a piece that is no token");
    refused("byte", "merges", merges("q q"), "merge 0 makes a piece that is no token");
    refused("byte", "pre", Some("klingon".into()), "is \"klingon\"; known are gpt-2, smollm");
}

/// Long texts and long pieces, for which anything quadratic would take minutes.
#[test]
fn long_texts() {
    let long = 500_000;
    for name in ["score", "byte"] {
        let tokenizer = tokenizer(&keys(name)).unwrap();
        for text in [" ", "a", "\n", "ha", "🙂", "<b>", "\u{301}", "ab#"] {
            let text = text.repeat(long / text.len());
            assert_eq!(tokenizer.decode(&tokenizer.encode(&text)), text);
        }
    }
    let mut tokens = vec!["<unk>".to_owned(), "a".to_owned()];
    tokens.extend((1..17).map(|n| "a".repeat(1 << n)));
    let count = tokens.len();
    let mut kinds = of(1, count);
    kinds[0] = 2;
    let keys = [
        ("tokenizer.ggml.model".to_owned(), Value::from("llama")),
        ("tokenizer.ggml.tokens".to_owned(), tokens.into()),
        ("tokenizer.ggml.scores".to_owned(), of(0f32, count).into()),
        ("tokenizer.ggml.token_type".to_owned(), kinds.into()),
        ("tokenizer.ggml.unknown_token_id".to_owned(), Value::U32(0)),
    ];
    let tokenizer = tokenizer(&keys).unwrap();
    let mut builder = ShortlistBuilder::new(&tokenizer);
    builder.add_text(&"a".repeat(1 << 16));
    let list = builder.finish(&Marks::for_tokenizer(&tokenizer), 1);
    assert!(list.len() > 17);
}

/// How many are tried; `PROPTEST_CASES` asks for more.
fn cases(usual: u32) -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    asked.unwrap_or(usual)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(300),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Bytes of a file changed at random: a tokenizer that works, or an error.
    #[test]
    fn any_bytes(
        name in prop::sample::select(vec!["score.gguf", "byte.gguf"]),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..20),
        text in "[a-z ▁\\n🙂0-9é]{0,20}",
    ) {
        let mut bytes = std::fs::read(tokens::golden_path(name)).unwrap();
        for (place, byte) in changes {
            *place.get_mut(&mut bytes) = byte;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.gguf");
        std::fs::write(&path, bytes).unwrap();
        if let Ok(file) = WeightFile::open(&path)
            && let Ok(tokenizer) = TextTokenizer::from_gguf(&file)
        {
            let ids = tokenizer.encode(&text);
            prop_assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocabulary()));
            tokenizer.decode(&ids);
        }
    }

    /// Whatever the tokens, kinds and scores: a tokenizer that works, or an error.
    #[test]
    fn any_keys(
        tokens in prop::collection::vec("[ab▁ \\n]{0,4}|<0x[0-9A-F]{2}>|<unused[0-9]>", 1..40),
        kinds in prop::collection::vec(prop::sample::select(vec![1, 1, 1, 1, 2, 3, 4, 5]), 40),
        scores in prop::collection::vec(-3..3i32, 40),
        prefix: bool,
        text in "[ab▁ \\n🙂]{0,20}",
    ) {
        let count = tokens.len();
        let kinds = tokens.iter().zip(kinds);
        let kinds = kinds.map(|(token, kind)| if token.starts_with("<0x") { 6 } else { kind });
        let kinds: Vec<i32> = kinds.collect();
        let scores: Vec<f32> = scores.iter().take(count).map(|&score| score as f32).collect();
        let keys = [
            ("tokenizer.ggml.model".to_owned(), Value::from("llama")),
            ("tokenizer.ggml.tokens".to_owned(), tokens.into()),
            ("tokenizer.ggml.scores".to_owned(), scores.into()),
            ("tokenizer.ggml.token_type".to_owned(), kinds.into()),
            ("tokenizer.ggml.unknown_token_id".to_owned(), Value::U32(0)),
            ("tokenizer.ggml.add_space_prefix".to_owned(), Value::Bool(prefix)),
        ];
        if let Ok(tokenizer) = tokenizer(&keys) {
            let ids = tokenizer.encode(&text);
            prop_assert!(ids.iter().all(|&id| (id as usize) < count));
            tokenizer.decode(&ids);
            let mut builder = ShortlistBuilder::new(&tokenizer);
            builder.add_text(&text);
            let list = builder.finish(&Marks::for_tokenizer(&tokenizer), 1);
            prop_assert_eq!(list.encode(&tokenizer, &text), ids);
        }
    }
}
