//! What is in exported ONNX folders, without a runtime: names, shapes, operators, the tokenizer, and
//! what is refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "onnx_small/mod.rs"]
mod small;
#[path = "small/mod.rs"]
mod world;

use partita_export::merged::Merged;
use partita_export::onnx::proto::Extent;
use partita_export::onnx::proto::{Model, Tensor, ValueInfo};
use partita_export::onnx::{Dtype, Element, MOST_INSIDE, OPSET, export};
use partita_model::files::{WeightFile, write_safetensors};
use partita_model::speech::{AdapterShape, TrainedModel};
use partita_model::tokens::{Mark, Marks, TextTokenizer};
use prost::Message;
use serde_json::Value;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use world::{Made, World};

fn exported(dtype: Dtype) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let model = small::write_model(folder.path(), "gemma3", small::ULTRAVOX);
    let out = folder.path().join("out");
    export(&Merged::open(model.to_str().unwrap()).unwrap(), dtype, &out, MOST_INSIDE).unwrap();
    (folder, out)
}

fn read(out: &Path, name: &str, dtype: Dtype) -> Model {
    let path = out.join("onnx").join(format!("{name}{}.onnx", dtype.suffix()));
    Model::decode(&fs::read(path).unwrap()[..]).unwrap()
}

fn json(out: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(out.join(name)).unwrap()).unwrap()
}

/// `name: [dimensions]`
fn described(value: &ValueInfo) -> String {
    let shape = value.kind.clone().unwrap().tensor.unwrap().shape.unwrap();
    let dim = |extent: Option<Extent>| match extent.unwrap() {
        Extent::Fixed(length) => length.to_string(),
        Extent::Named(name) => name,
    };
    let dims: Vec<String> = shape.dim.into_iter().map(|d| dim(d.extent)).collect();
    format!("{} [{}]", value.name, dims.join(", "))
}

fn bytes(tensor: &Tensor) -> u64 {
    let sizes = [Element::F32, Element::U8, Element::I64, Element::F16];
    let element = sizes.into_iter().find(|&element| element as i32 == tensor.data_type).unwrap();
    tensor.dims.iter().map(|&dim| dim as u64).product::<u64>() * element.bytes()
}

#[test]
fn graphs_have_the_names_and_shapes_that_are_read() {
    let (_folder, out) = exported(Dtype::Fp32);
    let all = |values: &[ValueInfo]| values.iter().map(described).collect::<Vec<_>>();
    let audio = read(&out, "audio_encoder", Dtype::Fp32).graph.unwrap();
    assert_eq!(all(&audio.input), ["audio_values [batch_size, 80, frames]"]);
    assert_eq!(all(&audio.output), ["audio_features [batch_size, audio_length, 32]"]);
    let embed = read(&out, "embed_tokens", Dtype::Fp32).graph.unwrap();
    assert_eq!(all(&embed.input), ["input_ids [batch_size, sequence_length]"]);
    assert_eq!(all(&embed.output), ["inputs_embeds [batch_size, sequence_length, 32]"]);
    let decoder = read(&out, "decoder_model_merged", Dtype::Fp32).graph.unwrap();
    let tokens = json(&out, "config.json")["audio_token_id"].as_u64().unwrap();
    let inputs = all(&decoder.input);
    assert_eq!(
        inputs[..6],
        [
            "inputs_embeds [batch_size, sequence_length, 32]",
            "attention_mask [batch_size, total_sequence_length]",
            "position_ids [batch_size, sequence_length]",
            "num_logits_to_keep []",
            "past_key_values.0.key [batch_size, 1, past_sequence_length, 16]",
            "past_key_values.0.value [batch_size, 1, past_sequence_length, 16]",
        ]
    );
    assert_eq!(inputs.len(), 4 + 2 * small::LAYERS);
    let outputs = all(&decoder.output);
    assert_eq!(outputs[0], format!("logits [batch_size, kept_length, {tokens}]"));
    assert_eq!(outputs[1], "present.0.key [batch_size, 1, total_sequence_length, 16]");
    assert_eq!(outputs.len(), 1 + 2 * small::LAYERS);
}

#[test]
fn every_type_has_its_products_and_whole_weights() {
    for dtype in Dtype::ALL {
        let (_folder, out) = exported(dtype);
        let mut products = 0;
        for name in ["audio_encoder", "embed_tokens", "decoder_model_merged"] {
            let model = read(&out, name, dtype);
            assert!(model.opset_import.iter().all(|set| match set.domain.as_str() {
                "" => set.version == OPSET && set.version <= 20,
                domain => domain == "com.microsoft" && dtype == Dtype::Q4,
            }));
            let graph = model.graph.unwrap();
            let mut known: HashSet<&str> = graph.input.iter().map(|v| v.name.as_str()).collect();
            known.extend(graph.initializer.iter().map(|tensor| tensor.name.as_str()));
            let weights: HashSet<&str> =
                graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
            for node in &graph.node {
                for input in &node.input {
                    assert!(known.contains(input.as_str()), "{name}: {} of {}", input, node.name);
                }
                known.extend(node.output.iter().map(String::as_str));
                let of_weight = node.input.iter().any(|input| weights.contains(input.as_str()));
                match (node.op_type.as_str(), dtype) {
                    ("MatMul", Dtype::Fp32 | Dtype::Fp16) => products += usize::from(of_weight),
                    ("MatMul", _) => assert!(!of_weight, "{name}: {} is not quantized", node.name),
                    ("MatMulInteger", Dtype::Int8) | ("MatMulNBits", Dtype::Q4) => products += 1,
                    ("MatMulInteger" | "MatMulNBits", _) => panic!("{} in {dtype:?}", node.op_type),
                    ("Conv", _) => {
                        let weight = graph.initializer.iter().find(|t| t.name == node.input[1]);
                        let half = dtype == Dtype::Fp16;
                        let float = if half { Element::F16 } else { Element::F32 };
                        assert_eq!(weight.unwrap().data_type, float as i32);
                    }
                    ("ConvInteger", _) => panic!("a convolution in integers"),
                    _ => {}
                }
            }
            for value in &graph.output {
                assert!(known.contains(value.name.as_str()), "{name}: {}", value.name);
            }
            for tensor in &graph.initializer {
                let length = tensor.raw_data.as_ref().unwrap().len() as u64;
                assert_eq!(length, bytes(tensor), "{name}: {}", tensor.name);
            }
        }
        // Six an encoder layer, two of the adapter, seven a block, the outputs.
        assert_eq!(products, 2 * 6 + 2 + small::LAYERS * 7 + 1, "{dtype:?}");
    }
}

#[test]
fn small_files_say_what_the_graphs_are() {
    let (_folder, out) = exported(Dtype::Int8);
    let config = json(&out, "config.json");
    assert_eq!(config["model_type"], "ultravox");
    assert_eq!(config["text_config"]["model_type"], "gemma3_text");
    assert_eq!(config["text_config"]["num_hidden_layers"], small::LAYERS);
    assert_eq!(config["partita"]["languages"], serde_json::json!(["en", "de"]));
    assert!(config.get("transformers.js_config").is_none());
    let processor = json(&out, "processor_config.json");
    assert_eq!(
        (&processor["encoder_ds_factor"], &processor["stack_factor"]),
        (&320.into(), &4.into())
    );
    let preprocessor = json(&out, "preprocessor_config.json");
    assert_eq!(preprocessor["feature_size"], 80);
    assert_eq!(json(&out, "generation_config.json")["eos_token_id"], 1);
    let template =
        json(&out, "tokenizer_config.json")["chat_template"].as_str().unwrap().to_owned();
    assert!(template.contains("bos_token + content") && template.contains("<|audio|>"));
}

#[test]
fn the_tokenizer_gives_the_models_own_tokens() {
    let (folder, out) = exported(Dtype::Fp32);
    let model = folder.path().join("model");
    let trained = TrainedModel::read(&model).unwrap();
    let ours =
        TextTokenizer::from_gguf(&WeightFile::open(Path::new(&trained.llm)).unwrap()).unwrap();
    let merged = Merged::open(model.to_str().unwrap()).unwrap();
    let text = merged.text.as_ref().unwrap();
    let theirs = tokenizers::Tokenizer::from_file(out.join("tokenizer.json")).unwrap();
    let more = ["spät, the  train\n\nwas", "", "unheard of äöü €", " das", "late 火车"];
    for sentence in small::TEXTS.iter().chain(&more) {
        let expected: Vec<u32> = trained
            .config
            .shortlist
            .encode(&ours, sentence)
            .iter()
            .map(|&id| text.place(id).unwrap() as u32)
            .collect();
        let found = theirs.encode(*sentence, false).unwrap();
        assert_eq!(found.get_ids(), expected, "{sentence:?}: {:?}", found.get_tokens());
        assert_eq!(theirs.decode(&expected, true).unwrap(), *sentence);
    }
    let marks = Marks::for_tokenizer(&ours);
    let prompt = theirs.encode("<|audio|><|audio|><st><to:en>", false).unwrap();
    let place = |name: &str| text.place(marks.mark(name.parse::<Mark>().unwrap())).unwrap() as u32;
    let audio = text.ids.len() as u32;
    assert_eq!(prompt.get_ids(), [audio, audio, place("<st>"), place("<to:en>")]);
}

/// Bytes that merge by rank, marks behind the vocabulary.
#[test]
fn byte_level_tokenizers_give_the_models_own_tokens() {
    let world = World::make(Made { architecture: "llama", ..Made::default() });
    let merged = Merged::open(world.run().to_str().unwrap()).unwrap();
    let out = world.out("graphs");
    export(&merged, Dtype::Fp32, &out, MOST_INSIDE).unwrap();
    let text = merged.text.as_ref().unwrap();
    let ours = TextTokenizer::from_gguf(&WeightFile::open(&world.llm).unwrap()).unwrap();
    let theirs = tokenizers::Tokenizer::from_file(out.join("tokenizer.json")).unwrap();
    let config = json(&out, "config.json");
    assert_eq!(config["partita"]["bases"], serde_json::json!(["encoder.gguf", "llm.gguf"]));
    let pre = config["partita"]["pre"].as_str();
    let path = out.join("tokenizer.json");
    let ends = (None, None);
    let again = TextTokenizer::from_json(&fs::read(&path).unwrap(), &path, ends, pre).unwrap();
    let mut several = 0;
    for sentence in [
        "one two",
        "drei  vier\n\n quatre",
        "",
        "it's 1234 o'clock",
        " äöü 火车 🙂",
        "the train   ",
    ] {
        let shortlist = &text.trained.config.shortlist;
        let tokens = shortlist.encode(&ours, sentence);
        let expected: Vec<u32> = tokens.iter().map(|&id| text.place(id).unwrap() as u32).collect();
        let found = theirs.encode(sentence, false).unwrap();
        assert_eq!(found.get_ids(), expected, "{sentence:?}: {:?}", found.get_tokens());
        assert_eq!(theirs.decode(&expected, true).unwrap(), sentence);
        assert_eq!(again.encode(sentence), expected, "{sentence:?}");
        several += usize::from(tokens.len() < sentence.len());
    }
    assert!(several > 0, "nothing merged");
    let prompt = theirs.encode("<|audio|><st><to:de>", false).unwrap();
    let marks = Marks::for_tokenizer(&again);
    let mark = |name: &str| marks.mark(name.parse::<Mark>().unwrap());
    assert_eq!(prompt.get_ids(), [text.ids.len() as u32, mark("<st>"), mark("<to:de>")]);
}

#[test]
fn large_graphs_have_their_weights_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let model = small::write_model(folder.path(), "gemma3", small::ULTRAVOX);
    let merged = Merged::open(model.to_str().unwrap()).unwrap();
    let out = folder.path().join("out");
    export(&merged, Dtype::Fp32, &out, 60_000).unwrap();
    // The next type is whole; what was said of the first stays.
    export(&merged, Dtype::Q4, &out, MOST_INSIDE).unwrap();
    let split = &json(&out, "config.json")["transformers.js_config"]["use_external_data_format"];
    assert_eq!(split["audio_encoder.onnx"], 1);
    assert_eq!(split["decoder_model_merged.onnx"], 1);
    assert!(
        split.get("embed_tokens.onnx").is_none() && split.get("audio_encoder_q4.onnx").is_none()
    );
    for name in ["audio_encoder", "decoder_model_merged"] {
        let data = fs::read(out.join(format!("onnx/{name}.onnx_data"))).unwrap();
        let graph = read(&out, name, Dtype::Fp32).graph.unwrap();
        let mut outside = 0;
        for tensor in &graph.initializer {
            if tensor.data_location != Some(1) {
                assert!(bytes(tensor) < 1024 && tensor.raw_data.is_some(), "{}", tensor.name);
                continue;
            }
            assert!(tensor.raw_data.is_none());
            let entry = |key: &str| {
                tensor.external_data.iter().find(|e| e.key == key).unwrap().value.clone()
            };
            assert_eq!(entry("location"), format!("{name}.onnx_data"));
            let (offset, length): (usize, usize) =
                (entry("offset").parse().unwrap(), entry("length").parse().unwrap());
            assert!(offset.is_multiple_of(4096) && length as u64 == bytes(tensor));
            let values = &data[offset..offset + length];
            assert!(values.iter().any(|&byte| byte != 0), "{}", tensor.name);
            outside += 1;
        }
        assert!(outside > 5, "{name}: {outside}");
    }
    // Written again as one file, nothing is left of the other.
    export(&merged, Dtype::Fp32, &out, MOST_INSIDE).unwrap();
    assert!(json(&out, "config.json").get("transformers.js_config").is_none());
    let left = fs::read_dir(out.join("onnx")).unwrap().flatten();
    assert!(left.map(|entry| entry.file_name()).all(|n| !n.to_string_lossy().ends_with("_data")));
}

#[test]
fn what_cannot_be_exported_is_named_and_leaves_nothing() {
    let left = |out: &Path| -> usize {
        let inside = fs::read_dir(out.join("onnx")).into_iter().flatten().count();
        inside
            + fs::read_dir(out)
                .into_iter()
                .flatten()
                .flatten()
                .filter(|e| e.path().is_file())
                .count()
    };
    let folder = tempfile::tempdir().unwrap();
    let shape = AdapterShape::ConvGlu { strides: [2, 2, 1], bottleneck: 16 };
    let model = small::write_model(folder.path(), "gemma3", shape);
    let out = folder.path().join("out");
    let merged = Merged::open(model.to_str().unwrap()).unwrap();
    let error = export(&merged, Dtype::Fp32, &out, MOST_INSIDE).unwrap_err().to_string();
    assert!(error.contains("conv-glu"), "{error}");
    assert_eq!(left(&out), 0);

    // Without the marks, which are among the last weights to be written.
    let folder = tempfile::tempdir().unwrap();
    let model = small::write_model(folder.path(), "gemma3", small::ULTRAVOX);
    let weights = model.join(TrainedModel::WEIGHTS);
    let file = WeightFile::open(&weights).unwrap();
    let kept: Vec<(String, candle_core::Tensor)> = file
        .tensors()
        .iter()
        .filter(|tensor| tensor.name.starts_with("mm.a."))
        .map(|tensor| {
            let (shape, values) = file.floats(&tensor.name).unwrap();
            let device = candle_core::Device::Cpu;
            (tensor.name.clone(), candle_core::Tensor::from_vec(values, shape, &device).unwrap())
        })
        .collect();
    drop(file);
    write_safetensors(&weights, &[], &kept).unwrap();
    let out = folder.path().join("out");
    let merged = Merged::open(model.to_str().unwrap()).unwrap();
    let error = format!("{:#}", export(&merged, Dtype::Fp32, &out, MOST_INSIDE).unwrap_err());
    assert!(error.contains("marks.weight"), "{error}");
    assert_eq!(left(&out), 0);

    fs::remove_file(model.join(TrainedModel::DESCRIPTION)).unwrap();
    let error = format!("{:#}", Merged::open(model.to_str().unwrap()).unwrap_err());
    assert!(error.contains("no model.json"), "{error}");
    let error = format!("{:#}", Merged::open("no-such-model").unwrap_err());
    assert!(error.contains("no-such-model"), "{error}");
}

#[test]
fn of_a_whisper_model_the_encoder_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("whisper.gguf"), folder.path().join("out"));
    small::write_encoder(&path);
    let merged = Merged::open(path.to_str().unwrap()).unwrap();
    let files = export(&merged, Dtype::Int8, &out, MOST_INSIDE).unwrap();
    let names: Vec<String> =
        files.iter().map(|(path, _)| path.file_name().unwrap().to_str().unwrap().into()).collect();
    assert_eq!(names, ["encoder_model_int8.onnx", "config.json", "preprocessor_config.json"]);
    let graph = read(&out, "encoder_model", Dtype::Int8).graph.unwrap();
    assert_eq!(described(&graph.input[0]), "input_features [batch_size, 80, frames]");
    assert_eq!(described(&graph.output[0]), "last_hidden_state [batch_size, positions, 64]");
    assert_eq!(json(&out, "config.json")["model_type"], "whisper");
}
