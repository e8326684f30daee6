//! From manifests of sentences to batches of them.

#![allow(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use std::sync::Arc;

use partita_corpus::manifest::{Split, TextRow, Writer};
use partita_train::data::{SamplerOptions, TextSet, TextStream};

#[test]
fn sentences_are_a_stream_of_their_own() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("text.jsonl");
    let mut writer = Writer::create(&path).expect("create");
    let pair = |tgt_lang: &str, n: usize, split| TextRow {
        src_lang: "en".into(),
        tgt_lang: tgt_lang.into(),
        src_text: format!("Sentence {n}"),
        tgt_text: format!("{tgt_lang} {n}"),
        split,
        ..TextRow::default()
    };
    for n in 0..90 {
        writer.write(&pair("de", n, Split::Train)).expect("write");
    }
    for n in 0..10 {
        writer.write(&pair("it", n, Split::Train)).expect("write");
    }
    writer.write(&pair("de", 500, Split::Test)).expect("write");
    writer.write(&pair("sv", 501, Split::Train)).expect("write");
    writer.write(&pair("ru", 502, Split::Train)).expect("write");
    writer.finish().expect("finish");
    let langs = ["en", "de", "it", "ru"].map(str::to_owned);
    let set = TextSet::open(&[path], Split::Train, &langs, true, 200).expect("set");
    assert_eq!(set.examples().len(), 200);
    assert_eq!(set.bad_rows.len(), 1, "Russian in Latin letters");
    let set = Arc::new(set);
    let options = SamplerOptions { max_size: 400.0, ..SamplerOptions::for_text() };
    let mut stream = TextStream::new(set.clone(), options.clone()).expect("stream");
    let counts = stream.sampler().counts();
    let draws = |pair: &str| counts[&Some(pair.to_owned())].draws;
    assert_eq!((draws("en-de"), draws("de-en")), (90, 90));
    assert_eq!((draws("en-it"), draws("it-en")), (30, 30), "10 × √9");
    let first: Vec<_> = (0..30).map(|_| stream.next_batch()).collect();
    let mut again = TextStream::new(set, options).expect("stream");
    again.seek(&first[9].next).expect("seek");
    assert_eq!((10..30).map(|_| again.next_batch()).collect::<Vec<_>>(), first[10..]);
    let example = &first[0].examples[0];
    assert!(example.src_lang == "en" || example.tgt_lang == "en");
}
