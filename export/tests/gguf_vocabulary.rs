//! `partita-export gguf --vocab-for`: fewer tokens, the same text.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod small;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, IndexOp};
use partita_export::gguf::{Options, Quant, export, vocabulary};
use partita_model::engine::{Engine, Request};
use partita_model::files::WeightFile;
use partita_model::nn::Precision;
use partita_model::speech::{ExportedModel, TrainedModel};
use partita_model::tokens::{Marks, TextTokenizer};
use small::{Made, World, tone};

/// Sentences of two languages; the third language of the small tokenizer is in neither.
fn text(folder: &Path) -> PathBuf {
    let sentences = folder.join("sentences");
    fs::create_dir_all(&sentences).unwrap();
    for (lang, words) in
        [("en", ["one", "two", "three", "four"]), ("de", ["eins", "zwei", "drei", "vier"])]
    {
        let line = |i: usize| {
            let number = |digit: usize| words[i / 4usize.pow(digit as u32) % 4];
            format!("{} {} {} {}\n", number(0), number(1), number(2), number(3))
        };
        let lines: String = (0..256).map(line).collect();
        fs::write(sentences.join(format!("{lang}.txt")), lines).unwrap();
    }
    sentences
}

fn options(model: &Path, out: &Path, text: &Path, languages: &[&str]) -> Options {
    Options {
        model: model.to_str().unwrap().to_owned(),
        quant: Quant::F32,
        projector: None,
        vocabulary: Some(vocabulary::Options {
            languages: languages.iter().map(|lang| lang.parse().unwrap()).collect(),
            text: vec![text.to_owned()],
            least: 1,
        }),
        name: Some("cut".to_owned()),
        shard_size: None,
        calibration: None,
        card: Vec::new(),
        out: out.to_owned(),
    }
}

#[test]
fn text_has_the_same_tokens_under_new_ids() {
    for architecture in ["gemma3", "llama"] {
        let world = World::make(Made { architecture, ..Made::default() });
        let text = text(world.folder.path());
        let whole = WeightFile::open(&world.llm).unwrap();
        let before = TextTokenizer::from_gguf(&whole).unwrap();
        let out = world.out("cut");
        let report = export(&options(&world.llm, &out, &text, &["en", "de"])).unwrap();
        let proof = report.vocabulary.clone().unwrap();
        println!("{architecture}: {proof}");
        assert!(proof.tokens < proof.tokens_before && proof.held_out > 2, "{proof}");
        assert_eq!((proof.different, proof.unreadable), (0, 0), "{proof}");

        let file = WeightFile::open(&report.files[0].path).unwrap();
        let after = TextTokenizer::from_gguf(&file).unwrap();
        assert_eq!(after.vocabulary(), proof.tokens);
        assert_eq!(file.tensor("token_embd.weight").unwrap().shape[0], proof.tokens);
        assert_eq!(
            file.metadata_u64(&format!("{architecture}.vocab_size")).unwrap() as usize,
            proof.tokens
        );
        for line in ["one three", "eins zwei vier", "Ünseen wörds: 42!", "un deux"] {
            let (old, new) = (before.encode(line), after.encode(line));
            assert_eq!(before.decode(&old), after.decode(&new), "{line}");
            // The same pieces with the same rows.
            if ["one three", "eins zwei vier"].contains(&line) {
                let pieces = |tokenizer: &TextTokenizer, ids: &[u32]| -> Vec<String> {
                    ids.iter().map(|&id| tokenizer.piece(id).unwrap().to_owned()).collect()
                };
                assert_eq!(pieces(&before, &old), pieces(&after, &new));
                let rows = |file: &WeightFile, ids: &[u32]| file.rows("token_embd.weight", ids);
                assert_eq!(rows(&whole, &old).unwrap(), rows(&file, &new).unwrap());
            }
        }
        assert_eq!(before.bos().is_some(), after.bos().is_some());
        assert_eq!(
            before.eos().and_then(|id| before.piece(id)),
            after.eos().and_then(|id| after.piece(id))
        );
    }
}

#[test]
fn a_trained_model_says_the_same_with_fewer_tokens() {
    for architecture in ["gemma3", "llama"] {
        let world = World::make(Made { architecture, ..Made::default() });
        let text = text(world.folder.path());
        let out = world.out("cut");
        // All languages that it was trained on, and then one of them less.
        let report = export(&options(&world.run(), &out, &text, &["en", "de"])).unwrap();
        let pair = ExportedModel::open(&report.files[0].path).unwrap();
        let float = [Precision::Float; 2];
        let mut cut = pair.engine_with(float, &Device::Cpu).unwrap();
        let bases = (world.encoder.as_path(), world.llm.as_path());
        let weights = world.run().join(TrainedModel::WEIGHTS);
        let mut whole = world.model.open_weights(&weights, bases, float, &Device::Cpu).unwrap();
        let places = |engine: &partita_model::speech::SpeechEngine| {
            let vocabulary = engine.model().vocabulary();
            vocabulary.tokenizer().decode(&vocabulary.encode("two eins three"))
        };
        assert_eq!(places(&whole), places(&cut));
        // The CTC head's words are the same under other numbers.
        let heads = [&whole, &cut].map(|engine| {
            let audio = engine.listen(&tone()).unwrap();
            let scores = engine.ctc().unwrap().forward(&audio).unwrap();
            let scores = scores.i((0, 0)).unwrap().to_vec1::<f32>().unwrap();
            let vocabulary = engine.model().vocabulary();
            let ids = vocabulary.shortlist().ids().iter();
            let piece = |&id: &u32| vocabulary.tokenizer().piece(id).unwrap_or_default().to_owned();
            let blank = ("blank".to_owned(), *scores.last().unwrap());
            ids.map(piece).zip(scores.clone()).chain([blank]).collect::<HashMap<String, f32>>()
        });
        assert!(heads[1].len() > 100);
        // Rows of marks are those that were trained.
        for (word, score) in heads[1].iter().filter(|(word, _)| !word.starts_with("<unused")) {
            let off = (heads[0][word] - score).abs();
            assert!(off < 1e-3, "{architecture} {word:?}: off by {off}");
        }
        let request = Request { fallback: false, ..Request::default() };
        let said = [&mut whole, &mut cut].map(|engine| engine.transcribe(&tone(), &request));
        let [one, other] = said.map(Result::unwrap);
        assert_eq!(one.language, other.language);
        let marks = Marks::for_tokenizer(cut.model().vocabulary().tokenizer());
        assert_eq!(marks.appended(), 0, "marks have rows of their own in the file");
        println!("{architecture}: {}", report.vocabulary.unwrap());

        // Of one language alone, the file promises no more than that.
        let out = world.out("one");
        let report = export(&options(&world.run(), &out, &text, &["en"])).unwrap();
        let pair = ExportedModel::open(&report.files[0].path).unwrap();
        assert_eq!(pair.languages(), ["en".parse().unwrap()]);
        assert!(pair.targets().is_empty());
        let shortlist = pair.config().shortlist.len();
        assert!(shortlist < world.model.config.shortlist.len(), "{shortlist}");
        pair.engine(&Device::Cpu).unwrap().transcribe(&tone(), &request).unwrap();
    }
}

#[test]
fn languages_without_text_are_named() {
    let world = World::make(Made::default());
    let text = text(world.folder.path());
    let out = world.out("cut");
    let error = export(&options(&world.llm, &out, &text, &["en", "fr"])).unwrap_err().to_string();
    assert!(error.contains("`fr`") && error.contains("--vocab-text"), "{error}");
}
