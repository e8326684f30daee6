//! A display in memory without a window manager, for what types into other programs.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

/// A process that ends when this is dropped.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An X server of its own, which ends when dropped.
pub struct Display {
    /// What `DISPLAY` is to be.
    pub name: String,
    _server: Running,
}

impl Display {
    /// Starts one; says so and gives none where it, or the terminal `xterm`, is not installed.
    ///
    /// # Panics
    /// When it is and does not start.
    pub fn start() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        for name in ["Xvfb", "xterm"] {
            if !std::env::split_paths(&path).any(|folder| folder.join(name).is_file()) {
                writeln!(std::io::stderr(), "skipped: {name} is not installed").ok();
                return None;
            }
        }
        let screen = ["-displayfd", "1", "-screen", "0", "1000x700x24"];
        let mut command = Command::new("Xvfb");
        command.args(screen).args(["-nolisten", "tcp", "-noreset"]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = Running(command.spawn().expect("Xvfb starts"));
        let mut number = String::new();
        let output = server.0.stdout.take().expect("it is a pipe");
        BufReader::new(output).read_line(&mut number).expect("its number");
        Some(Self { name: format!(":{}", number.trim()), _server: server })
    }
}
