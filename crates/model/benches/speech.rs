//! What a pass through the encoder of Whisper base and a CTC loss cost, in inference and training.
//!
//! `cargo bench -p partita-model --bench speech`

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

use candle_core::{DType, Device, Result, Tensor};
use partita_model::ModelError;
use partita_model::nn::{BaseValues, Linear, Mode, NameSet, Parameters, TrainingSource};
use partita_model::speech::{Adapter, AdapterConfig, AdapterShape, CtcHead, ctc_loss};
use partita_model::whisper::{Encoder, WhisperConfig};
use std::time::Instant;

/// The width of Gemma 3 270M, and a shortlist of some languages.
const LLM: usize = 640;
const SHORTLIST: usize = 8192;
/// Four clips of ten seconds.
const CLIPS: usize = 4;
const FRAMES: usize = 1000;

const BASE: WhisperConfig = WhisperConfig {
    mel_bins: 80,
    audio_positions: 1500,
    text_positions: 448,
    width: 512,
    heads: 8,
    encoder_layers: 6,
    decoder_layers: 6,
    vocabulary: 51865,
    multilingual: true,
};

/// Weights of an encoder that has learned nothing.
struct Untrained;

impl BaseValues for Untrained {
    fn values(
        &self,
        name: &str,
    ) -> std::result::Result<Option<(Vec<usize>, Vec<f32>)>, ModelError> {
        let width = BASE.width;
        let shape = match name {
            _ if !name.starts_with("a.") => return Ok(None),
            "a.conv1d.1.weight" => vec![width, BASE.mel_bins, 3],
            "a.conv1d.2.weight" => vec![width, width, 3],
            "a.position_embd.weight" => vec![BASE.audio_positions, width],
            _ if name.ends_with("ffn_up.weight") => vec![4 * width, width],
            _ if name.ends_with("ffn_up.bias") => vec![4 * width],
            _ if name.ends_with("ffn_down.weight") => vec![width, 4 * width],
            _ if name.contains("attn") && name.ends_with("weight") => vec![width, width],
            _ => vec![width],
        };
        let values = Tensor::randn(0f32, 0.03, shape.as_slice(), &Device::Cpu)?;
        Ok(Some((shape, values.flatten_all()?.to_vec1()?)))
    }
}

/// The best of three, in milliseconds.
fn time(name: &str, mut run: impl FnMut() -> Result<()>) {
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let start = Instant::now();
        run().unwrap();
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{name:<58} {:8.1} ms", best * 1e3);
}

fn main() {
    let device = &Device::Cpu;
    let parameters = Parameters::new(1, device).with_base(Untrained);
    let config = AdapterConfig {
        encoder_width: BASE.width,
        llm_width: LLM,
        output_rms: 1.0,
        shape: AdapterShape::ULTRAVOX,
    };
    let mel = Tensor::randn(0f32, 1.0, (CLIPS, BASE.mel_bins, FRAMES), device).unwrap();
    let lengths = [FRAMES, 900, 800, 700];
    let rows = Tensor::randn(0f32, 0.05, (SHORTLIST, LLM), device).unwrap();
    let labels: Vec<Vec<u32>> =
        (0..CLIPS).map(|i| (0..30).map(|j| 71 * j + i as u32).collect()).collect();

    let evaluation = TrainingSource::evaluating(&parameters);
    let encoder = Encoder::load(&evaluation, &BASE).unwrap();
    let one = mel.narrow(0, 0, 1).unwrap();
    time("inference, one clip of 10 s", || encoder.forward(&one).map(drop));
    time("inference, four clips of 7 to 10 s, padded", || {
        encoder.forward_batch(&mel, &lengths).map(drop)
    });
    let frames = encoder.forward_batch(&mel, &lengths).unwrap();
    let encoded: Vec<usize> = lengths.iter().map(|&frames| Encoder::frames(frames)).collect();

    // With the number of lower layers that are frozen and not run again.
    for (name, from, trainable) in [
        ("adapter and CTC", 6, &["mm.a.*", "ctc.*"][..]),
        ("two layers, adapter and CTC", 4, &["a.blk.[45].*", "a.post_ln.*", "mm.a.*", "ctc.*"]),
        ("encoder, adapter and CTC", 0, &["a.*", "mm.a.*", "ctc.*"]),
    ] {
        let source = TrainingSource::new(&parameters, NameSet::parse(trainable).unwrap());
        let encoder = Encoder::load(&source, &BASE).unwrap();
        let adapter = Adapter::load(&source, &config).unwrap();
        let head = CtcHead::load(
            &source,
            Linear::float(rows.clone(), None, Mode::Training),
            (SHORTLIST, LLM),
            1.0,
            device,
        )
        .unwrap();
        let lower = encoder.lower_layers(&mel, &lengths, from).unwrap();
        let loss = |encoded_frames: &Tensor| {
            let (vectors, frames) = adapter.forward(encoded_frames, &encoded)?;
            let scores = head.forward(&vectors)?;
            ctc_loss(&scores, &frames, &labels, head.blank())?.losses.sum_all()
        };
        let forward = || match from {
            6 => loss(&frames),
            0 => loss(&encoder.forward_batch(&mel, &lengths)?),
            from => loss(&encoder.upper_layers(&lower, &lengths, from)?),
        };
        time(&format!("training {name}: forward"), || forward().map(drop));
        time(&format!("training {name}: forward and backward"), || forward()?.backward().map(drop));
    }

    let scores = Tensor::randn(0f32, 1.0, (CLIPS, 125, SHORTLIST + 1), device).unwrap();
    let scores = candle_core::Var::from_tensor(&scores.to_dtype(DType::F32).unwrap()).unwrap();
    time("CTC loss alone: forward and backward", || {
        let loss = ctc_loss(&scores, &[125, 113, 100, 88], &labels, SHORTLIST as u32)?;
        loss.losses.sum_all()?.backward().map(drop)
    });
}
