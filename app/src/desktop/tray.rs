//! An icon among those of the desktop, by the StatusNotifierItem protocol over D-Bus.

use anyhow::Result;

/// What can be chosen there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Show the window in front of others; also what a click on the icon does.
    Show,
    /// Begin or end listening.
    Listen,
    /// Begin or end dictation.
    Dictate,
    /// End the program.
    Quit,
}

/// The icon, as long as this lives.
pub struct Tray(#[cfg(target_os = "linux")] item::Handle);

impl Tray {
    /// Shows the icon: a square of so many pixels a side, each red, green, blue and opacity. What is
    /// chosen is told from a thread of its own.
    ///
    /// Waits for the desktop, so it is not for a window's thread.
    ///
    /// # Errors
    /// When the desktop cannot be reached or shows no such icons.
    pub fn open(icon: (u32, &[u8]), chosen: impl Fn(Choice) + Send + 'static) -> Result<Self> {
        #[cfg(target_os = "linux")]
        return Ok(Self(item::show(icon, chosen)?));
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (icon, chosen);
            anyhow::bail!("there is no such icon on this system yet")
        }
    }

    /// Says whether the program listens at the moment.
    pub fn listens(&self, listening: bool) {
        #[cfg(target_os = "linux")]
        self.0.update(|item| item.listening = listening);
        #[cfg(not(target_os = "linux"))]
        let _ = listening;
    }
}

#[cfg(target_os = "linux")]
impl Drop for Tray {
    fn drop(&mut self) {
        self.0.shutdown().wait();
    }
}

#[cfg(target_os = "linux")]
mod item {
    use super::Choice;
    use anyhow::{Context, Result};
    use ksni::blocking::TrayMethods;
    use ksni::menu::{CheckmarkItem, StandardItem};
    use ksni::{Icon, MenuItem};

    pub type Handle = ksni::blocking::Handle<Item>;

    pub fn show(
        (side, rgba): (u32, &[u8]),
        chosen: impl Fn(Choice) + Send + 'static,
    ) -> Result<Handle> {
        let pixels = rgba.as_chunks::<4>().0.iter();
        let icon = Icon {
            width: i32::try_from(side)?,
            height: i32::try_from(side)?,
            data: pixels.flat_map(|&[red, green, blue, alpha]| [alpha, red, green, blue]).collect(),
        };
        let item = Item { icon, listening: false, chosen: Box::new(chosen) };
        item.spawn().context("this desktop shows no icons of programs")
    }

    pub struct Item {
        icon: Icon,
        pub listening: bool,
        chosen: Box<dyn Fn(Choice) + Send>,
    }

    impl ksni::Tray for Item {
        fn id(&self) -> String {
            "partita".to_owned()
        }

        fn title(&self) -> String {
            if self.listening { "Partita listens" } else { "Partita" }.to_owned()
        }

        fn icon_pixmap(&self) -> Vec<Icon> {
            vec![self.icon.clone()]
        }

        fn activate(&mut self, _: i32, _: i32) {
            (self.chosen)(Choice::Show);
        }

        fn menu(&self) -> Vec<MenuItem<Self>> {
            let plain = |label: &str, choice| -> MenuItem<Self> {
                let activate = Box::new(move |item: &mut Self| (item.chosen)(choice));
                StandardItem { label: label.to_owned(), activate, ..Default::default() }.into()
            };
            let listen = CheckmarkItem {
                label: "Listen".to_owned(),
                checked: self.listening,
                activate: Box::new(|item: &mut Self| (item.chosen)(Choice::Listen)),
                ..Default::default()
            };
            vec![
                plain("Show Partita", Choice::Show),
                MenuItem::Separator,
                listen.into(),
                plain("Begin or end dictation", Choice::Dictate),
                MenuItem::Separator,
                plain("Quit", Choice::Quit),
            ]
        }
    }
}
