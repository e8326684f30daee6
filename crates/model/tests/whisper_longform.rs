//! How recordings are cut into windows: nothing lost, nothing too long, times the recording's own.
//!
//! The engine here notes what it is given. Each sample holds its own number, so a window tells
//! from where in the recording it was taken; a negative one is speech to the detector.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use partita_audio::AudioError;
use partita_audio::vad::{FRAME, Segmenter, VadOptions, VoiceActivity};
use partita_model::ModelError;
use partita_model::engine::{Capabilities, Engine, Request, Segment, Text, Transcript};
use partita_model::longform::{Cutting, LongForm, Utterance};
use proptest::prelude::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ops::Range;
use std::time::Duration;

const RATE: usize = 16_000;
const LONGEST: f64 = 30.0;

/// What the engine says to its next windows: the language, how sure it is, where to resume.
type Answer = Box<dyn FnMut(usize) -> (&'static str, f32, Option<f64>) + Send>;

struct Noting {
    capabilities: Capabilities,
    answer: Answer,
    windows: Vec<Range<u64>>,
    /// What each was said to follow.
    before: Vec<Option<String>>,
    /// Whether samples are numbered; else only lengths are noted.
    numbered: bool,
}

impl Noting {
    fn new(answer: impl FnMut(usize) -> (&'static str, f32, Option<f64>) + Send + 'static) -> Self {
        let capabilities = Capabilities {
            engine: "noting",
            languages: vec!["en".into(), "de".into()],
            translation_targets: Vec::new(),
            timestamps: true,
            longest_window: LONGEST,
        };
        let (windows, before) = (Vec::new(), Vec::new());
        Self { capabilities, answer: Box::new(answer), windows, before, numbered: true }
    }
}

fn number(sample: f32) -> u64 {
    (f64::from(sample.abs()) * f64::from(1 << 24)) as u64 - 1
}

/// Sample `i` of a recording.
fn sample(i: usize, speech: bool) -> f32 {
    let value = (i + 1) as f32 / (1 << 24) as f32;
    if speech { -value } else { value }
}

impl Engine for Noting {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn transcribe(&mut self, samples: &[f32], request: &Request) -> Result<Transcript, ModelError> {
        let seconds = samples.len() as f64 / RATE as f64;
        assert!(seconds <= LONGEST, "a window of {seconds} s");
        let start = if self.numbered { number(samples[0]) } else { 0 };
        if self.numbered {
            let mut numbers = samples.iter().map(|&sample| number(sample));
            assert!(numbers.by_ref().zip(start..).all(|(a, b)| a == b), "not in one piece");
        }
        let (language, language_probability, resume) = (self.answer)(self.windows.len());
        self.windows.push(start..start + samples.len() as u64);
        self.before.push(request.before.clone());
        let segment = |start, end| Segment::new(start, end, "words".to_owned());
        let segments = vec![segment(0.0, 0.5 * seconds), segment(0.5 * seconds, seconds)];
        Ok(Transcript {
            language: request.language.clone().unwrap_or_else(|| language.to_owned()),
            language_probability,
            no_speech: 0.0,
            text: Text { segments, ..Text::default() },
            translation: request
                .translate
                .as_ref()
                .map(|_| Text { segments: vec![segment(0.0, seconds)], ..Text::default() }),
            resume,
        })
    }
}

/// Speech where a sample is negative, as the middle of the frame says.
struct Sign;

impl VoiceActivity for Sign {
    fn probability(&mut self, frame: &[f32; FRAME]) -> Result<f32, AudioError> {
        Ok(if frame[FRAME / 2] < 0.0 { 0.9 } else { 0.05 })
    }

    fn reset(&mut self) {}
}

fn voice(options: VadOptions) -> Cutting {
    Cutting::Voice(Box::new(Segmenter::new(Box::new(Sign), options)))
}

fn english() -> Request {
    Request { language: Some("en".to_owned()), ..Request::default() }
}

/// Pushes a recording in blocks of that size; checks what is true of any recording.
fn run(
    engine: &mut Noting,
    request: Request,
    cutting: Cutting,
    recording: &[f32],
    block: usize,
) -> Vec<Utterance> {
    let mut long = LongForm::new(engine, request, cutting);
    let mut found = Vec::new();
    for block in recording.chunks(block) {
        found.extend(long.push(block).unwrap());
    }
    found.extend(long.finish().unwrap());
    assert!(long.push(&[]).unwrap().is_empty() && long.finish().unwrap().is_empty());
    let end = recording.len() as f64 / RATE as f64;
    let mut last = 0.0;
    for utterance in &found {
        assert!(last <= utterance.start && utterance.start < utterance.end);
        let text = &utterance.transcript.text;
        // The noting engine's first segment begins with the window: times cannot have drifted.
        assert!((text.segments[0].start - utterance.start).abs() < 1e-9);
        assert!((text.segments[1].start - text.segments[0].end).abs() < 1e-9);
        assert!(text.segments[1].end <= end + 1e-9);
        last = utterance.end;
    }
    found
}

#[test]
fn by_length_every_sample_is_read_once() {
    let recording: Vec<f32> = (0..100 * RATE + 5_921).map(|i| sample(i, false)).collect();
    for block in [4_097, 16_000, 1_000_000, 3_000_000] {
        let mut engine = Noting::new(|_| ("en", 1.0, None));
        let request = Request { translate: Some("en".into()), ..english() };
        let found = run(&mut engine, request, Cutting::Length, &recording, block);
        let bounds = [0, 480_000, 960_000, 1_440_000, 1_605_921];
        let expected: Vec<_> = bounds.windows(2).map(|pair| pair[0]..pair[1]).collect();
        assert_eq!(engine.windows, expected);
        let last = found.last().unwrap();
        assert_eq!((last.start, last.end), (90.0, 1_605_921.0 / 16_000.0));
        let translation = last.transcript.translation.as_ref().unwrap();
        assert_eq!(translation.segments[0].start, 90.0);
    }
}

#[test]
fn by_length_a_window_begins_where_the_last_text_stopped() {
    let recording: Vec<f32> = (0..100 * RATE).map(|i| sample(i, false)).collect();
    let mut engine = Noting::new(|_| ("en", 1.0, Some(27.3)));
    let found = run(&mut engine, english(), Cutting::Length, &recording, 10_000);
    let starts: Vec<u64> = engine.windows.iter().map(|window| window.start).collect();
    // 27.3 s is 436,800 samples; the last window is not full and is read to its end.
    assert_eq!(starts, [0, 436_800, 873_600, 1_310_400]);
    assert_eq!(engine.windows[3].end, 1_600_000);
    assert_eq!(found[1].end, found[2].start);
}

#[test]
fn by_length_no_answer_holds_a_recording_up_or_leaves_a_gap() {
    let recording: Vec<f32> = (0..100 * RATE).map(|i| sample(i, false)).collect();
    for resume in [0.0, 1e-9, 0.02, -4.0, f64::NAN, 30.0, 45.0, f64::INFINITY] {
        let mut engine = Noting::new(move |_| ("en", 1.0, Some(resume)));
        run(&mut engine, english(), Cutting::Length, &recording, 16_000);
        assert!(engine.windows.len() <= 72, "{resume}: {} windows", engine.windows.len());
        assert!(engine.windows.windows(2).all(|pair| pair[1].start <= pair[0].end), "{resume}");
        assert_eq!(engine.windows.last().unwrap().end, 1_600_000);
    }
}

#[test]
fn nothing_and_next_to_nothing() {
    for (samples, windows) in [(0, 0), (1_599, 0), (1_600, 1)] {
        let recording: Vec<f32> = (0..samples).map(|i| sample(i, true)).collect();
        let mut engine = Noting::new(|_| ("en", 1.0, None));
        run(&mut engine, english(), Cutting::Length, &recording, 1_000);
        assert_eq!(engine.windows.len(), windows, "{samples} samples");
    }
    let recording: Vec<f32> = (0..60 * RATE).map(|i| sample(i, false)).collect();
    let mut engine = Noting::new(|_| ("en", 1.0, None));
    run(&mut engine, english(), voice(VadOptions::default()), &recording, 1_000);
    assert!(engine.windows.is_empty(), "silence was given to the engine");
}

#[test]
fn a_second_recording_begins_at_nought() {
    let recording: Vec<f32> = (0..12 * RATE).map(|i| sample(i, i / RATE % 4 < 2)).collect();
    for by_voice in [false, true] {
        let mut engine = Noting::new(|_| ("en", 1.0, None));
        let cutting = if by_voice { voice(VadOptions::default()) } else { Cutting::Length };
        let mut long = LongForm::new(&mut engine, english(), cutting);
        let mut both = Vec::new();
        for _ in 0..2 {
            let mut found = long.push(&recording).unwrap();
            found.extend(long.finish().unwrap());
            both.push(found);
        }
        assert!(!both[0].is_empty());
        assert_eq!(both[0], both[1]);
    }
}

#[test]
fn speech_longer_than_a_window_is_read_whole() {
    let recording: Vec<f32> = (0..130 * RATE).map(|i| sample(i, i >= RATE)).collect();
    let options = VadOptions { maximum: Duration::from_secs(60), ..VadOptions::default() };
    let mut engine = Noting::new(|_| ("en", 1.0, Some(26.0)));
    run(&mut engine, english(), voice(options), &recording, 16_000);
    assert!(engine.windows.windows(2).all(|pair| pair[1].start <= pair[0].end));
    assert!(engine.windows[0].start <= RATE as u64);
    assert_eq!(engine.windows[1].start - engine.windows[0].start, 26 * RATE as u64);
    assert_eq!(engine.windows.last().unwrap().end, 130 * RATE as u64);
}

#[test]
fn a_language_that_was_sure_is_told_to_the_next_windows() {
    // Windows of ten seconds with long pauses, and what the engine takes each for.
    let recording: Vec<f32> = (0..120 * RATE).map(|i| sample(i, i / RATE % 20 < 10)).collect();
    let heard = [("de", 0.3), ("en", 0.9), ("de", 0.4), ("de", 0.8), ("en", 0.5), ("de", 0.9)];
    let mut engine = Noting::new(move |window| {
        let (language, sure) = heard[window];
        (language, sure, None)
    });
    let found =
        run(&mut engine, Request::default(), voice(VadOptions::default()), &recording, 5_000);
    let languages: Vec<_> = found.iter().map(|found| found.transcript.language.as_str()).collect();
    assert_eq!(languages, heard.map(|(language, _)| language));
    let before: Vec<_> = engine.before.iter().map(|before| before.as_deref()).collect();
    assert_eq!(before, [None, None, Some("en"), Some("en"), Some("de"), Some("de")]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Phrases and pauses of any length, in frames.
    #[test]
    fn at_pauses_no_speech_is_lost(
        parts in prop::collection::vec((10usize..1300, 2usize..200), 1..12),
        block in 100usize..200_000,
        resume in prop::option::of(20.0..30.0f64),
    ) {
        let mut speech = Vec::new();
        for (spoken, pause) in parts {
            speech.extend(std::iter::repeat_n(false, pause));
            speech.extend(std::iter::repeat_n(true, spoken));
        }
        let recording: Vec<f32> =
            (0..speech.len() * FRAME).map(|i| sample(i, speech[i / FRAME])).collect();
        let mut engine = Noting::new(move |_| ("en", 1.0, resume));
        run(&mut engine, english(), voice(VadOptions::default()), &recording, block);
        let windows = &engine.windows;
        for (frame, _) in speech.iter().enumerate().filter(|(_, spoken)| **spoken) {
            let (from, to) = ((frame * FRAME) as u64, ((frame + 1) * FRAME) as u64);
            // A frame may be cut in its middle, between one window and the next.
            let held = |at: u64| windows.iter().any(|window| window.contains(&at));
            prop_assert!(held(from) && held(to - 1), "frame {frame} of speech is lost");
        }
        for pair in windows.windows(2) {
            prop_assert!(resume.is_some() || pair[0].end <= pair[1].start, "read twice");
            // What was not joined is apart, or too long together.
            let apart = pair[1].start.saturating_sub(pair[0].end) > 24_000;
            prop_assert!(apart || pair[1].end - pair[0].start > 480_000, "{pair:?} not joined");
        }
    }
}

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// Counts the bytes that a thread holds, and the most that it has held.
struct Counting;

fn count(bytes: isize) {
    let held = HELD.get() + bytes;
    HELD.set(held);
    MOST.set(MOST.get().max(held));
}

// SAFETY: everything is left to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn memory_does_not_grow_with_the_recording() {
    // Speech that never pauses, with pauses, and none at all.
    let patterns: [fn(usize) -> bool; 3] = [|_| true, |second| second % 12 < 9, |_| false];
    for (pattern, by_voice) in
        patterns.into_iter().flat_map(|pattern| [(pattern, true), (pattern, false)])
    {
        let most = |seconds: usize| {
            let cutting = if by_voice { voice(VadOptions::default()) } else { Cutting::Length };
            let mut engine = Noting::new(|_| ("en", 1.0, Some(25.0)));
            engine.numbered = false;
            let mut long = LongForm::new(&mut engine, english(), cutting);
            let before = HELD.get();
            MOST.set(before);
            for second in 0..seconds {
                let value = if pattern(second) { -0.5 } else { 0.5 };
                drop(long.push(&vec![value; RATE]).unwrap());
            }
            drop(long.finish().unwrap());
            (MOST.get() - before) as usize
        };
        let (short, long) = (most(200), most(3_600));
        // 30 s are 1.9 MB; two windows, and what a growing list sets aside.
        assert!(short < 9 << 20 && long < short + (1 << 18), "{short} and {long} bytes");
    }
}
