//! What is kept on disk, and the program itself.

use crate::gui::widgets::{row, section, slider, switch};
use crate::settings::{Settings, limits};
use eframe::egui::{Slider, Ui};

pub fn show(ui: &mut Ui, settings: &mut Settings) {
    section(ui, "Kept on this machine", |ui| {
        let storage = &mut settings.storage;
        row(ui, "Text of sessions", "In the history, until you delete it.", |ui| {
            switch(ui, &mut storage.history, "Keep the text of sessions")
        });
        row(ui, "Audio of sessions", "", |ui| {
            switch(ui, &mut storage.audio, "Keep the audio of sessions")
        });
        ui.add_enabled_ui(storage.audio, |ui| {
            row(ui, "Most audio of a session", "", |ui| {
                let range = *limits::AUDIO_LIMITS_MIB.start()..=8192;
                let amount = Slider::new(&mut storage.audio_limit_mib, range);
                slider(ui, amount.suffix(" MiB").logarithmic(true))
            });
        });
    });
    section(ui, "Program", |ui| {
        row(ui, "Start when you log in", "", |ui| {
            switch(ui, &mut settings.desktop.start_at_login, "Start when you log in")
        });
        if cfg!(target_os = "linux") {
            let what = "Closing the window then hides it; quit from the icon's menu.";
            row(ui, "Icon in the system tray", what, |ui| {
                switch(ui, &mut settings.desktop.tray, "Icon in the system tray")
            });
        }
    });
}
