//! Dictation into another program under X11: what arrives in a terminal is what was said, byte for
//! byte. Needs Xvfb and xterm.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]
#![cfg(target_os = "linux")]

use partita::dictate::{Desk, Dictation, Hotkey, Press, Typist, X11Desk};
use partita::live::{Event, Timing};
use partita::settings::{Delivery, Profile, Settings, SharedSettings};
use partita_tests::{Display, Running};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{ConnectionExt as _, InputFocus, KEY_PRESS_EVENT, KEY_RELEASE_EVENT};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

const PATIENCE: Duration = Duration::from_secs(60);
const LATIN: &str = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. \
    ¿Qué pasó? Ça va – « très » bien… “Quotes” & €5, 50% [a] {b} ~/c @d #e\n";
const CYRILLIC: &str = "Съешь же ещё этих мягких французских булок, да выпей чаю. ЁЖ №5\n";
const CJK: &str = "我能吞下玻璃而不伤身体。私はガラスを食べられます。「東京特許許可局」나는 유리를 먹을 수 있어요.\n\
    天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏閏餘成歲律呂調陽雲騰致雨露結為霜金生麗水玉出崑岡\n";

/// Runs a test of this file again in a process whose display is an Xvfb of its own.
fn on_a_display(test: &str) {
    let Some(display) = Display::start() else { return };
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--include-ignored", "--nocapture", "--test-threads=1"])
        .env("PARTITA_TEST_DISPLAY", "1")
        .env("DISPLAY", &display.name)
        .env("XMODIFIERS", "@im=none")
        .env_remove("WAYLAND_DISPLAY")
        .status()
        .unwrap();
    assert!(status.success());
}

fn has_display() -> bool {
    std::env::var_os("PARTITA_TEST_DISPLAY").is_some()
}

/// A terminal in which `cat` writes down what arrives.
struct Terminal {
    _xterm: Running,
    folder: tempfile::TempDir,
    connection: RustConnection,
}

impl Terminal {
    fn open(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let xterm = Command::new("xterm")
            .args(["-u8", "-name", name, "-e", "sh", "-c"])
            .arg("stty -echo; touch ready; exec cat > arrived")
            .current_dir(folder.path())
            .env("LC_ALL", "C.UTF-8")
            .stderr(Stdio::null())
            .spawn()
            .map(Running)
            .unwrap();
        let (connection, screen) = x11rb::connect(None).unwrap();
        let root = connection.setup().roots[screen].root;
        let terminal = Self { _xterm: xterm, folder, connection };
        wait("a terminal", || {
            let tree = terminal.connection.query_tree(root).unwrap().reply().unwrap();
            let found = tree.children.iter().rev().find(|&&window| terminal.is_named(window, name));
            let Some(&window) = found else { return false };
            let focus = terminal.connection.set_input_focus(InputFocus::PARENT, window, 0u32);
            focus.unwrap().check().is_ok() && terminal.folder.path().join("ready").exists()
        });
        terminal
    }

    fn is_named(&self, window: u32, name: &str) -> bool {
        use x11rb::protocol::xproto::{AtomEnum, MapState};
        let class = AtomEnum::WM_CLASS;
        let class = self.connection.get_property(false, window, class, AtomEnum::STRING, 0, 99);
        let class = class.unwrap().reply().unwrap().value;
        let shown = self.connection.get_window_attributes(window).unwrap().reply().unwrap();
        class.starts_with(name.as_bytes()) && shown.map_state == MapState::VIEWABLE
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("arrived")
    }

    fn arrived(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.file()).unwrap_or_default()).into_owned()
    }

    #[track_caller]
    fn expect(&self, text: &str) {
        let since = Instant::now();
        while self.arrived().len() < text.len() && since.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(self.arrived(), text);
    }
}

#[track_caller]
fn wait(what: &str, mut until: impl FnMut() -> bool) {
    let since = Instant::now();
    while !until() {
        assert!(since.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn settings(change: impl FnOnce(&mut Settings)) -> (tempfile::TempDir, SharedSettings) {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    change(&mut settings);
    let settings = SharedSettings::new(settings, &folder.path().join("settings.toml"));
    (folder, settings)
}

#[test]
fn typed_text_arrives_byte_for_byte() {
    if !has_display() {
        return on_a_display("typed_text_arrives_byte_for_byte");
    }
    let terminal = Terminal::open("typed");
    let mut desk = X11Desk::open(None).unwrap();
    assert_eq!(desk.window().unwrap().class, "typed XTerm");
    let mut expected = String::new();
    for (name, text) in [("Latin", LATIN), ("Cyrillic", CYRILLIC), ("CJK", CJK), ("😀", "😀🎵\n")]
    {
        let since = Instant::now();
        desk.type_text(text).unwrap();
        let each = since.elapsed() / u32::try_from(text.chars().count()).unwrap();
        eprintln!("{name}: {each:.1?} a character");
        expected.push_str(text);
    }
    terminal.expect(&expected);
    // All at once: every key changes its meaning several times.
    desk.type_text(&CJK.repeat(3)).unwrap();
    expected.push_str(&CJK.repeat(3));
    drop(desk);
    terminal.expect(&expected);
}

#[test]
fn capital_letters_survive_caps_lock() {
    if !has_display() {
        return on_a_display("capital_letters_survive_caps_lock");
    }
    let terminal = Terminal::open("caps");
    let (connection, _) = x11rb::connect(None).unwrap();
    for kind in [KEY_PRESS_EVENT, KEY_RELEASE_EVENT] {
        connection.xtest_fake_input(kind, 66, 0, 0, 0, 0, 0).unwrap().check().unwrap();
    }
    let mut desk = X11Desk::open(None).unwrap();
    desk.type_text("Aa Éé Яя\n").unwrap();
    terminal.expect("Aa Éé Яя\n");
    desk.type_text("again\n").unwrap();
    terminal.expect("Aa Éé Яя\nagain\n");
}

#[test]
fn pasted_text_arrives_byte_for_byte_and_the_clipboard_is_put_back() {
    if !has_display() {
        return on_a_display("pasted_text_arrives_byte_for_byte_and_the_clipboard_is_put_back");
    }
    let terminal = Terminal::open("pasted");
    // Something was copied before.
    let mut other = arboard::Clipboard::new().unwrap();
    other.set_text("копия").unwrap();
    let mut desk = X11Desk::open(None).unwrap();
    for text in [LATIN, CYRILLIC, CJK] {
        desk.paste(text).unwrap();
    }
    terminal.expect(&[LATIN, CYRILLIC, CJK].concat());
    wait("what was copied before", || {
        desk.rest();
        other.get_text().is_ok_and(|text| text == "копия")
    });
    // At once again, and again.
    let mut expected = [LATIN, CYRILLIC, CJK].concat();
    for text in ["x\n", "é\n", "你\n"] {
        desk.paste(text).unwrap();
        expected.push_str(text);
        terminal.expect(&expected);
    }
    drop(desk);
    assert_eq!(other.get_text().unwrap(), "копия");
}

/// What a session says: each word stays once the next one is heard.
fn listening() -> Event {
    let (sources, languages, targets) = Default::default();
    Event::Listening { sources, engine: "test".into(), languages, targets }
}

fn session(utterances: &[(&str, &str)]) -> Vec<Event> {
    let mut events = Vec::new();
    for (utterance, (lang, text)) in (1..).zip(utterances) {
        let (start, end) = (utterance as f64, utterance as f64 + 0.9);
        events.push(Event::Started { utterance, start });
        let cuts = text.char_indices().map(|(at, _)| at).filter(|at| at % 5 == 0);
        events.extend(cuts.map(|at| Event::Partial {
            utterance,
            until: end,
            lang: Some((*lang).to_owned()),
            committed: text[..at].to_owned(),
            tail: text[at..].to_owned(),
        }));
        let (lang, text) = ((*lang).to_owned(), (*text).to_owned());
        events.push(Event::Final { utterance, start, end, lang, text, timing: Timing::default() });
    }
    events
}

#[test]
fn what_a_session_commits_is_what_the_other_program_gets() {
    if !has_display() {
        return on_a_display("what_a_session_commits_is_what_the_other_program_gets");
    }
    for delivery in [Delivery::Type, Delivery::Paste] {
        let terminal = Terminal::open("session");
        let (_folder, settings) = settings(|settings| {
            settings.dictation.commands = true;
            let window_class = "SESSION".into();
            let delivery = Some(delivery);
            settings.dictation.profiles =
                vec![Profile { window_class, delivery, ..Profile::default() }];
        });
        let desk = Box::new(X11Desk::open(None).unwrap());
        let typist = Typist::start(Dictation::new(settings, desk)).unwrap();
        typist.take(&listening());
        for event in session(&[
            ("de", "Guten Tag, wie geht es Ihnen?"),
            ("de", "Neue Zeile. Schöne Grüße Komma Zoë Punkt neuer Absatz."),
            ("ru", "Съешь ещё этих мягких булок."),
            ("zh", "我们去爬山。换行天气很好逗号是吗"),
        ]) {
            typist.take(&event);
        }
        // Another session, which counts from one again.
        typist.take(&listening());
        for event in session(&[("en", "And back. New line.")]) {
            typist.take(&event);
        }
        drop(typist);
        terminal.expect(
            "Guten Tag, wie geht es Ihnen?\nSchöne Grüße, Zoë.\n\n\
             Съешь ещё этих мягких булок.我们去爬山。\n天气很好，是吗And back.\n",
        );
    }
}

#[test]
fn nothing_is_typed_while_a_key_is_held_and_all_of_it_afterwards() {
    if !has_display() {
        return on_a_display("nothing_is_typed_while_a_key_is_held_and_all_of_it_afterwards");
    }
    let terminal = Terminal::open("held");
    let (connection, _) = x11rb::connect(None).unwrap();
    let control = |kind| {
        connection.xtest_fake_input(kind, 37, 0, 0, 0, 0, 0).unwrap().check().unwrap();
    };
    let (_folder, settings) = settings(|_| {});
    let desk = Box::new(X11Desk::open(None).unwrap());
    let mut dictation = Dictation::new(settings, desk);
    control(KEY_PRESS_EVENT);
    for event in session(&[("en", "Do not interrupt."), ("en", "Thanks.")]) {
        dictation.take(&event).unwrap();
    }
    dictation.tick().unwrap();
    assert!(dictation.is_waiting());
    control(KEY_RELEASE_EVENT);
    wait("the key to come up", || {
        dictation.tick().unwrap();
        !dictation.is_waiting()
    });
    let mut desk = X11Desk::open(None).unwrap();
    desk.type_text("\n").unwrap();
    terminal.expect("Do not interrupt. Thanks.\n");
}

#[test]
fn the_key_is_heard_whoever_has_the_focus() {
    if !has_display() {
        return on_a_display("the_key_is_heard_whoever_has_the_focus");
    }
    let _terminal = Terminal::open("key");
    let (connection, _) = x11rb::connect(None).unwrap();
    let key = |kind, code| {
        connection.xtest_fake_input(kind, code, 0, 0, 0, 0, 0).unwrap().check().unwrap();
    };
    // Codes of a PC keyboard: Ctrl 37, Alt 64, D 40, F9 75.
    let hotkey = Hotkey::register("Ctrl+Alt+D").unwrap();
    let taken = Hotkey::register("ctrl + alt + d").map(drop).unwrap_err().to_string();
    assert!(taken.contains("another program has it"), "{taken}");
    let other = Hotkey::register("F9").unwrap();
    let expect = |hotkey: &Hotkey, press| {
        assert_eq!(hotkey.presses().recv_timeout(PATIENCE), Ok(press));
    };
    for code in [37, 64, 40] {
        key(KEY_PRESS_EVENT, code);
    }
    expect(&hotkey, Press::Down);
    for code in [40, 64, 37] {
        key(KEY_RELEASE_EVENT, code);
    }
    expect(&hotkey, Press::Up);
    key(KEY_PRESS_EVENT, 75);
    expect(&other, Press::Down);
    key(KEY_RELEASE_EVENT, 75);
    expect(&other, Press::Up);
    assert!(hotkey.presses().is_empty());
    drop(hotkey);
    Hotkey::register("Ctrl+Alt+D").unwrap();
    for wrong in ["", "Ctrl+", "Ctrl+Nothing", "D+Ctrl"] {
        let error = Hotkey::register(wrong).map(drop).unwrap_err().to_string();
        assert!(error.starts_with(&format!("the key `{wrong}`:")), "{error}");
    }
}

#[test]
fn no_display_is_a_clear_error() {
    let error = X11Desk::open(Some(":4711")).map(drop).unwrap_err().to_string();
    assert!(error.starts_with("no desktop to type into: "), "{error}");
    assert!(!Path::new("/tmp/.X11-unix/X4711").exists());
}
