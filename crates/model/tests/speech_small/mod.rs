//! A small random speech model.

use candle_core::Device;
use candle_core::quantized::{GgmlDType, QTensor};
use partita_model::files::gguf::write_gguf;
use partita_model::files::{Value, WeightFile};
use partita_model::nn::{NameSet, Parameters, TrainingSource};
use partita_model::speech::{AdapterConfig, AdapterShape, Bases, SpeechConfig, SpeechLlm};
use partita_model::tokens::{Lang, Marks, ShortlistBuilder, TextTokenizer};
use partita_model::whisper::Quantization;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

use super::whisper;

pub const WIDTH: usize = 32;
pub const TEXTS: [&str; 2] = ["the train was late", "der Zug kam spät"];

pub struct World {
    _folders: (TempDir, TempDir),
    encoder: PathBuf,
    text: PathBuf,
}

/// A small Gemma 3 with the tokenizer of the token tests, and the small Whisper.
pub fn world() -> World {
    let (folder, encoder) = whisper::imported(Quantization::F32);
    let own = tempfile::tempdir().unwrap();
    let text = own.path().join("text.gguf");
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let tokenizer = WeightFile::open(&tests.join("tokens/score.gguf")).unwrap();
    let vocabulary = tokenizer.metadata()["tokenizer.ggml.tokens"].as_array().unwrap().len();
    let is_tokenizer = |(key, _): &(&String, &Value)| key.starts_with("tokenizer.");
    let mut metadata: Vec<(String, Value)> = tokenizer
        .metadata()
        .iter()
        .filter(is_tokenizer)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    metadata.push(("general.architecture".to_owned(), Value::String("gemma3".to_owned())));
    let numbers = [
        ("block_count", 2),
        ("context_length", 256),
        ("embedding_length", WIDTH as u32),
        ("feed_forward_length", 64),
        ("attention.head_count", 2),
        ("attention.head_count_kv", 1),
        ("attention.key_length", 16),
        ("attention.sliding_window", 32),
        ("attention.sliding_window_pattern", 2),
    ];
    metadata.extend(numbers.map(|(key, value)| (format!("gemma3.{key}"), Value::U32(value))));
    let epsilon = "gemma3.attention.layer_norm_rms_epsilon".to_owned();
    metadata.push((epsilon, Value::F32(1e-6)));

    let parameters = Parameters::new(5, &Device::Cpu);
    let source = TrainingSource::new(&parameters, NameSet::default());
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[usize]| {
        use partita_model::nn::{Init, WeightSource};
        let init = match shape {
            // Rows long enough for a token to be certain.
            [_, _] if name.starts_with("token_embd") => Init::Normal(0.5),
            [_, inputs] => Init::fan_in(*inputs),
            _ => Init::Constant(1.0),
        };
        let tensor = source.tensor_or(&name, shape, init).unwrap();
        tensors.push((name, QTensor::quantize(&tensor, GgmlDType::F32).unwrap()));
    };
    add("token_embd.weight".to_owned(), &[vocabulary, WIDTH]);
    add("output_norm.weight".to_owned(), &[WIDTH]);
    for i in 0..2 {
        for (name, shape) in [
            ("attn_q", &[32, WIDTH][..]),
            ("attn_k", &[16, WIDTH]),
            ("attn_v", &[16, WIDTH]),
            ("attn_output", &[WIDTH, 32]),
            ("ffn_gate", &[64, WIDTH]),
            ("ffn_up", &[64, WIDTH]),
            ("ffn_down", &[WIDTH, 64]),
            ("attn_norm", &[WIDTH]),
            ("ffn_norm", &[WIDTH]),
            ("post_attention_norm", &[WIDTH]),
            ("post_ffw_norm", &[WIDTH]),
            ("attn_q_norm", &[16]),
            ("attn_k_norm", &[16]),
        ] {
            add(format!("blk.{i}.{name}.weight"), shape);
        }
    }
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
    write_gguf(&text, &metadata, &tensors).unwrap();
    World { _folders: (folder, own), encoder, text }
}

impl World {
    pub fn bases(&self) -> Bases {
        let text = Arc::new(WeightFile::open(&self.text).unwrap());
        Bases::open(&WeightFile::open(&self.encoder).unwrap(), text).unwrap()
    }

    pub fn parameters(&self) -> Parameters {
        Parameters::new(3, &Device::Cpu)
            .with_base(WeightFile::open(&self.encoder).unwrap())
            .with_base(WeightFile::open(&self.text).unwrap())
    }
}

fn config(bases: &Bases) -> SpeechConfig {
    let tokenizer: &TextTokenizer = &bases.tokenizer;
    let mut shortlist = ShortlistBuilder::new(tokenizer);
    TEXTS.iter().for_each(|text| shortlist.add_text(text));
    SpeechConfig {
        adapter: AdapterConfig {
            encoder_width: bases.encoder.width,
            llm_width: WIDTH,
            output_rms: 2.8,
            shape: AdapterShape::Ultravox { stack: 4, hidden: 64 },
        },
        shortlist: shortlist.finish(&Marks::for_tokenizer(tokenizer), 1),
    }
}

pub fn lang(code: &str) -> Lang {
    code.parse().unwrap()
}

pub fn model(source: &TrainingSource, bases: &Bases) -> SpeechLlm {
    SpeechLlm::load(source, source, bases, &config(bases), &Device::Cpu).unwrap()
}
