//! Corpora of others, as their authors lay them out, in folders made by the tests.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::Path;

use partita_corpus::BadRow;
use partita_corpus::manifest::{SpeechRow, Split};
use partita_corpus::readers::{Entry, Layout, Located, discover};
use proptest::prelude::*;

fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("parent")).expect("folder");
    fs::write(path, text).expect("write");
}

fn read(source: &Path, lang: &str) -> (Vec<Located>, Vec<BadRow>) {
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    for table in discover(source, lang).expect("tables").tables {
        for row in table.rows().expect("opens") {
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

fn layouts(source: &Path) -> Vec<Layout> {
    discover(source, "").expect("tables").tables.iter().map(|table| table.layout).collect()
}

#[test]
fn fleurs() {
    let folder = tempfile::tempdir().expect("folder");
    let row = |id: u32, file: &str, text: &str, samples: &str| {
        format!("{id}\t{file}\t{text}\t{}\th e l l o |\t{samples}\tFEMALE\n", text.to_lowercase())
    };
    let german = row(7, "11.wav", "Guten \"Tag\", Welt.", "32000")
        + &row(7, "12.wav", "Guten \"Tag\", Welt.", "48000")
        + &row(8, "13.wav", "Ja.", "viele")
        + "8\t14.wav\tJa.\n"
        + &row(9, "15.wav", "Nur deutsch.", "16000");
    write(folder.path(), "de_de/train.tsv", german);
    write(folder.path(), "de_de/audio/train/11.wav", b"");
    write(folder.path(), "en_us/train.tsv", row(7, "21.wav", "Good day, world.", "32000"));
    write(folder.path(), "cmn_hans_cn/test.tsv", row(7, "31.wav", "你好。", "32000"));
    assert_eq!(layouts(folder.path()), [Layout::Fleurs; 3]);
    let (rows, bad) = read(folder.path(), "");
    assert_eq!(
        reasons(&bad),
        [(3, "num_samples \"viele\": no number"), (4, "3 fields, the header has 7")]
    );
    let rows: Vec<_> = rows.iter().map(|row| (speech(row), row.split_stated)).collect();
    assert_eq!(rows.len(), 5);
    let (chinese, _) = rows[0];
    assert_eq!((chinese.lang.as_str(), chinese.split), ("zh", Split::Test));
    assert!(chinese.translations.is_empty(), "no other language has this split");
    let (german, stated) = rows[1];
    assert!(stated && german.split == Split::Train);
    assert_eq!((german.text.as_str(), german.duration), ("Guten \"Tag\", Welt.", Some(2.0)));
    assert_eq!(german.translations["en"], "Good day, world.");
    let audio = folder.path().join("de_de/audio/train/11.wav");
    assert_eq!(Path::new(&german.audio_filepath), audio);
    assert!(rows[3].0.translations.is_empty());
    let (english, _) = rows[4];
    assert_eq!(english.translations["de"], "Guten \"Tag\", Welt.");
    assert_eq!(Path::new(&english.audio_filepath), folder.path().join("en_us/train/21.wav"));
}

#[test]
fn covost() {
    let folder = tempfile::tempdir().expect("folder");
    let clips = "client_id\tpath\tsentence\tlocale\n\
        s1\tcv_1.mp3\tJa.\tde\ns2\tcv_2.mp3\tNein.\tde\ns3\tcv_3.mp3\t\tde\n\
        s4\tcv_4.mp3\tVielleicht.\tde\n";
    write(folder.path(), "de/validated.tsv", clips);
    write(folder.path(), "de/train.tsv", clips);
    let english = "path\ttranslation\tsplit\n\
        cv_1.mp3\tYes, \"sir\".\ttrain_covost\ncv_2.mp3\tNo.\ttest\n\
        cv_9.mp3\tGone.\tdev\ncv_4.mp3\tMaybe.\tnowhere\ncv_4.mp3\t\ttrain\n";
    write(folder.path(), "de/covost_v2.de_en.tsv", english);
    let chinese = "path\ttranslation\tsplit\ncv_2\t不。\ttest\n";
    write(folder.path(), "de/covost_v2.de_zh-CN.tsv", chinese);
    let found = discover(folder.path(), "").expect("tables");
    assert_eq!(layouts(folder.path()), [Layout::CoVost]);
    assert_eq!(found.skipped.len(), 3, "{:?}", found.skipped);
    let (rows, bad) = read(folder.path(), "");
    assert_eq!(
        reasons(&bad),
        [
            (5, "split \"nowhere\": not train, dev or test"),
            (6, "empty translation"),
            (4, "empty sentence"),
            (4, "cv_9.mp3: no such clip in Common Voice's table"),
        ]
    );
    assert_eq!(bad[2].file, folder.path().join("de/validated.tsv"));
    assert_eq!(bad[3].file, folder.path().join("de/covost_v2.de_en.tsv"));
    assert_eq!(rows.len(), 3);
    assert!(rows[0].split_stated);
    let no = speech(&rows[1]);
    assert_eq!((no.split, no.text.as_str(), no.speaker.as_str()), (Split::Test, "Nein.", "s2"));
    assert_eq!(
        (no.translations["en"].as_str(), no.translations["zh-CN"].as_str()),
        ("No.", "不。")
    );
    assert_eq!(Path::new(&no.audio_filepath), folder.path().join("de/clips/cv_2.mp3"));
    assert!(!rows[2].split_stated && speech(&rows[2]).translations.is_empty());

    fs::remove_file(folder.path().join("de/validated.tsv")).expect("remove");
    fs::remove_file(folder.path().join("de/train.tsv")).expect("remove");
    let table = &discover(folder.path(), "").expect("tables").tables[0];
    let error = table.rows().err().expect("nothing to join").to_string();
    assert!(error.contains("no table of Common Voice"), "{error}");
}

#[test]
fn wenet_speech() {
    let folder = tempfile::tempdir().expect("folder");
    let segment = |sid: &str, confidence: f64, subset: &str, text: &str| {
        format!(
            "{{\"sid\": \"{sid}\", \"confidence\": {confidence}, \"begin_time\": 1.5,\n\
             \"end_time\": 4.0, \"subsets\": [\"{subset}\"], \"text\": \"{text}\"}}"
        )
    };
    let json = format!(
        "{{\"dataset\": \"WenetSpeech\", \"tasks\": {{\"asr\": []}},\n\"audios\": [\n\
         {{\"aid\": \"Y1\", \"path\": \"audio/train/Y1.opus\", \"segments\": [{}, {}, {}]}},\n\
         {{\"aid\": \"Y2\", \"segments\": []}},\n\
         {{\"aid\": \"Y3\", \"path\": \"audio/dev/Y3.opus\", \"segments\": [{}, {{\"sid\": 3}}]}}\n],\n\
         \"more\": [1, {{}}]}}\n",
        segment("a", 1.0, "L", "你好"),
        segment("b", 0.7, "W", "不准"),
        segment("c", 1.0, "TEST_NET", " "),
        segment("d", 0.95, "DEV", "世界"),
    );
    write(folder.path(), "WenetSpeech.json", &json);
    assert_eq!(layouts(folder.path()), [Layout::WenetSpeech]);
    let (rows, bad) = read(folder.path(), "");
    assert_eq!(rows.len(), 2);
    let first = speech(&rows[0]);
    assert_eq!((first.id.as_str(), first.text.as_str(), first.lang.as_str()), ("a", "你好", "zh"));
    assert_eq!((first.offset, first.duration, first.split), (1.5, Some(2.5), Split::Train));
    assert_eq!(Path::new(&first.audio_filepath), folder.path().join("audio/train/Y1.opus"));
    assert_eq!(speech(&rows[1]).split, Split::Dev);
    assert_eq!(rows[1].line, 9, "where its recording ends");
    let lines: Vec<u64> = bad.iter().map(|bad| bad.line).collect();
    assert_eq!(lines, [6, 7, 9], "{bad:?}");
    assert_eq!(bad[0].reason, "c: empty text");
    assert!(bad[1].reason.starts_with("recording: missing field `path`"), "{}", bad[1]);

    // Cut off in the middle: what came before is there, and the end is told.
    let cut = json.find("Y3").expect("Y3");
    write(folder.path(), "WenetSpeech.json", &json[..cut]);
    let (rows, bad) = read(folder.path(), "");
    assert_eq!(rows.len(), 1);
    assert!(bad.last().expect("bad").reason.starts_with("cannot read on: EOF"), "{bad:?}");
    // Nobody reads to the end.
    let table = &discover(folder.path(), "").expect("tables").tables[0];
    drop(table.rows().expect("opens").next());
}

#[test]
fn librispeech_and_mls() {
    let folder = tempfile::tempdir().expect("folder");
    let text = "19-198-0000 WHEN I'M HERE I SEE\n19-198-0001\n19-198-0002 ÉTÉ\n";
    write(folder.path(), "LibriSpeech/dev-clean/19/198/19-198.trans.txt", text);
    let german = "4800_10003_000000\tguten tag\n4800_10003_000001 kein tab\nname\ttext\n";
    write(folder.path(), "mls_german_opus/test/transcripts.txt", german);
    assert_eq!(layouts(folder.path()), [Layout::LibriSpeech, Layout::Mls]);
    let (rows, bad) = read(folder.path(), "");
    assert_eq!(
        reasons(&bad),
        [
            (2, "no text behind the clip's name"),
            (2, "no text behind the clip's name"),
            (3, "\"name\": not speaker_book_number"),
        ]
    );
    let libri = speech(&rows[0]);
    assert_eq!(libri.text, "When I'm here I see");
    assert_eq!(
        (libri.lang.as_str(), libri.speaker.as_str(), libri.split),
        ("en", "19", Split::Dev)
    );
    let base = folder.path();
    let clip = base.join("LibriSpeech/dev-clean/19/198/19-198-0000.flac");
    assert_eq!(Path::new(&libri.audio_filepath), clip);
    assert_eq!(speech(&rows[1]).text, "Été");
    let mls = speech(&rows[2]);
    assert_eq!((mls.lang.as_str(), mls.speaker.as_str(), mls.split), ("de", "4800", Split::Test));
    let clip = base.join("mls_german_opus/test/audio/4800/10003/4800_10003_000000.opus");
    assert_eq!(Path::new(&mls.audio_filepath), clip);
    assert!(rows.iter().all(|row| row.split_stated));
}

#[test]
fn nemo() {
    let folder = tempfile::tempdir().expect("folder");
    let lines = "{\"audio_filepath\": \"a.wav\", \"duration\": 2, \"text\": \"ja\", \"lang\": \"de\", \
        \"speaker\": 17}\n\
        {\"audio_filepath\": \"b.wav\", \"duration\": 2, \"source_lang\": \"de\", \
        \"target_lang\": \"en\", \"taskname\": \"ast\", \"answer\": \"yes\"}\n\
        {\"audio_filepath\": \"c.wav\", \"duration\": \"long\", \"text\": \"ja\"}\n\
        {\"audio_filepath\": \"d.wav\", \"offset\": 3.5, \"duration\": 1, \"text\": \"nein\"}\n";
    write(folder.path(), "val_manifest.jsonl", lines);
    assert_eq!(layouts(folder.path()), [Layout::Nemo]);
    let (rows, bad) = read(folder.path(), "nl");
    assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [3]);
    let rows: Vec<_> = rows.iter().map(speech).collect();
    assert_eq!((rows[0].speaker.as_str(), rows[0].split), ("17", Split::Dev));
    assert_eq!((rows[1].text.as_str(), rows[1].translations["en"].as_str()), ("", "yes"));
    assert_eq!((rows[1].lang.as_str(), rows[2].lang.as_str()), ("de", "nl"));
    assert_eq!(rows[2].offset, 3.5);
    assert_eq!(Path::new(&rows[0].audio_filepath), folder.path().join("a.wav"));
}

#[test]
fn slam() {
    let folder = tempfile::tempdir().expect("folder");
    let lines = "{\"key\": \"1-2-3_ASR\", \"source\": \"clips/a.wav\", \"target\": \"so it is\"}\n\
        {\"key\": \"1-2-4_ASR\", \"source\": \"clips/b.wav\"}\n\
        {\"key\": 7, \"source\": \"clips/c.wav\", \"target\": \"x\"}\n\
        {\"key\": \"k\", \"source\": \"\", \"target\": \"x\"}\n";
    write(folder.path(), "train.jsonl", lines);
    assert_eq!(layouts(folder.path()), [Layout::Slam]);
    let (rows, bad) = read(folder.path(), "en");
    assert_eq!(
        reasons(&bad),
        [(2, "no target"), (3, "key: not a text"), (4, "empty audio_filepath")]
    );
    let row = speech(&rows[0]);
    assert_eq!(
        (row.id.as_str(), row.text.as_str(), row.lang.as_str()),
        ("1-2-3", "so it is", "en")
    );
    assert_eq!(Path::new(&row.audio_filepath), folder.path().join("clips/a.wav"));
    assert!(!rows[0].split_stated);
}

/// How many are tried; `PROPTEST_CASES` asks for more.
fn cases(usual: u32) -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    asked.unwrap_or(usual)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(64)))]

    /// Any bytes behind the beginning of any of these files: rows or bad rows, never a panic.
    #[test]
    fn readers_never_panic(
        kind in 0..7_usize,
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..400),
            "([a-z0-9{}\\[\\]\":._\t,\u{e9}-]{0,12}[\t\n ]){0,40}".prop_map(String::into_bytes),
        ],
    ) {
        let folder = tempfile::tempdir().expect("folder");
        write(folder.path(), "validated.tsv", "client_id\tpath\tsentence\ns\ta.mp3\tx\n");
        let (name, first) = [
            ("train.tsv", "1\ta.wav\tA\ta\ta\t1\tMALE\n"),
            ("covost_v2.de_en.tsv", "path\ttranslation\tsplit\n"),
            ("WenetSpeech.json", "{\"audios\": [{\"path\": \"a\", \"segments\": ["),
            ("1-2.trans.txt", ""),
            ("transcripts.txt", ""),
            ("a.jsonl", "{\"audio_filepath\": \"a\"}\n"),
            ("a.jsonl", "{\"key\": \"a\", \"source\": \"b\", \"target\": \"c\"}\n"),
        ][kind];
        write(folder.path(), name, [first.as_bytes(), &body].concat());
        let (rows, _) = read(&folder.path().join(name), "de");
        for row in &rows {
            prop_assert!(speech(row).duration.is_none_or(|seconds| seconds >= 0.0));
        }
    }
}
