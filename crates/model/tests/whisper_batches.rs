//! Whisper's encoder in training: clips of different lengths side by side, parts of it frozen.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod drawn;
#[allow(dead_code, reason = "other tests use the rest")]
mod whisper;

use candle_core::{Device, Tensor, Var};
use drawn::drawn;
use partita_model::files::WeightFile;
use partita_model::nn::{FileSource, LowRankSpec, NameSet, Parameters, Precision, TrainingSource};
use partita_model::whisper::{Encoder, Quantization, WhisperConfig};
use whisper::{BINS, difference, flat, golden, golden_mel, imported};

/// Mel frames of three clips: odd, even, and the whole batch.
const CLIPS: [usize; 3] = [37, 52, 71];

fn clip(i: usize) -> Tensor {
    golden_mel(["first", "second", "third"][i], CLIPS[i])
}

/// The clips in one batch, noise behind their ends.
fn batch() -> Tensor {
    let padded = (0..3).map(|i| {
        let noise = drawn(1, 2.0, (1, BINS, 71 - CLIPS[i]));
        if CLIPS[i] == 71 { clip(i) } else { Tensor::cat(&[clip(i), noise], 2).unwrap() }
    });
    Tensor::cat(&padded.collect::<Vec<_>>(), 0).unwrap()
}

struct Model {
    _folder: tempfile::TempDir,
    file: WeightFile,
    config: WhisperConfig,
    parameters: Parameters,
}

fn model() -> Model {
    let (folder, path) = imported(Quantization::F32);
    let file = WeightFile::open(&path).unwrap();
    let config = WhisperConfig::from_file(&file).unwrap();
    let base = WeightFile::open(&path).unwrap();
    let parameters = Parameters::new(1, &Device::Cpu).with_base(base);
    Model { _folder: folder, file, config, parameters }
}

impl Model {
    fn inference(&self) -> Encoder {
        let source = FileSource::new(&self.file, &Device::Cpu, Precision::Float);
        Encoder::load(&source, &self.config).unwrap()
    }

    fn training(&self, patterns: &[&str]) -> (Encoder, Vec<(String, Var)>) {
        let source = TrainingSource::new(&self.parameters, NameSet::parse(patterns).unwrap());
        (Encoder::load(&source, &self.config).unwrap(), source.trainable())
    }
}

#[test]
fn the_differentiable_form_gives_what_the_independent_implementation_gives() {
    let (encoder, _) = model().training(&["a.*"]);
    for (name, frames) in [("natural", 71), ("full", 120)] {
        let off = difference(
            &flat(&encoder.forward(&golden_mel(name, frames)).unwrap()),
            &flat(&golden(&format!("encoder.{name}"))),
        );
        println!("{name}: {off:.1e}");
        assert!(off < 1e-4);
    }
}

#[test]
fn a_clip_in_a_padded_batch_is_the_clip_alone() {
    let model = model();
    for (form, encoder) in
        [("inference", model.inference()), ("training", model.training(&["a.*"]).0)]
    {
        let together = encoder.forward_batch(&batch(), &CLIPS).unwrap();
        for (i, &frames) in CLIPS.iter().enumerate() {
            let alone = encoder.forward(&clip(i)).unwrap();
            assert_eq!(alone.dim(1).unwrap(), Encoder::frames(frames));
            let own = together.narrow(0, i, 1).unwrap().narrow(1, 0, Encoder::frames(frames));
            let off = difference(&flat(&alone), &flat(&own.unwrap()));
            println!("{form}, {frames} frames: {off:.1e}");
            assert!(off < 1e-4);
        }
        for wrong in [&[37, 52][..], &[37, 52, 72], &[0, 52, 71]] {
            assert!(encoder.forward_batch(&batch(), wrong).is_err());
        }
    }
}

/// The sum of what a pull along fixed directions gives over a clip's own vectors.
fn pulled(output: &Tensor, i: usize) -> Tensor {
    let frames = Encoder::frames(CLIPS[i]);
    let own = output.narrow(1, 0, frames).unwrap();
    let pull: Vec<f32> = (0..own.elem_count()).map(|at| ((at + i) as f32 * 0.37).sin()).collect();
    let pull = Tensor::from_vec(pull, own.shape(), &Device::Cpu).unwrap();
    (own * pull).unwrap().sum_all().unwrap()
}

#[test]
fn gradients_of_a_padded_batch_are_those_of_its_clips() {
    let (encoder, variables) = model().training(&["a.*"]);
    // 2 + 2 of convolutions, the positions, 2 of the last norm, 15 a layer.
    assert_eq!(variables.len(), 7 + 2 * 15);
    let mel = Var::from_tensor(&batch()).unwrap();
    let output = encoder.forward_batch(&mel, &CLIPS).unwrap();
    let losses = [0, 1, 2].map(|i| pulled(&output.narrow(0, i, 1).unwrap(), i));
    let total = (&losses[0] + &losses[1]).unwrap() + &losses[2];
    let together = total.unwrap().backward().unwrap();
    let alone =
        [0, 1, 2].map(|i| pulled(&encoder.forward(&clip(i)).unwrap(), i).backward().unwrap());
    for (name, var) in &variables {
        let expected = alone.iter().map(|gradients| gradients.get(var).unwrap().clone());
        let expected = flat(&expected.reduce(|a, b| (a + b).unwrap()).unwrap());
        let most = expected.iter().fold(0f32, |most, value| most.max(value.abs()));
        let off = difference(&expected, &flat(together.get(var).unwrap())) / most;
        assert!(off < 1e-4, "{name}: {off}");
    }
    let mel = together.get(&mel).unwrap();
    for (i, &frames) in CLIPS.iter().enumerate().take(2) {
        let behind = mel.get(i).unwrap().narrow(1, frames, 71 - frames).unwrap();
        assert!(flat(&behind).iter().all(|&value| value == 0.0));
    }
}

#[test]
fn frozen_layers_can_be_run_once() {
    let model = model();
    let (encoder, variables) = model.training(&["a.blk.1.*", "a.post_ln.*"]);
    assert_eq!(variables.len(), 17);
    let whole = encoder.forward_batch(&batch(), &CLIPS).unwrap();
    let (frozen, _) = model.training(&[]);
    for from in 0..=encoder.layers() {
        let lower = model.inference().lower_layers(&batch(), &CLIPS, from).unwrap();
        let upper = encoder.upper_layers(&lower, &CLIPS, from).unwrap();
        for (i, &frames) in CLIPS.iter().enumerate() {
            let own = |x: &Tensor| {
                flat(&x.narrow(0, i, 1).unwrap().narrow(1, 0, Encoder::frames(frames)).unwrap())
            };
            assert!(difference(&own(&whole), &own(&upper)) < 1e-4, "from {from}, clip {i}");
        }
    }
    // The same gradients through the upper layer, whether the lower one ran in this pass or before.
    let lower = frozen.lower_layers(&batch(), &CLIPS, 1).unwrap();
    let gradients =
        |output: Tensor| pulled(&output.narrow(0, 0, 1).unwrap(), 0).backward().unwrap();
    let cached = gradients(encoder.upper_layers(&lower, &CLIPS, 1).unwrap());
    let at_once = gradients(whole);
    for (name, var) in &variables {
        let (a, b) = (flat(at_once.get(var).unwrap()), flat(cached.get(var).unwrap()));
        let most = a.iter().fold(0f32, |most, value| most.max(value.abs()));
        assert!(difference(&a, &b) / most < 1e-4, "{name}");
    }
    assert!(encoder.lower_layers(&batch(), &CLIPS, 3).is_err());
    assert!(encoder.upper_layers(&lower, &CLIPS, 3).is_err());
    assert!(encoder.upper_layers(&lower, &CLIPS[..2], 1).is_err());
}

#[test]
fn any_layer_can_have_a_low_rank_change() {
    let model = model();
    let spec = LowRankSpec {
        rank: 2,
        alpha: 4.0,
        dropout: 0.0,
        targets: NameSet::parse(&["a.blk.*.attn_[qv]"]).unwrap(),
    };
    let source = TrainingSource::new(&model.parameters, NameSet::parse(&["*.lora_*"]).unwrap());
    let source = source.with_low_rank(spec);
    let encoder = Encoder::load(&source, &model.config).unwrap();
    assert_eq!(source.trainable().len(), 2 * 2 * 2);
    let output = encoder.forward(&clip(2)).unwrap();
    let plain = model.inference().forward(&clip(2)).unwrap();
    assert!(difference(&flat(&output), &flat(&plain)) < 1e-4);
    let gradients = pulled(&output, 2).backward().unwrap();
    for (name, var) in source.trainable() {
        let most = flat(gradients.get(&var).unwrap()).iter().fold(0f32, |a, b| a.max(b.abs()));
        // A has none as long as B is zero.
        assert_eq!(most > 0.0, name.ends_with("lora_b"), "{name}: {most}");
    }
}
