//! Whisper's networks against two other implementations: one in numpy (`whisper/make_golden.py`),
//! and candle-transformers. The model is small and random, with two heads and two layers a side.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod whisper;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::whisper as other;
use partita_model::engine::{Engine, Request};
use partita_model::files::{TensorKind, WeightFile};
use partita_model::nn::Precision;
use partita_model::whisper::{Padding, Quantization, Whisper, WhisperTokens, import};
use whisper::{
    all_logits, ctranslate2, difference, flat, golden, golden_mel, golden_tokens, hugging_face,
    imported, load,
};

/// An odd number of frames, whose last output looks at padding, and all frames that there are.
const INPUTS: [(&str, usize); 2] = [("natural", 71), ("full", 120)];

#[test]
fn networks_give_what_the_independent_implementation_gives() {
    let (_folder, path) = imported(Quantization::F32);
    let (config, encoder, decoder) = load(&path, Precision::Float);
    assert_eq!((config.heads, config.encoder_layers, config.decoder_layers), (2, 2, 2));
    assert_eq!((config.vocabulary, config.table_rows()), (327, 336));
    for (name, frames) in INPUTS {
        let audio = encoder.forward(&golden_mel(name, frames)).unwrap();
        let expected = golden(&format!("encoder.{name}"));
        assert_eq!(audio.dims()[1..], *expected.dims());
        let off = difference(&flat(&audio), &flat(&expected));
        assert!(off < 1e-4, "encoder, {name}: {off}");

        let logits = all_logits(&decoder, &audio, &golden_tokens("a")).concat();
        let off = difference(&logits, &flat(&golden(&format!("logits.{name}.a"))));
        println!("{name}: logits differ by {off:.1e}");
        assert!(off < 1e-4, "logits, {name}: {off}");
    }
}

#[test]
fn what_is_foretold_is_what_the_decoder_expects_at_each_place() {
    let (_folder, path) = imported(Quantization::F32);
    let (config, encoder, decoder) = load(&path, Precision::Float);
    let audio = encoder.forward(&golden_mel("natural", 71)).unwrap();
    let whisper = Whisper::load(&path, &Device::Cpu, Padding::Natural).unwrap();
    let json = std::fs::read_to_string(whisper::golden_path("tokenizer.json")).unwrap();
    let tokens =
        WhisperTokens::parse(&json, (config.vocabulary, config.multilingual), &path).unwrap();
    let answer = whisper.answer("the cat").unwrap();
    let (end, told) = answer.split_last().unwrap();
    assert_eq!((*end, told), (tokens.end, &tokens.encode(" the cat").unwrap()[..]));
    let prompt = tokens.prompt(tokens.language("en").unwrap(), false, false);
    let wanted = all_logits(&decoder, &audio, &[&prompt, told].concat());
    let wanted = wanted[prompt.len() - 1..].concat();
    let found = whisper.foretell(&audio, "en", false, &answer).unwrap().unwrap();
    assert_eq!(found.len(), answer.len());
    let off = difference(&found.concat(), &wanted);
    assert!(off < 1e-5, "{off}");
    assert!(whisper.foretell(&audio, "xx", false, &answer).unwrap().is_none());
    assert!(whisper.foretell(&audio, "en", false, &[]).is_err());
    assert!(whisper.answer(&"word ".repeat(1000)).unwrap().len() + 4 <= config.text_positions);
}

#[test]
fn a_cached_text_is_the_text_read_at_once() {
    let (_folder, path) = imported(Quantization::F32);
    let (_, encoder, decoder) = load(&path, Precision::Float);
    let audio = encoder.forward(&golden_mel("natural", 71)).unwrap();
    let (a, b) = (golden_tokens("a"), golden_tokens("b"));
    let at_once = all_logits(&decoder, &audio, &a);
    let other_at_once = all_logits(&decoder, &audio, &b);
    let step = |tokens: &[u32], batch, state: &mut _| {
        let hidden = decoder.forward(tokens, batch, state).unwrap();
        decoder.logits(&hidden, tokens.len() / batch - 1).unwrap()
    };

    let mut state = decoder.start(&audio).unwrap();
    assert!(state.is_empty());
    for (i, &token) in a.iter().enumerate() {
        let off = difference(&step(&[token], 1, &mut state)[0], &at_once[i]);
        assert!(off < 1e-5, "token {i}: {off}");
    }
    assert_eq!(state.len(), a.len());

    // Back to what both texts begin with, then the other one, some tokens at a time.
    state.truncate(3);
    let off = difference(&step(&b[3..6], 1, &mut state)[0], &other_at_once[5]);
    assert!(off < 1e-5, "after going back: {off}");
    let off = difference(&step(&b[6..], 1, &mut state)[0], &other_at_once[9]);
    assert!(off < 1e-5, "to the end: {off}");

    // Both at once, from the common beginning; then their order is changed, and one is left.
    state.truncate(3);
    state.select(&[0, 0], &Device::Cpu).unwrap();
    assert_eq!((state.batch(), state.len()), (2, 3));
    let both = step(&[a[3], a[4], b[3], b[4]], 2, &mut state);
    let off = difference(&both[0], &at_once[4]).max(difference(&both[1], &other_at_once[4]));
    assert!(off < 1e-5, "side by side: {off}");
    state.select(&[1, 0, 1], &Device::Cpu).unwrap();
    let three = step(&[b[5], a[5], b[5]], 3, &mut state);
    let off = difference(&three[1], &at_once[5])
        .max(difference(&three[0], &other_at_once[5]))
        .max(difference(&three[2], &other_at_once[5]));
    assert!(off < 1e-5, "three, exchanged: {off}");
    state.select(&[1], &Device::Cpu).unwrap();
    let off = difference(&step(&a[6..], 1, &mut state)[0], &at_once[9]);
    assert!(off < 1e-5, "one left: {off}");

    assert!(state.select(&[1], &Device::Cpu).is_err(), "there is one row only");
}

/// As decoding does that tries again: each attempt begins with a clone of what the prompt left.
#[test]
fn one_attempt_after_the_other_begins_from_the_same_state() {
    let (_folder, path) = imported(Quantization::F32);
    let (_, encoder, decoder) = load(&path, Precision::Float);
    let audio = encoder.forward(&golden_mel("natural", 71)).unwrap();
    let mut prompted = decoder.start(&audio).unwrap();
    decoder.forward(&golden_tokens("a")[..3], 1, &mut prompted).unwrap();
    for name in ["a", "b", "a"] {
        let tokens = golden_tokens(name);
        let expected = all_logits(&decoder, &audio, &tokens);
        let mut state = prompted.fork().unwrap();
        for (at, &token) in tokens.iter().enumerate().skip(3) {
            let hidden = decoder.forward(&[token], 1, &mut state).unwrap();
            let off = difference(&decoder.logits(&hidden, 0).unwrap()[0], &expected[at]);
            assert!(off < 1e-5, "text {name}, token {at}: {off}");
        }
        assert_eq!(prompted.len(), 3);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (_folder, path) = imported(Quantization::F32);
    let (config, encoder, decoder) = load(&path, Precision::Float);
    assert!(encoder.forward(&golden_mel("natural", 2 * config.audio_positions + 2)).is_err());
    let audio = encoder.forward(&golden_mel("natural", 20)).unwrap();
    let mut state = decoder.start(&audio).unwrap();
    assert!(decoder.forward(&[config.table_rows() as u32], 1, &mut state).is_err());
    let mut state = decoder.start(&audio).unwrap();
    assert!(decoder.forward(&vec![1; config.text_positions + 1], 1, &mut state).is_err());
    assert!(decoder.start(&Tensor::zeros((1, 4, 64), DType::F32, &Device::Cpu).unwrap()).is_err());
}

#[test]
fn the_same_model_of_two_formats_imports_to_the_same_file() {
    let (_folder, path) = imported(Quantization::F32);
    let theirs = ctranslate2();
    let other_path = theirs.path().join("imported.gguf");
    import(theirs.path(), &other_path, Quantization::F32).unwrap();
    let (a, b) = (WeightFile::open(&path).unwrap(), WeightFile::open(&other_path).unwrap());
    assert_eq!(a.metadata(), b.metadata());
    // 2 + 2 of convolutions, 2 of positions, 4 of final norms, the table; 15 a layer of the
    // encoder, 24 of the decoder.
    assert_eq!(a.tensors().len(), 11 + 2 * 15 + 2 * 24);
    for tensor in a.tensors() {
        assert_eq!(a.bytes(&tensor.name).unwrap(), b.bytes(&tensor.name).unwrap());
    }
    let list = |key: &str| a.metadata().get(key).and_then(|value| value.as_array()).cloned();
    assert_eq!(format!("{:?}", list("whisper.suppress")), "Some(I32([1, 2, 7, 64]))");
    assert_eq!(format!("{:?}", list("whisper.suppress_first")), "Some(I32([220, 256]))");
}

/// As scripts of fine-tuning leave them.
#[test]
fn lists_of_suppressed_tokens_may_be_empty_but_not_anything() {
    for (always, fits) in [("[]", true), ("null", true), ("[\"a\"]", false)] {
        let theirs = hugging_face();
        let config = theirs.path().join("config.json");
        let mut json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
        json["suppress_tokens"] = serde_json::from_str(always).unwrap();
        json["begin_suppress_tokens"] = serde_json::json!([]);
        std::fs::write(&config, json.to_string()).unwrap();
        let path = theirs.path().join("imported.gguf");
        let found = import(theirs.path(), &path, Quantization::F32);
        assert_eq!(found.is_ok(), fits, "{always}: {found:?}");
        match found {
            Ok(()) => {
                let engine = Whisper::load(&path, &Device::Cpu, Padding::Natural).unwrap();
                assert_eq!(engine.capabilities().languages, ["en"]);
            }
            Err(error) => assert!(error.to_string().contains("suppress_tokens"), "{error}"),
        }
    }
}

/// candle-transformers' GELU is the tanh form, which differs from Whisper's by up to 5e-4: its
/// numbers agree roughly only, but a wrong order of operations would be off by more than their
/// own size.
#[test]
fn candle_transformers_agrees_up_to_its_gelu() {
    let (_folder, path) = imported(Quantization::F32);
    let (config, encoder, decoder) = load(&path, Precision::Float);
    let theirs = hugging_face();
    let tensors =
        candle_core::safetensors::load(theirs.path().join("model.safetensors"), &Device::Cpu);
    let weights = VarBuilder::from_tensors(tensors.unwrap(), DType::F32, &Device::Cpu);
    let their_config = other::Config {
        num_mel_bins: config.mel_bins,
        max_source_positions: config.audio_positions,
        d_model: config.width,
        encoder_attention_heads: config.heads,
        encoder_layers: config.encoder_layers,
        vocab_size: config.vocabulary,
        max_target_positions: config.text_positions,
        decoder_attention_heads: config.heads,
        decoder_layers: config.decoder_layers,
        suppress_tokens: Vec::new(),
    };
    let mut model = other::model::Whisper::load(&weights, their_config).unwrap();
    for (name, frames) in INPUTS {
        let mel = golden_mel(name, frames);
        let (ours, theirs) =
            (encoder.forward(&mel).unwrap(), model.encoder.forward(&mel, true).unwrap());
        let off = difference(&flat(&ours), &flat(&theirs)) / rms(&flat(&ours));
        println!("{name}: encoders differ by {off:.1e} of their size");
        assert!(off < 5e-3, "encoder, {name}: {off}");

        let tokens = golden_tokens("a");
        let input = Tensor::new(tokens.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let hidden = model.decoder.forward(&input, &theirs, true).unwrap();
        let theirs = flat(&model.decoder.final_linear(&hidden).unwrap());
        let ours = all_logits(&decoder, &ours, &tokens).concat();
        let off = difference(&ours, &theirs) / rms(&ours);
        println!("{name}: logits differ by {off:.1e} of their size");
        assert!(off < 5e-3, "logits, {name}: {off}");
    }
}

#[test]
fn quantized_models_stay_close() {
    let (_folder, path) = imported(Quantization::F32);
    let (_, encoder, decoder) = load(&path, Precision::Float);
    let mel = golden_mel("full", 120);
    let tokens = golden_tokens("a");
    let exact = all_logits(&decoder, &encoder.forward(&mel).unwrap(), &tokens).concat();
    // Rows of 128 do not hold a K-quant's block of 256: 8 bits step in. Rows of 512 do.
    for (quantization, short, long, least) in [
        (Quantization::F16, GgmlDType::F16, GgmlDType::F16, 0.999_99),
        (Quantization::Q8_0, GgmlDType::Q8_0, GgmlDType::Q8_0, 0.999),
        (Quantization::Q6K, GgmlDType::Q8_0, GgmlDType::Q6K, 0.999),
        (Quantization::Q4K, GgmlDType::Q8_0, GgmlDType::Q4K, 0.99),
    ] {
        let (_folder, path) = imported(quantization);
        let file = WeightFile::open(&path).unwrap();
        let kind = |name: &str| file.tensor(name).unwrap().kind;
        assert_eq!(kind("d.blk.0.attn_q.weight"), TensorKind::from(short));
        assert_eq!(kind("a.blk.1.ffn_down.weight"), TensorKind::from(long));
        assert_eq!(kind("a.conv1d.2.weight"), TensorKind::F32);
        for precision in
            [Precision::Stored, Precision::Float, Precision::Decoding, Precision::Prefill]
        {
            let (_, encoder, decoder) = load(&path, precision);
            let audio = encoder.forward(&mel).unwrap();
            let near = cosine(&exact, &all_logits(&decoder, &audio, &tokens).concat());
            println!("{} {precision:?}: cosine {near:.6}", quantization.name());
            assert!(near > least, "{} {precision:?}: {near}", quantization.name());
        }
    }
}

/// The whole engine on a model that knows nothing: whatever it writes stays in its bounds.
#[test]
fn a_model_of_noise_keeps_to_the_rules() {
    let (_folder, path) = imported(Quantization::Q8_0);
    let mut engine = Whisper::load(&path, &Device::Cpu, Padding::Natural).unwrap();
    assert_eq!(engine.capabilities().languages, ["en"], "a small vocabulary: English only");
    assert!(engine.capabilities().translation_targets.is_empty());
    let longest = engine.capabilities().longest_window;
    assert!((longest - 1.2).abs() < 1e-9);
    let samples: Vec<f32> = (0..16_000).map(|i| (i as f32 * 0.21).sin() * 0.3).collect();
    let mut written = 0;
    for (beam, timestamps, fallback) in [(1, true, false), (3, false, false), (1, true, true)] {
        let request =
            Request { beam, timestamps, fallback, silence_guard: false, ..Request::default() };
        let found = engine.transcribe(&samples, &request).unwrap();
        if fallback {
            assert_eq!(found, engine.transcribe(&samples, &request).unwrap(), "drawn otherwise");
        }
        assert_eq!(found.language, "en");
        assert!(found.text.average_log_probability < 0.0);
        let mut last = 0.0;
        for segment in &found.text.segments {
            assert!(last <= segment.start && segment.start <= segment.end && segment.end <= 1.0);
            last = segment.end;
        }
        written += found.text.segments.len();
    }
    assert!(written > 0, "nothing was checked");

    let refused = |request: Request, engine: &mut Whisper, samples: &[f32]| {
        engine.transcribe(samples, &request).unwrap_err().to_string()
    };
    let german = Request { language: Some("de".into()), ..Request::default() };
    assert!(refused(german, &mut engine, &samples).contains("does not know `de`"));
    let translated = Request { translate: Some("en".into()), ..Request::default() };
    assert!(refused(translated, &mut engine, &samples).contains("no language"));
    assert!(refused(Request::default(), &mut engine, &vec![0.0; 19_201]).contains("1.2 s"));
}

fn rms(values: &[f32]) -> f32 {
    (values.iter().map(|value| value * value).sum::<f32>() / values.len() as f32).sqrt()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
