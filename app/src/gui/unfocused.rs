//! A window that the keyboard never goes to.
//!
//! On X11 a program says so with the hint `input` of `WM_HINTS` (ICCCM 4.1.7, "No Input"), which the
//! window library does not offer. So it is set from outside as soon as the window is there, and the
//! window that was active before becomes active again. Elsewhere nothing is done here: the kind of
//! window and `with_active(false)` have to do.

/// Keeps the keyboard away from our window of that title, which is about to be opened.
pub fn keep(title: &'static str) {
    #[cfg(target_os = "linux")]
    if std::env::var_os("DISPLAY").is_some() && std::env::var_os("WAYLAND_DISPLAY").is_none() {
        let keep = move || {
            if let Err(error) = x11::keep(title) {
                tracing::debug!(%error, "the overlay may take the keyboard");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("overlay-focus".to_owned()).spawn(keep)
        {
            tracing::debug!(%error, "the overlay may take the keyboard");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = title;
}

#[cfg(target_os = "linux")]
mod x11 {
    use std::error::Error;
    use std::time::{Duration, Instant};
    use x11rb::connection::Connection;
    use x11rb::properties::WmHints;
    use x11rb::protocol::xproto::{AtomEnum, ClientMessageEvent, ConnectionExt, EventMask, Window};
    use x11rb::rust_connection::RustConnection;

    /// How long the window may take to be opened.
    const PATIENCE: Duration = Duration::from_secs(5);
    /// How long a window manager may take to make it the active one.
    const AFTER: Duration = Duration::from_millis(600);
    const TICK: Duration = Duration::from_millis(20);

    pub fn keep(title: &str) -> Result<(), Box<dyn Error>> {
        let (connection, screen) = x11rb::connect(None)?;
        let root = connection.setup().roots.get(screen).ok_or("no screen")?.root;
        let desk = Desk::new(&connection, root)?;
        let before = desk.active()?;
        let begun = Instant::now();
        let window = loop {
            if let Some(window) = desk.ours(|_, name| name == title.as_bytes())? {
                break window;
            }
            if begun.elapsed() > PATIENCE {
                return Ok(());
            }
            std::thread::sleep(TICK);
        };
        let mut hints = WmHints::get(&connection, window)?.reply()?.unwrap_or_default();
        hints.input = Some(false);
        hints.set(&connection, window)?;
        connection.flush()?;
        let begun = Instant::now();
        while begun.elapsed() < AFTER {
            let active = desk.active()?;
            if active == Some(window) || (active.is_none() && before.is_none()) {
                let before = before.filter(|before| *before != window);
                let back = match before {
                    Some(before) => Some(before),
                    // Both windows of a program that just starts.
                    None => desk.ours(|other, _| other != window)?,
                };
                if let Some(back) = back {
                    desk.activate(back)?;
                }
            }
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    /// What the window manager knows (EWMH).
    struct Desk<'a> {
        connection: &'a RustConnection,
        root: Window,
        clients: u32,
        active: u32,
        name: u32,
        process: u32,
    }

    impl<'a> Desk<'a> {
        fn new(connection: &'a RustConnection, root: Window) -> Result<Self, Box<dyn Error>> {
            let atom = |name: &str| -> Result<u32, Box<dyn Error>> {
                Ok(connection.intern_atom(false, name.as_bytes())?.reply()?.atom)
            };
            Ok(Self {
                connection,
                root,
                clients: atom("_NET_CLIENT_LIST")?,
                active: atom("_NET_ACTIVE_WINDOW")?,
                name: atom("_NET_WM_NAME")?,
                process: atom("_NET_WM_PID")?,
            })
        }

        fn numbers(&self, window: Window, property: u32) -> Result<Vec<u32>, Box<dyn Error>> {
            let connection = self.connection;
            let reply = connection.get_property(false, window, property, AtomEnum::ANY, 0, 1024)?;
            let reply = reply.reply()?;
            Ok(reply.value32().map(Iterator::collect).unwrap_or_default())
        }

        fn active(&self) -> Result<Option<Window>, Box<dyn Error>> {
            let active = self.numbers(self.root, self.active)?;
            Ok(active.first().copied().filter(|window| *window != 0))
        }

        /// The first window of this process that fits, by its number and its title.
        fn ours(
            &self,
            fits: impl Fn(Window, &[u8]) -> bool,
        ) -> Result<Option<Window>, Box<dyn Error>> {
            for window in self.numbers(self.root, self.clients)? {
                let connection = self.connection;
                let name =
                    connection.get_property(false, window, self.name, AtomEnum::ANY, 0, 256)?;
                // A window may go between two questions.
                let Ok(name) = name.reply() else { continue };
                let process = self.numbers(window, self.process).unwrap_or_default();
                if process.first() == Some(&std::process::id()) && fits(window, &name.value) {
                    return Ok(Some(window));
                }
            }
            Ok(None)
        }

        fn activate(&self, window: Window) -> Result<(), Box<dyn Error>> {
            // Source 2: on behalf of the user.
            let message = ClientMessageEvent::new(32, window, self.active, [2, 0, 0, 0, 0]);
            let mask = EventMask::SUBSTRUCTURE_NOTIFY | EventMask::SUBSTRUCTURE_REDIRECT;
            self.connection.send_event(false, self.root, mask, message)?;
            self.connection.flush()?;
            Ok(())
        }
    }
}
