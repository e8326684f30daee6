//! When sentences and words of an answer were said, in the small random speech model.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod speech_small;
#[allow(dead_code, reason = "shared with the tests of Whisper")]
mod whisper;

use candle_core::{Device, IndexOp, Tensor};
use partita_model::nn::{Linear, Mode, NameSet, TrainingSource};
use partita_model::speech::{Answer, CTC_STEP, CtcHead, Task};
use partita_model::tokens::Mark;
use speech_small::{WIDTH, lang, model, world};

/// Vectors that surely say given tokens, 80 ms each; `None` is blank.
fn said(rows: &Tensor, blank: &Tensor, frames: &[Option<u32>]) -> Tensor {
    let vector = |frame: &Option<u32>| match frame {
        Some(label) => rows.i(*label as usize).unwrap(),
        None => blank.clone(),
    };
    let vectors: Vec<Tensor> = frames.iter().map(vector).collect();
    (Tensor::stack(&vectors, 0).unwrap() * 10.0).unwrap().unsqueeze(0).unwrap()
}

#[test]
fn sentences_and_words_get_the_times_when_they_were_said() {
    let device = &Device::Cpu;
    let world = world();
    let (bases, parameters) = (world.bases(), world.parameters());
    let source = TrainingSource::new(&parameters, NameSet::parse(&["*"]).unwrap());
    let model = model(&source, &bases);
    let vocabulary = model.vocabulary();
    let ids = vocabulary.shortlist().ids();
    let rows = bases.text.rows("token_embd.weight", ids).unwrap();
    let rows = Tensor::from_vec(rows, (ids.len(), WIDTH), device).unwrap();
    let linear = Linear::float(rows.clone(), None, Mode::Training);
    let head = CtcHead::load(&source, linear, (ids.len(), WIDTH), 1.0, device).unwrap();
    let masters = parameters.masters();
    let (_, blank) = masters.iter().find(|(name, _)| name == CtcHead::BLANK).unwrap();

    // Two frames a token, one blank behind each; a second of silence before the last word.
    let text = "the train. was late";
    let tokens = vocabulary.encode(text);
    let starts_word = |id: &u32| bases.tokenizer.bytes(*id).unwrap().first() == Some(&b' ');
    let last = tokens.iter().rposition(starts_word).unwrap();
    let mut frames = vec![None; 5];
    let mut places = vec![vocabulary.place_of(Mark::Spoken(lang("en")))];
    let mut begins = Vec::new();
    for (i, &token) in tokens.iter().enumerate() {
        if i == last {
            frames.extend([None; 12]);
        }
        begins.push(frames.len() as f64 * CTC_STEP);
        let label = vocabulary.shortlist().short(token);
        assert!(label.is_some());
        frames.extend([label, label, None]);
        places.push(vocabulary.place(token).unwrap());
    }
    let audio = said(&rows, blank.as_tensor(), &frames);
    assert_eq!(head.glimpse(model.vocabulary(), &audio).unwrap(), text);
    let answer = Answer { places: places.clone(), ..Answer::default() };
    let segments =
        head.segments(model.vocabulary(), &audio, Task::Transcribe, &answer).unwrap().unwrap();
    let texts: Vec<&str> = segments.iter().map(|segment| segment.text.as_str()).collect();
    assert_eq!(texts, ["the train.", "was", "late"], "a full stop, and a pause");
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
    near(segments[0].start, begins[0]);
    near(segments[2].start, begins[last]);
    near(segments[2].end, (frames.len() - 1) as f64 * CTC_STEP);
    near(segments[1].end, begins[last] - 13.0 * CTC_STEP);

    let words: Vec<_> = segments.iter().flat_map(|segment| &segment.words).collect();
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    assert_eq!(texts, ["the", "train.", "was", "late"]);
    let firsts: Vec<usize> =
        (0..tokens.len()).filter(|&i| i == 0 || starts_word(&tokens[i])).collect();
    for (i, (word, first)) in words.iter().zip(&firsts).enumerate() {
        near(word.start, begins[*first]);
        // One blank frame is behind each token.
        let next = firsts.get(i + 1).map_or(frames.len() as f64 * CTC_STEP, |&next| begins[next]);
        let silence = if i == 2 { 13.0 } else { 1.0 };
        near(word.end, next - silence * CTC_STEP);
    }

    // The translation behind it is not aligned, and one without a transcript gives no times.
    let to = lang("de");
    places.push(vocabulary.place_of(Mark::To(to)));
    places.extend(tokens.iter().map(|&token| vocabulary.place(token).unwrap()));
    let both = Answer { places, ..Answer::default() };
    let found = head.segments(model.vocabulary(), &audio, Task::Translate(to), &both).unwrap();
    assert_eq!(found, Some(segments));
    let direct =
        head.segments(model.vocabulary(), &audio, Task::DirectTranslation(to), &answer).unwrap();
    assert_eq!(direct, None);
    // Too little audio for so many tokens.
    let short = audio.narrow(1, 0, 2).unwrap();
    assert_eq!(head.segments(model.vocabulary(), &short, Task::Transcribe, &answer).unwrap(), None);
}
