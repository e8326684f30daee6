//! Typing into other programs under Wayland, which lets no program press keys by itself: by the
//! tools that some desktops allow.
//!
//! `wtype` types anything where the compositor has virtual keyboards (wlroots, KDE). `ydotool` speaks
//! to the kernel, so it works everywhere its service runs, but knows only the keys of a US
//! keyboard: it presses the keys that paste.

use super::DictateError;
use super::clipboard::Borrowed;
use super::desk::{Desk, Window};
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A tool that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Milliseconds before the first key: `wtype` is a new keyboard each time, and programs lose what
/// it presses before they have its keys (seen in foot under sway: the first letter).
const SETTLING: &str = "100";

/// A desktop under Wayland.
pub struct WaylandDesk {
    tool: Tool,
    clipboard: Option<Borrowed>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tool {
    Wtype(PathBuf),
    Ydotool(PathBuf),
}

impl WaylandDesk {
    /// Looks for a tool.
    ///
    /// # Errors
    /// [`DictateError::NoTools`].
    pub fn open() -> Result<Self, DictateError> {
        let tool = find("wtype").map(Tool::Wtype);
        let tool = tool.or_else(|| find("ydotool").map(Tool::Ydotool));
        Ok(Self { tool: tool.ok_or(DictateError::NoTools)?, clipboard: None })
    }
}

impl Desk for WaylandDesk {
    /// Wayland tells no program about others.
    fn window(&mut self) -> Option<Window> {
        None
    }

    fn ready(&mut self) -> bool {
        true
    }

    fn type_text(&mut self, text: &str) -> Result<(), DictateError> {
        match &self.tool {
            Tool::Wtype(path) => run(Command::new(path).args(["-s", SETTLING, "--"]).arg(text)),
            Tool::Ydotool(_) => self.paste(text),
        }
    }

    fn paste(&mut self, text: &str) -> Result<(), DictateError> {
        let clipboard = match &mut self.clipboard {
            Some(clipboard) => clipboard,
            none => none.insert(Borrowed::open()?),
        };
        clipboard.lend(text)?;
        match &self.tool {
            Tool::Wtype(path) => {
                let keys = ["-s", SETTLING, "-M", "shift", "-k", "Insert", "-m", "shift"];
                run(Command::new(path).args(keys))?;
            }
            // Codes of the kernel: left Shift 42, Insert 110; 1 is down, 0 up.
            Tool::Ydotool(path) => {
                run(Command::new(path).args(["key", "42:1", "110:1", "110:0", "42:0"]))?;
            }
        }
        clipboard.touched();
        Ok(())
    }

    fn rest(&mut self) {
        if let Some(clipboard) = &mut self.clipboard {
            clipboard.rest();
        }
    }
}

/// A program of the search path.
fn find(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Runs a tool to its end; what it complains of is the error.
fn run(command: &mut Command) -> Result<(), DictateError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |reason: String| DictateError::Typing(format!("{name}: {reason}"));
    let piped = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = piped.spawn().map_err(|error| failed(error.to_string()))?;
    let since = Instant::now();
    loop {
        match child.try_wait().map_err(|error| failed(error.to_string()))? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(failed(complaint(&mut child, &status.to_string()))),
            None if since.elapsed() > PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed("does not come to an end".into()));
            }
            None => sleep(Duration::from_millis(5)),
        }
    }
}

/// The first line of what a tool said, and what to do about it.
fn complaint(child: &mut Child, status: &str) -> String {
    let mut said = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(4096).read_to_end(&mut said);
    }
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().next().unwrap_or(status);
    match said.contains("virtual keyboard") {
        true => format!("{line}; install ydotool with its service ydotoold instead"),
        false => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tool_says_is_the_error() {
        run(Command::new("sh").args(["-c", "exit 0"])).unwrap();
        let error = run(Command::new("sh").args(["-c", "echo no virtual keyboard >&2; exit 3"]));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("sh: no virtual keyboard; install ydotool"), "{error}");
        assert!(run(&mut Command::new("no-such-tool-at-all")).is_err());
        assert!(find("sh").is_some() && find("no-such-tool-at-all").is_none());
    }
}
