//! Dictation from the window: a key, whichever program has the focus, begins and ends it.

use super::listener::{Listener, Phase};
use super::pages::Notices;
use super::worker::Wake;
use crate::dictate::{self, Desk, DictateError, Dictation, Hotkey, Press, Typist};
use crate::settings::{Settings, SharedSettings};
use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use std::thread;

/// Opens the way to other programs.
pub type OpenDesk = fn() -> Result<Box<dyn Desk>, DictateError>;

/// What the thread that holds the key says.
enum Said {
    Press(Press),
    Trouble(String),
}

/// The key, and what follows from it.
pub struct Dictating {
    open: OpenDesk,
    settings: SharedSettings,
    /// The key that is to be held, for the thread.
    keys: Sender<String>,
    said: Receiver<Said>,
    /// The key as it was told last.
    key: String,
    /// Starts of the program that ask for dictation.
    asked: Receiver<()>,
    /// Whether the window asks to begin or end it.
    toggled: bool,
    on: bool,
    /// Whether the session was begun for dictation, and ends with it.
    ours: bool,
}

impl Dictating {
    /// Takes the key of the settings; what is `asked` is as good as a press of it.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(
        open: OpenDesk,
        settings: SharedSettings,
        asked: Receiver<()>,
        wake: Wake,
    ) -> std::io::Result<Self> {
        let (keys, wanted) = bounded(8);
        let (tell, said) = bounded(32);
        thread::Builder::new()
            .name("hotkey".to_owned())
            .spawn(move || hold_key(&wanted, &tell, &wake))?;
        let (toggled, on, ours) = (false, false, false);
        let key = String::new();
        Ok(Self { open, settings, keys, said, key, asked, toggled, on, ours })
    }

    /// Whether what is said is being typed.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Begins or ends it, at the next look.
    pub fn toggle(&mut self) {
        self.toggled ^= true;
    }

    /// Does what was asked since the last look. To be called once a frame.
    pub fn hear(&mut self, listener: &mut Listener, settings: &Settings, notices: &mut Notices) {
        let key = &settings.dictation.hotkey;
        if *key != self.key && self.keys.try_send(key.clone()).is_ok() {
            self.key.clone_from(key);
        }
        let mut wanted = self.on;
        for said in self.said.try_iter() {
            match said {
                Said::Press(press) => {
                    wanted = dictate::listening(settings.dictation.trigger, press, wanted);
                }
                Said::Trouble(trouble) => notices.bad(trouble),
            }
        }
        wanted ^= self.asked.try_iter().count() % 2 == 1;
        wanted ^= std::mem::take(&mut self.toggled);
        // A session that has ended takes dictation with it.
        let over = matches!(listener.phase, Phase::Idle | Phase::Failed(_));
        if self.on && over {
            self.end(listener);
            wanted = false;
        }
        match (self.on, wanted) {
            (false, true) => {
                if let Err(error) = self.begin(listener, settings) {
                    notices.bad(format!("dictation: {error}"));
                }
            }
            (true, false) => self.end(listener),
            _ => {}
        }
        let Some(typist) = listener.typist() else { return };
        if let Some(trouble) = typist.failure() {
            notices.bad(trouble);
        }
        // What counts for the program that has the focus.
        if let Some(choice) = typist.choice().filter(|_| self.on) {
            listener.listen_as(Some(choice.live(settings)));
        }
    }

    fn begin(&mut self, listener: &mut Listener, settings: &Settings) -> Result<(), DictateError> {
        if !listener.go_on_typing() {
            let dictation = Dictation::new(self.settings.clone(), (self.open)()?);
            let typist = Typist::start(dictation)
                .map_err(|error| DictateError::Typing(error.to_string()))?;
            listener.begin_typing(typist);
        }
        self.ours = !matches!(listener.phase, Phase::Starting | Phase::Listening);
        if self.ours {
            listener.start(settings);
        }
        self.on = true;
        Ok(())
    }

    /// What is being spoken is still typed.
    fn end(&mut self, listener: &mut Listener) {
        self.on = false;
        listener.end_typing();
        match self.ours {
            true => listener.stop(),
            false => listener.listen_as(None),
        }
    }
}

/// Holds the key that was wanted last, and tells of its presses, until nobody listens.
fn hold_key(wanted: &Receiver<String>, tell: &Sender<Said>, wake: &Wake) {
    let mut hotkey: Option<Hotkey> = None;
    loop {
        let presses = hotkey.as_ref().map_or_else(never, |key| key.presses().clone());
        let said = select! {
            recv(wanted) -> key => {
                let Ok(key) = key else { return };
                // The old one goes first: it may be the same.
                drop(hotkey.take());
                match (!key.is_empty()).then(|| Hotkey::register(&key)).transpose() {
                    Ok(key) => {
                        hotkey = key;
                        continue;
                    }
                    Err(error) => Said::Trouble(error.to_string()),
                }
            }
            recv(presses) -> press => match press {
                Ok(press) => Said::Press(press),
                Err(_) => {
                    hotkey = None;
                    continue;
                }
            },
        };
        if tell.send(said).is_err() {
            return;
        }
        wake();
    }
}
