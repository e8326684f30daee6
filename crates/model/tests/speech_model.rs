//! The speech model, small and random: what it is asked and answers, that padding does not leak,
//! that verified writing is greedy writing, and that training finds what it should.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod drawn;
mod speech_small;
#[allow(dead_code, reason = "shared with the tests of Whisper")]
mod whisper;

use candle_core::{D, Device, IndexOp, Tensor};
use drawn::drawn;
use partita_model::llm::LlmState;
use partita_model::nn::{LowRankSpec, NameSet, TrainingSource, log_sum_exp};
use partita_model::search::Constraint;
use partita_model::speech::{Grammar, Sequence, SpeechLlm, SpeechNetwork, Task, Wish, answer};
use partita_model::tokens::{Lang, Mark};
use speech_small::{TEXTS, lang, model, world};

/// Two clips of different length in one batch: mel frames, and each clip's count.
fn clips() -> (Tensor, [usize; 2]) {
    let mel = whisper::golden_mel("natural", 71);
    let long = mel.pad_with_zeros(2, 0, 9).unwrap();
    let short = mel.narrow(2, 0, 40).unwrap().affine(-1.0, 0.1).unwrap();
    // Whatever lies behind a clip's end must not matter.
    let junk = drawn(1, 1.0, (1, 80, 40));
    let short = Tensor::cat(&[&short, &junk], 2).unwrap();
    (Tensor::cat(&[&long, &short], 0).unwrap(), [80, 40])
}

fn sequences(model: &SpeechLlm) -> Vec<Sequence> {
    let vocabulary = model.vocabulary();
    let marks = vocabulary.marks();
    let tokens: Vec<Vec<u32>> = TEXTS.iter().map(|text| vocabulary.encode(text)).collect();
    let make = |clip, task: Task, spoken: Option<&str>, texts: &[&[u32]]| {
        let spoken = spoken.map(lang);
        let mut answer = answer(task, spoken, texts, marks);
        answer.push(vocabulary.end());
        Sequence { clip, prompt: task.prompt(marks), answer }
    };
    let (english, german) = (&tokens[0][..], &tokens[1][..]);
    let mut text = make(None, Task::TextTranslation(lang("de")), Some("en"), &[german]);
    text.prompt.splice(0..0, english.iter().copied());
    vec![
        make(Some(0), Task::Translate(lang("de")), Some("en"), &[english, german]),
        make(Some(1), Task::Transcribe, Some("de"), &[german]),
        text,
        make(Some(1), Task::Transcribe, None, &[]),
    ]
}

fn loss(model: &SpeechLlm, sequences: &[Sequence]) -> (f32, usize) {
    let (mel, frames) = clips();
    let (audio, lengths) = model.listen(&mel, &frames).unwrap();
    let loss = model.answer_loss(Some((&audio, &lengths)), sequences).unwrap();
    (loss.sum.to_scalar().unwrap(), loss.tokens)
}

/// The same by logits of each place, read behind the audio.
fn foretold(model: &SpeechLlm, audio: &Tensor, sequence: &Sequence) -> f32 {
    let begun = model.begin(audio).unwrap();
    let logits = model.foretell(&begun, &sequence.prompt, &sequence.answer).unwrap();
    let place = |token: &u32| model.vocabulary().place(*token).unwrap() as usize;
    let lost = |(row, token): (&Vec<f32>, &u32)| log_sum_exp(row) - row[place(token)];
    logits.iter().zip(&sequence.answer).map(lost).sum()
}

#[test]
fn a_clip_in_a_batch_is_the_clip_alone() {
    let world = world();
    let (bases, parameters) = (world.bases(), world.parameters());
    for mode in ["training", "inference"] {
        let source = match mode {
            "training" => TrainingSource::new(&parameters, NameSet::default()),
            _ => TrainingSource::evaluating(&parameters),
        };
        let model = model(&source, &bases);
        let all = sequences(&model);
        let (sum, tokens) = loss(&model, &all);
        assert_eq!(tokens, all.iter().map(|sequence| sequence.answer.len()).sum::<usize>());
        let (mel, frames) = clips();
        let mut apart = 0.0;
        for sequence in &all {
            let mut sequence = sequence.clone();
            let heard = sequence.clip.take().map(|clip| {
                sequence.clip = Some(0);
                let own = mel.i(clip..clip + 1).unwrap().narrow(2, 0, frames[clip]).unwrap();
                model.listen(&own, &[frames[clip]]).unwrap()
            });
            let heard = heard.as_ref().map(|(audio, lengths)| (audio, &lengths[..]));
            let own = model.answer_loss(heard, std::slice::from_ref(&sequence)).unwrap().sum;
            let own = own.to_scalar::<f32>().unwrap();
            apart += own;
            if let Some((audio, _)) = heard {
                let sum = foretold(&model, audio, &sequence);
                assert!((sum - own).abs() < 1e-3 * own, "{mode}: {sum} foretold, {own}");
            }
        }
        println!("{mode}: {sum} together, {apart} apart, {tokens} tokens");
        assert!((sum - apart).abs() < 1e-3 * apart, "{mode}: {sum} and {apart}");
    }
}

#[test]
fn training_learns_the_answers_and_the_model_then_writes_them() {
    let world = world();
    let (bases, parameters) = (world.bases(), world.parameters());
    let trainable = NameSet::parse(&["mm.a.*", "marks.*", "*.lora_*"]).unwrap();
    let spec = LowRankSpec {
        rank: 8,
        alpha: 16.0,
        dropout: 0.0,
        targets: NameSet::parse(&["blk.*"]).unwrap(),
    };
    let source = TrainingSource::new(&parameters, trainable).with_low_rank(spec.clone());
    let trained = model(&source, &bases);
    let all = sequences(&trained);
    // No contradiction: the silent answer belongs to no clip of this batch.
    let all = &all[..3];
    let before = loss(&trained, all).0;
    let variables: Vec<_> = source.trainable().into_iter().map(|(_, var)| var).collect();
    let options = candle_nn::ParamsAdamW { lr: 0.01, weight_decay: 0.0, ..Default::default() };
    let mut optimizer =
        <candle_nn::AdamW as candle_nn::Optimizer>::new(variables, options).unwrap();
    for _ in 0..150 {
        let (mel, frames) = clips();
        let (audio, lengths) = trained.listen(&mel, &frames).unwrap();
        let found = trained.answer_loss(Some((&audio, &lengths)), all).unwrap();
        let mean = (found.sum / found.tokens as f64).unwrap();
        candle_nn::Optimizer::backward_step(&mut optimizer, &mean).unwrap();
    }
    let after = loss(&trained, all).0;
    println!("loss {before} before, {after} after");
    assert!(after < 0.1 * before, "{after} of {before}");

    let source = TrainingSource::evaluating(&parameters).with_low_rank(spec);
    let model = model(&source, &bases);
    let begun = |clip: usize| {
        let (mel, frames) = clips();
        let (audio, lengths) = model.listen(&mel, &frames).unwrap();
        model.begin(&audio.i(clip..clip + 1).unwrap().narrow(1, 0, lengths[clip]).unwrap()).unwrap()
    };
    let wish = Wish::new(Task::Translate(lang("de")), 4.0);
    for beam in [1, 3] {
        let found = model.write(&begun(0), &Wish { beam, ..wish.clone() }).unwrap();
        assert_eq!(found.text, TEXTS[0], "beam {beam}");
        assert_eq!(found.translation.as_deref(), Some(TEXTS[1]), "beam {beam}");
        assert_eq!(found.language, Some(lang("en")));
        assert!(found.language_probability > 0.9 && found.hypothesis.ended);
    }
    let found = model.write(&begun(1), &Wish::new(Task::Transcribe, 4.0)).unwrap();
    assert_eq!((found.text.as_str(), found.language), (TEXTS[1], Some(lang("de"))));

    // A draft that is right, right at first, wrong, or too long: the text is the same.
    let state = begun(0);
    let greedy = model.write(&state, &wish).unwrap();
    let right = greedy.places.clone();
    let mut wrong_later = right.clone();
    let middle = wrong_later.len() / 2;
    wrong_later[middle] = right[1];
    let longer = [&right[..], &right[1..4]].concat();
    for draft in [&right[..], &right[..3], &wrong_later, &longer, &right[2..5]] {
        let verified = model.write(&state, &Wish { draft, ..wish.clone() }).unwrap();
        assert_eq!(verified.places, right, "draft {draft:?}");
        let off = verified.hypothesis.average() - greedy.hypothesis.average();
        assert!(off.abs() < 1e-3, "{off}");
    }
    // What is forced stays, also where it is not what would have been written.
    let forced = Wish { draft: &wrong_later, forced: middle + 1, ..wish.clone() };
    let kept = model.write(&state, &forced).unwrap();
    assert_eq!(kept.places[..=middle], wrong_later[..=middle]);
    assert_eq!(state.len(), LlmState::len(&begun(0)), "what was heard serves every task");
}

#[test]
fn the_grammar_lets_through_whole_answers_only() {
    let world = world();
    let (bases, parameters) = (world.bases(), world.parameters());
    let model = model(&TrainingSource::evaluating(&parameters), &bases);
    let vocabulary = model.vocabulary();
    let place = |mark| vocabulary.place_of(mark);
    let end = vocabulary.place(vocabulary.end()).unwrap();
    let allowed = |grammar: &Grammar, written: &[u32]| {
        let mut logits = vec![0.0; vocabulary.outputs()];
        grammar.apply(&mut logits, written);
        (0..logits.len() as u32).filter(|&at| logits[at as usize] == 0.0).collect::<Vec<_>>()
    };
    let (english, german) = (lang("en"), lang("de"));
    let word = vocabulary.place(vocabulary.encode("train")[0]).unwrap();
    let task = Task::Translate(german);
    let grammar = Grammar::new(vocabulary, task, &[english], true);
    let (spoken, to, none) =
        (place(Mark::Spoken(english)), place(Mark::To(german)), place(Mark::NoSpeech));
    let mut first = vec![spoken, none];
    first.sort_unstable();
    assert_eq!(allowed(&grammar, &[]), first);
    assert_eq!(allowed(&grammar, &[none]), [end]);
    let said = allowed(&grammar, &[spoken, word]);
    assert!(said.contains(&to) && said.contains(&word) && !said.contains(&end));
    assert!(!said.contains(&spoken) && !said.contains(&place(Mark::To(english))));
    let translated = allowed(&grammar, &[spoken, word, to]);
    assert!(translated.contains(&end) && translated.contains(&word) && !translated.contains(&to));
    let start = vocabulary.place(vocabulary.start());
    assert!(start.is_none_or(|start| !said.contains(&start)), "no start in a text");

    let plain = Grammar::new(vocabulary, Task::Transcribe, &[], false);
    assert_eq!(allowed(&plain, &[]).len(), Lang::all().count());
    let said = allowed(&plain, &[spoken]);
    assert!(said.contains(&end) && !said.contains(&to));
    let tokens = Tensor::new(said, &Device::Cpu).unwrap();
    assert!(
        tokens.max(D::Minus1).unwrap().to_scalar::<u32>().unwrap() < vocabulary.outputs() as u32
    );
}
