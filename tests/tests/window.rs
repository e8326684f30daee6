//! The window itself, on a display in memory: opened, clicked through, made to listen, closed. What
//! it did is read from what it left: its history, its settings, its windows.
//!
//! `PARTITA_SCREENSHOTS=FOLDER` keeps pictures of what was seen on the way.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use partita::history::History;
use partita_tests::{Sample, models_installed, program};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One display for all tests of this file, one after the other.
static ONE: Mutex<()> = Mutex::new(());

struct Desk {
    number: u32,
    folder: tempfile::TempDir,
    window: Option<Child>,
    _one: MutexGuard<'static, ()>,
}

/// A display with nothing on it; `None` where the programs for it are not installed.
fn desk() -> Option<Desk> {
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    for needed in ["Xvfb", "openbox", "picom", "xdotool", "wmctrl", "import"] {
        let found = Command::new("sh").args(["-c", &format!("command -v {needed}")]).output();
        if !found.is_ok_and(|found| found.status.success()) {
            // Not `println!`: the test harness hides that of tests that pass.
            writeln!(std::io::stderr(), "skipped: {needed} is not installed").ok();
            return None;
        }
    }
    let number = 100 + std::process::id() % 800;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/window.sh");
    let started = Command::new(script).args(["start", &number.to_string()]).output().unwrap();
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("run")).unwrap();
    Some(Desk { number, folder, window: None, _one: one })
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some(mut window) = self.window.take() {
            let _ = window.kill();
            let _ = window.wait();
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/window.sh");
        let _ = Command::new(script).args(["stop", &self.number.to_string()]).status();
    }
}

impl Desk {
    /// A command on this display, in a home of its own.
    fn command(&self, name: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(name);
        let at = |name: &str| self.folder.path().join(name);
        command.env("DISPLAY", format!(":{}", self.number));
        command.env_remove("WAYLAND_DISPLAY").env_remove("DBUS_SESSION_BUS_ADDRESS");
        command.env("HOME", self.folder.path()).env("XDG_RUNTIME_DIR", at("run"));
        command.env("PARTITA_HOME", at("home")).env("PARTITA_CONFIG", at("settings.toml"));
        command
    }

    /// Lets the window have the models that are installed, but nothing else of the user's.
    fn lend_models(&self) {
        let store = partita::store::Store::open().unwrap();
        let home = self.folder.path().join("home");
        fs::create_dir_all(&home).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(store.root().join("models"), home.join("models")).unwrap();
    }

    fn open(&mut self, arguments: &[&str], title: &str) {
        let mut command = self.command(program("partita"));
        let child = command.args(arguments).stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
        self.window = Some(child.unwrap());
        self.wait("a window", |desk| desk.window_named(title).is_some());
        // The first frames: fonts are looked for, the page is drawn.
        std::thread::sleep(Duration::from_secs(2));
    }

    fn wait(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !done(self) {
            let gone = self.window.as_mut().and_then(|child| child.try_wait().unwrap());
            if let Some(status) = gone {
                let mut said = String::new();
                let stderr = self.window.take().and_then(|child| child.stderr);
                stderr.map(|mut pipe| std::io::Read::read_to_string(&mut pipe, &mut said));
                panic!("{what}: the program ended with {status}: {said}");
            }
            if begun.elapsed() > Duration::from_secs(90) {
                self.picture("late");
                panic!("{what}: not within 90 s");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn output(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.command(name).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The number of a window with exactly this title.
    fn window_named(&self, title: &str) -> Option<String> {
        let pattern = format!("^{title}$");
        let found = self.output("xdotool", &["search", "--onlyvisible", "--name", &pattern]);
        found.lines().next_back().map(str::to_owned)
    }

    fn key(&self, keys: &str) {
        self.output("xdotool", &["key", "--clearmodifiers", keys]);
        std::thread::sleep(Duration::from_millis(900));
    }

    /// A click at a place of the window, from its upper left corner.
    fn click(&self, x: i32, y: i32) {
        let window = self.window_named("Partita").unwrap();
        let (x, y) = (x.to_string(), y.to_string());
        self.output("xdotool", &["mousemove", "--window", &window, &x, &y, "click", "1"]);
        std::thread::sleep(Duration::from_millis(900));
    }

    fn picture(&self, name: &str) -> PathBuf {
        let folder = std::env::var_os("PARTITA_SCREENSHOTS").map(PathBuf::from);
        let folder = folder.unwrap_or_else(|| self.folder.path().to_owned());
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{name}.png"));
        self.output("import", &["-window", "root", path.to_str().unwrap()]);
        path
    }

    /// How many colours a picture has: an empty window has few.
    fn colours(&self, picture: &Path) -> u32 {
        let format = ["-format", "%k", picture.to_str().unwrap()];
        self.output("identify", &format).parse().unwrap()
    }

    /// The window's settings, as they are on disk.
    fn settings(&self) -> String {
        fs::read_to_string(self.folder.path().join("settings.toml")).unwrap_or_default()
    }

    /// Everything that the window has written down.
    fn said(&self) -> String {
        let path = self.folder.path().join("home/history.sqlite");
        let Some(history) = path.exists().then(|| History::open(&path).ok()).flatten() else {
            return String::new();
        };
        let sessions = history.sessions("", 10, 0).unwrap_or_default();
        let lines =
            sessions.iter().flat_map(|session| history.lines(session.id).unwrap_or_default());
        lines.map(|line| line.text).collect::<Vec<_>>().join(" ")
    }

    /// Closes the window by its key; how long that took.
    fn quit(&mut self) -> Duration {
        self.output("xdotool", &["key", "--clearmodifiers", "ctrl+q"]);
        let begun = Instant::now();
        let mut child = self.window.take().unwrap();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return begun.elapsed();
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "it does not close");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn pages_are_reached_by_clicks_and_settings_are_kept() {
    let Some(mut desk) = desk() else { return };
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
    let Some(mut desk) = desk() else { return };
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
    fs::write(desk.folder.path().join("settings.toml"), settings).unwrap();
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

#[test]
fn a_key_begins_and_ends_dictation_into_another_program() {
    let Some(mut desk) = desk() else { return };
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
    fs::write(desk.folder.path().join("settings.toml"), settings).unwrap();
    desk.open(&[], "Partita");
    let mut terminal = desk.command("xterm");
    terminal.args(["-u8", "-T", "elsewhere", "-e", "sh", "-c"]);
    terminal.arg("stty -icanon -echo; exec cat > arrived").current_dir(desk.folder.path());
    let mut terminal =
        terminal.envs([("LC_ALL", "C.UTF-8"), ("XMODIFIERS", "@im=none")]).spawn().unwrap();
    desk.wait("a terminal", |desk| desk.window_named("elsewhere").is_some());
    let window = desk.window_named("elsewhere").unwrap();
    desk.output("xdotool", &["windowactivate", "--sync", &window]);
    desk.output("xdotool", &["key", "ctrl+alt+d"]);
    let arrived =
        |desk: &Desk| fs::read_to_string(desk.folder.path().join("arrived")).unwrap_or_default();
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
