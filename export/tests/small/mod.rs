//! A small trained model over two small bases, all random: enough layers and widths that every rule
//! of the mixtures applies somewhere.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![allow(dead_code, reason = "not every test uses all of it")]

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use partita_model::files::gguf::write_gguf;
use partita_model::files::{Value, WeightFile, write_safetensors};
use partita_model::nn::LowRank;
use partita_model::speech::{AdapterConfig, AdapterShape, SpeechConfig, TrainedModel};
use partita_model::tokens::{Mark, Marks, ShortlistBuilder, TextTokenizer};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

/// Width of the language model: no multiple of 256, so K-quants fall back.
pub const WIDTH: usize = 96;
/// Its feed-forward width: a multiple, so they do not.
pub const INNER: usize = 256;
pub const ENCODER: usize = 64;
pub const STACK: usize = 4;
pub const HIDDEN: usize = 32;
pub const LAYERS: usize = 8;

const WORDS: [&str; 12] = [
    "one", "two", "three", "four", "eins", "zwei", "drei", "vier", "un", "deux", "trois", "quatre",
];

type Shapes = Vec<(String, Vec<usize>)>;

/// What differs between small models.
pub struct Made {
    /// `gemma3`, whose tokenizer has reserved tokens, or `llama`, to which marks are appended.
    pub architecture: &'static str,
    pub stack: usize,
    pub positions: usize,
    pub shape: Option<AdapterShape>,
    /// Width of the adapter's output.
    pub output: usize,
}

impl Default for Made {
    fn default() -> Self {
        Self { architecture: "gemma3", stack: STACK, positions: 1500, shape: None, output: WIDTH }
    }
}

pub struct World {
    pub folder: TempDir,
    pub encoder: PathBuf,
    pub llm: PathBuf,
    pub model: TrainedModel,
}

/// Draws of about normal distribution that are the same in every run.
pub fn drawn(name: &str, deviation: f32, shape: &[usize]) -> Tensor {
    let seed =
        name.bytes().fold(7u64, |seed, byte| seed.wrapping_mul(131).wrapping_add(byte.into()));
    let mut random = StdRng::seed_from_u64(seed);
    let draw = |_| ((0..12).map(|_| random.random::<f32>()).sum::<f32>() - 6.0) * deviation;
    let values: Vec<f32> = (0..shape.iter().product()).map(draw).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn value(name: &str, shape: &[usize]) -> Tensor {
    match shape {
        [_, _] if name.starts_with("token_embd") => drawn(name, 0.3, shape),
        [_, rest @ ..] if !rest.is_empty() => {
            drawn(name, 1.0 / (rest.iter().product::<usize>() as f32).sqrt(), shape)
        }
        _ if name.ends_with("bias") => drawn(name, 0.1, shape),
        _ => (drawn(name, 0.1, shape) + 1.0).unwrap(),
    }
}

fn write(path: &Path, metadata: &[(String, Value)], shapes: &Shapes) {
    let make = |(name, shape): &(String, Vec<usize>)| {
        (name.clone(), QTensor::quantize(&value(name, shape), GgmlDType::F32).unwrap())
    };
    let tensors: Vec<_> = shapes.iter().map(make).collect();
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
    write_gguf(path, metadata, &tensors).unwrap();
}

fn numbers(prefix: &str, values: &[(&str, usize)]) -> Vec<(String, Value)> {
    values.iter().map(|(key, v)| (format!("{prefix}.{key}"), Value::U32(*v as u32))).collect()
}

fn layer(prefix: &str, width: usize) -> Shapes {
    let mut shapes = Vec::new();
    for (name, outputs, inputs) in [
        ("ln1", width, None),
        ("attn_q", width, Some(width)),
        ("attn_k", width, Some(width)),
        ("attn_v", width, Some(width)),
        ("attn_out", width, Some(width)),
        ("ln2", width, None),
        ("ffn_up", 4 * width, Some(width)),
        ("ffn_down", width, Some(4 * width)),
    ] {
        if name != "attn_k" {
            shapes.push((format!("{prefix}.{name}.bias"), vec![outputs]));
        }
        let shape = std::iter::once(outputs).chain(inputs).collect();
        shapes.push((format!("{prefix}.{name}.weight"), shape));
    }
    shapes
}

fn write_encoder(path: &Path, positions: usize) {
    let width = ENCODER;
    let mut metadata = vec![("general.architecture".to_owned(), Value::from("whisper"))];
    metadata.extend(numbers(
        "whisper",
        &[
            ("mel_bins", 80),
            ("audio_positions", positions),
            ("text_positions", 8),
            ("width", width),
            ("heads", 2),
            ("encoder_layers", 2),
            ("decoder_layers", 1),
            ("vocabulary", 16),
        ],
    ));
    let mut shapes: Shapes = vec![
        ("a.conv1d.1.weight".to_owned(), vec![width, 80, 3]),
        ("a.conv1d.1.bias".to_owned(), vec![width]),
        ("a.conv1d.2.weight".to_owned(), vec![width, width, 3]),
        ("a.conv1d.2.bias".to_owned(), vec![width]),
        ("a.position_embd.weight".to_owned(), vec![positions, width]),
        ("a.post_ln.weight".to_owned(), vec![width]),
        ("a.post_ln.bias".to_owned(), vec![width]),
        ("d.output_norm.weight".to_owned(), vec![width]),
    ];
    (0..2).for_each(|i| shapes.extend(layer(&format!("a.blk.{i}"), width)));
    // Others' files may have one; stock tools take none.
    shapes.push(("a.blk.0.attn_k.bias".to_owned(), vec![width]));
    write(path, &metadata, &shapes);
}

fn write_llm(path: &Path, architecture: &str) {
    let (mut metadata, vocabulary) = match architecture {
        "gemma3" => pieces(),
        _ => bytes(),
    };
    metadata.push(("general.architecture".to_owned(), architecture.into()));
    metadata.push(("general.name".to_owned(), "Small".into()));
    metadata.push(("general.license".to_owned(), "mit".into()));
    metadata.extend(numbers(
        architecture,
        &[
            ("block_count", LAYERS),
            ("context_length", 256),
            ("embedding_length", WIDTH),
            ("feed_forward_length", INNER),
            ("attention.head_count", 2),
            ("attention.head_count_kv", 1),
            ("attention.key_length", 32),
            ("attention.value_length", 32),
            ("vocab_size", vocabulary),
        ],
    ));
    if architecture == "gemma3" {
        metadata.extend(numbers(
            architecture,
            &[("attention.sliding_window", 64), ("attention.sliding_window_pattern", 2)],
        ));
    }
    let epsilon = format!("{architecture}.attention.layer_norm_rms_epsilon");
    metadata.push((epsilon, Value::F32(1e-6)));
    let mut shapes: Shapes = vec![
        ("token_embd.weight".to_owned(), vec![vocabulary, WIDTH]),
        ("output_norm.weight".to_owned(), vec![WIDTH]),
    ];
    for block in 0..LAYERS {
        for (name, shape) in [
            ("attn_q", vec![64, WIDTH]),
            ("attn_k", vec![32, WIDTH]),
            ("attn_v", vec![32, WIDTH]),
            ("attn_output", vec![WIDTH, 64]),
            ("ffn_gate", vec![INNER, WIDTH]),
            ("ffn_up", vec![INNER, WIDTH]),
            ("ffn_down", vec![WIDTH, INNER]),
            ("attn_norm", vec![WIDTH]),
            ("ffn_norm", vec![WIDTH]),
        ] {
            shapes.push((format!("blk.{block}.{name}.weight"), shape));
        }
        if architecture == "gemma3" {
            for (name, width) in [
                ("post_attention_norm", WIDTH),
                ("post_ffw_norm", WIDTH),
                ("attn_q_norm", 32),
                ("attn_k_norm", 32),
            ] {
                shapes.push((format!("blk.{block}.{name}.weight"), vec![width]));
            }
        }
    }
    write(path, &metadata, &shapes);
}

fn tokenizer_keys(keys: Vec<(&str, Value)>) -> Vec<(String, Value)> {
    keys.into_iter().map(|(key, value)| (format!("tokenizer.ggml.{key}"), value)).collect()
}

/// SentencePiece with scores: reserved tokens, bytes, and each word with all its beginnings.
fn pieces() -> (Vec<(String, Value)>, usize) {
    let mut tokens: Vec<(String, i32)> =
        ["<pad>", "<eos>", "<bos>"].map(|name| (name.to_owned(), 3)).to_vec();
    tokens.push(("<unk>".to_owned(), 2));
    tokens.extend((0..Mark::rows()).map(|row| (format!("<unused{row}>"), 3)));
    tokens.extend((0..=255).map(|byte| (format!("<0x{byte:02X}>"), 6)));
    for word in WORDS {
        let mut piece = "\u{2581}".to_owned();
        for letter in std::iter::once(None).chain(word.chars().map(Some)) {
            piece.extend(letter);
            if tokens.iter().all(|(known, _)| *known != piece) {
                tokens.push((piece.clone(), 1));
            }
        }
    }
    let names: Vec<String> = tokens.iter().map(|(name, _)| name.clone()).collect();
    let kinds: Vec<i32> = tokens.iter().map(|(_, kind)| *kind).collect();
    let scores: Vec<f32> = (0..tokens.len()).map(|place| -(place as f32)).collect();
    let keys = vec![
        ("model", Value::from("llama")),
        ("pre", Value::from("default")),
        ("tokens", names.into()),
        ("token_type", kinds.into()),
        ("scores", scores.into()),
        ("padding_token_id", Value::U32(0)),
        ("eos_token_id", Value::U32(1)),
        ("bos_token_id", Value::U32(2)),
        ("unknown_token_id", Value::U32(3)),
        ("add_space_prefix", Value::Bool(true)),
    ];
    (tokenizer_keys(keys), tokens.len())
}

/// Byte-level BPE without reserved tokens, from the tests of tokenizers.
fn bytes() -> (Vec<(String, Value)>, usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/model/tests/tokens/byte.gguf");
    let file = WeightFile::open(&path).unwrap();
    let keys = file.metadata().iter().filter(|(key, _)| key.starts_with("tokenizer."));
    let keys: Vec<_> = keys.map(|(key, value)| (key.clone(), value.clone())).collect();
    let tokens = file.metadata()["tokenizer.ggml.tokens"].as_array().unwrap().len();
    (keys, tokens)
}

impl World {
    /// Writes bases and a trained model: adapter, marks, a CTC head, one encoder layer whole, and
    /// low-rank changes of queries and values.
    pub fn make(made: Made) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (encoder, llm) = (folder.path().join("encoder.gguf"), folder.path().join("llm.gguf"));
        write_encoder(&encoder, made.positions);
        write_llm(&llm, made.architecture);
        let tokenizer = TextTokenizer::from_gguf(&WeightFile::open(&llm).unwrap()).unwrap();
        let marks = Marks::for_tokenizer(&tokenizer);
        let mut shortlist = ShortlistBuilder::new(&tokenizer);
        WORDS.iter().for_each(|word| shortlist.add_text(word));
        let shortlist = shortlist.finish(&marks, 1);
        let hidden = HIDDEN;
        let shape = made.shape.unwrap_or(AdapterShape::Ultravox { stack: made.stack, hidden });
        let model = TrainedModel {
            encoder: encoder.to_str().unwrap().to_owned(),
            llm: llm.to_str().unwrap().to_owned(),
            languages: vec!["en".parse().unwrap(), "de".parse().unwrap()],
            targets: vec!["de".parse().unwrap()],
            config: SpeechConfig {
                adapter: AdapterConfig {
                    encoder_width: ENCODER,
                    llm_width: made.output,
                    output_rms: 2.5,
                    shape,
                },
                shortlist,
            },
        };
        let classes = model.config.shortlist.len() + 1;
        let mut shapes: Shapes = vec![
            ("mm.a.norm_pre.weight".to_owned(), vec![ENCODER * made.stack]),
            ("mm.a.mlp.1.weight".to_owned(), vec![2 * HIDDEN, ENCODER * made.stack]),
            ("mm.a.norm_mid.weight".to_owned(), vec![HIDDEN]),
            ("mm.a.mlp.2.weight".to_owned(), vec![made.output, HIDDEN]),
            ("marks.weight".to_owned(), vec![marks.ids().count(), WIDTH]),
        ];
        if made.architecture == "gemma3" {
            // Its classes are rows of the base's table, where appended marks have none.
            shapes.extend([
                ("ctc.blank".to_owned(), vec![WIDTH]),
                ("ctc.scale".to_owned(), vec![1]),
                ("ctc.bias".to_owned(), vec![classes]),
            ]);
        }
        shapes.extend(layer("a.blk.1", ENCODER));
        let mut tensors: Vec<(String, Tensor)> = shapes
            .iter()
            .map(|(name, shape)| {
                // Another draw than the base's.
                let drawn = value(&format!("trained {name}"), shape);
                let tensor = if name == "marks.weight" { (drawn * 3.0).unwrap() } else { drawn };
                (name.clone(), tensor)
            })
            .collect();
        for block in 0..LAYERS {
            for (part, outputs) in [("attn_q", 64), ("attn_v", 32)] {
                let [a, b] = LowRank::names(&format!("blk.{block}.{part}"));
                let [a_values, b_values] =
                    [drawn(&a, 0.3, &[4, WIDTH]), drawn(&b, 0.3, &[outputs, 4])];
                tensors.extend([(a, a_values), (b, b_values)]);
            }
        }
        let alpha = (LowRank::ALPHA_KEY.to_owned(), "8".to_owned());
        let run = folder.path().join("run");
        fs::create_dir(&run).unwrap();
        write_safetensors(&run.join(TrainedModel::WEIGHTS), &[alpha], &tensors).unwrap();
        model.write(&run).unwrap();
        let recipe = "name = \"small\"\nabout = \"a test\"\nseed = 5\norder = [\"one\", \"two\"]\n\
            [budget]\nsteps = 10\n[data]\ntext = []\nspeech = []\n";
        fs::write(run.join("config.toml"), recipe).unwrap();
        Self { folder, encoder, llm, model }
    }

    pub fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    pub fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A manifest of tones in both languages, for training and for tests; English ones have
    /// translations.
    pub fn manifest(&self) -> PathBuf {
        let folder = self.out("speech");
        fs::create_dir_all(&folder).unwrap();
        let mut rows = String::new();
        for clip in 0..12 {
            let words = [clip % 4, (clip / 2) % 4].map(|word| [WORDS[word], WORDS[4 + word]]);
            let [english, german] = [0, 1].map(|lang| words.map(|word| word[lang]).join(" "));
            let samples: Vec<f32> = (0..12_000 + 1000 * clip)
                .map(|i| 0.3 * (i as f32 * (0.05 + 0.03 * clip as f32)).sin())
                .collect();
            let file = format!("{clip}.wav");
            fs::write(folder.join(&file), wav(&samples)).unwrap();
            let (lang, text) = if clip % 2 == 0 { ("en", &english) } else { ("de", &german) };
            let translations = match lang {
                "en" => serde_json::json!({"de": german}),
                _ => serde_json::json!({}),
            };
            let row = serde_json::json!({
                "id": format!("clip{clip}"), "audio_filepath": file, "lang": lang, "text": text,
                "duration": samples.len() as f64 / 16_000.0, "translations": translations,
                "split": if clip < 4 { "train" } else { "test" },
            });
            rows += &format!("{row}\n");
        }
        let path = folder.join("speech.jsonl");
        fs::write(&path, rows).unwrap();
        path
    }
}

/// 16 kHz mono, 16 bits.
fn wav(samples: &[f32]) -> Vec<u8> {
    let bytes = 2 * samples.len() as u32;
    let mut file = b"RIFF".to_vec();
    file.extend((36 + bytes).to_le_bytes());
    file.extend(b"WAVEfmt ");
    for number in [16, 1 | 1 << 16, 16_000, 32_000, 2 | 16 << 16] {
        file.extend(u32::to_le_bytes(number));
    }
    file.extend(b"data");
    file.extend(bytes.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| ((sample * 32_767.0) as i16).to_le_bytes()));
    file
}

/// A second of a tone.
pub fn tone() -> Vec<f32> {
    (0..16_000).map(|i| 0.3 * (i as f32 * 0.2).sin()).collect()
}
