//! Every layout, good rows and broken ones, in folders made by the tests.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use partita_corpus::manifest::{Reader, SpeechRow, Split, TextRow, Writer};
use partita_corpus::readers::{Entry, Located, discover};
use partita_corpus::{BadRow, CorpusError};
use proptest::prelude::*;

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("parent")).expect("folder");
    fs::write(path, bytes).expect("write");
}

fn write_gz(folder: &Path, name: &str, text: &str) {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(text.as_bytes()).expect("gzip");
    write(folder, name, &gz.finish().expect("gzip"));
}

fn read(source: &Path, lang: &str) -> (Vec<Located>, Vec<BadRow>) {
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    for table in discover(source, lang).expect("tables").tables {
        for row in table.rows().expect("header") {
            match row {
                Ok(row) => rows.push(row),
                Err(error) => bad.push(error),
            }
        }
    }
    (rows, bad)
}

fn speech(located: &Located) -> &SpeechRow {
    match &located.entry {
        Entry::Speech(row) => row,
        Entry::Text(row) => panic!("a text row: {row:?}"),
    }
}

fn reasons(bad: &[BadRow]) -> Vec<(u64, &str)> {
    bad.iter().map(|bad| (bad.line, bad.reason.as_str())).collect()
}

const RECORDINGS: &str =
    "path\tlang\ttranscript\ttranslation_en\tspeaker\tsource\tlicence\tseconds\n";

#[test]
fn recordings_with_broken_rows() {
    let folder = tempfile::tempdir().expect("folder");
    let mut table = Vec::from("\u{feff}".as_bytes());
    table.extend(RECORDINGS.replace('\n', "\r\n").bytes());
    table.extend(
        "a.mp3\tde\tEr sagte \"ja\", 'nein'\tHe said \"yes\"\tanna\tradio\tCC0-1.0\t1.50\r\n"
            .bytes(),
    );
    table.extend("b.mp3\tde\tZu wenig\t\tanna\tradio\tCC0-1.0\r\n".bytes());
    table.extend("c.mp3\tde\tKeine Zahl\t\tanna\tradio\tCC0-1.0\tlang\r\n".bytes());
    table.extend("d.mp3\tde\tKeine Zahl\t\tanna\tradio\tCC0-1.0\tNaN\r\n".bytes());
    table.extend("e.mp3\tde\tNegativ\t\tanna\tradio\tCC0-1.0\t-1\r\n".bytes());
    table.extend(b"f.mp3\tde\tgr\xfc\xdfe\t\tanna\tradio\tCC0-1.0\t1.0\r\n");
    table.extend("\r\n".bytes());
    table.extend("\tde\tKein Pfad\t\tanna\tradio\tCC0-1.0\t1.0\r\n".bytes());
    table.extend("g.mp3\tde!\tKeine Sprache\t\tanna\tradio\tCC0-1.0\t1.0\r\n".bytes());
    table.extend("h.mp3\tfr\tSans fin de ligne\t\t\t\t\t".bytes());
    write(folder.path(), "speech/de/manifest.tsv", &table);

    let (rows, bad) = read(folder.path(), "");
    assert_eq!(rows.len(), 2);
    let first = speech(&rows[0]);
    assert_eq!(rows[0].line, 2);
    assert!(!rows[0].split_stated);
    assert_eq!(first.text, "Er sagte \"ja\", 'nein'");
    assert_eq!(first.translations["en"], "He said \"yes\"");
    assert_eq!(first.duration, Some(1.5));
    assert_eq!(first.id, "de/a");
    assert_eq!(Path::new(&first.audio_filepath), folder.path().join("speech/de/a.mp3"));
    assert_eq!(speech(&rows[1]).duration, None);
    assert_eq!(
        reasons(&bad),
        [
            (3, "7 fields, the header has 8"),
            (4, "seconds \"lang\": not a number of seconds"),
            (5, "seconds \"NaN\": not a number of seconds"),
            (6, "seconds \"-1\": not a number of seconds"),
            (7, "not UTF-8 (byte 12 of the line)"),
            (9, "empty path"),
            (10, "lang \"de!\": not a language tag"),
        ]
    );
}

#[test]
fn synthetic_speech_and_noise() {
    let folder = tempfile::tempdir().expect("folder");
    let table = "path\tlang\ttext\ttranslations\tvoice\tspeed\tseconds\tsource\n\
        synthetic/it/000001.mp3\tit\tCiao.\t{\"en\": \"Hi.\", \"de\": \"Hallo.\"}\tsara\t1.0\t0.9\ttatoeba\n\
        synthetic/it/000002.mp3\tit\tCiao.\t{\"en\": \"Hi.\"\tsara\t1.0\t0.9\ttatoeba\n\
        000003.mp3\tit\tQui.\t{}\tsara\t1.0\t0.9\town\n";
    write(folder.path(), "synthetic/it/manifest.tsv", table.as_bytes());
    write(folder.path(), "synthetic/check.tsv", b"synthetic/it/000001.mp3\tsara\t0/1\tCiao.\n");
    let noise = "path\tkind\tsource\tlicence\tseconds\nrain.mp3\tsound\tgarden\tCC0-1.0\t4\n";
    write(folder.path(), "noise/manifest.tsv", noise.as_bytes());

    let (rows, bad) = read(folder.path(), "");
    assert_eq!(rows.len(), 3);
    let rain = speech(&rows[0]);
    assert_eq!((rain.lang.as_str(), rain.text.as_str()), ("none", ""));
    let ciao = speech(&rows[1]);
    assert_eq!(ciao.translations["de"], "Hallo.");
    assert_eq!((ciao.voice.as_str(), ciao.licence.as_str()), ("sara", "CC-BY-2.0-FR"));
    let base = folder.path();
    assert_eq!(Path::new(&ciao.audio_filepath), base.join("synthetic/it/000001.mp3"));
    assert_eq!(Path::new(&speech(&rows[2]).audio_filepath), base.join("synthetic/it/000003.mp3"));
    assert_eq!(bad.len(), 1);
    assert_eq!(bad[0].line, 3);
    assert!(bad[0].reason.starts_with("translations: EOF while parsing"), "{}", bad[0]);
    let skipped = discover(folder.path(), "").expect("tables").skipped;
    assert_eq!(skipped.len(), 1);
    assert_eq!(skipped[0].0, folder.path().join("synthetic/check.tsv"));
}

#[test]
fn pairs_and_sentences() {
    let folder = tempfile::tempdir().expect("folder");
    let pairs = "src_lang\tsrc_text\ttgt_lang\ttgt_text\tsource\n\
        en\t\"Wait,\" he said.\tde\t„Warte“, sagte er.\ttatoeba\n\
        en\tEmpty\tde\t\ttatoeba\n";
    write_gz(folder.path(), "text/parallel/en-de.tsv.gz", pairs);
    write_gz(folder.path(), "text/sentences/sv.txt.gz", "Hej.\n\nJa.\n");
    write(folder.path(), "licences/own.txt", b"Not sentences.\n");
    let (rows, bad) = read(folder.path(), "");
    let rows: Vec<&TextRow> = rows
        .iter()
        .map(|row| match &row.entry {
            Entry::Text(row) => row,
            Entry::Speech(row) => panic!("a speech row: {row:?}"),
        })
        .collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0].src_text, "\"Wait,\" he said.");
    assert_eq!(rows[0].id, "en-de/1");
    assert_eq!((rows[2].src_lang.as_str(), rows[2].tgt_lang.as_str()), ("sv", ""));
    assert_eq!(rows[2].id, "sentences/sv/3");
    assert_eq!(reasons(&bad), [(3, "empty tgt_text")]);
}

#[test]
fn common_voice() {
    let folder = tempfile::tempdir().expect("folder");
    let header = "client_id\tpath\tsentence\tup_votes\tlocale\n";
    let table = |rows: &str| format!("{header}{rows}");
    let train = table("s1\tcv_1.mp3\tSo \"geht\" das.\t2\tde\ns1\tcv_2.mp3\t\t2\tde\n");
    write(folder.path(), "de/train.tsv", train.as_bytes());
    write(folder.path(), "de/test.tsv", table("s2\tcv_3\tJa.\t2\t\n").as_bytes());
    write(folder.path(), "de/validated.tsv", table("s2\tcv_4.mp3\tJa.\t2\tde\n").as_bytes());
    write(folder.path(), "de/clip_durations.tsv", b"clip\tduration[ms]\ncv_1.mp3\t2500\nx\ty\n");
    let (rows, bad) = read(folder.path(), "de");
    assert_eq!(rows.len(), 2);
    let (test, train) = (speech(&rows[0]), speech(&rows[1]));
    assert!(rows.iter().all(|row| row.split_stated));
    assert_eq!((test.split, train.split), (Split::Test, Split::Train));
    assert_eq!(train.duration, Some(2.5));
    assert_eq!(train.speaker, "s1");
    assert_eq!(Path::new(&train.audio_filepath), folder.path().join("de/clips/cv_1.mp3"));
    assert_eq!(Path::new(&test.audio_filepath), folder.path().join("de/clips/cv_3.mp3"));
    assert_eq!(test.lang, "de", "given, as the table leaves it out");
    assert_eq!(reasons(&bad), [(3, "empty sentence")]);

    fs::remove_file(folder.path().join("de/train.tsv")).expect("remove");
    fs::remove_file(folder.path().join("de/test.tsv")).expect("remove");
    let (rows, _) = read(folder.path(), "de");
    assert_eq!(rows.len(), 1);
    assert!(!rows[0].split_stated);
}

#[test]
fn manifests_of_ours_and_of_nemo() {
    let folder = tempfile::tempdir().expect("folder");
    let nemo = b"\n{\"audio_filepath\": \"a.wav\", \"duration\": 2, \"text\": \"ja\"}\n\
        {\"audio_filepath\": \"a.wav\", \"duration\": NaN, \"text\": \"ja\"}\n\
        {\"audio_filepath\": \"a.wav\", \"duration\": -2, \"text\": \"ja\"}\n\
        {\"audio_filepath\": \"a.wav\"}\n[1]\n{\n";
    write(folder.path(), "nemo.jsonl", nemo);
    let (rows, bad) = read(&folder.path().join("nemo.jsonl"), "de");
    assert_eq!(rows.len(), 1);
    assert_eq!(speech(&rows[0]).lang, "de");
    assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
    let (rows, bad) = read(&folder.path().join("nemo.jsonl"), "");
    assert!(rows.is_empty());
    assert_eq!(bad[0].reason, "empty lang");

    let path = folder.path().join("out/speech.jsonl");
    let mut row =
        SpeechRow { audio_filepath: "b.wav".into(), lang: "pt-BR".into(), ..Default::default() };
    row.translations.insert("en".into(), "tab\t \"quote\" \u{1F44D}".into());
    let mut writer = Writer::create(&path).expect("create");
    writer.write(&row).expect("write");
    assert!(!path.exists(), "nothing appears before it is whole");
    writer.finish().expect("finish");
    let back: Vec<_> = Reader::<SpeechRow>::open(&path).expect("open").collect();
    assert_eq!(back, [Ok((1, row))]);
    drop(Writer::<TextRow>::create(&folder.path().join("out/text.jsonl")).expect("create"));
    assert_eq!(fs::read_dir(folder.path().join("out")).expect("list").count(), 1);
}

#[test]
fn what_cannot_be_read_at_all() {
    let folder = tempfile::tempdir().expect("folder");
    write(folder.path(), "empty.tsv", b"");
    write(folder.path(), "picture.tsv", &[0x89, b'P', b'N', b'G', 0xff, 0xfe]);
    write(folder.path(), "none/readme.md", b"hello");
    for (name, part) in [
        ("missing", "cannot read"),
        ("empty.tsv", "empty file"),
        ("picture.tsv", "not UTF-8"),
        ("none", "no *.tsv"),
        ("", "no known table"),
    ] {
        let error: CorpusError = discover(&folder.path().join(name), "").expect_err(name);
        assert!(error.to_string().contains(part), "{name}: {error}");
        assert!(!error.to_string().contains('\n'));
    }
}

#[test]
fn damaged_gzip_and_endless_lines() {
    let folder = tempfile::tempdir().expect("folder");
    let text = format!("{RECORDINGS}{}", "a.mp3\tde\tJa\t\t\t\t\t1\n".repeat(5000));
    write_gz(folder.path(), "cut.tsv.gz", &text);
    let whole = fs::read(folder.path().join("cut.tsv.gz")).expect("read");
    write(folder.path(), "cut.tsv.gz", &whole[..whole.len() - 20]);
    let (_, bad) = read(&folder.path().join("cut.tsv.gz"), "");
    assert!(bad.iter().any(|bad| bad.reason.starts_with("cannot read on")), "{bad:?}");

    let long = format!("{RECORDINGS}{}\na.mp3\tde\tJa\t\t\t\t\t1\n", "x".repeat(3 << 20));
    write(folder.path(), "long.tsv", long.as_bytes());
    let (rows, bad) = read(&folder.path().join("long.tsv"), "");
    assert_eq!(rows.len(), 1, "the reading goes on after the long line");
    assert_eq!(bad.len(), 1);
    assert!(bad[0].reason.starts_with("line of 3145729 bytes"), "{}", bad[0]);
}

/// How many are tried; `PROPTEST_CASES` asks for more.
fn cases(usual: u32) -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    asked.unwrap_or(usual)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(64)))]

    /// Any bytes after any header: rows or bad rows, one of them a non-empty line, never a panic.
    #[test]
    fn readers_never_panic(
        header in 0..8_usize,
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..400),
            "([a-z0-9{}\":.\t,NaN-]{0,12}[\t\n]){0,40}".prop_map(String::into_bytes),
        ],
    ) {
        let (name, first) = [
            ("a.tsv", RECORDINGS),
            ("a.tsv", "path\tlang\ttext\ttranslations\tseconds\n"),
            ("a.tsv", "path\tkind\tseconds\n"),
            ("a.tsv", "client_id\tpath\tsentence\n"),
            ("a.tsv", "src_lang\tsrc_text\ttgt_lang\ttgt_text\n"),
            ("a.txt", ""),
            ("a.jsonl", "{\"audio_filepath\": \"a\"}\n"),
            ("a.jsonl", "{\"src_text\": \"a\"}\n"),
        ][header];
        let folder = tempfile::tempdir().expect("folder");
        let bytes = [first.as_bytes(), &body].concat();
        let lines = bytes.split(|b| *b == b'\n').count();
        write(folder.path(), name, &bytes);
        let (rows, bad) = read(&folder.path().join(name), "de");
        prop_assert!(rows.len() + bad.len() <= lines);
        for row in &rows {
            prop_assert!(row.line as usize <= lines);
            if let Entry::Speech(row) = &row.entry {
                prop_assert!(row.duration.is_none_or(|seconds| seconds >= 0.0));
            }
        }
    }

    /// Whatever a manifest row holds comes back from the file.
    #[test]
    fn text_rows_come_back(src in ".*[a-z]", tgt in ".*[a-z]", source in ".*") {
        let row = TextRow {
            id: "1".into(), src_lang: "en".into(), tgt_lang: "zh-TW".into(),
            src_text: src, tgt_text: tgt, split: Split::Dev, source, licence: String::new(),
        };
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("text.jsonl");
        let mut writer = Writer::create(&path).expect("create");
        writer.write(&row).expect("write");
        writer.finish().expect("finish");
        let back: Vec<_> = Reader::<TextRow>::open(&path).expect("open").collect();
        prop_assert_eq!(back, [Ok((1, row))]);
    }
}
