//! The speech model, small and random: what it is asked and answers, that padding does not leak,
//! that verified writing is greedy writing, and that training finds what it should.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod drawn;
#[allow(dead_code, reason = "shared with the tests of Whisper")]
mod whisper;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{D, Device, IndexOp, Tensor};
use drawn::drawn;
use partita_model::files::gguf::write_gguf;
use partita_model::files::{Value, WeightFile};
use partita_model::llm::LlmState;
use partita_model::nn::{
    Linear, LowRankSpec, Mode, NameSet, Parameters, TrainingSource, log_sum_exp,
};
use partita_model::search::Constraint;
use partita_model::speech::{
    AdapterConfig, AdapterShape, Answer, Bases, CTC_STEP, CtcHead, Grammar, Sequence, SpeechConfig,
    SpeechLlm, SpeechNetwork, Task, Wish, answer,
};
use partita_model::tokens::{Lang, Mark, Marks, ShortlistBuilder, TextTokenizer};
use partita_model::whisper::Quantization;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

const WIDTH: usize = 32;
const TEXTS: [&str; 2] = ["the train was late", "der Zug kam spät"];

struct World {
    _folders: (TempDir, TempDir),
    encoder: PathBuf,
    text: PathBuf,
}

/// A small Gemma 3 with the tokenizer of the token tests, and the small Whisper.
fn world() -> World {
    let (folder, encoder) = whisper::imported(Quantization::F32);
    let own = tempfile::tempdir().unwrap();
    let text = own.path().join("text.gguf");
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let tokenizer = WeightFile::open(&tests.join("tokens/score.gguf")).unwrap();
    let vocabulary = tokenizer.metadata()["tokenizer.ggml.tokens"].as_array().unwrap().len();
    let is_tokenizer = |(key, _): &(&String, &Value)| key.starts_with("tokenizer.");
    let mut metadata: Vec<(String, Value)> = tokenizer
        .metadata()
        .iter()
        .filter(is_tokenizer)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    metadata.push(("general.architecture".to_owned(), Value::String("gemma3".to_owned())));
    let numbers = [
        ("block_count", 2),
        ("context_length", 256),
        ("embedding_length", WIDTH as u32),
        ("feed_forward_length", 64),
        ("attention.head_count", 2),
        ("attention.head_count_kv", 1),
        ("attention.key_length", 16),
        ("attention.sliding_window", 32),
        ("attention.sliding_window_pattern", 2),
    ];
    metadata.extend(numbers.map(|(key, value)| (format!("gemma3.{key}"), Value::U32(value))));
    let epsilon = "gemma3.attention.layer_norm_rms_epsilon".to_owned();
    metadata.push((epsilon, Value::F32(1e-6)));

    let parameters = Parameters::new(5, &Device::Cpu);
    let source = TrainingSource::new(&parameters, NameSet::default());
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[usize]| {
        use partita_model::nn::{Init, WeightSource};
        let init = match shape {
            // Rows long enough for a token to be certain.
            [_, _] if name.starts_with("token_embd") => Init::Normal(0.5),
            [_, inputs] => Init::fan_in(*inputs),
            _ => Init::Constant(1.0),
        };
        let tensor = source.tensor_or(&name, shape, init).unwrap();
        tensors.push((name, QTensor::quantize(&tensor, GgmlDType::F32).unwrap()));
    };
    add("token_embd.weight".to_owned(), &[vocabulary, WIDTH]);
    add("output_norm.weight".to_owned(), &[WIDTH]);
    for i in 0..2 {
        for (name, shape) in [
            ("attn_q", &[32, WIDTH][..]),
            ("attn_k", &[16, WIDTH]),
            ("attn_v", &[16, WIDTH]),
            ("attn_output", &[WIDTH, 32]),
            ("ffn_gate", &[64, WIDTH]),
            ("ffn_up", &[64, WIDTH]),
            ("ffn_down", &[WIDTH, 64]),
            ("attn_norm", &[WIDTH]),
            ("ffn_norm", &[WIDTH]),
            ("post_attention_norm", &[WIDTH]),
            ("post_ffw_norm", &[WIDTH]),
            ("attn_q_norm", &[16]),
            ("attn_k_norm", &[16]),
        ] {
            add(format!("blk.{i}.{name}.weight"), shape);
        }
    }
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
    write_gguf(&text, &metadata, &tensors).unwrap();
    World { _folders: (folder, own), encoder, text }
}

impl World {
    fn bases(&self) -> Bases {
        let text = Arc::new(WeightFile::open(&self.text).unwrap());
        Bases::open(&WeightFile::open(&self.encoder).unwrap(), text).unwrap()
    }

    fn parameters(&self) -> Parameters {
        Parameters::new(3, &Device::Cpu)
            .with_base(WeightFile::open(&self.encoder).unwrap())
            .with_base(WeightFile::open(&self.text).unwrap())
    }
}

fn config(bases: &Bases) -> SpeechConfig {
    let tokenizer: &TextTokenizer = &bases.tokenizer;
    let mut shortlist = ShortlistBuilder::new(tokenizer);
    TEXTS.iter().for_each(|text| shortlist.add_text(text));
    SpeechConfig {
        adapter: AdapterConfig {
            encoder_width: bases.encoder.width,
            llm_width: WIDTH,
            output_rms: 2.8,
            shape: AdapterShape::Ultravox { stack: 4, hidden: 64 },
        },
        shortlist: shortlist.finish(&Marks::for_tokenizer(tokenizer), 1),
    }
}

fn lang(code: &str) -> Lang {
    code.parse().unwrap()
}

fn model(source: &TrainingSource, bases: &Bases) -> SpeechLlm {
    SpeechLlm::load(source, source, bases, &config(bases), &Device::Cpu).unwrap()
}

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
fn sentences_get_the_times_when_they_were_said() {
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
