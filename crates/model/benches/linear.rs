//! Products of the shapes that the networks use, per weight type: `cargo bench -p partita-model --bench linear`.
//!
//! Prints GFLOP/s of one process as it is configured (RAYON_NUM_THREADS, CANDLE_NUM_THREADS).
#![allow(missing_docs, clippy::unwrap_used)]

use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{Device, Module, Tensor};
use std::time::Instant;

fn time(mut run: impl FnMut()) -> f64 {
    run();
    let mut best = f64::MAX;
    for _ in 0..7 {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

fn main() {
    let device = Device::Cpu;
    println!("type     k     n     m      ms   GFLOP/s");
    for (k, n) in [(512, 512), (512, 2048), (2048, 512), (512, 51872)] {
        let weight = Tensor::randn(0f32, 0.05, (n, k), &device).unwrap();
        for m in [1usize, 8, 250, 1500] {
            if n > 10_000 && m > 8 {
                continue;
            }
            let x = Tensor::randn(0f32, 1.0, (m, k), &device).unwrap();
            let flops = 2.0 * (m * k * n) as f64;
            let report = |name: &str, seconds: f64| {
                println!(
                    "{name:<6} {k:>5} {n:>5} {m:>5} {:>8.3} {:>8.1}",
                    seconds * 1e3,
                    flops / seconds / 1e9
                )
            };
            let transposed = weight.t().unwrap();
            report("F32", time(|| drop(x.matmul(&transposed).unwrap())));
            for kind in
                [GgmlDType::Q4K, GgmlDType::Q5K, GgmlDType::Q6K, GgmlDType::Q8_0, GgmlDType::F16]
            {
                let q = QMatMul::from_qtensor(QTensor::quantize(&weight, kind).unwrap()).unwrap();
                report(&format!("{kind:?}"), time(|| drop(q.forward(&x).unwrap())));
            }
        }
    }
}
