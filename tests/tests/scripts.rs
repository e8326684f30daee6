//! Text of every script in the window, on a display in memory: drawn with a font that has it, not as
//! the box of a missing letter.
//!
//! `PARTITA_SCREENSHOTS=FOLDER` keeps the pictures.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use partita::history::{Heading, History, Line};
use partita_tests::Desk;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

/// A letter that no font has.
const MISSING: &str = "\u{378}";
/// Languages with a letter of each one's script.
const SCRIPTS: [(&str, &str); 7] =
    [("ru", "Ж"), ("el", "Ω"), ("hi", "क"), ("ar", "ب"), ("zh", "山"), ("ja", "か"), ("ko", "한")];
/// Sessions of the list: the middle of the first, from the window's corner, and how far they are apart.
const FIRST: [i32; 2] = [340, 138];
const APART: i32 = 76;

#[test]
fn every_script_is_drawn_with_letters_of_its_own() {
    let Some(mut desk) = Desk::start() else { return };
    let has_font = |lang: &str| {
        let found = Command::new("fc-list").arg(format!(":lang={lang}")).output();
        found.is_ok_and(|found| !found.stdout.is_empty())
    };
    let shown: Vec<(&str, &str)> =
        SCRIPTS.into_iter().filter(|(lang, _)| has_font(lang)).chain([("en", MISSING)]).collect();
    eprintln!("fonts for {} of {} scripts", shown.len() - 1, SCRIPTS.len());
    std::fs::create_dir_all(desk.folder().join("home")).unwrap();
    let mut history = History::open(&desk.folder().join("home/history.sqlite")).unwrap();
    // Sessions are listed with the last one above.
    for (second, (lang, letter)) in shown.iter().rev().enumerate() {
        let text = letter.repeat(8);
        let line = Line {
            utterance: 1,
            start: 0.0,
            end: 1.0,
            lang: "en".to_owned(),
            text,
            translation: None,
        };
        let mut heading = Heading::default();
        heading.started += Duration::from_secs(second as u64);
        history.begin(&heading, &line).unwrap();
        assert!(!lang.is_empty());
    }
    drop(history);
    desk.open(&[], "Partita");
    desk.click(80, 160);
    let mut pictures: BTreeMap<Vec<u8>, &str> = BTreeMap::new();
    for (place, (lang, letter)) in shown.iter().enumerate() {
        desk.click(FIRST[0], FIRST[1] + APART * place as i32);
        let name =
            if *letter == MISSING { "script-missing".to_owned() } else { format!("script-{lang}") };
        let picture = desk.picture(&name);
        let part = desk.folder().join("line.rgb");
        let paths = [&picture, &part].map(|path| path.to_str().unwrap().to_owned());
        // The line's text alone.
        desk.output("convert", &[&paths[0], "-crop", "400x40+690+218", "-depth", "8", &paths[1]]);
        let drawn = std::fs::read(&part).unwrap();
        let colours: std::collections::BTreeSet<&[u8]> = drawn.chunks(3).collect();
        assert!(colours.len() > 10, "{lang}: no text where it should be");
        if let Some(other) = pictures.insert(drawn, lang) {
            panic!("{lang} looks as {other}");
        }
    }
    desk.quit();
}
