//! Segments from probabilities that are given, from sounds that are made, and from the network.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};
use std::time::Duration;

use partita_audio::vad::{
    EnergyGate, FRAME, Segment, Segmenter, SileroVad, VadOptions, VoiceActivity,
};
use partita_audio::{AudioError, SAMPLE_RATE, read_all};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

/// Reads the probability off the first sample of each frame.
struct Written;

impl VoiceActivity for Written {
    fn probability(&mut self, frame: &[f32; FRAME]) -> Result<f32, AudioError> {
        Ok(frame[0])
    }

    fn reset(&mut self) {}
}

/// `(frames, probability)` runs as samples for [`Written`].
fn runs(runs: &[(usize, f32)]) -> Vec<f32> {
    runs.iter().flat_map(|(frames, p)| std::iter::repeat_n(*p, frames * FRAME)).collect()
}

fn segments<V: VoiceActivity>(
    detector: V,
    options: &VadOptions,
    samples: &[f32],
    block: usize,
) -> Vec<Segment> {
    let mut segmenter = Segmenter::new(detector, options.clone());
    let mut found = Vec::new();
    for block in samples.chunks(block) {
        let keep = segmenter.keep_from();
        let new = segmenter.push(block).unwrap();
        assert!(new.iter().all(|segment| segment.start >= keep), "{new:?} before {keep}");
        found.extend(new);
    }
    found.extend(segmenter.finish().unwrap());
    found
}

fn options() -> VadOptions {
    VadOptions {
        minimum_speech: Duration::from_millis(250), // 7.8 frames
        hang_over: Duration::from_millis(320),      // 10 frames
        pre_roll: Duration::from_millis(64),        // 2 frames
        pad: Duration::from_millis(96),             // 3 frames
        maximum: Duration::from_secs(4),            // 125 frames
        ..VadOptions::default()
    }
}

fn frames(start: u64, end: u64) -> Segment {
    Segment { start: start * FRAME as u64, end: end * FRAME as u64 }
}

#[test]
fn phrases_are_padded_and_apart() {
    let speech = runs(&[(20, 0.1), (30, 0.9), (15, 0.1), (1, 0.6), (40, 0.9), (50, 0.0)]);
    let found = segments(Written, &options(), &speech, 777);
    assert_eq!(found, [frames(18, 53), frames(63, 109)]);
}

#[test]
fn hysteresis_bridges_doubt_and_short_pauses() {
    let speech = runs(&[(5, 0.0), (10, 0.9), (30, 0.4), (9, 0.1), (10, 0.8), (20, 0.0)]);
    assert_eq!(segments(Written, &options(), &speech, 512), [frames(3, 67)]);
    // Doubt alone begins nothing, and a click is too short.
    assert_eq!(segments(Written, &options(), &runs(&[(90, 0.45)]), 512), []);
    assert_eq!(segments(Written, &options(), &runs(&[(9, 0.0), (7, 1.0), (30, 0.0)]), 512), []);
}

#[test]
fn pads_stay_within_the_stream_and_out_of_each_other() {
    let options = VadOptions {
        pre_roll: Duration::from_millis(960),
        pad: Duration::from_millis(320),
        ..options()
    };
    let speech = runs(&[(1, 0.0), (20, 1.0), (12, 0.0), (20, 1.0)]);
    assert_eq!(segments(Written, &options, &speech, 512), [frames(0, 31), frames(31, 53)]);
    // The last frame is half full.
    let speech = &runs(&[(1, 0.0), (20, 1.0)])[..20 * FRAME + 256];
    let found = segments(Written, &options, speech, 100);
    assert_eq!(found, [Segment { start: 0, end: (20 * FRAME + 256) as u64 }]);
}

#[test]
fn long_speech_is_cut_at_the_best_pause() {
    let speech =
        runs(&[(10, 0.0), (30, 0.9), (5, 0.4), (45, 0.9), (5, 0.45), (60, 0.9), (40, 0.0)]);
    let found = segments(Written, &options(), &speech, 512);
    // The deeper pause is in the first half; the one in the second half begins at frame 90.
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!((found[0].start, found[1].end), (8 * 512, 158 * 512));
    assert_eq!(found[0].end, found[1].start);
    assert!((90 * 512..95 * 512).contains(&found[0].end), "{found:?}");
}

#[test]
fn a_phrase_is_cut_where_it_is_asked() {
    let mut segmenter = Segmenter::new(Written, options());
    let speech = runs(&[(10, 0.0), (20, 0.9), (5, 0.4), (20, 0.9), (5, 0.4), (20, 0.9)]);
    assert_eq!(segmenter.push(&speech).unwrap(), []);
    // Before the phrase, and behind all that was heard, there is nothing to cut.
    assert_eq!(segmenter.cut(0, 5 * 512), []);
    assert_eq!(segmenter.cut(80 * 512, 90 * 512), []);
    let found = segmenter.cut(25 * 512, 50 * 512);
    assert_eq!((found.len(), found[0].start), (1, 8 * 512));
    assert!((30 * 512..35 * 512).contains(&found[0].end), "{found:?}");
    assert_eq!(segmenter.speaking_since(), Some(found[0].end));
    // What came behind goes on.
    let rest = segmenter.push(&runs(&[(40, 0.0)])).unwrap();
    assert_eq!((rest.len(), rest[0].start), (1, found[0].end));
    assert!(rest[0].end >= 80 * 512);
}

#[test]
fn speech_without_any_pause_is_cut_late() {
    let found = segments(Written, &options(), &runs(&[(400, 1.0)]), 512);
    assert!(found.windows(2).all(|pair| pair[0].end == pair[1].start));
    assert_eq!((found[0].start, found.last().unwrap().end), (0, 400 * 512));
    for segment in &found {
        assert!(segment.end - segment.start <= 64_000);
    }
    assert!(found[0].end > 60_000, "{found:?}");
}

#[test]
fn a_cut_before_the_end_gives_no_empty_rest() {
    let speech = runs(&[(120, 1.0), (100, 0.0)]);
    let found = segments(Written, &options(), &speech, 512);
    assert!(found.len() <= 2 && found[0].start == 0, "{found:?}");
    assert!((120 * 512..=124 * 512).contains(&found.last().unwrap().end), "{found:?}");
}

#[test]
fn a_phrase_is_known_after_its_hang_over() {
    let mut segmenter = Segmenter::new(Written, options());
    assert_eq!(segmenter.push(&runs(&[(10, 0.0), (20, 1.0), (9, 0.0)])).unwrap(), []);
    assert_eq!(segmenter.speaking_since(), Some(8 * 512));
    assert_eq!(segmenter.push(&runs(&[(1, 0.0)])).unwrap(), [frames(8, 33)]);
    assert_eq!(segmenter.speaking_since(), None);
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/vad.proptest-regressions",
        ))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn segments_are_in_order_bounded_and_independent_of_blocks(
        probabilities in proptest::collection::vec(
            prop_oneof![Just(0.0_f32), Just(1.0), Just(f32::NAN), -1.0_f32..2.0], 0..600),
        repeat in 1_usize..12,
        block in 1_usize..3000,
        hang_over in 0_u64..1000,
        pad in 0_u64..1000,
        maximum in 0_u64..6000,
        cut_within in 0_u64..6000,
        hurry_from in 0_u64..6000,
        threshold in prop_oneof![0.1_f32..0.9, Just(f32::NAN)],
    ) {
        let options = VadOptions {
            threshold,
            negative_threshold: 0.35,
            minimum_speech: Duration::from_millis(100),
            hang_over: Duration::from_millis(hang_over),
            pre_roll: Duration::from_millis(pad),
            pad: Duration::from_millis(pad),
            maximum: Duration::from_millis(maximum),
            cut_within: Duration::from_millis(cut_within),
            hurry_from: Duration::from_millis(hurry_from),
        };
        let samples: Vec<f32> = probabilities
            .iter()
            .flat_map(|p| std::iter::repeat_n(*p, FRAME * repeat))
            .take(200_000)
            .collect();
        let found = segments(Written, &options, &samples, block);
        prop_assert_eq!(&found, &segments(Written, &options, &samples, 4096));
        let longest = (maximum * 16).max(16_000);
        let mut last = 0;
        for segment in found {
            prop_assert!(segment.start >= last && segment.start < segment.end);
            prop_assert!(segment.end <= samples.len() as u64);
            prop_assert!(segment.end - segment.start <= longest);
            last = segment.end;
        }
    }
}

/// Sounds for the energy gate: noise of `noise` dB throughout, and tone bursts over it.
fn sounds(seconds: usize, noise: f64, bursts: &[(f64, f64)], burst: f64) -> Vec<f32> {
    let mut state = 7_u32;
    let gain = 10_f64.powf(noise / 20.0) * 3_f64.sqrt();
    (0..seconds * SAMPLE_RATE as usize)
        .map(|n| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let random = f64::from(state) / f64::from(1_u32 << 31) - 1.0;
            let t = n as f64 / 16_000.0;
            let on = bursts.iter().any(|(start, end)| (*start..*end).contains(&t));
            // Syllables: four a second, never quite silent.
            let envelope = 0.2 + 0.8 * (TAU * 2.0 * t).sin().abs();
            let tone = (TAU * 220.0 * t).sin() * 10_f64.powf(burst / 20.0) * 2_f64.sqrt();
            (gain * random + if on { envelope * tone } else { 0.0 }) as f32
        })
        .collect()
}

#[test]
fn the_gate_finds_bursts_over_noise() {
    for (noise, burst) in [(-90.0, -20.0), (-55.0, -25.0), (-40.0, -18.0), (-30.0, -12.0)] {
        let samples = sounds(16, noise, &[(6.0, 8.0), (11.0, 12.5)], burst);
        let found = segments(EnergyGate::new(), &VadOptions::live(), &samples, 1600);
        // Loud noise counts as speech until the floor has been learnt.
        let found: Vec<_> = found.iter().filter(|segment| segment.end > 5 * 16_000).collect();
        assert_eq!(found.len(), 2, "noise {noise} dB: {found:?}");
        for (segment, (start, end)) in found.iter().zip([(6.0, 8.0), (11.0, 12.5)]) {
            let (from, to) = (segment.start as f64 / 16e3, segment.end as f64 / 16e3);
            assert!((start - 0.45..start).contains(&from), "noise {noise} dB: {from} {to}");
            assert!((end..end + 0.75).contains(&to), "noise {noise} dB: {from} {to}");
        }
    }
}

#[test]
fn the_gate_is_closed_to_silence_and_steady_noise() {
    let quiet = |samples: &[f32]| segments(EnergyGate::new(), &VadOptions::live(), samples, 999);
    assert_eq!(quiet(&[0.0; 160_000]), []);
    assert_eq!(quiet(&[0.7; 160_000]), [], "a constant voltage");
    assert_eq!(quiet(&[f32::NAN; 160_000]), []);
    assert_eq!(quiet(&sounds(60, -60.0, &[], 0.0)), []);
    for noise in [-45.0, -35.0, -20.0] {
        let found = quiet(&sounds(60, noise, &[], 0.0));
        assert!(found.iter().all(|segment| segment.start < 4 * 16_000), "{noise}: {found:?}");
    }
}

fn silero() -> Option<(PathBuf, PathBuf)> {
    let (model, library) =
        (std::env::var_os("PARTITA_TEST_SILERO"), std::env::var_os("ORT_DYLIB_PATH"));
    if model.is_none() || library.is_none() {
        println!("skipped: PARTITA_TEST_SILERO (model) and ORT_DYLIB_PATH (library) are not set");
    }
    Some((model?.into(), library?.into()))
}

#[test]
fn the_network_hears_speech_and_not_silence() {
    // What is missing or wrong is an error first of all, whatever is installed.
    let nothing = Path::new("no-such-library.so");
    let Some((model, library)) = silero() else {
        let error = SileroVad::load(Path::new("model"), nothing).err().unwrap();
        assert!(matches!(error, AudioError::OnnxRuntime { .. }), "{error}");
        return;
    };
    for wrong in [nothing, &model] {
        let error = SileroVad::load(&model, wrong).err().unwrap();
        assert!(matches!(error, AudioError::OnnxRuntime { .. }), "{error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
    for wrong in [Path::new("no-such-model.onnx"), &library] {
        let error = SileroVad::load(wrong, &library).err().unwrap();
        assert!(matches!(error, AudioError::VoiceModel { .. }), "{error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }

    let mut vad = SileroVad::load(&model, &library).unwrap();
    let mut most = |samples: &[f32]| {
        vad.reset();
        let frames = samples.chunks_exact(FRAME);
        frames.map(|f| vad.probability(f.try_into().unwrap()).unwrap()).fold(0.0, f32::max)
    };
    assert!(most(&[0.0; 48_000]) < 0.2);
    assert!(most(&[f32::NAN; 48_000]) < 0.2);
    assert!(most(&sounds(3, -40.0, &[], 0.0)) < 0.3);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/samples");
    let spoken = read_all(&folder.join("en-train.flac")).unwrap();
    let probability = most(&spoken);
    assert!(probability > 0.9, "{probability}");
    // After NaN it still hears, and repeats itself exactly.
    assert_eq!(probability, most(&spoken));

    let mut samples = vec![0.0; 24_000];
    samples.extend(&spoken);
    samples.extend([0.0; 24_000]);
    let found = segments(vad, &VadOptions::default(), &samples, 1000);
    println!("{found:?} in {} samples", samples.len());
    let speech: u64 = found.iter().map(|segment| segment.end - segment.start).sum();
    assert!((16_000..32_000).contains(&found[0].start), "{found:?}");
    assert!(found.last().unwrap().end < samples.len() as u64 - 8_000, "{found:?}");
    assert!(speech as usize * 10 > spoken.len() * 7, "{found:?}");
}
