//! The other pages: files, history, models and settings, over real files in a folder.

use crate::support::{Desk, line};
use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable as _;
use partita::gui::pages::Page;
use partita::history::History;
use partita::settings::{Delivery, Pace, Shown, Theme};
use partita::store::{State, Store};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

fn go(desk: &mut Desk, page: Page) {
    desk.press(page.name());
    assert_eq!(desk.harness.state().page(), page);
}

fn write_path(desk: &mut Desk, path: &Path) {
    desk.write("Path of a recording", path.to_str().unwrap());
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
    desk.write("Search", "potatoes");
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
    desk.key(Modifiers::COMMAND, Key::E);
    desk.wait_for("Saved as ");
    let saved =
        desk.names().iter().find_map(|name| Some(name.strip_prefix("Saved as ")?.to_owned()));
    let saved = saved.unwrap();
    assert!(fs::read_to_string(&saved).unwrap().contains("Petersilie"));
    fs::remove_file(saved).unwrap();
    desk.press("Delete the session");
    desk.expect("Delete this session for good?");
    desk.press("Keep");
    desk.expect("We need potatoes.");
    desk.press("Delete the session");
    desk.press("Delete");
    desk.wait_for("Nothing of the kind was said.");
}

#[test]
fn a_session_is_given_a_name_and_kept_audio_is_found() {
    let said = [line(1, "en", "To be named.", None)];
    let mut desk = Desk::with(|_| {}, &[said.to_vec()]);
    let recordings = desk.folder.path().join("recordings");
    fs::create_dir(&recordings).unwrap();
    let (own, other) = (recordings.join("own.wav"), recordings.join("other.wav"));
    for path in [&own, &other] {
        let file = fs::File::create(path).unwrap();
        file.set_len(2_000_000).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(120)).unwrap();
    }
    let file = desk.folder.path().join("history.sqlite");
    History::open(&file).unwrap().set_audio(1, &own).unwrap();
    go(&mut desk, Page::History);
    desk.wait_for("To be named., 20");
    desk.harness.get_by_label_contains("To be named., 20").click();
    desk.wait_for("Export");
    desk.harness.get_by_label("Name of the session").focus();
    desk.settle();
    desk.key(Modifiers::COMMAND, Key::A);
    desk.write("Name of the session", "اجتماع: 会議");
    desk.key(Modifiers::NONE, Key::Enter);
    desk.wait_for("اجتماع: 会議, 20");
    let begun = Instant::now();
    let title = || History::open(&file).unwrap().session(1).unwrap().title;
    while title() != "اجتماع: 会議" {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", title());
        std::thread::sleep(Duration::from_millis(10));
    }
    // What lies in no session is told of, and goes alone.
    desk.expect("Without text: 1 recording, 2.0 MB");
    desk.expect("Show the folder of recordings");
    desk.press("Delete recordings without text");
    desk.press("Keep");
    desk.press("Delete recordings without text");
    desk.press("Delete");
    while desk.shows("Without text") {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:#?}", desk.names());
        std::thread::sleep(Duration::from_millis(10));
        desk.settle();
    }
    assert!(own.exists() && !other.exists());
    // Audio that somebody took away.
    fs::remove_file(&own).unwrap();
    desk.press("Play the recording");
    desk.wait_for("own.wav: there is no such recording any more");
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
    desk.write("Own words", "كوبرنيتيس = كوبر نتس");
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
    desk.write("Name of the model", "mine");
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
    // What the window itself does with a key, it does not do while keys are recorded.
    for (modifiers, key, name) in [
        (Modifiers::NONE, Key::F5, "F5"),
        (Modifiers::CTRL | Modifiers::COMMAND, Key::O, "Ctrl+O"),
        (Modifiers::CTRL | Modifiers::ALT, Key::D, "Ctrl+Alt+D"),
    ] {
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
    assert!(text.contains("Ctrl+Alt+D"), "{text}");
}
