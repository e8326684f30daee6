//! The other pages: files, history, models and settings, over real files in a folder.

use crate::support::{Desk, line};
use eframe::egui::accessibility::is_input;
use eframe::egui::{Key, Modifiers};
use egui_kittest::Node;
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use partita::gui::pages::Page;
use partita::settings::{Delivery, Pace, Shown, Theme};
use partita::store::{State, Store};
use std::fs;
use std::path::Path;

fn go(desk: &mut Desk, page: Page) {
    desk.press(page.name());
    assert_eq!(desk.harness.state().page(), page);
}

fn type_into(desk: &mut Desk, field: &str, text: &str) {
    // A heading may have the same name.
    let write = |desk: &Desk, act: fn(&Node, &str)| {
        let mut all = desk.harness.query_all_by_label(field);
        let found = all.find(|node| is_input(node.accesskit_node().role()));
        act(&found.unwrap_or_else(|| panic!("{field:?} is not there")), text);
    };
    write(desk, |node, _| node.focus());
    desk.settle();
    write(desk, |node, text| node.type_text(text));
    desk.settle();
}

fn write_path(desk: &mut Desk, path: &Path) {
    type_into(desk, "Path of a recording", path.to_str().unwrap());
    desk.press("Add this path");
}

#[test]
fn files_that_are_none_are_said_to_be_none() {
    let mut desk = Desk::new();
    go(&mut desk, Page::Files);
    desk.expect("Drop recordings here");
    let path = desk.folder.path().join("not audio.wav");
    fs::write(&path, b"this is text").unwrap();
    write_path(&mut desk, &path);
    desk.wait_for("Again");
    desk.expect("not audio.wav");
    let missing = desk.folder.path().join("missing.flac");
    write_path(&mut desk, &missing);
    desk.wait_for("missing.flac: ");
    desk.press("Remove missing.flac");
    assert!(!desk.shows("missing.flac"));
    desk.press("Clear finished");
    desk.expect("Drop recordings here");
}

#[test]
fn a_recording_becomes_text_and_is_exported_beside_itself() {
    let mut desk = Desk::new();
    go(&mut desk, Page::Files);
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/samples/en-train.flac");
    let path = desk.folder.path().join("talk.flac");
    fs::copy(clip, &path).unwrap();
    write_path(&mut desk, &path);
    let installed = Store::open().unwrap().state("whisper-base");
    if !matches!(installed, Ok(State::Installed { .. })) {
        desk.wait_for("whisper-base");
        println!("skipped: whisper-base is not installed, so nothing is transcribed here");
        return;
    }
    desk.wait_for("times as fast as speech");
    desk.expect("English · 0:06");
    desk.press("Show the text of talk.flac");
    desk.expect("train to the coast");
    desk.press("Form: srt");
    desk.press("Export");
    desk.expect("Saved as");
    let text = fs::read_to_string(desk.folder.path().join("talk.flac.srt")).unwrap();
    assert!(text.starts_with("1\n00:00:0") && text.contains("train to the coast"), "{text}");
}

#[test]
fn history_is_listed_searched_opened_and_deleted() {
    let first = [
        line(1, "de", "Für die Suppe brauchen wir Kartoffeln.", Some("We need potatoes.")),
        line(2, "de", "Am Ende kommt Petersilie dazu.", None),
    ];
    let second = [line(1, "zh", "今天早上的火车晚点了。", Some("The train was late."))];
    let mut desk = Desk::with(|_| {}, &[first.to_vec(), second.to_vec()]);
    go(&mut desk, Page::History);
    desk.wait_for("今天早上的火车晚点了。");
    desk.expect("Für die Suppe");
    desk.expect("Choose a session");
    type_into(&mut desk, "Search", "potatoes");
    desk.harness.run_steps(2);
    let begun = std::time::Instant::now();
    while desk.shows("今天早上") {
        assert!(begun.elapsed().as_secs() < 60, "{:#?}", desk.names());
        std::thread::sleep(std::time::Duration::from_millis(10));
        desk.settle();
    }
    let entry = |desk: &Desk| {
        let mut found = desk.harness.query_all_by_label_contains("Kartoffeln., 20");
        found.next().expect("the session is listed").click();
    };
    entry(&desk);
    desk.wait_for("Am Ende kommt Petersilie dazu.");
    desk.expect("We need potatoes.");
    desk.press("Delete the session");
    desk.expect("Delete this session for good?");
    desk.press("Keep");
    desk.expect("We need potatoes.");
    desk.press("Delete the session");
    desk.press("Delete");
    desk.wait_for("Nothing of the kind was said.");
}

#[test]
fn older_sessions_are_reached() {
    let sessions: Vec<_> =
        (0..201).map(|n| vec![line(1, "en", &format!("Session number {n}."), None)]).collect();
    let mut desk = Desk::with(|_| {}, &sessions);
    go(&mut desk, Page::History);
    desk.wait_for("Session number 200.");
    assert!(!desk.shows("Session number 0."));
    desk.press("Older sessions");
    desk.wait_for("Session number 0.");
    assert!(!desk.shows("Older sessions"));
}

#[test]
fn what_cannot_be_read_is_said() {
    let mut desk = Desk::with_folder(|folder| {
        fs::create_dir(folder.join("history.sqlite")).unwrap();
        fs::write(folder.join("settings.toml"), "look = {").unwrap();
    });
    desk.expect("settings.toml");
    desk.expect("reset");
    go(&mut desk, Page::History);
    desk.wait_for("history.sqlite");
}

#[test]
fn names_in_any_script_and_of_any_length_are_shown() {
    let mut desk = Desk::new();
    go(&mut desk, Page::Files);
    for name in ["تسجيل الاجتماع.wav".to_owned(), format!("{}.wav", "会議の録音".repeat(12))]
    {
        let path = desk.folder.path().join(&name);
        fs::write(&path, b"this is text").unwrap();
        write_path(&mut desk, &path);
        desk.wait_for(&name);
    }
    // As it is written in own words, too.
    go(&mut desk, Page::Settings);
    desk.press("Part: Dictation");
    type_into(&mut desk, "Own words", "كوبرنيتيس = كوبر نتس");
    assert_eq!(desk.settings.get().dictation.vocabulary[0].write, "كوبرنيتيس");
}

#[test]
fn nothing_said_yet_is_an_empty_history_and_it_can_be_switched_off() {
    let mut desk = Desk::new();
    go(&mut desk, Page::History);
    desk.wait_for("Nothing was said yet");
    desk.press("Keep what is said");
    assert!(!desk.settings.get().storage.history);
    desk.expect("Nothing is kept");
}

#[test]
fn a_session_is_kept_in_the_history_as_it_is_told() {
    let mut desk = Desk::new();
    desk.listen();
    desk.say(crate::support::utterance(1, "en", "To be kept.", Some("To be kept, too.")));
    desk.say([partita::live::Event::Finished { seconds: 9.0, lost: 0.0 }]);
    go(&mut desk, Page::History);
    let begun = std::time::Instant::now();
    while !desk.shows("To be kept., 20") {
        assert!(begun.elapsed().as_secs() < 60, "{:#?}", desk.names());
        std::thread::sleep(std::time::Duration::from_millis(20));
        go(&mut desk, Page::Live);
        go(&mut desk, Page::History);
    }
}

/// A catalogue with a model of one file, which a folder gives.
fn catalogue(folder: &Path) {
    fs::create_dir_all(folder.join("given")).unwrap();
    fs::write(folder.join("given/toy.bin"), b"hello").unwrap();
    let hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let text = format!(
        "[[model]]\nname = \"toy\"\ntitle = \"Toy\"\nabout = \"A file\"\nlanguages = \"none\"\n\
         [model.licence]\nname = \"Toy terms\"\nsummary = \"Do as you like.\"\n\
         terms = \"https://example.org\"\naccept = true\n\
         [[model.file]]\nname = \"toy.bin\"\nsize = 5\nsha256 = \"{hello}\"\n\
         [[model.source]]\nkind = \"path\"\nfolder = \"{}\"\n",
        folder.join("given").display()
    );
    fs::write(folder.join("models.toml"), text).unwrap();
}

#[test]
fn models_are_fetched_after_their_terms_verified_and_removed() {
    let mut desk = Desk::with_folder(catalogue);
    go(&mut desk, Page::Models);
    desk.wait_for("Download Toy");
    desk.expect("Whisper base");
    desk.expect("99 languages");
    desk.press("Download Toy");
    desk.expect("Toy: Toy terms");
    desk.press("Cancel");
    assert!(!desk.folder.path().join("models/toy").exists());
    desk.press("Download Toy");
    desk.press("I agree");
    desk.wait_for("Verify toy");
    assert_eq!(fs::read(desk.folder.path().join("models/toy/toy.bin")).unwrap(), b"hello");
    desk.press("Verify toy");
    desk.wait_for("every byte is right");
    fs::write(desk.folder.path().join("models/toy/toy.bin"), b"hullo").unwrap();
    desk.press("Verify toy");
    desk.wait_for("toy.bin is not what it should be");
    desk.press("Remove toy");
    desk.wait_for("Download Toy");
    assert!(!desk.folder.path().join("models/toy").exists());
}

#[test]
fn settings_count_at_once() {
    let mut desk = Desk::new();
    go(&mut desk, Page::Settings);
    desk.expect("Level of Default microphone");
    desk.press("System audio");
    assert_eq!(desk.settings.get().audio.sources.len(), 2);
    desk.press("Default microphone");
    desk.press("System audio");
    assert_eq!(desk.settings.get().audio.sources.len(), 1, "one at least is heard");
    desk.press("Part: Speech");
    desk.press("Engine: Whisper");
    assert_eq!(desk.settings.get().engine.name, "whisper");
    type_into(&mut desk, "Name of the model", "mine");
    assert_eq!(desk.settings.get().engine.model, "", "no name before it is written");
    desk.key(Modifiers::NONE, Key::Enter);
    assert_eq!(desk.settings.get().engine.model, "mine");
    desk.press("Part: Appearance");
    desk.press("Theme: Dark");
    assert_eq!(desk.settings.get().look.theme, Theme::Dark);
    assert!(desk.harness.ctx.global_style().visuals.dark_mode);
    desk.press("Theme: Light");
    assert!(!desk.harness.ctx.global_style().visuals.dark_mode);
    desk.press("Text: Translation");
    assert_eq!(desk.settings.get().overlay.shown, Shown::Translation);
    desk.press("Part: Dictation");
    desk.press("Delivery: Paste");
    assert_eq!(desk.settings.get().dictation.delivery, Delivery::Paste);
    desk.press("Pace: Phrase by phrase");
    assert_eq!(desk.settings.get().dictation.pace, Pace::Phrases);
    desk.expect("Written language");
    desk.expect("Import a list");
    desk.press("Record keys");
    desk.key(Modifiers::CTRL | Modifiers::ALT, Key::D);
    assert_eq!(desk.settings.get().dictation.hotkey, "Ctrl+Alt+D");
    // What the window itself does with a key, it does not do while keys are recorded.
    for (modifiers, key, name) in
        [(Modifiers::NONE, Key::F5, "F5"), (Modifiers::CTRL | Modifiers::COMMAND, Key::O, "Ctrl+O")]
    {
        desk.press("Record keys");
        desk.key(modifiers, key);
        assert_eq!(desk.settings.get().dictation.hotkey, name);
    }
    assert!(desk.asked.lock().unwrap().started.is_empty());
    assert!(!desk.settings.get().overlay.open);
    desk.press("Spoken commands");
    assert!(desk.settings.get().dictation.commands);
    desk.press("Add a program");
    assert_eq!(desk.settings.get().dictation.profiles.len(), 1);
    desk.press("Part: Storage");
    desk.press("Keep the text of sessions");
    assert!(!desk.settings.get().storage.history);
    desk.settings.save().unwrap();
    let text = fs::read_to_string(desk.folder.path().join("settings.toml")).unwrap();
    assert!(text.contains("Ctrl+O"), "{text}");
}
