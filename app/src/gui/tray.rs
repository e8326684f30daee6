//! The window's icon among those of the desktop. A thread waits for the desktop.

use super::sign;
use super::worker::Wake;
use crate::desktop::{Choice, Tray};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::thread;

/// What the icon's thread says.
#[derive(Debug)]
pub enum Said {
    /// The icon is there: the window may be hidden, as there is a way back.
    There,
    /// Something was chosen.
    Choice(Choice),
    /// There is no icon, and why.
    Trouble(String),
}

/// The icon, as long as this lives.
pub struct TrayIcon {
    said: Receiver<Said>,
    listening: Sender<bool>,
    told: bool,
}

impl TrayIcon {
    /// Shows it, in a while.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn open(wake: Wake) -> std::io::Result<Self> {
        let (tell, said) = bounded(32);
        let (listening, now) = bounded(8);
        thread::Builder::new().name("tray".to_owned()).spawn(move || keep(&now, tell, wake))?;
        Ok(Self { said, listening, told: false })
    }

    /// What was said since the last look.
    pub fn hear(&self) -> Vec<Said> {
        self.said.try_iter().collect()
    }

    /// Says whether the program listens. To be called once a frame.
    pub fn listens(&mut self, listening: bool) {
        // What does not get through is told at the next frame.
        if listening != self.told && self.listening.try_send(listening).is_ok() {
            self.told = listening;
        }
    }
}

fn keep(listening: &Receiver<bool>, tell: Sender<Said>, wake: Wake) {
    let choices = (tell.clone(), wake.clone());
    let chosen = move |choice| {
        // Whoever clicks faster than it is drawn may be overheard.
        drop(choices.0.try_send(Said::Choice(choice)));
        (choices.1)();
    };
    let tray = match Tray::open((sign::SIDE, &sign::rgba()), chosen) {
        Ok(tray) => tray,
        Err(error) => {
            drop(tell.try_send(Said::Trouble(format!("{error:#}"))));
            wake();
            return;
        }
    };
    drop(tell.try_send(Said::There));
    wake();
    listening.iter().for_each(|now| tray.listens(now));
}
