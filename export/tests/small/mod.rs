//! A small trained model over two small bases, all random: enough layers and widths that every rule
//! of the mixtures applies somewhere.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![allow(dead_code, reason = "not every test uses all of it")]

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use partita_export::gguf::{Options, Quant, export};
use partita_model::files::gguf::{GgufWriter, TensorSpec};
use partita_model::files::{Array, TensorInfo, Value, WeightFile, write_safetensors};
use partita_model::nn::{LowRank, change_name};
use partita_model::speech::{AdapterConfig, AdapterShape, SpeechConfig, TrainedModel};
use partita_model::tokens::{Marks, ShortlistBuilder, TextTokenizer};
use partita_small::{Encoder, Llm, Shapes, Tokenizer, drawn, drawn_weight, layer};
use tempfile::TempDir;

/// Width of the language model: no multiple of 256, so K-quants fall back.
pub const WIDTH: usize = 96;
/// Its feed-forward width: a multiple, so they do not.
pub const INNER: usize = 256;
pub const ENCODER: usize = 64;
pub const STACK: usize = 4;
pub const HIDDEN: usize = 32;
pub const LAYERS: usize = 8;
const HEAD: usize = 32;

const WORDS: [&str; 12] = [
    "one", "two", "three", "four", "eins", "zwei", "drei", "vier", "un", "deux", "trois", "quatre",
];

const TEMPLATE_KEY: &str = "tokenizer.chat_template";
/// As Gemma's.
pub const TEMPLATE: &str = "{{ bos_token }}
{%- for message in messages %}
    {{- '<start_of_turn>' + message['role'] + '\n' + message['content'] | trim + '<end_of_turn>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}";

/// What differs between small models.
pub struct Made {
    /// `gemma3`, whose tokenizer has reserved tokens, or `llama`, to which marks are appended.
    pub architecture: &'static str,
    pub stack: usize,
    pub positions: usize,
    pub shape: Option<AdapterShape>,
    /// Width of the adapter's output.
    pub output: usize,
    /// Whether outputs are the rows of the token table; such a model says its last word again.
    pub tied: bool,
}

impl Default for Made {
    fn default() -> Self {
        Self {
            architecture: "gemma3",
            stack: STACK,
            positions: 1500,
            shape: None,
            output: WIDTH,
            tied: true,
        }
    }
}

pub struct World {
    pub folder: TempDir,
    pub encoder: PathBuf,
    pub llm: PathBuf,
    pub model: TrainedModel,
}

/// A tensor of the trained model: another draw than the base's.
fn trained(name: &str, shape: &[usize]) -> Tensor {
    drawn_weight(&format!("trained {name}"), shape).unwrap()
}

/// Byte-level BPE without reserved tokens, from the tests of tokenizers.
fn bytes() -> Tokenizer {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/model/tests/tokens/byte.gguf");
    Tokenizer::of_file(&WeightFile::open(&path).unwrap()).unwrap()
}

impl World {
    /// Writes bases and a trained model: adapter, marks, a CTC head, one encoder layer whole, and
    /// low-rank changes of queries and values.
    pub fn make(made: Made) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (encoder, llm) = (folder.path().join("encoder.gguf"), folder.path().join("llm.gguf"));
        let bases = Encoder { width: ENCODER, heads: 2, positions: made.positions };
        bases.write(&encoder, drawn_weight).unwrap();
        let gemma = made.architecture == "gemma3";
        let tokenizer = if gemma { Tokenizer::of_words(WORDS) } else { bytes() };
        let (width, inner, head) = (WIDTH, INNER, HEAD);
        let Made { architecture, tied, .. } = made;
        let text = Llm { architecture, width, inner, blocks: LAYERS, head, tied, ..Llm::default() };
        text.write(&llm, &tokenizer, drawn_weight).unwrap();
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
        let table = WeightFile::open(&llm).unwrap().tensor("token_embd.weight").unwrap().shape[0];
        // The head is over the rows of the base's table, where appended marks have none.
        let words = model.config.shortlist.ids().iter().filter(|&&id| (id as usize) < table);
        let words = words.count();
        let mut shapes: Shapes = vec![
            ("mm.a.norm_pre.weight".to_owned(), vec![ENCODER * made.stack]),
            ("mm.a.mlp.1.weight".to_owned(), vec![2 * HIDDEN, ENCODER * made.stack]),
            ("mm.a.norm_mid.weight".to_owned(), vec![HIDDEN]),
            ("mm.a.mlp.2.weight".to_owned(), vec![made.output, HIDDEN]),
            ("marks.weight".to_owned(), vec![marks.ids().count(), WIDTH]),
            ("ctc.blank".to_owned(), vec![WIDTH]),
            ("ctc.scale".to_owned(), vec![1]),
            ("ctc.bias".to_owned(), vec![words + 1]),
        ];
        shapes.extend(layer("a.blk.1", ENCODER));
        let mut tensors: Vec<(String, Tensor)> = shapes
            .iter()
            .map(|(name, shape)| {
                let factor = if name == "marks.weight" { 3.0 } else { 1.0 };
                (name.clone(), (trained(name, shape) * factor).unwrap())
            })
            .collect();
        for block in 0..LAYERS {
            for (part, outputs) in [("attn_q", 2 * HEAD), ("attn_v", HEAD)] {
                let [a, b] = LowRank::names(&format!("blk.{block}.{part}"));
                let a_values = drawn(&a, 0.3, &[4, WIDTH]).unwrap();
                let b_values = drawn(&b, 0.3, &[outputs, 4]).unwrap();
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

    /// The run as a packed model that loses nothing: what a base has as changes of it.
    pub fn packed(&self) -> PathBuf {
        let weights = WeightFile::open(&self.run().join(TrainedModel::WEIGHTS)).unwrap();
        let bases = [&self.encoder, &self.llm].map(|path| WeightFile::open(path).unwrap());
        let tensors: Vec<(String, QTensor)> = weights
            .tensors()
            .iter()
            .map(|TensorInfo { name, .. }| {
                let (shape, mut values) = weights.floats(name).unwrap();
                let base = bases.iter().find(|base| base.contains(name));
                if let Some(base) = base {
                    let (_, base) = base.floats(name).unwrap();
                    values.iter_mut().zip(base).for_each(|(value, base)| *value -= base);
                }
                let values = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
                let stored = QTensor::quantize(&values, GgmlDType::F32).unwrap();
                let name = if base.is_some() { change_name(name) } else { name.clone() };
                (name, stored)
            })
            .collect();
        let tensors: Vec<_> =
            tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let path = self.out("packed.gguf");
        self.model.write_packed(&path, 8.0, &tensors).unwrap();
        path
    }

    pub fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The model as a pair of somebody else's: asked in words, by a chat template of its own, and
    /// without a key of ours. Returns the language model's file.
    pub fn pair_of_others(&self) -> PathBuf {
        let out = self.out("others");
        export(&Options {
            model: self.run().to_str().unwrap().to_owned(),
            quant: Quant::F32,
            projector: None,
            vocabulary: None,
            name: Some("others".to_owned()),
            shard_size: None,
            calibration: None,
            card: Vec::new(),
            out: out.clone(),
        })
        .unwrap();
        for name in ["others-F32.gguf", "mmproj-others-F32.gguf"] {
            let path = out.join(name);
            let file = WeightFile::open(&path).unwrap();
            let ours = |key: &str| key.starts_with("partita.") || key == "general.languages";
            let kept = file.metadata().iter().filter(|(key, _)| !ours(key));
            let mut keys: Vec<_> = kept.map(|(key, v)| (key.clone(), v.clone())).collect();
            keys.retain(|(key, _)| key != TEMPLATE_KEY);
            if !name.starts_with("mmproj") {
                keys.push((TEMPLATE_KEY.to_owned(), TEMPLATE.into()));
            }
            // Turns begin and end with tokens that this small vocabulary has only reserved ones for.
            for (_, value) in &mut keys {
                let Value::Array(Array::String(pieces)) = value else { continue };
                for piece in pieces {
                    match piece.as_str() {
                        "<unused40>" => "<start_of_turn>".clone_into(piece),
                        "<unused41>" => "<end_of_turn>".clone_into(piece),
                        _ => {}
                    }
                }
            }
            let is_ours = |tensor: &&TensorInfo| tensor.name.starts_with("ctc.");
            let tensors: Vec<_> = file.tensors().iter().filter(|tensor| !is_ours(tensor)).collect();
            let spec = |tensor: &&TensorInfo| TensorSpec {
                name: tensor.name.clone(),
                shape: tensor.shape.clone(),
                kind: tensor.kind,
            };
            let specs: Vec<_> = tensors.iter().map(spec).collect();
            let mut writer = GgufWriter::create(&path, &keys, &specs).unwrap();
            for tensor in tensors {
                writer.tensor(&tensor.name, file.bytes(&tensor.name).unwrap()).unwrap();
            }
            writer.finish().unwrap();
        }
        out.join("others-F32.gguf")
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
