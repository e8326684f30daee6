//! A desktop in memory, and our window on it.

use crate::program;
use partita::history::History;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One display for all tests of a file, one after the other.
static ONE: Mutex<()> = Mutex::new(());

/// A display in memory with a window manager, and a home of its own (`scripts/window.sh`). Ends when
/// dropped.
pub struct Desk {
    number: u32,
    folder: tempfile::TempDir,
    window: Option<Child>,
    variables: Vec<(String, String)>,
    _one: MutexGuard<'static, ()>,
}

impl Desk {
    /// A display with nothing on it; says so and gives none where the programs for it are not
    /// installed.
    ///
    /// # Panics
    /// When they are and the display does not start.
    pub fn start() -> Option<Self> {
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
        let started = Command::new(script)
            .args(["start", &number.to_string()])
            .output()
            .expect("a working desktop");
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        let folder = tempfile::tempdir().expect("a working desktop");
        fs::create_dir_all(folder.path().join("run")).expect("a working desktop");
        Some(Self { number, folder, window: None, variables: Vec::new(), _one: one })
    }

    /// A command on this display, in a home of its own.
    pub fn command(&self, name: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(name);
        let at = |name: &str| self.folder.path().join(name);
        command.env("DISPLAY", format!(":{}", self.number));
        command.env_remove("WAYLAND_DISPLAY").env_remove("DBUS_SESSION_BUS_ADDRESS");
        command.env("HOME", self.folder.path()).env("XDG_RUNTIME_DIR", at("run"));
        command.env("PARTITA_HOME", at("home")).env("PARTITA_CONFIG", at("settings.toml"));
        command.envs(self.variables.iter().cloned());
        command
    }

    /// Sets a variable for every command from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Its home.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whether the window's program still runs.
    pub fn runs(&mut self) -> bool {
        self.window.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|end| end.is_none()))
    }

    /// Lets the window have the models that are installed, but nothing else of the user's.
    pub fn lend_models(&self) {
        let store = partita::store::Store::open().expect("a working desktop");
        let home = self.folder.path().join("home");
        fs::create_dir_all(&home).expect("a working desktop");
        #[cfg(unix)]
        std::os::unix::fs::symlink(store.root().join("models"), home.join("models"))
            .expect("a working desktop");
    }

    /// Opens our window and waits until it is drawn.
    pub fn open(&mut self, arguments: &[&str], title: &str) {
        let mut command = self.command(program("partita"));
        let child = command.args(arguments).stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
        self.window = Some(child.expect("a working desktop"));
        self.wait("a window", |desk| desk.window_named(title).is_some());
        // The first frames: fonts are looked for, the page is drawn.
        std::thread::sleep(Duration::from_secs(2));
    }

    /// Waits until something is `done` on it.
    pub fn wait(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !done(self) {
            let gone =
                self.window.as_mut().and_then(|child| child.try_wait().expect("a working desktop"));
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

    /// What a command on this display prints.
    pub fn output(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.command(name).args(arguments).output().expect("a working desktop");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The number of a window with exactly this title.
    pub fn window_named(&self, title: &str) -> Option<String> {
        let pattern = format!("^{title}$");
        let found = self.output("xdotool", &["search", "--onlyvisible", "--name", &pattern]);
        found.lines().next_back().map(str::to_owned)
    }

    /// Presses keys.
    pub fn key(&self, keys: &str) {
        self.output("xdotool", &["key", "--clearmodifiers", keys]);
        std::thread::sleep(Duration::from_millis(900));
    }

    /// A click at a place of the window, from its upper left corner.
    pub fn click(&self, x: i32, y: i32) {
        let window = self.window_named("Partita").expect("a working desktop");
        let (x, y) = (x.to_string(), y.to_string());
        self.output("xdotool", &["mousemove", "--window", &window, &x, &y, "click", "1"]);
        std::thread::sleep(Duration::from_millis(900));
    }

    /// A picture of all of it; kept where `PARTITA_SCREENSHOTS` names a folder.
    pub fn picture(&self, name: &str) -> PathBuf {
        let folder = std::env::var_os("PARTITA_SCREENSHOTS").map(PathBuf::from);
        let folder = folder.unwrap_or_else(|| self.folder.path().to_owned());
        fs::create_dir_all(&folder).expect("a working desktop");
        let path = folder.join(format!("{name}.png"));
        self.output("import", &["-window", "root", path.to_str().expect("a working desktop")]);
        path
    }

    /// How many colours a picture has: an empty window has few.
    pub fn colours(&self, picture: &Path) -> u32 {
        let format = ["-format", "%k", picture.to_str().expect("a working desktop")];
        self.output("identify", &format).parse().expect("a working desktop")
    }

    /// The window's settings, as they are on disk.
    pub fn settings(&self) -> String {
        fs::read_to_string(self.folder.path().join("settings.toml")).unwrap_or_default()
    }

    /// Everything that the window has written down.
    pub fn said(&self) -> String {
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
    pub fn quit(&mut self) -> Duration {
        self.output("xdotool", &["key", "--clearmodifiers", "ctrl+q"]);
        self.gone()
    }

    /// Waits until the window's program has ended well; how long that took.
    pub fn gone(&mut self) -> Duration {
        let begun = Instant::now();
        let mut child = self.window.take().expect("a working desktop");
        loop {
            if let Some(status) = child.try_wait().expect("a working desktop") {
                assert!(status.success(), "{status}");
                return begun.elapsed();
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "it does not close");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
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
