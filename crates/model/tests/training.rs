//! Parameters, what of them is trained, and low-rank changes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod drawn;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use candle_nn::{Optimizer, SGD};
use drawn::drawn;
use partita_model::files::{WeightFile, write_safetensors};
use partita_model::nn::{
    DeltaSource, FileSource, Init, Linear, LowRank, LowRankSpec, Mode, NameSet, Parameters,
    Precision, TrainingSource, WeightSource,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const WIDTH: usize = 64;

/// Another draw for each call within a test.
fn random(shape: impl Into<candle_core::Shape>) -> Tensor {
    thread_local!(static CALLS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) });
    CALLS.set(CALLS.get() + 1);
    drawn(CALLS.get(), 1.0, shape)
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    flat(a).iter().zip(flat(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn names(patterns: &[&str]) -> NameSet {
    NameSet::parse(patterns).unwrap()
}

fn spec(targets: &[&str], dropout: f32) -> LowRankSpec {
    LowRankSpec { rank: 4, alpha: 8.0, dropout, targets: names(targets) }
}

/// A base of two matrices with biases.
fn base(folder: &Path) -> PathBuf {
    let path = folder.join("base.safetensors");
    let tensors = ["one", "two"].map(|name| {
        [
            (format!("{name}.weight"), (random((WIDTH, WIDTH)) * 0.1).unwrap()),
            (format!("{name}.bias"), random(WIDTH)),
        ]
    });
    write_safetensors(&path, &[], &tensors.concat()).unwrap();
    path
}

struct Net(Linear, Linear);

impl Net {
    fn load(source: &impl WeightSource) -> Self {
        let linear = |name| source.linear(name, (WIDTH, WIDTH), true).unwrap();
        Self(linear("one"), linear("two"))
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        self.1.forward(&self.0.forward(x).unwrap().tanh().unwrap()).unwrap()
    }
}

fn train(source: &TrainingSource, net: &Net, x: &Tensor) {
    let vars = source.trainable().into_iter().map(|(_, var)| var).collect();
    let mut optimizer = SGD::new(vars, 0.05).unwrap();
    for _ in 0..3 {
        optimizer.backward_step(&net.forward(x).sqr().unwrap().mean_all().unwrap()).unwrap();
    }
}

#[test]
fn only_what_is_trainable_is_trained_and_values_outlive_networks() {
    let folder = tempfile::tempdir().unwrap();
    let path = base(folder.path());
    let parameters = Parameters::new(1, &Device::Cpu).with_base(WeightFile::open(&path).unwrap());
    let file = WeightFile::open(&path).unwrap();
    let stored = |name: &str| file.floats(name).unwrap().1;
    let x = random((5, WIDTH));
    let before = Net::load(&FileSource::new(&file, &Device::Cpu, Precision::Float)).forward(&x);

    let first = TrainingSource::new(&parameters, names(&["two.*"]));
    let net = Net::load(&first);
    assert!(difference(&before, &net.forward(&x)) < 1e-5);
    let given: Vec<String> = first.trainable().into_iter().map(|(name, _)| name).collect();
    assert_eq!(given, ["two.bias", "two.weight"]);
    // A pass through frozen layers leaves no trace to go back on.
    let frozen = TrainingSource::new(&parameters, NameSet::default());
    assert!(net.forward(&x).track_op() && !Net::load(&frozen).forward(&x).track_op());
    assert!(!net.0.forward(&x).unwrap().track_op());
    train(&first, &net, &x);
    let evaluated = Net::load(&TrainingSource::evaluating(&parameters));
    let trained = net.forward(&x);
    assert!(difference(&trained, &evaluated.forward(&x)) < 1e-5);
    assert!(difference(&before, &trained) > 1e-3);

    // The other half, by another network: what was trained stays, and is now frozen.
    let second = TrainingSource::new(&parameters, names(&["one.*", "on.*"]));
    let next = Net::load(&second);
    assert_eq!(second.idle_patterns(), ["on.*"]);
    assert!(difference(&trained, &next.forward(&x)) < 1e-6);
    let two = parameters.masters().into_iter().find(|(name, _)| name == "two.weight").unwrap().1;
    let was = flat(&two);
    assert_ne!(was, stored("two.weight"));
    train(&second, &next, &x);
    assert_eq!(flat(&two), was);
    assert_eq!(parameters.masters().len(), 4);
    let one = parameters.masters().into_iter().find(|(name, _)| name == "one.weight").unwrap().1;
    assert_ne!(flat(&one), stored("one.weight"));
}

#[test]
fn first_values_depend_on_seed_and_name_only() {
    let make = |seed, order: [&str; 3]| {
        let parameters = Parameters::new(seed, &Device::Cpu);
        let source = TrainingSource::new(&parameters, names(&["b.*"]));
        for name in order {
            source.linear_or(name, (3, 5), true, Init::fan_in(5)).unwrap();
        }
        let masters = parameters.masters();
        masters.into_iter().map(|(name, var)| (name, flat(&var))).collect::<Vec<_>>()
    };
    assert_eq!(make(1, ["a", "b", "c"]), make(1, ["c", "b", "a"]));
    assert_ne!(make(1, ["a", "b", "c"]), make(2, ["a", "b", "c"]));
    let parameters = Parameters::new(1, &Device::Cpu);
    let source = TrainingSource::new(&parameters, NameSet::default());
    let error = source.linear("a", (3, 5), true).unwrap_err().to_string();
    assert!(error.contains("`a.weight`"), "{error}");
    source.tensor_or("a", &[3], Init::Constant(1.0)).unwrap();
    let error = source.tensor("a", &[4]).unwrap_err().to_string();
    assert!(error.contains("[3]") && error.contains("[4]"), "{error}");
}

#[test]
fn saved_values_come_back_bit_by_bit_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let make = |parameters: &Parameters| {
        let source = TrainingSource::new(parameters, names(&["*"]));
        source.linear_or("a", (3, 5), true, Init::fan_in(5)).unwrap()
    };
    let saved = Parameters::new(1, &Device::Cpu);
    make(&saved);
    saved.save(&path, &[("stage".to_owned(), "1".to_owned())]).unwrap();
    assert_eq!(WeightFile::open(&path).unwrap().metadata_str("stage").unwrap(), "1");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    let bits = |parameters: &Parameters| -> Vec<Vec<u32>> {
        let bits = |(_, var): (String, candle_core::Var)| {
            flat(&var).into_iter().map(f32::to_bits).collect()
        };
        parameters.masters().into_iter().map(bits).collect()
    };

    // Before and after a network has asked.
    let early = Parameters::new(2, &Device::Cpu);
    early.load(&path).unwrap();
    make(&early);
    let late = Parameters::new(3, &Device::Cpu);
    let network = make(&late);
    let x = random((2, 5));
    let before = network.forward(&x).unwrap();
    late.load(&path).unwrap();
    assert_eq!(bits(&saved), bits(&early));
    assert_eq!(bits(&saved), bits(&late));
    assert_ne!(flat(&before), flat(&network.forward(&x).unwrap()), "the network sees it");

    // Another shape, a file that was cut off, no safetensors: nothing changes.
    let other = folder.path().join("other.safetensors");
    let tensors = [("a.bias".to_owned(), random(3)), ("a.weight".to_owned(), random((3, 6)))];
    write_safetensors(&other, &[], &tensors).unwrap();
    let error = late.load(&other).unwrap_err().to_string();
    assert!(error.contains("a.weight"), "{error}");
    let bytes = fs::read(&path).unwrap();
    for length in [0, 7, 40, bytes.len() - 1] {
        fs::write(&other, &bytes[..length]).unwrap();
        assert!(late.load(&other).is_err(), "{length} bytes");
    }
    assert_eq!(bits(&saved), bits(&late));
    let nowhere = folder.path().join("missing").join("x.safetensors");
    assert!(saved.save(&nowhere, &[]).unwrap_err().to_string().contains("missing"));
    let twice = [("a".to_owned(), random(1)), ("a".to_owned(), random(1))];
    assert!(write_safetensors(&other, &[], &twice).is_err());
}

/// A layer over a float weight, and one over the same weight in 8 bits.
fn layers(weight: &Tensor, bias: &Tensor) -> [Linear; 3] {
    let quantized = QTensor::quantize(weight, GgmlDType::Q8_0).unwrap();
    let bias = || Some(bias.clone());
    [
        Linear::float(weight.clone(), bias(), Mode::Training),
        Linear::float(weight.clone(), bias(), Mode::Inference),
        Linear::quantized(Arc::new(quantized), bias()).unwrap(),
    ]
}

#[test]
fn a_low_rank_change_begins_as_none_and_merges_exactly() {
    let (weight, bias) = ((random((48, WIDTH)) * 0.1).unwrap(), random(48));
    let (a, b) = ((random((4, WIDTH)) * 0.1).unwrap(), random((48, 4)));
    let x = random((2, 7, WIDTH));
    for (kind, plain) in layers(&weight, &bias).into_iter().enumerate() {
        let none = LowRank::new(a.clone(), b.zeros_like().unwrap(), 8.0, None).unwrap();
        let begun = plain.clone().with_low_rank(none);
        let y = plain.forward(&x).unwrap();
        assert_eq!(flat(&y), flat(&begun.forward(&x).unwrap()), "layer {kind}");

        let some = LowRank::new(a.clone(), b.clone(), 8.0, None).unwrap();
        let beside = plain.clone().with_low_rank(some);
        let changed = beside.forward(&x).unwrap();
        assert!(difference(&y, &changed) > 0.1);
        let expected = {
            let delta = (b.matmul(&a).unwrap() * 2.0).unwrap();
            let weight = (plain.weight(&Device::Cpu).unwrap() + delta).unwrap();
            Linear::float(weight, Some(bias.clone()), Mode::Training).forward(&x).unwrap()
        };
        let merged = beside.merged().unwrap();
        let inside = merged.forward(&x).unwrap();
        assert!(difference(&expected, &inside) < 1e-5);
        // Products of 8 bits round their input as well: the change itself is exact there too.
        let base = Linear::float(plain.weight(&Device::Cpu).unwrap(), None, Mode::Training);
        let base = base.forward(&x).unwrap().broadcast_add(&bias).unwrap();
        let rounding = difference(&y, &base);
        let off = difference(&changed, &inside);
        println!("layer {kind}: merged differs by {off:.1e}, rounding of the base {rounding:.1e}");
        assert!(off < 1e-5 + rounding);

        for unmerged in [merged.unmerged(), merged.merged().unwrap().unmerged().unmerged()] {
            let same = |a: &Linear, b: &Linear| {
                let (a, b) = (a.weight(&Device::Cpu).unwrap(), b.weight(&Device::Cpu).unwrap());
                assert_eq!(flat(&a), flat(&b));
            };
            same(&unmerged, &plain);
            assert_eq!(flat(&changed), flat(&unmerged.forward(&x).unwrap()), "layer {kind}");
            same(&unmerged.merged().unwrap(), &merged);
        }
    }
    assert!(LowRank::new(a.clone(), random((48, 5)), 8.0, None).is_err());
    let wrong = LowRank::new(a, random((47, 4)), 8.0, None).unwrap();
    let wrong = layers(&weight, &bias)[0].clone().with_low_rank(wrong);
    assert!(wrong.forward(&x).is_err() && wrong.merged().is_err());
}

#[test]
fn low_rank_training_leaves_the_base_and_its_file_is_a_delta() {
    let folder = tempfile::tempdir().unwrap();
    let path = base(folder.path());
    let parameters = Parameters::new(4, &Device::Cpu).with_base(WeightFile::open(&path).unwrap());
    let file = WeightFile::open(&path).unwrap();
    let x = random((5, WIDTH));
    let stored = FileSource::new(&file, &Device::Cpu, Precision::Float);
    let before = Net::load(&stored).forward(&x);

    // One layer with a low-rank change and a bias that is trained too.
    let trainable = names(&["*.lora_[ab]", "one.bias"]);
    let source = TrainingSource::new(&parameters, trainable).with_low_rank(spec(&["one"], 0.25));
    let net = Net::load(&source);
    let given: Vec<String> = source.trainable().into_iter().map(|(name, _)| name).collect();
    assert_eq!(given, ["one.bias", "one.weight.lora_a", "one.weight.lora_b"]);
    parameters.set_moment(1);
    assert!(difference(&before, &net.forward(&x)) < 1e-5, "B is zero");
    train(&source, &net, &x);
    let dropped = [1, 1, 2].map(|moment| {
        parameters.set_moment(moment);
        flat(&net.forward(&x))
    });
    assert!(dropped[0] == dropped[1] && dropped[0] != dropped[2]);

    let evaluation = TrainingSource::evaluating(&parameters).with_low_rank(spec(&["one"], 0.25));
    let trained = Net::load(&evaluation).forward(&x);
    assert!(difference(&before, &trained) > 1e-3);
    let delta_path = folder.path().join("delta.safetensors");
    let alpha = (LowRank::ALPHA_KEY.to_owned(), "8".to_owned());
    parameters.save(&delta_path, std::slice::from_ref(&alpha)).unwrap();
    let delta = WeightFile::open(&delta_path).unwrap();
    assert_eq!(delta.tensors().len(), 3, "the base is not in it");
    let both = DeltaSource::new(stored, &delta, &Device::Cpu).unwrap();
    let Net(one, two) = Net::load(&both);
    assert!(difference(&trained, &Net(one.clone(), two.clone()).forward(&x)) < 1e-5);
    let merged = Net(one.merged().unwrap(), two.merged().unwrap());
    assert!(difference(&trained, &merged.forward(&x)) < 1e-5);

    // Deltas of others: no alpha, an alpha that is no number, matrices that do not fit.
    let refused = |metadata: &[(String, String)], a: (usize, usize), b: (usize, usize)| {
        let path = folder.path().join("bad.safetensors");
        let [a_name, b_name] = LowRank::names("one");
        let tensors = [(a_name, random(a)), (b_name, random(b))];
        write_safetensors(&path, metadata, &tensors).unwrap();
        let delta = WeightFile::open(&path).unwrap();
        let stored = FileSource::new(&file, &Device::Cpu, Precision::Float);
        let source = DeltaSource::new(stored, &delta, &Device::Cpu);
        let error = source.and_then(|source| source.linear("one", (WIDTH, WIDTH), true));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("bad.safetensors"), "{error}");
    };
    refused(&[], (4, WIDTH), (WIDTH, 4));
    refused(&[(alpha.0.clone(), "much".to_owned())], (4, WIDTH), (WIDTH, 4));
    refused(std::slice::from_ref(&alpha), (4, WIDTH), (WIDTH, 5));
    refused(std::slice::from_ref(&alpha), (4, WIDTH - 1), (WIDTH, 4));
    refused(&[alpha], (0, WIDTH), (WIDTH, 0));
}

#[test]
fn layers_compute_in_the_type_of_their_input() {
    let parameters = Parameters::new(1, &Device::Cpu);
    let source = TrainingSource::new(&parameters, names(&["*"]));
    let linear = source.linear_or("a", (WIDTH, WIDTH), true, Init::fan_in(WIDTH)).unwrap();
    let norm = source.layer_norm_or("n", WIDTH, Init::Constant(1.0)).unwrap();
    let rms = source.rms_norm_or("r", WIDTH, 1e-6, Init::Constant(1.0)).unwrap();
    let run =
        |x: &Tensor| rms.forward(&norm.forward(&linear.forward(x).unwrap()).unwrap()).unwrap();
    let x = random((3, WIDTH));
    let narrow = run(&x.to_dtype(DType::BF16).unwrap());
    assert_eq!(narrow.dtype(), DType::BF16);
    assert!(difference(&run(&x), &narrow.to_dtype(DType::F32).unwrap()) < 0.1);
    let gradients = narrow.to_dtype(DType::F32).unwrap().sum_all().unwrap().backward().unwrap();
    for (name, var) in source.trainable() {
        assert_eq!(var.dtype(), DType::F32, "{name}");
        assert_eq!(gradients.get(&var).unwrap().dtype(), DType::F32, "{name}");
    }
}
