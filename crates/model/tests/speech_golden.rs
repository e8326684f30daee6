//! Adapters and CTC against an implementation in JAX and optax (`speech/make_golden.py`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod drawn;

use std::path::{Path, PathBuf};

use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use drawn::drawn;
use partita_model::files::WeightFile;
use partita_model::nn::{
    FileSource, Linear, Mode, NameSet, Parameters, Precision, TrainingSource, WeightSource,
};
use partita_model::speech::{Adapter, AdapterConfig, AdapterShape, CtcHead, ctc_loss, greedy};

/// The small adapters of the golden files.
const SHAPES: [AdapterShape; 3] = [
    AdapterShape::Ultravox { stack: 4, hidden: 10 },
    AdapterShape::TransformerConv { layers: 2, heads: 2, stride: 4 },
    AdapterShape::ConvGlu { strides: [2, 2, 1], bottleneck: 6 },
];
const CLIPS: [usize; 2] = [11, 6];

fn config(shape: &AdapterShape) -> AdapterConfig {
    AdapterConfig { encoder_width: 8, llm_width: 12, output_rms: 1.0, shape: shape.clone() }
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/speech").join(format!("{name}.safetensors"))
}

fn open(name: &str) -> WeightFile {
    WeightFile::open(&path(name)).unwrap()
}

fn tensor(file: &WeightFile, name: &str) -> Tensor {
    let (shape, values) = file.floats(name).unwrap();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The largest difference, as a share of the largest expected number.
fn difference(expected: &Tensor, found: &Tensor) -> f32 {
    assert_eq!(expected.dims(), found.dims());
    let off = (expected - found).unwrap().abs().unwrap().flatten_all().unwrap();
    let most = expected.abs().unwrap().flatten_all().unwrap().max(D::Minus1).unwrap();
    let share = off.max(D::Minus1).unwrap().to_scalar::<f32>().unwrap();
    share / most.to_scalar::<f32>().unwrap()
}

/// Both clips in one batch that is longer than either; behind their ends lies noise.
fn batch(golden: &WeightFile) -> Tensor {
    let clips = CLIPS.iter().enumerate().map(|(clip, &frames)| {
        let own = tensor(golden, &format!("frames.{clip}"));
        let noise = drawn(1, 3.0, (13 - frames, 8));
        Tensor::cat(&[own, noise], 0).unwrap()
    });
    Tensor::stack(&clips.collect::<Vec<_>>(), 0).unwrap()
}

#[test]
fn adapters_give_what_the_independent_implementation_gives() {
    let golden = open("adapters");
    for shape in SHAPES {
        let kind = shape.name();
        let (file, base) = (open(&format!("weights-{kind}")), open(&format!("weights-{kind}")));
        let parameters = Parameters::new(1, &Device::Cpu).with_base(base);
        let source = TrainingSource::new(&parameters, NameSet::parse(&["mm.a.*"]).unwrap());
        let training = Adapter::load(&source, &config(&shape)).unwrap();
        let names: Vec<String> = source.trainable().into_iter().map(|(name, _)| name).collect();
        let mut stored: Vec<_> = file.tensors().iter().map(|info| info.name.clone()).collect();
        stored.sort();
        assert_eq!(names, stored, "{kind}");
        let inference = FileSource::new(&file, &Device::Cpu, Precision::Float);
        let inference = Adapter::load(&inference, &config(&shape)).unwrap();
        let evaluation = TrainingSource::evaluating(&parameters);
        assert_eq!(evaluation.mode(), Mode::Inference);
        let evaluation = Adapter::load(&evaluation, &config(&shape)).unwrap();

        let batch = batch(&golden);
        for (name, adapter) in
            [("training", &training), ("inference", &inference), ("evaluation", &evaluation)]
        {
            let (together, lengths) = adapter.forward(&batch, &CLIPS).unwrap();
            assert_eq!(together.dims(), [2, 4, 12]);
            assert_eq!(lengths, [3, 2]);
            for (clip, &frames) in CLIPS.iter().enumerate() {
                let expected = tensor(&golden, &format!("{kind}.output.{clip}"));
                assert_eq!(shape.frames(frames), lengths[clip]);
                let alone = tensor(&golden, &format!("frames.{clip}")).unsqueeze(0).unwrap();
                let (alone, length) = adapter.forward(&alone, &[frames]).unwrap();
                assert_eq!(length, [lengths[clip]]);
                let off = difference(&expected, &alone.squeeze(0).unwrap());
                let own = together.get(clip).unwrap().narrow(0, 0, lengths[clip]).unwrap();
                let off_together = difference(&expected, &own);
                println!("{kind}, {name}, clip {clip}: {off:.1e} alone, {off_together:.1e} padded");
                assert!(off < 1e-5 && off_together < 1e-5);
            }
            assert!(adapter.forward(&batch, &[11]).is_err());
            assert!(adapter.forward(&batch, &[11, 0]).is_err());
            assert!(adapter.forward(&batch, &[11, 14]).is_err());
        }
    }
}

#[test]
fn gradients_are_the_independent_ones_and_padding_gets_none() {
    let golden = open("adapters");
    for shape in SHAPES {
        let kind = shape.name();
        let base = open(&format!("weights-{kind}"));
        let parameters = Parameters::new(1, &Device::Cpu).with_base(base);
        let source = TrainingSource::new(&parameters, NameSet::parse(&["mm.a.*"]).unwrap());
        let adapter = Adapter::load(&source, &config(&shape)).unwrap();
        let frames = Var::from_tensor(&batch(&golden)).unwrap();
        let (output, lengths) = adapter.forward(&frames, &CLIPS).unwrap();
        let pulls = (0..2).map(|clip| {
            let own = output.get(clip).unwrap().narrow(0, 0, lengths[clip]).unwrap();
            (own * tensor(&golden, &format!("pull.{clip}"))).unwrap().sum_all().unwrap()
        });
        let pulls: Vec<Tensor> = pulls.collect();
        let gradients = (&pulls[0] + &pulls[1]).unwrap().backward().unwrap();
        let found = gradients.get(&frames).unwrap();
        for (clip, &length) in CLIPS.iter().enumerate() {
            let found = found.get(clip).unwrap();
            let expected = tensor(&golden, &format!("{kind}.gradient.{clip}"));
            let off = difference(&expected, &found.narrow(0, 0, length).unwrap());
            println!("{kind}, clip {clip}: gradient off by {off:.1e}");
            assert!(off < 2e-5);
            let behind = flat(&found.narrow(0, length, 13 - length).unwrap());
            assert!(behind.iter().all(|&value| value == 0.0), "{behind:?}");
        }
        for (name, var) in source.trainable() {
            assert!(gradients.get(&var).is_some(), "{name} has no gradient");
        }
    }
}

#[test]
fn an_untrained_adapter_writes_vectors_of_the_size_asked_for() {
    let frames = drawn(2, 1.7, (2, 250, 64));
    for shape in [
        AdapterShape::Ultravox { stack: 4, hidden: 256 },
        AdapterShape::TRANSFORMER_CONV,
        AdapterShape::CONV_GLU,
    ] {
        for rms in [0.9, 25.0] {
            let config = AdapterConfig {
                encoder_width: 64,
                llm_width: 96,
                output_rms: rms,
                shape: shape.clone(),
            };
            let parameters = Parameters::new(3, &Device::Cpu);
            let source = TrainingSource::evaluating(&parameters);
            let adapter = Adapter::load(&source, &config).unwrap();
            let (output, _) = adapter.forward(&frames, &[250, 250]).unwrap();
            let mean = output.sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap();
            let share = f64::from(mean).sqrt() / rms;
            println!("{}: {share:.3} of {rms}", shape.name());
            assert!((0.9..1.1).contains(&share), "{}: {share}", shape.name());
        }
    }
}

#[test]
fn configurations_are_texts_and_nonsense_is_refused() {
    for shape in [AdapterShape::ULTRAVOX, AdapterShape::TRANSFORMER_CONV, AdapterShape::CONV_GLU] {
        assert_eq!((shape.frames(1500), shape.frames(1), shape.frames(5)), (375, 1, 2));
        let config = config(&shape);
        let text = serde_json::to_string(&config).unwrap();
        assert!(text.contains(shape.name()), "{text}");
        assert_eq!(serde_json::from_str::<AdapterConfig>(&text).unwrap(), config);
        let with_more = text.replace("\"llm_width\"", "\"width\":1,\"llm_width\"");
        assert!(serde_json::from_str::<AdapterConfig>(&with_more).is_err());
    }
    let parameters = Parameters::new(1, &Device::Cpu);
    let source = TrainingSource::new(&parameters, NameSet::default());
    let refused = |config: AdapterConfig| Adapter::load(&source, &config).unwrap_err().to_string();
    let good = config(&SHAPES[0]);
    assert!(refused(AdapterConfig { llm_width: 0, ..good.clone() }).contains("dimension of 0"));
    let giant = AdapterConfig { encoder_width: usize::MAX / 4, ..good.clone() };
    assert!(refused(giant).contains("dimension"));
    assert!(refused(AdapterConfig { output_rms: f64::NAN, ..good.clone() }).contains("NaN"));
    let shape = AdapterShape::TransformerConv { layers: 1, heads: 3, stride: 4 };
    assert!(refused(AdapterConfig { shape, ..good }).contains("3 heads"));
}

struct Batch {
    scores: Tensor,
    frames: Vec<usize>,
    labels: Vec<Vec<u32>>,
    blank: u32,
}

fn ctc_batch(golden: &WeightFile, name: &str) -> Batch {
    let get = |part: &str| tensor(golden, &format!("{name}.{part}"));
    let counts = flat(&get("counts"));
    let labels = get("labels").to_vec2::<f32>().unwrap();
    let labels = labels
        .iter()
        .zip(counts)
        .map(|(row, count)| row[..count as usize].iter().map(|&label| label as u32).collect());
    let scores = get("scores");
    let blank = scores.dim(2).unwrap() as u32 - 1;
    let frames = flat(&get("frames")).into_iter().map(|frames| frames as usize).collect();
    Batch { frames, labels: labels.collect(), blank, scores }
}

#[test]
fn ctc_gives_optax_losses_and_gradients() {
    let golden = open("ctc");
    for name in ["mixed", "tight", "wide"] {
        let Batch { scores, frames, labels, blank } = ctc_batch(&golden, name);
        let scores = Var::from_tensor(&scores).unwrap();
        let found = ctc_loss(&scores, &frames, &labels, blank).unwrap();
        assert_eq!(found.skipped, [0usize; 0]);
        let off = difference(&tensor(&golden, &format!("{name}.losses")), &found.losses);
        let weight = tensor(&golden, &format!("{name}.weight"));
        let total = (&found.losses * weight).unwrap().sum_all().unwrap();
        let gradients = total.backward().unwrap();
        let expected = tensor(&golden, &format!("{name}.gradient"));
        let off_gradient = difference(&expected, gradients.get(&scores).unwrap());
        println!("{name}: losses off by {off:.1e}, gradients by {off_gradient:.1e}");
        assert!(off < 1e-6 && off_gradient < 2e-6);
    }
}

#[test]
fn ctc_gradients_are_finite_differences() {
    let golden = open("ctc");
    let Batch { scores, frames, labels, blank } = ctc_batch(&golden, "mixed");
    let shape = scores.dims().to_vec();
    let values = flat(&scores);
    let loss = |values: Vec<f32>| -> f64 {
        let scores = Tensor::from_vec(values, shape.as_slice(), &Device::Cpu).unwrap();
        let found = ctc_loss(&scores, &frames, &labels, blank).unwrap();
        flat(&found.losses).iter().map(|&loss| f64::from(loss)).sum()
    };
    let var = Var::from_tensor(&scores).unwrap();
    let found = ctc_loss(&var, &frames, &labels, blank).unwrap();
    let gradients = found.losses.sum_all().unwrap().backward().unwrap();
    let gradient = flat(gradients.get(&var).unwrap());
    for at in (0..values.len()).step_by(7) {
        let moved = |by: f32| {
            let mut values = values.clone();
            values[at] += by;
            loss(values)
        };
        let slope = (moved(0.02) - moved(-0.02)) / 0.04;
        assert!((slope - f64::from(gradient[at])).abs() < 2e-3, "{at}: {slope} {}", gradient[at]);
    }
}

#[test]
fn clips_that_are_too_short_are_counted_and_change_nothing() {
    let golden = open("ctc");
    let Batch { scores, frames, mut labels, blank } = ctc_batch(&golden, "mixed");
    let all = ctc_loss(&scores, &frames, &labels, blank).unwrap();
    // Nine frames hold five equal labels with blanks between, not six.
    labels[1] = vec![4; 6];
    labels[3] = vec![0, 1, 2, 3, 4, 0];
    let var = Var::from_tensor(&scores).unwrap();
    let found = ctc_loss(&var, &frames, &labels, blank).unwrap();
    assert_eq!(found.skipped, [1, 3]);
    let (all, losses) = (flat(&all.losses), flat(&found.losses));
    assert_eq!((losses[1], losses[3]), (0.0, 0.0));
    assert_eq!((losses[0], losses[2], losses[4]), (all[0], all[2], all[4]));
    let gradients = found.losses.sum_all().unwrap().backward().unwrap();
    let gradient = gradients.get(&var).unwrap();
    for clip in [1, 3] {
        assert!(flat(&gradient.get(clip).unwrap()).iter().all(|&value| value == 0.0));
    }
    assert!(flat(&gradient.get(0).unwrap()).iter().any(|&value| value != 0.0));
    labels[1] = vec![4; 5];
    assert_eq!(ctc_loss(&scores, &frames, &labels, blank).unwrap().skipped, [3]);
    // All clips of no frames, and no clips at all.
    let nothing = ctc_loss(&scores, &[0; 5], &vec![vec![]; 5], blank).unwrap();
    assert_eq!(flat(&nothing.losses), [0.0; 5]);
    let none = Tensor::zeros((0, 4, 3), DType::F32, &Device::Cpu).unwrap();
    assert!(ctc_loss(&none, &[], &[], 2).is_ok_and(|found| found.losses.dims() == [0]));
}

#[test]
fn extreme_scores_give_numbers_or_an_error() {
    let device = &Device::Cpu;
    let infinity = f32::INFINITY;
    let losses = |rows: &[[f32; 3]]| {
        let values = rows.as_flattened().to_vec();
        let scores = Tensor::from_vec(values, (1, rows.len(), 3), device).unwrap();
        let scores = Var::from_tensor(&scores).unwrap();
        let found = ctc_loss(&scores, &[rows.len()], &[vec![0]], 2)?;
        let gradients = found.losses.sum_all().unwrap().backward().unwrap();
        let gradient = flat(gradients.get(&scores).unwrap());
        assert!(gradient.iter().all(|value| value.is_finite()), "{gradient:?}");
        Ok::<f32, candle_core::Error>(flat(&found.losses)[0])
    };
    let sure = losses(&[[1e4, 0.0, -1e4], [-1e4, 0.0, 1e4]]).unwrap();
    assert!(sure.abs() < 1e-6, "{sure}");
    let wrong = losses(&[[-1e4, 1e4, -1e4], [-1e4, 1e4, -1e4]]).unwrap();
    // Three paths, each as unlikely.
    assert!((wrong - (4e4 - 3f32.ln())).abs() < 0.01, "{wrong}");
    // A class that is ruled out and not needed is no harm.
    let ruled_out = losses(&[[0.0, -infinity, 0.0]; 2]).unwrap();
    assert!((ruled_out + 0.75f32.ln()).abs() < 1e-6, "{ruled_out}");
    for broken in [f32::NAN, infinity] {
        let error = losses(&[[0.0, broken, 0.0]; 2]).unwrap_err().to_string();
        assert!(error.contains("clip 0"), "{error}");
    }
    assert!(losses(&[[-infinity, 0.0, 0.0]; 2]).is_err(), "the label is ruled out");

    let scores = Tensor::zeros((1, 4, 3), DType::F32, device).unwrap();
    for (frames, label, blank) in [(5, 0, 2), (4, 2, 2), (4, 3, 2), (4, 0, 3)] {
        assert!(ctc_loss(&scores, &[frames], &[vec![label]], blank).is_err());
    }
    assert!(ctc_loss(&scores, &[4, 4], &[vec![0]], 2).is_err());
    assert!(ctc_loss(&scores, &[4], &[], 2).is_err());
}

/// Adapter and head together learn what two clips of noise say.
#[test]
fn an_adapter_learns_by_ctc() {
    let device = &Device::Cpu;
    let parameters = Parameters::new(5, device);
    let source = TrainingSource::new(&parameters, NameSet::parse(&["mm.a.*", "ctc.*"]).unwrap());
    let config = AdapterConfig {
        encoder_width: 16,
        llm_width: 24,
        output_rms: 2.0,
        shape: AdapterShape::Ultravox { stack: 4, hidden: 32 },
    };
    let adapter = Adapter::load(&source, &config).unwrap();
    let rows = drawn(3, 0.1, (30, 24));
    let linear = |mode| Linear::float(rows.clone(), None, mode);
    let shape = (30, 24);
    let head =
        CtcHead::load(&source, linear(Mode::Training), shape, config.output_rms, device).unwrap();
    assert_eq!((head.blank(), source.trainable().len()), (30, 7));
    let frames = drawn(4, 1.0, (2, 40, 16));
    let labels = [vec![3u32, 3, 17, 29, 0], vec![8, 1]];
    let mut optimizer = AdamW::new(
        source.trainable().into_iter().map(|(_, var)| var).collect(),
        ParamsAdamW { lr: 1e-2, ..Default::default() },
    )
    .unwrap();
    let (mut first, mut last) = (None, f32::INFINITY);
    for _ in 0..150 {
        let (vectors, lengths) = adapter.forward(&frames, &[40, 23]).unwrap();
        let scores = head.forward(&vectors).unwrap();
        let loss = ctc_loss(&scores, &lengths, &labels, head.blank()).unwrap();
        let loss = loss.losses.sum_all().unwrap();
        last = loss.to_scalar().unwrap();
        first.get_or_insert(last);
        optimizer.backward_step(&loss).unwrap();
    }
    println!("loss {:.2} to {last:.4}", first.unwrap());
    assert!(last < 0.1 && first.unwrap() > 10.0);
    // Vectors come near to the words' own when that is asked for, and say the same.
    let sizes = (20.0, config.output_rms);
    let far = |likeness: f64, optimizer: Option<&mut AdamW>| {
        let (vectors, lengths) = adapter.forward(&frames, &[40, 23]).unwrap();
        let scores = head.forward(&vectors).unwrap();
        let loss = ctc_loss(&scores, &lengths, &labels, head.blank()).unwrap().losses;
        let far = head.distance(&vectors, &scores, &lengths, sizes).unwrap();
        let both = (loss.sum_all().unwrap() + (&far * likeness).unwrap()).unwrap();
        optimizer.map(|optimizer| optimizer.backward_step(&both).unwrap());
        assert_eq!(greedy(&scores, &lengths, head.blank()).unwrap(), labels);
        far.to_scalar::<f32>().unwrap()
    };
    let before = far(0.0, None);
    (0..150).for_each(|_| drop(far(1.0, Some(&mut optimizer))));
    let after = far(0.0, None);
    println!("distance {before:.2} to {after:.4}");
    assert!(after < 0.1 * before);
    // What was trained is what an evaluating network sees.
    let evaluation = TrainingSource::evaluating(&parameters);
    let adapter = Adapter::load(&evaluation, &config).unwrap();
    let head =
        CtcHead::load(&evaluation, linear(Mode::Inference), shape, config.output_rms, device)
            .unwrap();
    let (vectors, lengths) = adapter.forward(&frames, &[40, 23]).unwrap();
    let scores = head.forward(&vectors).unwrap();
    assert_eq!(greedy(&scores, &lengths, head.blank()).unwrap(), labels);
    assert!(head.forward(&frames).is_err());
}
