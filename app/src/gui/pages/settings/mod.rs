//! What the user chose. A change counts at once.

mod dictation;
mod engine;
mod look;
mod sound;
mod speech;
mod storage;

use super::Shared;
use crate::gui::backend::{Ears, Watch};
use crate::gui::widgets::{choice, column, header, page};
use crate::gui::worker::Wake;
use eframe::egui::Ui;

/// A part of the page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Sound,
    Speech,
    Look,
    Dictation,
    Storage,
}

const PARTS: [(Part, &str); 5] = [
    (Part::Sound, "Sound"),
    (Part::Speech, "Speech"),
    (Part::Look, "Appearance"),
    (Part::Dictation, "Dictation"),
    (Part::Storage, "Storage"),
];

/// The page.
pub struct SettingsPage {
    watch: Watch,
    wake: Wake,
    ears: Option<Box<dyn Ears>>,
    part: Part,
    dictation: dictation::Editing,
}

impl SettingsPage {
    /// The page; sources are watched while it shows them.
    pub fn new(watch: Watch, wake: Wake) -> Self {
        let dictation = dictation::Editing::default();
        Self { watch, wake, ears: None, part: Part::default(), dictation }
    }

    /// Stops watching the sources.
    pub fn leave(&mut self) {
        self.ears = None;
    }

    /// Draws the page.
    pub fn show(&mut self, ui: &mut Ui, shared: &mut Shared) {
        page(ui, |ui| {
            header(ui, "Settings", |_| {});
            choice(ui, &mut self.part, &PARTS, "Part");
            ui.add_space(8.0);
            if self.part != Part::Sound {
                self.ears = None;
            }
            let part = self.part;
            column(ui, PARTS.iter().find(|(own, _)| *own == part).map_or("", |(_, n)| n), |ui| {
                match part {
                    Part::Sound => {
                        let wake = self.wake.clone();
                        let watch = &mut self.watch;
                        let ears = self.ears.get_or_insert_with(|| watch(wake));
                        sound::show(ui, ears.as_ref(), shared.settings);
                    }
                    Part::Speech => {
                        let offer = shared.listener.offer(&shared.settings.engine);
                        speech::show(ui, &offer, shared.settings);
                        engine::show(ui, shared.settings);
                    }
                    Part::Look => look::show(ui, shared.settings),
                    Part::Dictation => {
                        let offer = shared.listener.offer(&shared.settings.engine);
                        let dictation = &mut shared.settings.dictation;
                        dictation::show(ui, &mut self.dictation, &offer, dictation);
                    }
                    Part::Storage => storage::show(ui, shared.settings),
                }
            });
        });
    }
}
