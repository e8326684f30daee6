//! Language models against an implementation in numpy (`llm/make_golden.py`): small, random, one of
//! each architecture.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{D, Device, Tensor, Var};
use partita_model::files::WeightFile;
use partita_model::files::gguf::write_gguf;
use partita_model::llm::{Llm, LlmConfig, LlmState, TrainedRows};
use partita_model::nn::{FileSource, Precision};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const ARCHITECTURES: [&str; 5] = ["gemma3", "llama", "qwen2", "qwen3", "llama3"];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/llm").join(name)
}

fn golden(name: &str) -> Tensor {
    let (shape, values) =
        WeightFile::open(&path("golden.safetensors")).unwrap().floats(name).unwrap();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn tokens(kind: &str) -> Vec<u32> {
    let tokens = golden(&format!("{kind}.tokens")).to_vec1::<f32>().unwrap();
    tokens.into_iter().map(|id| id as u32).collect()
}

fn open(kind: &str, precision: Precision, shortlist: Option<&[u32]>) -> Llm {
    let file = Arc::new(WeightFile::open(&path(&format!("{kind}.gguf"))).unwrap());
    Llm::open(file, precision, shortlist, &Device::Cpu).unwrap()
}

/// The vectors, then the tokens: `[1, time, width]`.
fn input(llm: &Llm, kind: &str) -> Tensor {
    let vectors = golden(&format!("{kind}.vectors")).unsqueeze(0).unwrap();
    Tensor::cat(&[&vectors, &llm.embed(&tokens(kind)).unwrap()], 1).unwrap()
}

fn logits(llm: &Llm, x: &Tensor, state: Option<&mut LlmState>) -> Tensor {
    llm.logits(&llm.forward(x, state).unwrap()).unwrap().squeeze(0).unwrap()
}

fn difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let d = (a - b).unwrap().abs().unwrap().flatten_all().unwrap();
    d.max(D::Minus1).unwrap().to_scalar().unwrap()
}

#[test]
fn each_architecture_gives_what_the_independent_implementation_gives() {
    for kind in ARCHITECTURES {
        let llm = open(kind, Precision::Float, None);
        let off =
            difference(&logits(&llm, &input(&llm, kind), None), &golden(&format!("{kind}.logits")));
        println!("{kind}: logits differ by {off:.1e}");
        assert!(off < 1e-4, "{kind}: {off}");
    }
}

#[test]
fn a_text_read_in_parts_rolled_back_and_forked_is_the_text_read_at_once() {
    for kind in ARCHITECTURES {
        let llm = open(kind, Precision::Float, None);
        let x = input(&llm, kind);
        let expected = golden(&format!("{kind}.logits"));
        let mut state = llm.start();
        let read = |from: usize, count: usize, state: &mut LlmState| {
            let part = x.narrow(1, from, count).unwrap();
            let found = logits(&llm, &part, Some(state));
            let off = difference(&found, &expected.narrow(0, from, count).unwrap());
            assert!(off < 1e-4, "{kind}, {count} from {from}: {off}");
        };
        read(0, 6, &mut state);
        read(6, 1, &mut state);
        read(7, 5, &mut state);
        state.truncate(8);
        let mut fork = state.fork().unwrap();
        read(8, 9, &mut state);
        read(8, 2, &mut fork);
        assert_eq!((state.len(), fork.len()), (17, 10));
    }
}

#[test]
fn a_shortlist_gives_the_same_logits_for_its_tokens() {
    let shortlist = [1u32, 5, 8, 30, 47];
    for kind in ARCHITECTURES {
        let llm = open(kind, Precision::Float, Some(&shortlist));
        let rows = Tensor::new(&shortlist, &Device::Cpu).unwrap();
        let expected = golden(&format!("{kind}.logits")).index_select(&rows, 1).unwrap();
        assert_eq!(llm.output_ids(), Some(&shortlist[..]));
        assert!(difference(&logits(&llm, &input(&llm, kind), None), &expected) < 1e-4, "{kind}");
    }
}

#[test]
fn quantized_rows_that_fast_products_do_not_take_are_padded() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ARCHITECTURES {
        // The same model with matrices in a type and with rows that have no fast product.
        let file = WeightFile::open(&path(&format!("{kind}.gguf"))).unwrap();
        let quantized: Vec<(&str, QTensor)> = file
            .tensors()
            .iter()
            .map(|tensor| {
                let (shape, values) = file.floats(&tensor.name).unwrap();
                let fits = shape.len() == 2 && shape[1].is_multiple_of(32);
                let dtype = if fits { GgmlDType::Q5_0 } else { GgmlDType::F32 };
                let values = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
                (tensor.name.as_str(), QTensor::quantize(&values, dtype).unwrap())
            })
            .collect();
        let tensors: Vec<(&str, &QTensor)> = quantized.iter().map(|(n, t)| (*n, t)).collect();
        let metadata: Vec<_> =
            file.metadata().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let path = folder.path().join(format!("{kind}.gguf"));
        write_gguf(&path, &metadata, &tensors).unwrap();
        let file = Arc::new(WeightFile::open(&path).unwrap());

        let shortlist = Some(&[2u32, 3, 40][..]);
        let open = |precision| Llm::open(file.clone(), precision, shortlist, &Device::Cpu).unwrap();
        let (exact, padded) = (open(Precision::Float), open(Precision::Decoding));
        let expected = logits(&exact, &input(&exact, kind), None);
        let found = logits(&padded, &input(&padded, kind), None);
        let size =
            |x: &Tensor| x.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
        let off = size(&(&found - &expected).unwrap()) / size(&expected);
        println!("{kind}: padded and quantized logits are {off:.1e} of their size away");
        assert!(off > 0.0 && off < 0.1, "{kind}: {off}");
    }
}

#[test]
fn rows_of_a_batch_do_not_see_each_other_nor_what_pads_them() {
    for kind in ARCHITECTURES {
        let llm = open(kind, Precision::Float, None);
        let x = input(&llm, kind);
        let short = x.narrow(1, 0, 9).unwrap();
        let padded = short.pad_with_zeros(1, 0, 8).unwrap();
        let batch = llm.forward(&Tensor::cat(&[&x, &padded], 0).unwrap(), None).unwrap();
        let alone = [llm.forward(&x, None).unwrap(), llm.forward(&short, None).unwrap()];
        assert!(difference(&batch.narrow(0, 0, 1).unwrap(), &alone[0]) < 1e-5);
        let second = batch.narrow(0, 1, 1).unwrap().narrow(1, 0, 9).unwrap();
        assert!(difference(&second, &alone[1]) < 1e-5);
    }
}

#[test]
fn trained_rows_replace_those_of_the_file_and_get_their_gradient() {
    let kind = "gemma3";
    let file = Arc::new(WeightFile::open(&path("gemma3.gguf")).unwrap());
    let config = LlmConfig::from_gguf(&file).unwrap();
    let ids = [tokens(kind)[3], 44, 45];
    let stored = file.rows("token_embd.weight", &ids).unwrap();
    let rows = Var::from_vec(stored, (3, config.width), &Device::Cpu).unwrap();
    let source = FileSource::new(&file, &Device::Cpu, Precision::Float);
    let trained = TrainedRows::new(&ids, rows.as_tensor().clone());
    let all: Vec<u32> = (0..config.vocabulary as u32).collect();
    let llm = Llm::load(&source, file.clone(), config, (Some(&all), Some(trained)), &Device::Cpu)
        .unwrap();
    let order = llm.output_ids().unwrap().to_vec();
    assert_eq!(order.len(), all.len());
    let found = logits(&llm, &input(&llm, kind), None);
    let order = Tensor::new(order, &Device::Cpu).unwrap();
    let expected = golden("gemma3.logits").index_select(&order, 1).unwrap();
    assert!(difference(&found, &expected) < 1e-4, "rows as they are in the file change nothing");

    // Alone, together and in any order.
    let mixed = [45, 3, ids[0], 44, 7, 45];
    let together = llm.embed(&mixed).unwrap().squeeze(0).unwrap();
    for (at, id) in mixed.iter().enumerate() {
        let alone = llm.embed(&[*id]).unwrap().squeeze(0).unwrap();
        assert!(difference(&together.narrow(0, at, 1).unwrap(), &alone) == 0.0, "token {id}");
        let stored = file.rows("token_embd.weight", &[*id]).unwrap();
        let stored = Tensor::from_vec(stored, (1, 32), &Device::Cpu).unwrap();
        let scaled = (stored * 32f64.sqrt()).unwrap();
        assert!(difference(&scaled, &alone) < 1e-6, "token {id}");
    }

    // Embedding a trained token and reading its logit both reach the variable.
    let loss = llm.embed(&[ids[0], 7]).unwrap().sqr().unwrap().sum_all().unwrap();
    let gradients = loss.backward().unwrap();
    let gradient = gradients.get(rows.as_tensor()).unwrap().to_vec2::<f32>().unwrap();
    assert!(gradient[0].iter().any(|x| *x != 0.0));
    assert!(gradient[1..].iter().flatten().all(|x| *x == 0.0));
}
