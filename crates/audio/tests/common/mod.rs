//! A WAV writer, and measures on what was read.
#![allow(dead_code)] // each test binary uses its part

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};

/// How samples are written.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    U8,
    I16,
    I24,
    I32,
    F32,
    F64,
}

impl Kind {
    pub fn bytes(self) -> u16 {
        match self {
            Self::U8 => 1,
            Self::I16 => 2,
            Self::I24 => 3,
            Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    pub fn write(self, sample: f64, out: &mut Vec<u8>) {
        match self {
            Self::U8 => out.push((sample * 127.0 + 128.0) as u8),
            Self::I16 => out.extend(((sample * 32_767.0) as i16).to_le_bytes()),
            Self::I24 => out.extend(&((sample * 8_388_607.0) as i32).to_le_bytes()[..3]),
            Self::I32 => out.extend(((sample * 2_147_483_647.0) as i32).to_le_bytes()),
            Self::F32 => out.extend((sample as f32).to_le_bytes()),
            Self::F64 => out.extend(sample.to_le_bytes()),
        }
    }
}

/// The header of a WAV file with `bytes` of samples.
pub fn wav_header(kind: Kind, rate: u32, channels: u16, bytes: u32) -> Vec<u8> {
    let align = channels * kind.bytes();
    let format: u16 = if matches!(kind, Kind::F32 | Kind::F64) { 3 } else { 1 };
    let mut out = b"RIFF".to_vec();
    out.extend(bytes.saturating_add(36).to_le_bytes());
    out.extend(b"WAVEfmt ");
    out.extend(16_u32.to_le_bytes());
    out.extend(format.to_le_bytes());
    out.extend(channels.to_le_bytes());
    out.extend(rate.to_le_bytes());
    out.extend((rate * u32::from(align)).to_le_bytes());
    out.extend(align.to_le_bytes());
    out.extend((kind.bytes() * 8).to_le_bytes());
    out.extend(b"data");
    out.extend(bytes.to_le_bytes());
    out
}

/// A WAV file of interleaved samples.
pub fn wav(kind: Kind, rate: u32, channels: u16, samples: &[f64]) -> Vec<u8> {
    let mut out = wav_header(kind, rate, channels, samples.len() as u32 * u32::from(kind.bytes()));
    for sample in samples {
        kind.write(*sample, &mut out);
    }
    out
}

/// A sine, the same in all channels.
pub fn sine(rate: u32, channels: u16, hertz: f64, seconds: f64) -> Vec<f64> {
    let frames = (f64::from(rate) * seconds).round() as u64;
    (0..frames)
        .flat_map(|n| {
            let value = 0.5 * (TAU * hertz * n as f64 / f64::from(rate)).sin();
            std::iter::repeat_n(value, channels.into())
        })
        .collect()
}

/// Amplitude of the sine of `hertz` in the middle half of 16 kHz samples.
pub fn amplitude(samples: &[f32], hertz: f64) -> f64 {
    let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (n, sample) in middle.iter().enumerate() {
        let angle = TAU * hertz * n as f64 / 16_000.0;
        real += f64::from(*sample) * angle.cos();
        imaginary += f64::from(*sample) * angle.sin();
    }
    2.0 * f64::hypot(real, imaginary) / middle.len() as f64
}

/// Writes a file into `folder`.
pub fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// The folder of the committed fixtures (`fixtures/make.sh`).
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}
