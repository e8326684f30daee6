//! Shortlists: closed under merges, and every text can be said in them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod tokens;

use std::collections::BTreeSet;

use partita_model::tokens::{Mark, Marks, Shortlist, ShortlistBuilder, TextTokenizer, TokenKind};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokens::{Texts, keys, pulled, tokenizer};

/// The small tokenizers and the real ones that have been pulled.
fn tokenizers() -> Vec<(&'static str, TextTokenizer)> {
    let small = ["score", "byte"].map(|name| (name, tokenizer(&keys(name)).unwrap()));
    let real = ["gemma-3-270m", "smollm2-135m-instruct"];
    let real = real.into_iter().filter_map(|name| Some((name, pulled(name)?)));
    small.into_iter().chain(real).collect()
}

fn list(tokenizer: &TextTokenizer, texts: &[String]) -> Shortlist {
    let mut builder = ShortlistBuilder::new(tokenizer);
    texts.iter().for_each(|text| builder.add_text(text));
    builder.finish(&Marks::for_tokenizer(tokenizer), 1)
}

/// Texts put together from listed tokens at random: where all tokens of such a text are listed,
/// a tokenizer that knows only the list must make the same.
fn chance_texts(from: &TextTokenizer, list: &Shortlist, count: usize) -> Vec<String> {
    let mut random = StdRng::seed_from_u64(7);
    let usable = |id: &u32| {
        matches!(from.kind(*id), Some(TokenKind::Normal | TokenKind::UserDefined | TokenKind::Byte))
    };
    let ids: Vec<u32> = list.ids().iter().copied().filter(usable).collect();
    let text = |_| {
        let picked =
            (0..random.random_range(1..12)).map(|_| ids[random.random_range(0..ids.len())]);
        from.decode(&picked.collect::<Vec<u32>>())
    };
    (0..count).map(text).collect()
}

#[test]
fn listed_texts_get_the_same_tokens() {
    for (name, from) in tokenizers() {
        let texts = Texts::read();
        let list = list(&from, &texts.sentences);
        let listed = |ids: &[u32]| ids.iter().all(|&id| list.short(id).is_some());
        for text in &texts.sentences {
            let ids = from.encode(text);
            assert!(listed(&ids), "{name}: {text}");
            assert_eq!(list.encode(&from, text), ids, "{name}: {text}");
            assert_eq!(list.restrict(&from, &ids).unwrap(), ids);
        }
        let (mut same, mut others) = (0, 0);
        for text in chance_texts(&from, &list, 5000).iter().chain(texts.all()) {
            let (ids, short) = (from.encode(text), list.encode(&from, text));
            assert!(listed(&short), "{name}: {text:?}");
            if listed(&ids) {
                assert_eq!(short, ids, "{name}: {text:?}");
                same += 1;
            } else {
                others += 1;
            }
            let restricted = list.restrict(&from, &ids).unwrap();
            assert!(listed(&restricted), "{name}: {text:?}");
            assert_eq!(from.decode(&restricted), from.decode(&ids), "{name}: {text:?}");
        }
        println!("{name}: {} tokens; {same} texts in the list, {others} not", list.len());
        assert!(same > 500 && others > 15);
    }
}

/// Without closure the same list would not do: the test above tests something.
#[test]
fn pieces_on_the_way_are_needed() {
    let from = tokenizer(&keys("score")).unwrap();
    let text = &Texts::read().sentences[0];
    let ids: BTreeSet<u32> = from.encode(text).into_iter().collect();
    let bare: Shortlist = ids.into_iter().collect::<Vec<_>>().try_into().unwrap();
    assert_ne!(bare.encode(&from, text), from.encode(text));
}

#[test]
fn tokens_that_are_not_listed_are_taken_apart() {
    let from = tokenizer(&keys("score")).unwrap();
    let list = list(&from, &[]);
    // A piece of no text that was counted: its letters are ASCII.
    let ids = from.encode("ha");
    assert_eq!(ids.len(), 1);
    let letters: Vec<u32> = ["h", "a"].map(|letter| from.id(letter).unwrap()).into();
    assert_eq!(list.restrict(&from, &ids).unwrap(), letters);
    // Letters that are not listed: bytes.
    let bytes: Vec<u32> = ["<0xC3>", "<0xBC>"].map(|byte| from.id(byte).unwrap()).into();
    assert_eq!(list.restrict(&from, &from.encode("ü")).unwrap(), bytes);
    // What is not text cannot be said otherwise.
    let unlisted = from.id("<start_of_turn>").unwrap();
    let message = list.restrict(&from, &[unlisted]).unwrap_err().to_string();
    assert!(message.contains(&format!("token {unlisted}")), "{message}");
    assert!(list.restrict(&from, &[u32::MAX]).is_err());
}

#[test]
fn what_every_list_has() {
    for (name, from) in tokenizers() {
        let marks = Marks::for_tokenizer(&from);
        let list = list(&from, &[]);
        assert!(Mark::all().all(|mark| list.short(marks.mark(mark)).is_some()));
        let special = [from.bos(), from.eos(), from.end_of_turn(), from.padding()];
        assert!(special.into_iter().flatten().all(|id| list.short(id).is_some()));
        for text in ["0123456789", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "\n", "🙂"] {
            assert_eq!(from.decode(&list.encode(&from, text)), text, "{name}");
        }
        assert!(list.len() < 500, "{name}: {}", list.len());
    }
}

#[test]
fn rare_tokens_can_be_left_out() {
    let from = tokenizer(&keys("score")).unwrap();
    let marks = Marks::for_tokenizer(&from);
    let size = |least| {
        let mut builder = ShortlistBuilder::new(&from);
        Texts::read().sentences.iter().for_each(|text| builder.add_text(text));
        builder.finish(&marks, least).len()
    };
    assert!(size(1) > size(3) && size(3) > size(1000));
}

#[test]
fn places_and_files() {
    let from = tokenizer(&keys("byte")).unwrap();
    let list = list(&from, &["a transcription".to_owned()]);
    assert!(!list.is_empty() && list.ids().is_sorted());
    for (short, &full) in (0..).zip(list.ids()) {
        assert_eq!((list.short(full), list.full(short)), (Some(short), Some(full)));
    }
    assert_eq!((list.full(list.len() as u32), list.short(u32::MAX)), (None, None));
    let json = serde_json::to_string(&list).unwrap();
    assert_eq!(serde_json::from_str::<Shortlist>(&json).unwrap(), list);
    assert!(serde_json::from_str::<Shortlist>("[3,2]").is_err());
    assert!(serde_json::from_str::<Shortlist>("[2,2]").is_err());
}
