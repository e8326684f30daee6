//! A language model as its file holds it, and with rows and types that fast products take:
//! `cargo bench --workspace --bench llm -- MODEL.gguf [SHORTLIST]`.
//!
//! Prints milliseconds of one process as it is configured (RAYON_NUM_THREADS, CANDLE_NUM_THREADS,
//! MISTRALRS_FORCE_AVX2): reading 100 positions at once, one after another, and loading.
#![allow(missing_docs, clippy::unwrap_used)]

use candle_core::{Device, Tensor};
use partita_model::files::WeightFile;
use partita_model::llm::Llm;
use partita_model::nn::Precision;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const READ: usize = 100;
const WRITE: usize = 20;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(path) = arguments.next() else {
        println!("skipped: no model named");
        return;
    };
    let file = Arc::new(WeightFile::open(Path::new(&path)).unwrap());
    let shortlist: Option<Vec<u32>> = arguments.next().map(|n| (0..n.parse().unwrap()).collect());
    println!("weights     load s   read 100, ms   a token, ms   its logits, ms");
    for precision in [Precision::Stored, Precision::Decoding, Precision::Float] {
        let start = Instant::now();
        let llm = Llm::open(file.clone(), precision, shortlist.as_deref(), &Device::Cpu).unwrap();
        let loaded = start.elapsed().as_secs_f64();
        let width = llm.config().width;
        let x = Tensor::randn(0f32, 1.0, (1, READ, width), &Device::Cpu).unwrap();
        let one = x.narrow(1, 0, 1).unwrap();
        // The first pass packs weights.
        llm.logits(&llm.forward(&one, None).unwrap()).unwrap();
        let mut best = [f64::MAX; 3];
        for _ in 0..3 {
            let mut state = llm.start();
            let start = Instant::now();
            let hidden = llm.forward(&x, Some(&mut state)).unwrap();
            best[0] = best[0].min(start.elapsed().as_secs_f64());
            let start = Instant::now();
            for _ in 0..WRITE {
                llm.forward(&one, Some(&mut state)).unwrap();
            }
            best[1] = best[1].min(start.elapsed().as_secs_f64() / WRITE as f64);
            let last = hidden.narrow(1, READ - 1, 1).unwrap();
            let start = Instant::now();
            llm.logits(&last).unwrap();
            best[2] = best[2].min(start.elapsed().as_secs_f64());
        }
        let [read, write, logits] = best.map(|seconds| seconds * 1e3);
        let name = format!("{precision:?}");
        println!("{name:<10} {loaded:>7.2} {read:>14.1} {write:>13.2} {logits:>16.2}");
    }
}
