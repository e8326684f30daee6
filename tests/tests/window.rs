//! The window itself, on a display in memory: opened, clicked through, made to listen, closed. What
//! it did is read from what it left: its history, its settings, its windows.
//!
//! `PARTITA_SCREENSHOTS=FOLDER` keeps pictures of what was seen on the way.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use partita_tests::{Desk, Sample, Wav, models_installed, program};
use std::fs;
use std::process::Command;
use std::time::Duration;

/// The middle of buttons of the page Live, from the window's corner: the first begins and ends.
const START: [i32; 2] = [264, 103];
const PAUSE: [i32; 2] = [355, 103];

#[test]
fn pages_are_reached_by_clicks_and_settings_are_kept() {
    let Some(mut desk) = Desk::start() else { return };
    desk.open(&[], "Partita");
    let mut seen = Vec::new();
    for (name, y) in
        [("files", 118), ("history", 160), ("models", 202), ("settings", 244), ("live", 76)]
    {
        desk.click(80, y);
        let picture = desk.picture(name);
        assert!(desk.colours(&picture) > 50, "{name} is empty");
        seen.push(fs::read(picture).unwrap());
    }
    for (place, one) in seen.iter().enumerate() {
        assert!(!seen[..place].contains(one), "two pages look the same");
    }
    // A second start raises the first and goes.
    let mut again = desk.command(program("partita"));
    assert!(again.status().unwrap().success());
    // The overlay is above, and does not take the keyboard.
    desk.key("ctrl+o");
    desk.wait("the overlay", |desk| desk.window_named("Partita captions").is_some());
    let state = desk.output("xprop", &["-name", "Partita captions", "_NET_WM_STATE"]);
    assert!(state.is_empty() || state.contains("ABOVE"), "{state}");
    let active = desk.output("xdotool", &["getactivewindow", "getwindowname"]);
    assert_eq!(active, "Partita");
    desk.picture("overlay-empty");
    desk.key("ctrl+o");
    desk.wait("no overlay", |desk| desk.window_named("Partita captions").is_none());
    desk.key("ctrl+plus");
    desk.quit();
    assert!(desk.settings().contains("font_size = 20.0"), "{}", desk.settings());
}

#[test]
fn what_is_said_appears_and_is_kept() {
    let Some(mut desk) = Desk::start() else { return };
    if !models_installed() {
        return;
    }
    desk.lend_models();
    let clip = Sample::of("en");
    let settings = format!(
        "version = 1\n[audio]\nsources = [\"file:{}\"]\n[speech]\nlanguages = [\"en\"]\n\
         [overlay]\nopen = true\nplace = [200.0, 600.0, 860.0, 130.0]\n",
        clip.path
    );
    fs::write(desk.folder().join("settings.toml"), settings).unwrap();
    desk.open(&[], "Partita");
    let before = fs::read(desk.picture("before")).unwrap();
    // Start.
    desk.key("F5");
    desk.wait("the text", |desk| desk.said().contains("rain"));
    desk.wait("the end of the session", |desk| clip.error_rate(&desk.said()) <= 0.2);
    std::thread::sleep(Duration::from_secs(1));
    let after = fs::read(desk.picture("said")).unwrap();
    assert!(before != after, "nothing appeared");
    let took = desk.quit();
    eprintln!("closed in {:.2} s", took.as_secs_f64());
}

/// What is in the folder that results are exported to.
fn exported(desk: &Desk) -> Vec<String> {
    let folders = [desk.folder().join("Documents/Partita"), desk.folder().join("Partita")];
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    entries.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
}

#[test]
fn buttons_begin_pause_and_end_a_session_and_export_it() {
    let Some(mut desk) = Desk::start() else { return };
    if !models_installed() {
        return;
    }
    desk.lend_models();
    // What is said in the second language is said during the pause.
    let [first, second] = ["en", "es"].map(Sample::of);
    let quiet = vec![0.0; 16_000 * 12];
    let samples = [first.samples(), quiet, second.samples(), vec![0.0; 16_000 * 90]];
    let path = desk.folder().join("spoken.wav");
    fs::write(&path, Wav { rate: 16_000, channels: 1, bits: 16 }.file(&samples.concat())).unwrap();
    let settings = format!(
        "version = 1\n[audio]\nsources = [\"file:{}\"]\n[speech]\nlanguages = [\"en\", \"es\"]\n",
        path.display()
    );
    fs::write(desk.folder().join("settings.toml"), settings).unwrap();
    desk.open(&[], "Partita");
    desk.click(START[0], START[1]);
    desk.wait("the text", |desk| first.error_rate(&desk.said()) <= 0.2);
    desk.click(PAUSE[0], PAUSE[1]);
    let paused = desk.picture("paused");
    std::thread::sleep(Duration::from_secs(20));
    desk.click(PAUSE[0], PAUSE[1]);
    assert!(fs::read(paused).unwrap() != fs::read(desk.picture("resumed")).unwrap());
    desk.click(START[0], START[1]);
    std::thread::sleep(Duration::from_secs(2));
    assert!(first.error_rate(&desk.said()) <= 0.2, "said in the pause: {}", desk.said());
    // The history, its only session, and what becomes of it.
    desk.click(80, 160);
    desk.click(340, 138);
    desk.picture("session");
    desk.click(814, 127);
    desk.wait("a file", |desk| !exported(desk).is_empty());
    let text = exported(&desk).concat();
    assert!(first.error_rate(&text) <= 0.2, "{text}");
    desk.quit();
}

#[test]
fn a_key_begins_and_ends_dictation_into_another_program() {
    let Some(mut desk) = Desk::start() else { return };
    if !models_installed() || Command::new("xterm").arg("-version").output().is_err() {
        return;
    }
    desk.lend_models();
    let clip = Sample::of("en");
    let settings = format!(
        "version = 1\n[audio]\nsources = [\"file:{}\"]\n[speech]\nlanguages = [\"en\"]\n\
         [dictation]\nhotkey = \"Ctrl+Alt+D\"\n",
        clip.path
    );
    fs::write(desk.folder().join("settings.toml"), settings).unwrap();
    desk.open(&[], "Partita");
    let mut terminal = desk.command("xterm");
    terminal.args(["-u8", "-T", "elsewhere", "-e", "sh", "-c"]);
    terminal.arg("stty -icanon -echo; exec cat > arrived").current_dir(desk.folder());
    let mut terminal =
        terminal.envs([("LC_ALL", "C.UTF-8"), ("XMODIFIERS", "@im=none")]).spawn().unwrap();
    desk.wait("a terminal", |desk| desk.window_named("elsewhere").is_some());
    let window = desk.window_named("elsewhere").unwrap();
    desk.output("xdotool", &["windowactivate", "--sync", &window]);
    desk.output("xdotool", &["key", "ctrl+alt+d"]);
    let arrived =
        |desk: &Desk| fs::read_to_string(desk.folder().join("arrived")).unwrap_or_default();
    desk.wait("what was said", |desk| {
        clip.error_rate(&arrived(desk)) <= 0.2 && arrived(desk) == desk.said()
    });
    desk.picture("dictated");
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    let window = desk.window_named("Partita").unwrap();
    desk.output("xdotool", &["windowactivate", "--sync", &window]);
    desk.quit();
}

#[test]
fn the_overlay_is_dragged_and_resized_and_locked_it_lets_clicks_through() {
    let Some(mut desk) = Desk::start() else { return };
    let settings = |locked: bool, place: [f32; 4]| {
        format!("version = 1\n[overlay]\nopen = true\nlocked = {locked}\nplace = {place:?}\n")
    };
    let file = desk.folder().join("settings.toml");
    fs::write(&file, settings(false, [200.0, 500.0, 700.0, 130.0])).unwrap();
    desk.open(&[], "Partita");
    desk.wait("the overlay", |desk| desk.window_named("Partita captions").is_some());
    let geometry = |desk: &Desk| {
        let window = desk.window_named("Partita captions").unwrap();
        let said = desk.output("xdotool", &["getwindowgeometry", "--shell", &window]);
        ["X=", "Y=", "WIDTH=", "HEIGHT="].map(|name| {
            let line = said.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.parse::<i32>().unwrap()
        })
    };
    let drag = |desk: &Desk, from: [&str; 2], by: [&str; 2]| {
        desk.output("xdotool", &["mousemove", from[0], from[1]]);
        std::thread::sleep(Duration::from_millis(600));
        desk.output("xdotool", &["mousedown", "1"]);
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(150));
            desk.output("xdotool", &["mousemove_relative", "--", by[0], by[1]]);
        }
        std::thread::sleep(Duration::from_millis(600));
        desk.output("xdotool", &["mouseup", "1"]);
        std::thread::sleep(Duration::from_millis(600));
    };
    drag(&desk, ["450", "560"], ["10", "-10"]);
    let [x, y, width, height] = geometry(&desk);
    assert!((x - 300).abs() <= 12 && (y - 400).abs() <= 12, "moved to {x}, {y}");
    assert_eq!([width, height], [700, 130]);
    let [right, middle] = [x + width - 3, y + 80].map(|place| place.to_string());
    drag(&desk, [&right, &middle], ["10", "0"]);
    let wider = geometry(&desk)[2];
    assert!((780..=820).contains(&wider), "{wider} wide");
    // Without a mouse: moved down and right, made narrower, from the window's own keys.
    let window = desk.window_named("Partita").unwrap();
    desk.output("xdotool", &["windowactivate", "--sync", &window]);
    let [x, y, ..] = geometry(&desk);
    for keys in ["ctrl+shift+Right", "ctrl+shift+Down", "ctrl+shift+Home"] {
        desk.key(keys);
    }
    let [right, down, wide, high] = geometry(&desk);
    assert!(
        right > x && down > y && wide < wider && high == 130,
        "{right}, {down}, {wide}, {high}"
    );
    let wider = wide;
    desk.quit();
    assert!(desk.settings().contains(&format!("{wider}.0")), "{}", desk.settings());

    // Above the button of a page.
    fs::write(&file, settings(true, [100.0, 60.0, 300.0, 300.0])).unwrap();
    desk.open(&[], "Partita");
    desk.wait("the overlay", |desk| desk.window_named("Partita captions").is_some());
    std::thread::sleep(Duration::from_secs(1));
    let page = |desk: &Desk, name: &str| {
        let picture = desk.picture(name);
        let part = picture.with_extension("part.rgb");
        let paths = [&picture, &part].map(|path| path.to_str().unwrap().to_owned());
        desk.output("convert", &[&paths[0], "-crop", "600x400+560+250", "-depth", "8", &paths[1]]);
        fs::read(part).unwrap()
    };
    let before = page(&desk, "locked-before");
    desk.click(80, 118);
    assert!(before != page(&desk, "locked-after"), "the click did not go through");
    desk.quit();
}
