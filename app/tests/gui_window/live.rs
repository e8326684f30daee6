//! The page of live text: a session as it is told, step by step.

use crate::support::{Desk, listening, status, utterance};
use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable as _;
use partita::gui::listener::Phase;
use partita::gui::pages::Page;
use partita::live::Event;
use std::time::{Duration, Instant};

#[test]
fn nothing_is_asked_of_the_engine_before_start_is_pressed() {
    let mut desk = Desk::new();
    desk.wait_for("A model is needed first");
    assert_eq!(desk.asked.lock().unwrap().started.len(), 0);
    desk.press("Choose a model");
    assert_eq!(desk.harness.state().page(), Page::Models);
}

#[test]
fn text_appears_as_it_is_said() {
    let mut desk = Desk::new();
    desk.press("Start");
    assert_eq!(desk.harness.state().listener().phase, Phase::Starting);
    desk.expect("Loading");
    desk.say([listening()]);
    desk.expect("Test microphone");
    let told =
        utterance(1, "de", "Für die Suppe brauchen wir Kartoffeln.", Some("We need potatoes."));
    desk.say(told[..3].to_vec());
    desk.expect("Für die Suppe brauchen wir Kartoffeln.");
    assert!(!desk.shows("We need potatoes."));
    desk.say(told[3..].to_vec());
    desk.expect("We need potatoes.");
    desk.expect("de");
    desk.say([status()]);
    for number in ["0.21 s, translation 0.43 s", "37 %", "3.4 s", "0.5 s", "412 MB", "whisper"] {
        desk.expect(number);
    }
    desk.press("Pause");
    desk.expect("Paused");
    desk.press("Resume");
    assert_eq!(desk.asked.lock().unwrap().paused, [true, false]);
    desk.press("Stop");
    assert_eq!(desk.asked.lock().unwrap().stopped, 1);
    desk.expect("Writing down the last words");
    desk.say([Event::Finished { seconds: 12.0, lost: 0.5 }]);
    assert_eq!(desk.harness.state().listener().phase, Phase::Idle);
    desk.expect("We need potatoes.");
}

#[test]
fn what_failed_is_said_in_words() {
    let mut desk = Desk::new();
    desk.listen();
    desk.say([Event::Failed { message: "whisper-base: model.bin is gone".into() }]);
    desk.expect("Listening stopped");
    desk.expect("whisper-base: model.bin is gone");
    desk.press("Start");
    desk.vanish();
    desk.expect("the session ended by itself");
}

#[test]
fn a_source_that_goes_and_comes_back_is_told_of() {
    let mut desk = Desk::new();
    desk.listen();
    let source = || "USB microphone".to_owned();
    desk.say([Event::SourceLost { source: source(), reason: "unplugged".into() }]);
    desk.expect("Waiting for USB microphone");
    desk.expect("USB microphone is gone (unplugged)");
    desk.say([Event::SourceBack { source: source() }]);
    desk.expect("USB microphone is heard again.");
    assert!(desk.harness.state().listener().away.is_empty());
}

#[test]
fn every_script_is_a_line_of_its_own_text() {
    let mut desk = Desk::new();
    desk.listen();
    let texts = [
        ("ru", "Поезд к побережью сегодня утром опоздал."),
        ("el", "Το τρένο για την ακτή άργησε σήμερα."),
        ("zh", "今天早上去海边的火车晚点了。"),
        ("ja", "今朝の海岸行きの電車は遅れました。"),
        ("ko", "오늘 아침 해안행 기차가 늦었습니다."),
        ("hi", "आज सुबह तट की ट्रेन देर से आई।"),
        ("ar", "تأخر القطار المتجه إلى الساحل هذا الصباح (مرة أخرى)."),
        ("he", "הרכבת לחוף איחרה הבוקר, בשעה 9:30."),
        ("th", "เช้านี้รถไฟไปชายฝั่งมาช้า"),
    ];
    for (number, (lang, text)) in texts.into_iter().enumerate() {
        desk.say(utterance(number as u64 + 1, lang, text, None));
        desk.expect(text);
    }
}

#[test]
fn long_texts_scroll_and_lead_back_to_the_newest_line() {
    let mut desk = Desk::new();
    desk.listen();
    let long = "word ".repeat(400);
    desk.say(utterance(1, "en", &long, None));
    for number in 2..60 {
        desk.say(utterance(number, "en", &format!("Line number {number}."), None));
    }
    desk.expect("Line number 59.");
    assert!(!desk.shows("Newest line"), "it follows the newest line by itself");
    let middle = eframe::egui::pos2(600.0, 400.0);
    desk.harness.hover_at(middle);
    let wheel = |y| eframe::egui::Event::MouseWheel {
        unit: eframe::egui::MouseWheelUnit::Point,
        delta: eframe::egui::vec2(0.0, y),
        modifiers: Modifiers::NONE,
        phase: eframe::egui::TouchPhase::Move,
        source: eframe::egui::MouseWheelSource::Wheel,
    };
    desk.harness.event(wheel(900.0));
    desk.harness.run_steps(30);
    assert!(desk.shows("Newest line"), "scrolled up: {:#?}", desk.names());
    desk.say(utterance(60, "en", "Line number 60.", None));
    assert!(desk.shows("Newest line"), "it does not jump while one reads");
    desk.press("Newest line");
    desk.harness.run_steps(30);
    desk.expect("Line number 60.");
    assert!(!desk.shows("Newest line"));
}

#[test]
fn lines_are_found_copied_and_cleared() {
    let mut desk = Desk::new();
    desk.listen();
    desk.say(utterance(1, "en", "The train was late.", None));
    desk.say(utterance(2, "de", "Der Zug kam später.", Some("The train came later.")));
    desk.key(Modifiers::COMMAND, Key::F);
    desk.harness.get_by_label("Find").type_text("train");
    desk.settle();
    desk.expect("1 of 2");
    desk.press("Next match");
    desk.expect("2 of 2");
    desk.press("Next match");
    desk.expect("1 of 2");
    desk.key(Modifiers::NONE, Key::Escape);
    assert!(!desk.shows("1 of 2"));
    desk.press("Copy line 0:10");
    desk.press("Copy all (Ctrl+Shift+C)");
    desk.expect("All lines are copied.");
    desk.press("Clear");
    assert!(!desk.shows("The train was late."));
}

#[test]
fn keys_go_everywhere() {
    let mut desk = Desk::new();
    let keys = [Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num1];
    let pages = [Page::Files, Page::History, Page::Models, Page::Settings, Page::Live];
    for (key, page) in keys.into_iter().zip(pages) {
        desk.key(Modifiers::COMMAND, key);
        assert_eq!(desk.harness.state().page(), page);
    }
    desk.key(Modifiers::NONE, Key::F5);
    assert_eq!(desk.harness.state().listener().phase, Phase::Starting);
    let size = desk.settings.get().look.font_size;
    desk.key(Modifiers::COMMAND, Key::Plus);
    assert_eq!(desk.settings.get().look.font_size, size + 2.0);
    desk.key(Modifiers::COMMAND, Key::Minus);
    assert_eq!(desk.settings.get().look.font_size, size);
    desk.key(Modifiers::COMMAND, Key::O);
    assert!(desk.settings.get().overlay.open);
    // By tabulator alone, one comes to Start and presses it.
    let mut fresh = Desk::new();
    for _ in 0..40 {
        fresh.key(Modifiers::NONE, Key::Tab);
        if fresh.harness.get_by_label("Start").is_focused() {
            fresh.key(Modifiers::NONE, Key::Enter);
            break;
        }
    }
    assert_eq!(fresh.asked.lock().unwrap().started.len(), 1);
}

#[test]
fn a_key_pauses_and_goes_on() {
    let mut desk = Desk::new();
    desk.listen();
    desk.key(Modifiers::COMMAND, Key::P);
    desk.expect("Resume");
    desk.key(Modifiers::COMMAND, Key::P);
    assert_eq!(desk.asked.lock().unwrap().paused, [true, false]);
}

/// Which of four languages a list has.
fn options(desk: &mut Desk, list: &str) -> Vec<&'static str> {
    desk.press(list);
    let all = ["English", "French", "German", "Italian"];
    let is_shown = |name: &&str| desk.harness.query_all_by_label(name).next().is_some();
    let shown = all.into_iter().filter(is_shown).collect();
    desk.key(Modifiers::NONE, Key::Escape);
    shown
}

#[test]
fn languages_are_those_of_the_model_before_it_has_listened() {
    let mut desk = Desk::new();
    assert_eq!(options(&mut desk, "Translate into"), ["English", "French", "German", "Italian"]);
    desk.settings.change(|settings| settings.engine.name = "speech-llm".to_owned());
    let begun = Instant::now();
    while options(&mut desk, "Translate into") != ["German"] {
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
    assert_eq!(options(&mut desk, "Spoken language"), ["English", "German"]);
    desk.settings.change(|settings| settings.engine.name = "whisper".to_owned());
    desk.settle();
    assert_eq!(options(&mut desk, "Translate into").len(), 4, "another engine");
}

#[test]
fn languages_are_those_of_the_engine_once_it_listens() {
    let mut desk = Desk::with(|settings| settings.speech.translate = "fr".to_owned(), &[]);
    assert_eq!(options(&mut desk, "Spoken language"), ["English", "French", "German", "Italian"]);
    desk.listen();
    assert_eq!(options(&mut desk, "Spoken language"), ["English", "German"]);
    assert_eq!(options(&mut desk, "Translate into"), ["English"]);
    desk.press("Translate into");
    desk.expect("French (not with this engine)");
}

#[test]
fn languages_count_while_it_listens_and_another_source_begins_anew() {
    let mut desk = Desk::new();
    desk.listen();
    desk.settings.change(|settings| settings.speech.translate = "en".to_owned());
    desk.settle();
    assert_eq!(desk.asked.lock().unwrap().changed[0].translate.as_deref(), Some("en"));
    desk.settings
        .change(|settings| settings.audio.sources = vec![partita::capture::Source::System]);
    desk.settle();
    assert_eq!(desk.asked.lock().unwrap().stopped, 1);
    desk.say([Event::Finished { seconds: 1.0, lost: 0.0 }]);
    let asked = desk.asked.lock().unwrap();
    assert_eq!(asked.started.len(), 2);
    assert_eq!(asked.started[1].audio.sources, [partita::capture::Source::System]);
}

#[test]
fn the_overlay_shows_the_last_lines_as_it_is_told() {
    let mut desk = Desk::new();
    desk.listen();
    desk.settings.change(|settings| settings.overlay.open = true);
    desk.settle();
    for number in 1..5 {
        let text = format!("Original number {number}.");
        desk.say(utterance(number, "de", &text, Some(&format!("Translation {number}."))));
    }
    let overlay = |desk: &Desk| -> String {
        let part = "Original number 4.\n";
        let mut found = desk.harness.query_all_by_label_contains(part);
        found.next().map_or(String::new(), |node| {
            egui_kittest::kittest::NodeT::accesskit_node(&node).label().unwrap_or_default()
        })
    };
    assert_eq!(
        overlay(&desk),
        "Original number 3.\nOriginal number 4.\nTranslation 3.\nTranslation 4."
    );
    desk.settings.change(|settings| settings.overlay.lines = 1);
    desk.settle();
    assert_eq!(overlay(&desk), "Original number 4.\nTranslation 4.");
}
