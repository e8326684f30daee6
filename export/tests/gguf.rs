//! `partita-export gguf`: a trained model as a pair, opened again and compared with the model.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod small;

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{D, Device, Tensor};
use partita_export::gguf::{Options, Quant, Report, export};
use partita_model::engine::{Engine, Request};
use partita_model::files::{Array, TensorKind, Value, WeightFile};
use partita_model::nn::Precision;
use partita_model::speech::{
    AdapterShape, ExportedModel, SpeechEngine, SpeechNetwork, Task, TrainedModel, Wish,
};
use partita_model::tokens::{Mark, Marks, TextTokenizer};
use small::{ENCODER, Made, WIDTH, World, tone};

const FLOAT: [Precision; 2] = [Precision::Float; 2];

fn options(world: &World, quant: Quant, out: &Path) -> Options {
    Options {
        model: world.run().to_str().unwrap().to_owned(),
        quant,
        projector: None,
        vocabulary: None,
        name: Some("small".to_owned()),
        shard_size: None,
        calibration: None,
        card: Vec::new(),
        out: out.to_owned(),
    }
}

fn exported(world: &World, quant: Quant) -> (Report, PathBuf) {
    let out = world.out(quant.name());
    let report = export(&options(world, quant, &out)).unwrap();
    (report, out.join(format!("small-{quant}.gguf")))
}

fn trained(world: &World) -> SpeechEngine {
    let bases = (world.encoder.as_path(), world.llm.as_path());
    let weights = world.run().join(TrainedModel::WEIGHTS);
    world.model.open_weights(&weights, bases, FLOAT, &Device::Cpu).unwrap()
}

/// What the model hears of a tone, and its scores of the first word, of all outputs.
fn heard(engine: &SpeechEngine) -> (Tensor, Tensor) {
    let audio = engine.listen(&tone()).unwrap();
    let model = engine.model();
    let mut state = model.begin(&audio).unwrap();
    let prompt = Task::Transcribe.prompt(model.vocabulary().marks());
    let hidden = model.llm().embed(&prompt).unwrap();
    let hidden = model.llm().forward(&hidden, Some(&mut state)).unwrap();
    (audio, model.llm().logits(&hidden).unwrap())
}

fn difference(one: &Tensor, other: &Tensor) -> f32 {
    let gap = (one - other).unwrap().abs().unwrap().flatten_all().unwrap();
    gap.max(D::Minus1).unwrap().to_scalar().unwrap()
}

fn cosine(one: &Tensor, other: &Tensor) -> f32 {
    let sum =
        |a: &Tensor, b: &Tensor| (a * b).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
    sum(one, other) / (sum(one, one) * sum(other, other)).sqrt()
}

fn listing(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn in_full_precision_the_pair_is_the_model() {
    for architecture in ["gemma3", "llama"] {
        let world = World::make(Made { architecture, ..Made::default() });
        let (report, file) = exported(&world, Quant::F32);
        assert_eq!(listing(file.parent().unwrap()), ["mmproj-small-F32.gguf", "small-F32.gguf"]);
        assert_eq!(report.files.len(), 2);
        let pair = ExportedModel::open(&file).unwrap();
        let (mut one, mut other) =
            (trained(&world), pair.engine_with(FLOAT, &Device::Cpu).unwrap());
        assert_eq!(one.capabilities(), other.capabilities());
        assert!(other.capabilities().timestamps, "the CTC head goes along");
        let ((audio, scores), (pair_audio, pair_scores)) = (heard(&one), heard(&other));
        let (far, off) = (difference(&audio, &pair_audio), difference(&scores, &pair_scores));
        println!("{architecture}: audio differs by {far:e}, scores by {off:e}");
        // Low-rank changes are added to matrices here and to their products there.
        assert!(far < 1e-4 && off < 1e-3, "{far} {off}");
        let request = Request { fallback: false, ..Request::default() };
        let said =
            [&mut one, &mut other].map(|engine| engine.transcribe(&tone(), &request).unwrap());
        assert_eq!(said[0].text.segments, said[1].text.segments);
        let wish = Wish::new(Task::Translate("de".parse().unwrap()), 1.0);
        let written = [&one, &other].map(|engine| {
            let audio = engine.listen(&tone()).unwrap();
            engine.model().write(&engine.model().begin(&audio).unwrap(), &wish).unwrap().places
        });
        assert_eq!(written[0], written[1]);
    }
}

#[test]
fn halves_are_held_as_they_are() {
    let world = World::make(Made::default());
    for quant in [Quant::F16, Quant::Bf16] {
        let (_, file) = exported(&world, quant);
        let pair = ExportedModel::open(&file).unwrap();
        let stored = heard(&pair.engine(&Device::Cpu).unwrap());
        let floats = heard(&pair.engine_with(FLOAT, &Device::Cpu).unwrap());
        let off = difference(&stored.1, &floats.1);
        println!("{quant}: scores differ by {off:e}");
        assert!(off < 1e-5, "{quant}: quantized when loaded: {off}");
    }
}

#[test]
fn a_packed_model_is_exported_as_the_run_that_it_was() {
    let world = World::make(Made::default());
    let (_, of_run) = exported(&world, Quant::F32);
    let out = world.out("of-packed");
    let model = world.packed().to_str().unwrap().to_owned();
    export(&Options { model, ..options(&world, Quant::F32, &out) }).unwrap();
    for name in ["small-F32.gguf", "mmproj-small-F32.gguf"] {
        let open = |folder: &Path| WeightFile::open(&folder.join(name)).unwrap();
        let (one, other) = (open(of_run.parent().unwrap()), open(&out));
        let names = |file: &WeightFile| -> Vec<String> {
            file.tensors().iter().map(|tensor| tensor.name.clone()).collect()
        };
        assert_eq!(names(&one), names(&other));
        for tensor in names(&one) {
            let [one, other] = [&one, &other].map(|file| file.floats(&tensor).unwrap());
            assert_eq!(one.0, other.0);
            let off = one.1.iter().zip(&other.1).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < 1e-5, "{name}: {tensor}: {off}");
        }
    }
}

#[test]
fn files_say_what_whoever_ships_them_says() {
    let world = World::make(Made::default());
    let out = world.out("card");
    let said = ["author=Ada", "license=apache-2.0", "url=https://example.org/a=b", "version=v3"];
    let card = said.map(|text| partita_export::gguf::card::entry(text).unwrap()).to_vec();
    let name = Some("mine-5K-v2.0".to_owned());
    export(&Options { name, card, ..options(&world, Quant::Q8_0, &out) }).unwrap();
    for file in ["mine-5K-v2.0-Q8_0.gguf", "mmproj-mine-5K-v2.0-Q8_0.gguf"] {
        let file = WeightFile::open(&out.join(file)).unwrap();
        for (key, value) in [
            ("author", "Ada"),
            ("license", "apache-2.0"),
            ("url", "https://example.org/a=b"),
            ("version", "v3"),
            ("basename", "mine"),
            ("name", "mine-5K-v2.0"),
        ] {
            assert_eq!(file.metadata_str(&format!("general.{key}")).unwrap(), value, "{key}");
        }
    }
}

#[test]
fn files_say_what_they_are() {
    let world = World::make(Made::default());
    let (report, file) = exported(&world, Quant::Q4KM);
    let llm = WeightFile::open(&file).unwrap();
    let projector = WeightFile::open(&file.with_file_name("mmproj-small-Q8_0.gguf")).unwrap();
    for (key, value) in [
        ("general.architecture", "gemma3"),
        ("general.type", "model"),
        ("general.name", "small"),
        ("general.license", "mit"),
        ("general.base_model.0.name", "Small"),
        ("partita.base.llm", "llm.gguf"),
        ("partita.training.name", "small"),
    ] {
        assert_eq!(llm.metadata_str(key).unwrap(), value, "{key}");
    }
    assert_eq!(llm.metadata_u64("general.file_type").unwrap(), 15);
    assert_eq!(llm.metadata_u64("partita.training.steps").unwrap(), 10);
    for (key, value) in [
        ("general.architecture", "clip"),
        ("general.type", "mmproj"),
        ("clip.projector_type", "ultravox"),
    ] {
        assert_eq!(projector.metadata_str(key).unwrap(), value, "{key}");
    }
    for (key, value) in [
        ("embedding_length", ENCODER),
        ("feed_forward_length", 4 * ENCODER),
        ("block_count", 2),
        ("attention.head_count", 2),
        ("projection_dim", WIDTH),
        ("num_mel_bins", 80),
        ("projector.stack_factor", 4),
    ] {
        let key = format!("clip.audio.{key}");
        assert_eq!(projector.metadata_u64(&key).unwrap(), value as u64, "{key}");
    }
    let pair = [&llm, &projector].map(|file| file.metadata_str(ExportedModel::PAIR).unwrap());
    assert_eq!(pair[0], pair[1]);
    let everything = format!("{:?}{:?}", llm.metadata(), projector.metadata());
    assert!(!everything.contains(world.folder.path().to_str().unwrap()), "no path of this machine");

    assert_eq!(projector.tensor("a.conv1d.1.bias").unwrap().shape, [ENCODER, 1]);
    assert!(!projector.contains("a.blk.0.attn_k.bias"));
    assert!(report.notices.iter().any(|line| line.contains("attn_k.bias")), "{:?}", report.notices);
    assert!(projector.tensors().iter().all(|tensor| !tensor.name.starts_with("d.")));

    // The marks are where the reserved tokens were, and the template asks for them.
    let tokenizer = TextTokenizer::from_gguf(&llm).unwrap();
    let marks = Marks::for_tokenizer(&tokenizer);
    let trained = WeightFile::open(&world.run().join(TrainedModel::WEIGHTS)).unwrap();
    let (_, rows) = trained.floats("marks.weight").unwrap();
    let stored = llm.rows("token_embd.weight", &marks.ids().collect::<Vec<_>>()).unwrap();
    let worst = rows.iter().zip(&stored).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 0.01 && rows.iter().any(|v| v.abs() > 0.5), "{worst}");
    let template = llm.metadata_str("tokenizer.chat_template").unwrap();
    assert!(template.contains("replace('<asr>', '<unused0>')"), "{template}");
    let Some(Value::Array(Array::U32(ids))) = llm.metadata().get("partita.marks.tokens") else {
        panic!("no tokens of marks");
    };
    assert_eq!(ids[1], marks.mark(Mark::Translate));
}

#[test]
fn types_are_the_mixtures_and_errors_grow_with_fewer_bits() {
    let world = World::make(Made::default());
    let engine = trained(&world);
    let (_, scores) = heard(&engine);
    let mut last = 0.0;
    for quant in Quant::all() {
        let (report, file) = exported(&world, quant);
        let llm = WeightFile::open(&file).unwrap();
        let kind = |name: &str| llm.tensor(name).unwrap().kind;
        // Rows of 96 and 256; layer 3 of 8 is one of those with more bits, 2 is none.
        let wanted = match quant {
            Quant::F32 => [TensorKind::F32; 4],
            Quant::F16 => [TensorKind::F16; 4],
            Quant::Bf16 => [TensorKind::BF16; 4],
            Quant::Q8_0 => [TensorKind::Q8_0; 4],
            Quant::Q6K => [TensorKind::Q8_0, TensorKind::Q8_0, TensorKind::Q6_K, TensorKind::Q6_K],
            Quant::Q5KM => [TensorKind::Q8_0, TensorKind::Q5_1, TensorKind::Q6_K, TensorKind::Q5_K],
            Quant::Q4KM => [TensorKind::Q8_0, TensorKind::Q5_0, TensorKind::Q6_K, TensorKind::Q4_K],
            Quant::Q4_0 => [TensorKind::Q8_0, TensorKind::Q4_0, TensorKind::Q4_0, TensorKind::Q4_0],
        };
        let found = [
            kind("token_embd.weight"),
            kind("blk.2.attn_v.weight"),
            kind("blk.3.ffn_down.weight"),
            kind("blk.2.ffn_down.weight"),
        ];
        assert_eq!(found, wanted, "{quant}");
        assert_eq!(kind("blk.0.attn_norm.weight"), TensorKind::F32);
        let [written, _] = &report.files[..] else { panic!("{} files", report.files.len()) };
        let error = written.classes["ffn_up"].error;
        println!("{quant}: ffn_up {error:.5}, ffn_down {:.5}", written.classes["ffn_down"].error);
        assert!(error >= last && error < 0.12, "{quant}: {error} after {last}");
        last = if quant == Quant::Bf16 { 0.0 } else { error };
        let fallen = written.tensors.iter().find(|row| row.name == "blk.2.attn_q.weight").unwrap();
        let instead = match quant {
            Quant::Q6K => Some("Q6_K"),
            Quant::Q5KM => Some("Q5_K"),
            Quant::Q4KM => Some("Q4_K"),
            _ => None,
        };
        assert_eq!(fallen.instead_of.as_deref(), instead, "{quant}");
        let sum: u64 = written.types.values().map(|total| total.bytes).sum();
        assert_eq!(sum, llm.tensors().iter().map(|tensor| tensor.bytes).sum::<u64>());

        let pair = ExportedModel::open(&file).unwrap().engine(&Device::Cpu).unwrap();
        let near = cosine(&scores, &heard(&pair).1);
        println!("{quant}: cosine of scores {near}");
        assert!(near > if quant == Quant::Q4_0 { 0.95 } else { 0.99 }, "{quant}: {near}");
    }
}

#[test]
fn what_stock_tools_would_abort_on_is_not_written() {
    let conv = AdapterShape::TransformerConv { layers: 2, heads: 2, stride: 4 };
    for (rule, made) in [
        ("stack-divides-1500", Made { stack: 8, ..Made::default() }),
        ("1500-positions", Made { positions: 1000, ..Made::default() }),
        ("stock-adapter", Made { shape: Some(conv), ..Made::default() }),
        ("projection-width", Made { output: 64, ..Made::default() }),
    ] {
        let world = World::make(made);
        let out = world.out("refused");
        let error = export(&options(&world, Quant::Q8_0, &out)).unwrap_err().to_string();
        assert!(error.starts_with(&format!("rule {rule}: ")), "{error}");
        assert_eq!(listing(&out), Vec::<String>::new());
    }
}

#[test]
fn weights_that_are_cut_off_or_no_numbers_leave_nothing_behind() {
    let world = World::make(Made::default());
    let out = world.out("none");
    let path = world.run().join(TrainedModel::WEIGHTS);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 100]).unwrap();
    let error = export(&options(&world, Quant::F16, &out)).unwrap_err().to_string();
    assert!(error.contains("weights.safetensors"), "{error}");
    let mut wrong = whole.clone();
    let end = wrong.len();
    wrong[end - 400..].fill(0xFF);
    fs::write(&path, &wrong).unwrap();
    let error = export(&options(&world, Quant::F16, &out)).unwrap_err().to_string();
    assert!(error.starts_with("rule finite-values: "), "{error}");
    assert_eq!(listing(&out), Vec::<String>::new());
}

#[test]
fn halves_of_different_pairs_are_refused() {
    let worlds = [Made::default(), Made { stack: 5, ..Made::default() }].map(World::make);
    let files = worlds.each_ref().map(|world| exported(world, Quant::F16).1);
    let other = files[1].with_file_name("mmproj-small-F16.gguf");
    let error = ExportedModel::open_pair(&files[0], &other).unwrap_err().to_string();
    assert!(error.contains(ExportedModel::PAIR), "{error}");
    fs::remove_file(files[0].with_file_name("mmproj-small-F16.gguf")).unwrap();
    let error = ExportedModel::open(&files[0]).unwrap_err().to_string();
    assert!(error.contains("mmproj-small-F16.gguf"), "{error}");
}

#[test]
fn a_language_model_alone_is_one_file() {
    let world = World::make(Made::default());
    let out = world.out("alone");
    let mut options = options(&world, Quant::Q6K, &out);
    options.model = world.llm.to_str().unwrap().to_owned();
    let report = export(&options).unwrap();
    assert_eq!(listing(&out), ["small-Q6_K.gguf"]);
    let [base, file] =
        [&world.llm, &report.files[0].path].map(|path| WeightFile::open(path).unwrap());
    assert_eq!(base.tensors().len(), file.tensors().len());
    for (key, value) in base.metadata().iter().filter(|(key, _)| !key.starts_with("general.")) {
        assert_eq!(file.metadata().get(key), Some(value), "{key}");
    }
    // What is in the wanted type already is copied.
    let again = Options {
        model: report.files[0].path.to_str().unwrap().to_owned(),
        name: Some("again".to_owned()),
        ..options
    };
    let report = export(&again).unwrap();
    let copy = WeightFile::open(&report.files[0].path).unwrap();
    for tensor in file.tensors() {
        assert_eq!(file.bytes(&tensor.name).unwrap(), copy.bytes(&tensor.name).unwrap());
    }
    assert!(report.files[0].classes.values().all(|class| class.error == 0.0));
}

#[test]
fn a_large_language_model_is_cut_into_shards() {
    let world = World::make(Made::default());
    let (whole, file) = exported(&world, Quant::Q8_0);
    let out = world.out("shards");
    let report =
        export(&Options { shard_size: Some(200_000), ..options(&world, Quant::Q8_0, &out) });
    let report = report.unwrap();
    let [text, speech] = &report.files[..] else { panic!("not a pair") };
    assert!(text.shards > 2 && speech.shards == 1, "{} shards", text.shards);
    let names = listing(&out);
    assert_eq!(names.len(), text.shards + 1, "{names:?}");
    assert!(names.contains(&format!("small-Q8_0-00001-of-{:05}.gguf", text.shards)), "{names:?}");
    let [one, parts] = [&file, &text.path].map(|path| WeightFile::open(path).unwrap());
    assert_eq!(one.tensors().len(), parts.tensors().len());
    for tensor in one.tensors() {
        assert_eq!(one.bytes(&tensor.name).unwrap(), parts.bytes(&tensor.name).unwrap());
    }
    let pair = ExportedModel::open(&text.path).unwrap().engine_with(FLOAT, &Device::Cpu).unwrap();
    let other = ExportedModel::open(&file).unwrap().engine_with(FLOAT, &Device::Cpu).unwrap();
    assert_eq!(difference(&heard(&pair).1, &heard(&other).1), 0.0);
    assert_eq!(whole.files[0].parameters, text.parameters);

    // In one piece again, or in others: what was there before is not left beside it.
    let again = |size| {
        let report = export(&Options { shard_size: size, ..options(&world, Quant::Q8_0, &out) });
        let shards = report.unwrap().files[0].shards;
        let names = listing(&out);
        assert_eq!(names.len(), shards + 1, "{names:?}");
    };
    [None, Some(400_000), Some(200_000)].into_iter().for_each(again);

    // A shard that is gone, or another one under its name.
    let second = out.join(format!("small-Q8_0-00002-of-{:05}.gguf", text.shards));
    let third = out.join(format!("small-Q8_0-00003-of-{:05}.gguf", text.shards));
    fs::copy(&third, &second).unwrap();
    let error = WeightFile::open(&text.path).unwrap_err().to_string();
    assert!(error.contains("split.no"), "{error}");
    fs::remove_file(&second).unwrap();
    assert!(WeightFile::open(&text.path).unwrap_err().to_string().contains("00002-of-"));
}
