//! Pairs of others, which are asked in words: against the same steps one by one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod small;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use candle_core::{D, Device, Tensor};
use partita_audio::mel::{Frames, LogMel};
use partita_model::engine::{Draft, Engine, LiveEngine, Request};
use partita_model::files::WeightFile;
use partita_model::llm::Llm;
use partita_model::nn::{FileSource, Precision};
use partita_model::speech::{Adapter, AdapterConfig, AdapterShape, InstructedModel};
use partita_model::tokens::TextTokenizer;
use partita_model::whisper::{Encoder, WhisperConfig};
use small::{ENCODER, HIDDEN, Made, STACK, WIDTH, World, tone};

/// What the pair says, token by token: question and audio read at once, the likeliest token added
/// until the end.
fn by_hand(llm: &Path, world: &World, question: &str) -> String {
    let device = &Device::Cpu;
    let file = Arc::new(WeightFile::open(llm).unwrap());
    let tokenizer = TextTokenizer::from_gguf(&file).unwrap();
    let network = Llm::open(file, Precision::Float, None, device).unwrap();
    // Biases of convolutions are columns in the pair's file: the encoder is the one before export.
    let weights = world.run().join("weights.safetensors");
    let weights = WeightFile::open(&weights).unwrap();
    let base = WeightFile::open(&world.encoder).unwrap();
    let base_source = FileSource::new(&base, device, Precision::Float);
    let source = partita_model::nn::DeltaSource::new(base_source, &weights, device).unwrap();
    let encoder = Encoder::load(&source, &WhisperConfig::from_file(&base).unwrap()).unwrap();
    let config = AdapterConfig {
        encoder_width: ENCODER,
        llm_width: WIDTH,
        output_rms: 1.0,
        shape: AdapterShape::Ultravox { stack: STACK, hidden: HIDDEN },
    };
    let adapter = Adapter::load(&source, &config).unwrap();
    let mel = LogMel::new(80).unwrap().compute(&tone(), Frames::Padded(100));
    let mel = Tensor::from_vec(mel.data, (1, 80, 100), device).unwrap();
    let heard = encoder.forward_batch(&mel, &[100]).unwrap();
    let audio = adapter.forward(&heard, &[50]).unwrap().0;

    let id = |piece: &str| tokenizer.id(piece).unwrap();
    let mut before = vec![tokenizer.bos().unwrap(), id("<start_of_turn>")];
    before.extend(tokenizer.encode(&format!("user\n{question}\n")));
    let mut behind = vec![id("<end_of_turn>")];
    behind.extend(tokenizer.encode("\n"));
    behind.push(id("<start_of_turn>"));
    behind.extend(tokenizer.encode("model\n"));
    let [before, behind] = [before, behind].map(|ids| network.embed(&ids).unwrap());
    let mut x = Tensor::cat(&[&before, &audio, &behind], 1).unwrap();
    let never = |id: u32| {
        let piece = tokenizer.piece(id).unwrap();
        piece.starts_with("<unused") || ["<pad>", "<bos>", "<start_of_turn>"].contains(&piece)
    };
    let mut said = Vec::new();
    for _ in 0..32 {
        let hidden = network.forward(&x, None).unwrap();
        let last = hidden.narrow(1, hidden.dim(1).unwrap() - 1, 1).unwrap();
        let logits =
            network.logits(&last).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let allowed = logits.iter().enumerate().filter(|(id, _)| !never(*id as u32));
        let next = allowed.max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0 as u32;
        if Some(next) == tokenizer.eos() || next == id("<end_of_turn>") {
            break;
        }
        said.push(next);
        x = Tensor::cat(&[&x, &network.embed(&[next]).unwrap()], 1).unwrap();
    }
    assert_eq!(x.dim(D::Minus1).unwrap(), WIDTH);
    tokenizer.decode(&said).trim().to_owned()
}

#[test]
fn a_question_is_read_with_the_audio_and_answered_greedily() {
    let world = World::make(Made { tied: false, ..Made::default() });
    let llm = world.pair_of_others();
    let mut engine = InstructedModel::open(&llm).unwrap().engine(&Device::Cpu).unwrap();
    assert_eq!(engine.capabilities().languages.len(), 20, "nobody says which");

    let request = Request { translate: Some("de".to_owned()), ..Request::default() };
    let heard = engine.transcribe(&tone(), &request).unwrap();
    let text = |text: &partita_model::engine::Text| {
        text.segments.iter().map(|segment| segment.text.clone()).collect::<String>()
    };
    let expected = by_hand(&llm, &world, "Transcribe");
    println!("{expected:?} {:?}", heard.text);
    // Random models loop, which the guard cuts short.
    assert!(!expected.is_empty() && !text(&heard.text).is_empty());
    assert!(expected.starts_with(&text(&heard.text)), "{:?} {expected:?}", text(&heard.text));
    let question = "Please translate the text to German. Your response should only include the \
        German translation, without any additional words:\n";
    let expected = by_hand(&llm, &world, question);
    let translated = text(&heard.translation.unwrap());
    assert!(!translated.is_empty() && expected.starts_with(&translated), "{translated} {expected}");

    // While somebody speaks: the same text, and what must stay stays.
    engine.hear(&tone()).unwrap();
    let german = Request { language: Some("de".to_owned()), ..Request::default() };
    let written = engine.write(&german, Draft::default()).unwrap();
    assert_eq!(engine.spell(&written.tokens).unwrap().trim(), text(&heard.text));
    assert_eq!((written.language.as_str(), written.silent), ("de", false));
    let draft = Draft { tokens: &written.tokens, forced: 0 };
    assert_eq!(engine.write(&german, draft).unwrap().tokens, written.tokens);
    let other = [written.tokens[0] + 1];
    let forced = engine.write(&german, Draft { tokens: &other, forced: 1 }).unwrap().tokens;
    assert!(forced[0] == other[0] && forced != written.tokens, "what must stay stays");
    assert_eq!(engine.translate("de", &written).unwrap(), translated);
    for wrong in ["xx", "tlh"] {
        let request = Request { language: Some(wrong.to_owned()), ..Request::default() };
        assert!(engine.transcribe(&tone(), &request).is_err());
        assert!(engine.translate(wrong, &written).is_err());
    }
}

/// Rewrites the template in place, with spaces behind it: it is as long as before.
fn with_template(llm: &Path, template: &str) -> String {
    let mut bytes = fs::read(llm).unwrap();
    let key = b"tokenizer.chat_template";
    let key_at = bytes.windows(key.len()).position(|window| window == key).unwrap();
    // The type and the length of a string are between key and value.
    let place = key_at + key.len() + 4 + 8;
    let padded = format!("{template:<width$}", width = small::TEMPLATE.len());
    bytes[place..place + padded.len()].copy_from_slice(padded.as_bytes());
    fs::write(llm, bytes).unwrap();
    InstructedModel::open(llm).unwrap_err().to_string()
}

#[test]
fn templates_of_unknown_forms_are_named() {
    let world = World::make(Made::default());
    let llm = world.pair_of_others();
    for (template, reason) in [
        ("nothing at all", "turns of none of these forms: Llama 3, "),
        ("{{ '<|im_start|>user' }}", "turns as ChatML has them, without a token `<|im_start|>`"),
        ("{{ '[SYSTEM_PROMPT]' }}{{ '[INST]' }}", "without a token `[INST]`"),
    ] {
        let error = with_template(&llm, template);
        assert!(error.contains("others-F32.gguf: metadata `tokenizer.chat_template`"), "{error}");
        assert!(error.contains(reason) && !error.contains('\n'), "{template}: {error}");
    }
    fs::remove_file(llm.with_file_name("mmproj-others-F32.gguf")).unwrap();
    let error = InstructedModel::open(&llm).unwrap_err().to_string();
    assert!(error.contains("half of a pair cannot hear"), "{error}");
}
