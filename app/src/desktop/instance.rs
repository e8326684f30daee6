//! One instance a user: the second start speaks to the first.
//!
//! Who holds the lock on `instance.lock` is the first, until it ends, however it ends. It listens on
//! a socket beside it (where there are such sockets: elsewhere a second start only learns that it
//! is the second). A message is one line, its answer `ok`.

use crate::store::Store;
use anyhow::{Context, Result};
use crossbeam_channel::Receiver;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// What one instance can ask another for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// Show the window in front of others.
    Show,
    /// Begin or end dictation: for desktops whose own settings bind keys to commands.
    Dictate,
}

impl Message {
    const ALL: [(Self, &'static str); 2] = [(Self::Show, "show"), (Self::Dictate, "dictate")];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(message, _)| *message == self).map_or("", |(_, word)| word)
    }

    fn parse(line: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, word)| *word == line.trim_end()).map(|(message, _)| *message)
    }
}

/// Held by the first instance as long as it runs.
#[derive(Debug)]
pub struct Instance {
    messages: Receiver<Message>,
    #[cfg(unix)]
    _listener: unix::Listener,
    _lock: File,
}

impl Instance {
    /// What other starts ask for.
    pub fn messages(&self) -> &Receiver<Message> {
        &self.messages
    }
}

/// The folder for what lives no longer than a login: `partita` in the system's, else in the model
/// store's.
///
/// # Errors
/// When there is neither.
pub fn runtime_folder() -> Result<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "partita");
    if let Some(folder) = folders.as_ref().and_then(directories::ProjectDirs::runtime_dir) {
        return Ok(folder.to_owned());
    }
    Ok(Store::open()?.root().join("run"))
}

/// Becomes the first instance; `None` when there is one.
///
/// # Errors
/// When the folder cannot be used.
pub fn claim(folder: &Path) -> Result<Option<Instance>> {
    let shown = || folder.display().to_string();
    fs::create_dir_all(folder).with_context(shown)?;
    #[cfg(unix)]
    {
        // Nobody else may speak to us.
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).with_context(shown)?;
    }
    let path = folder.join("instance.lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&path);
    let lock = lock.with_context(|| path.display().to_string())?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| path.display().to_string());
        }
    }
    #[cfg(unix)]
    {
        let (listener, messages) = unix::Listener::start(&folder.join(SOCKET))?;
        Ok(Some(Instance { messages, _listener: listener, _lock: lock }))
    }
    #[cfg(not(unix))]
    Ok(Some(Instance { messages: crossbeam_channel::never(), _lock: lock }))
}

/// Says something to the first instance; whether there is one that took it.
///
/// # Errors
/// When there is one and it does not answer.
pub fn tell(folder: &Path, message: Message) -> Result<bool> {
    #[cfg(unix)]
    return unix::tell(&folder.join(SOCKET), message);
    #[cfg(not(unix))]
    {
        let _ = (folder, message);
        Ok(false)
    }
}

#[cfg(unix)]
const SOCKET: &str = "instance.sock";

#[cfg(unix)]
mod unix {
    use super::Message;
    use anyhow::{Context, Result, bail};
    use crossbeam_channel::{Receiver, Sender, bounded};
    use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread::{self, JoinHandle};
    use std::time::Duration;

    /// How long either side waits for the other.
    const PATIENCE: Duration = Duration::from_secs(2);
    /// Longer lines are no messages.
    const LONGEST: u64 = 64;

    #[derive(Debug)]
    pub(super) struct Listener {
        path: PathBuf,
        over: Arc<AtomicBool>,
        thread: Option<JoinHandle<()>>,
    }

    impl Listener {
        pub fn start(path: &Path) -> Result<(Self, Receiver<Message>)> {
            let shown = || path.display().to_string();
            // Whoever made one that is there has ended: we hold the lock.
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(shown);
                }
                _ => {}
            }
            let socket = UnixListener::bind(path).with_context(shown)?;
            let (sender, messages) = bounded(16);
            let over = Arc::new(AtomicBool::new(false));
            let own = Arc::clone(&over);
            let thread = thread::Builder::new()
                .name("instance".to_owned())
                .spawn(move || listen(&socket, &sender, &own))?;
            Ok((Self { path: path.to_owned(), over, thread: Some(thread) }, messages))
        }
    }

    impl Drop for Listener {
        fn drop(&mut self) {
            self.over.store(true, Ordering::Release);
            let woken = UnixStream::connect(&self.path).is_ok();
            if let Some(thread) = self.thread.take().filter(|_| woken) {
                let _ = thread.join();
            }
            let _ = std::fs::remove_file(&self.path);
        }
    }

    fn listen(socket: &UnixListener, messages: &Sender<Message>, over: &AtomicBool) {
        for stream in socket.incoming() {
            if over.load(Ordering::Acquire) {
                return;
            }
            match stream {
                Ok(stream) => {
                    if let Err(error) = answer(&stream, messages) {
                        tracing::debug!(%error, "another instance");
                    }
                }
                // Out of files, perhaps: it may pass.
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn answer(mut stream: &UnixStream, messages: &Sender<Message>) -> Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut line = String::new();
        BufReader::new(stream.take(LONGEST)).read_line(&mut line)?;
        let Some(message) = Message::parse(&line) else { bail!("no message: {line:?}") };
        // When nobody has read the last ones, one more changes nothing.
        let _ = messages.try_send(message);
        stream.write_all(b"ok\n")?;
        Ok(())
    }

    pub(super) fn tell(path: &Path, message: Message) -> Result<bool> {
        let shown = || format!("{}: the running instance does not answer", path.display());
        let mut stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
            {
                return Ok(false);
            }
            Err(error) => return Err(error).with_context(shown),
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(format!("{}\n", message.word()).as_bytes()).with_context(shown)?;
        let mut line = String::new();
        BufReader::new(stream.take(LONGEST)).read_line(&mut line).with_context(shown)?;
        Ok(line == "ok\n")
    }
}
