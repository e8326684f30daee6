//! No phrase loses its beginning: clips behind up to two seconds of noise, heard by the network that
//! finds speech, as live sessions set it.
//!
//! `PARTITA_TEST_SPEECH=FOLDER` takes the recordings below that folder as well.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use partita_audio::vad::{Segmenter, SileroVad, VadOptions};
use partita_tests::{Sample, models_installed, stored};
use std::path::{Path, PathBuf};

const LANGUAGES: [&str; 7] = ["de", "en", "es", "fr", "it", "pt", "zh"];
/// Samples of the stretches whose loudness is looked at: 10 ms.
const STRETCH: usize = 160;

/// Recordings below a folder.
fn recordings(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(recordings(&path));
        } else if path.extension().is_some_and(|end| end == "mp3" || end == "flac" || end == "wav")
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn loudness(samples: &[f32]) -> f64 {
    let energy: f64 = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    10.0 * (energy / samples.len().max(1) as f64 + 1e-12).log10()
}

/// Where a clip's first sound begins: a twentieth of a second within 30 dB of its loudest, and well
/// above what is heard in its pauses.
fn onset(clip: &[f32]) -> usize {
    let stretches: Vec<f64> = clip.chunks(STRETCH).map(loudness).collect();
    let mut sorted = stretches.clone();
    sorted.sort_by(f64::total_cmp);
    let (quietest, loudest) = (sorted[sorted.len() / 20], sorted[sorted.len() - 1]);
    let least = (loudest - 30.0).max(quietest + 15.0);
    let sounds = |run: &[f64]| run.iter().all(|&stretch| stretch > least);
    stretches.windows(5).position(sounds).unwrap() * STRETCH
}

/// White noise, `below` dB under what the clip is on average.
fn noise(length: usize, clip: &[f32], below: f64) -> Vec<f32> {
    let gain = 10_f64.powf((loudness(clip) - below) / 20.0) * 3_f64.sqrt();
    let mut state = 7_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (f64::from(state) / f64::from(u32::MAX / 2) - 1.0) * gain
    };
    (0..length).map(|_| next() as f32).collect()
}

#[test]
fn noise_before_the_first_word_does_not_cut_it() {
    if !models_installed() {
        return;
    }
    let network = stored("silero-vad", ".onnx").unwrap();
    let library = stored("onnxruntime", "libonnxruntime").unwrap();
    let mut paths: Vec<PathBuf> =
        LANGUAGES.iter().map(|lang| PathBuf::from(Sample::of(lang).path)).collect();
    if let Some(folder) = std::env::var_os("PARTITA_TEST_SPEECH") {
        paths.extend(recordings(Path::new(&folder)));
    }
    let mut cut = Vec::new();
    let mut tried = 0;
    for path in &paths {
        let clip = partita_audio::read_all(path).unwrap();
        for half_seconds in 0..=4 {
            let lead = half_seconds * 8000;
            let mut samples = noise(lead + clip.len() + 16_000, &clip, 25.0);
            samples.iter_mut().skip(lead).zip(&clip).for_each(|(sample, said)| *sample += said);
            let spoken = lead + onset(&clip);
            let detector = SileroVad::load(&network, &library).unwrap();
            let mut segmenter = Segmenter::new(detector, VadOptions::live());
            let mut found = segmenter.push(&samples).unwrap();
            found.extend(segmenter.finish().unwrap());
            tried += 1;
            let start = found.first().map(|segment| segment.start as usize);
            if start.is_none_or(|start| start > spoken) {
                cut.push(format!("{} after {lead}: {start:?}, speech {spoken}", path.display()));
            }
        }
    }
    println!("{} of {tried} beginnings cut", cut.len());
    assert!(cut.is_empty(), "{cut:#?}");
}
