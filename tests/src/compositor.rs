//! A Wayland desktop in memory.

use crate::Running;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);
/// `nobody`: sway refuses to run as root.
const NOBODY: u32 = 65534;

/// Sway without a screen, with a socket of its own. Ends when dropped.
pub struct Compositor {
    folder: tempfile::TempDir,
    _server: Running,
}

impl Compositor {
    /// Starts it; says so and gives none where it, or a tool that looks at it, is not installed.
    ///
    /// # Panics
    /// When it is and does not start.
    pub fn start() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        for name in ["sway", "grim", "wtype", "foot"] {
            if !std::env::split_paths(&path).any(|folder| folder.join(name).is_file()) {
                writeln!(std::io::stderr(), "skipped: {name} is not installed").ok();
                return None;
            }
        }
        let folder = tempfile::tempdir().expect("a folder for the socket");
        let configuration = folder.path().join("sway");
        let text = "output HEADLESS-1 resolution 1280x800\nxwayland disable\n";
        std::fs::write(&configuration, text).expect("its configuration");
        let mut command = Command::new("sway");
        command.arg("-c").arg(&configuration).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("XDG_RUNTIME_DIR", folder.path()).env_remove("WAYLAND_DISPLAY");
        command.env("HOME", folder.path()).env_remove("DISPLAY");
        command.envs([("WLR_BACKENDS", "headless"), ("WLR_RENDERER", "pixman")]);
        command.env("WLR_LIBINPUT_NO_DEVICES", "1");
        if std::fs::metadata(folder.path()).is_ok_and(|own| own.uid() == 0) {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("the folder is given away");
            command.uid(NOBODY).gid(NOBODY);
        }
        let server = Running(command.spawn().expect("sway starts"));
        let found = Self { folder, _server: server };
        let since = Instant::now();
        while !found.socket().exists() {
            assert!(since.elapsed() < PATIENCE, "no socket of sway");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(found)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("wayland-1")
    }

    /// Its folder, for files that go with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A command on this desktop.
    pub fn command(&self, name: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(name);
        command.env("XDG_RUNTIME_DIR", self.folder()).env("WAYLAND_DISPLAY", "wayland-1");
        command.env_remove("DISPLAY").env("LC_ALL", "C.UTF-8");
        command.env("PARTITA_CONFIG", self.folder().join("settings.toml"));
        command
    }
}
