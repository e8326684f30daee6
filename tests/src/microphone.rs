//! A microphone that hears what is played to it.

use crate::Run;
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// A PulseAudio server of its own with a microphone that hears what is played to it
/// (`scripts/virtual-mic.sh`). Ends when dropped.
pub struct VirtualMicrophone {
    environment: Vec<(String, String)>,
    /// Where the server keeps its socket.
    _folder: tempfile::TempDir,
}

impl VirtualMicrophone {
    /// Starts the server; says so and gives none where there is no PulseAudio.
    ///
    /// # Panics
    /// When the server is there and does not start.
    pub fn start() -> Option<Self> {
        for name in ["pulseaudio", "pactl", "paplay"] {
            let found = Command::new(name).arg("--version").output().is_ok();
            if !found {
                writeln!(std::io::stderr(), "skipped: {name} is not installed").ok();
                return None;
            }
        }
        let folder = tempfile::tempdir().expect("a folder for the server");
        let mut environment =
            vec![("XDG_RUNTIME_DIR".to_owned(), folder.path().to_str()?.to_owned())];
        let run = Run::of(Self::script("start", &environment).env_remove("PULSE_SERVER"), &[]);
        for line in run.success().lines() {
            let pairs = line.trim_start_matches("export ").split_whitespace();
            environment.extend(
                pairs
                    .filter_map(|pair| pair.split_once('='))
                    .map(|(name, value)| (name.to_owned(), value.to_owned())),
            );
        }
        Some(Self { environment, _folder: folder })
    }

    /// Variables by which programs find it.
    pub fn environment(&self) -> Vec<(String, String)> {
        self.environment.clone()
    }

    /// Plays a file to its end.
    ///
    /// # Panics
    /// When it cannot be played.
    pub fn play(&self, file: &Path) {
        let mut script = Self::script("play", &self.environment);
        Run::of(script.arg(file), &[]).success();
    }

    fn script(what: &str, environment: &[(String, String)]) -> Command {
        let mut command =
            Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/virtual-mic.sh"));
        command.arg(what).envs(environment.iter().cloned());
        command
    }
}

impl Drop for VirtualMicrophone {
    fn drop(&mut self) {
        Run::of(&mut Self::script("stop", &self.environment), &[]);
    }
}
