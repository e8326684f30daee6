//! From files on disk to batches: good clips, bad clips, threads, cache, shards.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod recordings;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use partita_corpus::manifest::{SpeechRow, Split, Writer};
use partita_train::data::{
    Augment, Batch, CacheOptions, Example, FeatureMaker, Loader, LoaderOptions, Sampler,
    SamplerOptions, SetOptions, SpeechSet, Stored, shards,
};
use recordings::wav;

fn tone(seconds: f64, hertz: f64) -> Vec<f32> {
    let phase = |n| std::f64::consts::TAU * hertz * f64::from(n) / 16_000.0;
    (0..(seconds * 16_000.0) as u32).map(|n| (phase(n).sin() * 0.2) as f32).collect()
}

fn row(path: &str, lang: &str, text: &str, seconds: f64) -> SpeechRow {
    SpeechRow {
        id: path.to_owned(),
        audio_filepath: path.to_owned(),
        duration: Some(seconds),
        lang: lang.to_owned(),
        text: text.to_owned(),
        ..SpeechRow::default()
    }
}

fn manifest(folder: &Path, rows: &[SpeechRow]) -> PathBuf {
    let path = folder.join("speech.jsonl");
    let mut writer = Writer::create(&path).expect("create");
    rows.iter().for_each(|row| writer.write(row).expect("write"));
    writer.finish().expect("finish");
    path
}

/// 24 clips of tones in three languages and two of noise.
fn corpus(folder: &Path) -> PathBuf {
    let mut rows = Vec::new();
    for n in 0..24_u32 {
        let seconds = 0.5 + f64::from(n % 8) * 0.25;
        let name = format!("{n:02}.wav");
        let samples = tone(seconds, 200.0 + f64::from(n) * 30.0);
        fs::write(folder.join(&name), wav(&samples)).expect("write");
        let lang = ["de-DE", "en", "fr"][n as usize % 3];
        let mut clip = row(&name, lang, &format!("Text {n}"), seconds);
        clip.translations.insert("pt-BR".into(), format!("Texto {n}"));
        rows.push(clip);
    }
    for n in 0..2 {
        let name = format!("noise{n}.wav");
        let mut state = n + 1_u32;
        let hiss = (0..40_000).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        });
        fs::write(folder.join(&name), wav(&hiss.collect::<Vec<_>>())).expect("write");
        rows.push(row(&name, "none", "", 2.5));
    }
    manifest(folder, &rows)
}

fn open(source: &Path) -> Arc<SpeechSet> {
    let options = SetOptions {
        sources: vec![source.to_path_buf()],
        noise_seconds: 1.0,
        ..SetOptions::default()
    };
    Arc::new(SpeechSet::open(&options).expect("set"))
}

fn sampler(set: &SpeechSet) -> Sampler {
    let options = SamplerOptions {
        seed: 5,
        max_size: 12.0,
        none_share: 0.1,
        padded_share: 0.0,
        ..SamplerOptions::default()
    };
    Sampler::new(set.items(), options).expect("sampler")
}

fn maker(
    set: &Arc<SpeechSet>,
    augment: Option<Augment>,
    cache: Option<CacheOptions>,
) -> Arc<FeatureMaker> {
    Arc::new(FeatureMaker::new(set.clone(), 5, 80, augment, cache).expect("maker"))
}

fn loader(set: &Arc<SpeechSet>, augment: Option<Augment>, threads: usize) -> Loader {
    let options = LoaderOptions { threads, ahead: 1, ..LoaderOptions::default() };
    Loader::start(maker(set, augment, None), sampler(set), options).expect("loader")
}

fn take(loader: &mut Loader, batches: usize) -> Vec<Batch> {
    (0..batches).map(|_| loader.next().expect("batch")).collect()
}

#[test]
fn batches_do_not_depend_on_threads() {
    let folder = tempfile::tempdir().expect("folder");
    let set = open(&corpus(folder.path()));
    let augment = || Some(Augment { room: 0.5, noise: 0.5, ..Augment::default() });
    let one = take(&mut loader(&set, augment(), 1), 20);
    for threads in [2, 3, 5] {
        assert_eq!(take(&mut loader(&set, augment(), threads), 20), one, "{threads} threads");
    }
    assert_ne!(take(&mut loader(&set, None, 2), 20), one);
    let speech: Vec<&Example> = one.iter().flat_map(|batch| &batch.examples).collect();
    assert!(speech.iter().any(|example| example.lang.is_none() && example.text.is_empty()));
    let german = speech.iter().find(|e| e.lang.as_deref() == Some("de")).expect("German");
    assert!(german.translations["pt"].starts_with("Texto"), "regions are left out");
    for example in speech {
        assert_eq!(example.mel.len(), 80 * example.frames);
        assert_eq!(example.frames, (example.seconds * 100.0 - 1e-6).ceil() as usize);
        assert!(example.mel.iter().all(|value| value.is_finite()));
    }
}

#[test]
fn a_run_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().expect("folder");
    let set = open(&corpus(folder.path()));
    let augment = || Some(Augment::default());
    let all = take(&mut loader(&set, augment(), 2), 25);
    for stop in [1, 4, 7, 18] {
        let mut again = sampler(&set);
        again.seek(&all[stop - 1].next).expect("seek");
        let options = LoaderOptions { threads: 3, ..LoaderOptions::default() };
        let mut rest = Loader::start(maker(&set, augment(), None), again, options).expect("it");
        assert_eq!(take(&mut rest, 25 - stop), all[stop..], "after {stop}");
    }
}

#[test]
fn processes_share_the_batches() {
    let folder = tempfile::tempdir().expect("folder");
    let set = open(&corpus(folder.path()));
    let all = take(&mut loader(&set, None, 2), 24);
    let of = |rank| {
        let options = LoaderOptions { threads: 2, ahead: 1, world: 2, rank };
        let mut loader =
            Loader::start(maker(&set, None, None), sampler(&set), options).expect("it");
        let mut own = Vec::new();
        for n in 0..24 {
            match n % 2 == rank {
                true => own.push(loader.next().expect("batch")),
                false => loader.pass(),
            }
        }
        (own, loader.position())
    };
    let ((even, after_even), (odd, after_odd)) = (of(0), of(1));
    for n in 0..12 {
        assert_eq!((&even[n], &odd[n]), (&all[2 * n], &all[2 * n + 1]));
    }
    assert_eq!((after_even, after_odd), (all[23].next, all[23].next));
}

#[test]
fn clips_that_cannot_be_read_are_named_and_left_out() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("good.wav"), wav(&tone(1.0, 300.0))).expect("write");
    fs::write(path("empty.wav"), b"").expect("write");
    fs::write(path("letters.wav"), b"no sound at all ".repeat(50)).expect("write");
    let mut broken = tone(1.0, 300.0);
    broken[500] = f32::NAN;
    broken[700] = f32::INFINITY;
    fs::write(path("nan.wav"), wav(&broken)).expect("write");
    let mut untold = row("good.wav", "de", "Ohne Länge", 0.0);
    untold.duration = None;
    let rows = [
        row("good.wav", "de", "Gut", 1.0),
        row("empty.wav", "de", "Leer", 1.0),
        row("letters.wav", "de", "Buchstaben", 1.0),
        row("nan.wav", "de", "Keine Zahl", 1.0),
        row("gone.wav", "de", "Fehlt", 1.0),
        row("good.wav", "de", "Zu kurz", 5.0),
        row("good.wav", "de", "", 1.0),
        row("good.wav", "de", "Здесь по-русски", 1.0),
        untold,
        row("good.wav", "none", "Text im Rauschen", 1.0),
        row("good.wav", "de", "Zu lang", 31.0),
    ];
    let set = open(&manifest(folder.path(), &rows));
    let lines: Vec<u64> = set.bad_rows.iter().map(|bad| bad.line).collect();
    assert_eq!(lines, [7, 8, 9, 10], "{:?}", set.bad_rows);
    assert_eq!((set.counts["de"].clips, set.counts["de"].too_long), (6, 1));

    let mut loader = loader(&set, None, 2);
    for batch in take(&mut loader, 6) {
        assert!(batch.examples.iter().all(|example| example.text == "Gut"));
    }
    let mut bad: Vec<_> =
        loader.bad_rows().iter().map(|bad| (bad.line, bad.reason.clone())).collect();
    bad.sort();
    let parts = [
        (2, "empty audio file (0 bytes)"),
        (3, "unreadable audio: "),
        (4, "2 samples are no numbers"),
        (5, "missing audio file"),
        (6, "declared to end at 5.00 s, has 1.00 s"),
    ];
    assert_eq!(bad.len(), parts.len(), "each once: {bad:?}");
    for ((line, reason), (wanted, part)) in bad.iter().zip(parts) {
        assert_eq!(*line, wanted);
        assert!(reason.starts_with(part) && reason.contains(".wav)"), "{reason}");
    }
}

#[test]
fn nothing_to_read_is_an_error_and_not_a_hang() {
    let folder = tempfile::tempdir().expect("folder");
    let rows: Vec<_> = (0..30).map(|n| row(&format!("{n}.wav"), "de", "Fehlt", 1.0)).collect();
    let set = open(&manifest(folder.path(), &rows));
    let mut loader = loader(&set, None, 3);
    let batches = std::iter::from_fn(|| Some(loader.next())).take(100);
    let error = batches.filter_map(Result::err).next().expect("an error").to_string();
    assert!(error.starts_with("no clip of a whole epoch can be read; the first: "), "{error}");
    let options = SetOptions { split: Split::Test, ..SetOptions::default() };
    let sources = vec![folder.path().join("speech.jsonl")];
    let error = SpeechSet::open(&SetOptions { sources, ..options }).expect_err("no test clips");
    assert!(error.to_string().contains("no clip to use (split Test"), "{error}");
}

#[test]
fn dropping_the_loader_ends_its_threads() {
    let folder = tempfile::tempdir().expect("folder");
    let set = open(&corpus(folder.path()));
    let begin = Instant::now();
    for taken in 0..6 {
        let mut loader = loader(&set, Some(Augment::default()), 4);
        take(&mut loader, taken);
        assert!((0.0..=1.0).contains(&loader.wait_share()));
        drop(loader);
    }
    // Threads hold the set: all of them are gone.
    assert_eq!(Arc::strong_count(&set), 1);
    assert!(begin.elapsed() < Duration::from_secs(20));
}

#[test]
fn the_wait_share_tells_who_waits() {
    let folder = tempfile::tempdir().expect("folder");
    let set = open(&corpus(folder.path()));
    let mut lazy = loader(&set, None, 2);
    take(&mut lazy, 1);
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(60));
        take(&mut lazy, 1);
    }
    assert!(lazy.wait_share() < 0.5, "{}", lazy.wait_share());
    let mut eager = loader(&set, Some(Augment::default()), 1);
    take(&mut eager, 30);
    assert!(eager.wait_share() > 0.5, "{}", eager.wait_share());
}

#[test]
fn padded_clips_have_thirty_seconds() {
    let folder = tempfile::tempdir().expect("folder");
    let set = open(&corpus(folder.path()));
    let options = SamplerOptions { padded_share: 1.0, max_size: 90.0, ..Default::default() };
    let sampler = Sampler::new(set.items(), options).expect("sampler");
    let options = LoaderOptions { threads: 1, ..LoaderOptions::default() };
    let mut loader = Loader::start(maker(&set, None, None), sampler, options).expect("loader");
    let batch = loader.next().expect("batch");
    assert_eq!(batch.examples.len(), 3);
    for example in batch.examples {
        assert_eq!(example.frames, 3000);
        assert!(example.seconds < 3.0);
        let last: Vec<f32> = example.mel.chunks(3000).map(|band| band[2999]).collect();
        let quiet = example.mel.iter().copied().fold(f32::MAX, f32::min);
        assert!(last.iter().all(|value| *value == quiet), "silence behind it");
    }
}

#[test]
fn the_cache_changes_nothing_but_time() {
    let folder = tempfile::tempdir().expect("folder");
    let set = open(&corpus(folder.path()));
    let options = |max_bytes| {
        let folder = folder.path().join("cache");
        Some(CacheOptions { folder, max_bytes, stored: Stored::F16 })
    };
    let batches = |max_bytes| {
        let maker = maker(&set, Some(Augment::masks_only()), options(max_bytes));
        let threads = LoaderOptions { threads: 2, ..LoaderOptions::default() };
        let mut loader = Loader::start(maker.clone(), sampler(&set), threads).expect("loader");
        let batches = take(&mut loader, 20);
        drop(loader);
        (batches, maker.cache().map(|cache| cache.used()).expect("a cache"))
    };
    let (without, none) = batches(0);
    assert_eq!(none, 0);
    let (cold, used) = batches(1 << 30);
    let (warm, same) = batches(1 << 30);
    assert_eq!(cold, without);
    assert_eq!(warm, without);
    assert!(used > 24 * 80 * 50 * 2 && used == same, "{used} then {same} bytes");

    // A recording that changed is computed anew.
    fs::write(folder.path().join("00.wav"), wav(&tone(0.5, 3000.0))).expect("write");
    assert_ne!(batches(1 << 30).0, without);
    // Augmented samples are never taken from it.
    assert!(maker(&set, Some(Augment::default()), options(1 << 30)).cache().is_none());
}

#[test]
fn shards_hold_what_the_manifest_names() {
    let folder = tempfile::tempdir().expect("folder");
    let mut rows = Vec::new();
    let talk: Vec<f32> = (0..10).flat_map(|n| tone(1.0, 200.0 + 100.0 * f64::from(n))).collect();
    fs::write(folder.path().join("talk.wav"), wav(&talk)).expect("write");
    for n in 0..10 {
        let mut part = row("talk.wav", "de", &format!("Teil {n}"), 1.0);
        (part.id, part.offset) = (format!("talk-{n}"), f64::from(n));
        part.split = if n == 3 { Split::Test } else { Split::Train };
        rows.push(part);
    }
    fs::write(folder.path().join("own.wav"), wav(&tone(2.0, 440.0))).expect("write");
    rows.push(row("own.wav", "fr", "Seul", 2.0));
    rows.push(row("gone.wav", "fr", "Perdu", 2.0));
    let path = manifest(folder.path(), &rows);
    let out = folder.path().join("shards");
    let written = shards::write(&path, &out, 70_000, true).expect("shards");
    assert_eq!(written.clips, 11);
    assert_eq!(written.bad_rows.len(), 1);
    assert_eq!(written.bad_rows[0].line, 12);
    let names: Vec<_> = written.shards.iter().map(|p| p.file_name().expect("name")).collect();
    assert!(names.len() > 4 && names.contains(&"test-00000.tar".as_ref()), "{names:?}");

    let (plain, sharded) = (open(&path), open(&out));
    assert_eq!(sharded.counts["de"].clips, 9);
    assert_eq!(sharded.counts["fr"].clips, 1);
    let examples = |set: &Arc<SpeechSet>| {
        let mut found = std::collections::BTreeMap::new();
        let mut loader = loader(set, None, 2);
        while found.len() < 10 {
            for example in loader.next().expect("batch").examples {
                found.insert(example.id.clone(), example);
            }
        }
        found
    };
    for (id, example) in examples(&plain) {
        let other = &examples(&sharded)[&id];
        assert_eq!((&other.text, other.frames), (&example.text, example.frames));
        // 16 bits of the cut-out parts.
        let close = |(a, b): (&f32, &f32)| (a - b).abs() < 0.02;
        let alike = other.mel.iter().zip(&example.mel).filter(|pair| close(*pair)).count();
        assert!(alike * 100 > example.mel.len() * 90, "{id}: {alike} of {}", example.mel.len());
    }
    let again = shards::write(&path, &out, 70_000, true).expect_err("there already");
    assert!(again.to_string().contains("holds shards already"));
}

#[test]
fn damaged_shards_give_bad_rows() {
    let folder = tempfile::tempdir().expect("folder");
    let path = corpus(folder.path());
    let out = folder.path().join("shards");
    let written = shards::write(&path, &out, u64::MAX, true).expect("shards");
    let bytes = fs::read(&written.shards[0]).expect("read");
    let whole = shards::rows(&written.shards[0]).expect("rows");
    assert_eq!((whole.len(), whole.iter().all(Result::is_ok)), (26, true));
    let damaged = folder.path().join("damaged.tar");
    for cut in [0, 100, 600, bytes.len() / 2, bytes.len() - 2000] {
        fs::write(&damaged, &bytes[..cut]).expect("write");
        for row in shards::rows(&damaged).expect("opens").into_iter().flatten() {
            assert!(row.begin + row.bytes <= cut as u64);
        }
    }
    let mut noisy = bytes.clone();
    for n in (0..noisy.len()).step_by(97) {
        noisy[n] ^= 0x55;
    }
    fs::write(&damaged, &noisy).expect("write");
    assert!(shards::rows(&damaged).expect("opens").iter().all(Result::is_err));
    assert!(shards::find(folder.path().join("nowhere").as_path()).is_err());
}
