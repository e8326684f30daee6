//! The log-mel front end against an independent implementation (`golden/make_mel.py`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Instant;

use partita_audio::mel::{Frames, LogMel};

/// The signal that `golden/make_mel.py` describes.
fn signal() -> Vec<f32> {
    let mut state = 1_u32;
    (0..40_037)
        .map(|n| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = f64::from(state) / f64::from(1_u32 << 31) - 1.0;
            let t = f64::from(n) / 16_000.0;
            let tone = (std::f64::consts::TAU * (100.0 * t + 800.0 * t * t)).sin();
            let loud = (3000..30_000).contains(&n);
            (if loud { 0.4 * tone + 0.05 * noise } else { 0.001 * noise }) as f32
        })
        .collect()
}

fn golden(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn check(bins: usize, bytes: &[u8]) {
    let golden = golden(bytes);
    let (natural, padded) = golden.split_at(bins * 251);
    let front = LogMel::new(bins).unwrap();

    let mel = front.compute(&signal(), Frames::Natural);
    assert_eq!((mel.bins, mel.frames), (bins, 251));
    let worst = |a: &[f32], b: &[f32]| {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    let difference = worst(&mel.data, natural);
    assert!(difference <= 1e-5, "natural, {bins} bins: {difference}");

    let mel = front.compute(&signal(), Frames::Padded(3000));
    assert_eq!((mel.bins, mel.frames), (bins, 3000));
    let kept = |row: &[f32]| -> Vec<f32> {
        (0..300).step_by(10).chain([2999]).map(|frame| row[frame]).collect()
    };
    let kept: Vec<f32> = mel.data.chunks_exact(3000).flat_map(kept).collect();
    let difference = worst(&kept, padded);
    assert!(difference <= 1e-5, "padded, {bins} bins: {difference}");
}

#[test]
fn equals_whisper_with_80_bins() {
    check(80, include_bytes!("golden/mel-80.f32"));
}

#[test]
fn equals_whisper_with_128_bins() {
    check(128, include_bytes!("golden/mel-128.f32"));
}

#[test]
fn is_fast() {
    let samples: Vec<f32> = signal().into_iter().cycle().take(480_000).collect();
    for bins in [80, 128] {
        let front = LogMel::new(bins).unwrap();
        let best = (0..5)
            .map(|_| {
                let begin = Instant::now();
                assert_eq!(front.compute(&samples, Frames::Padded(3000)).frames, 3000);
                begin.elapsed()
            })
            .min()
            .unwrap();
        println!("30 s, {bins} bins: {:.1} ms", best.as_secs_f64() * 1e3);
        // Ten times what it takes: the machine may be busy.
        assert!(best.as_millis() < 250, "{best:?}");
    }
}
