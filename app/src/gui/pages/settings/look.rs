//! How windows and the overlay look.

use crate::gui::pages::live::SIZES;
use crate::gui::widgets::{choice, row, section, slider, switch};
use crate::settings::{Settings, Shown, Theme, limits};
use eframe::egui::{Slider, Ui};

const THEMES: [(Theme, &str); 3] =
    [(Theme::System, "System"), (Theme::Light, "Light"), (Theme::Dark, "Dark")];
/// What the overlay shows.
pub const SHOWN: [(Shown, &str); 3] =
    [(Shown::Original, "Original"), (Shown::Translation, "Translation"), (Shown::Both, "Both")];

pub fn show(ui: &mut Ui, settings: &mut Settings) {
    section(ui, "Windows", |ui| {
        let look = &mut settings.look;
        row(ui, "Theme", "", |ui| choice(ui, &mut look.theme, &THEMES, "Theme"));
        row(ui, "Size of captions", "Also by Ctrl and plus or minus.", |ui| {
            slider(
                ui,
                Slider::new(&mut look.font_size, SIZES)
                    .suffix(" pt")
                    .step_by(1.0)
                    .fixed_decimals(0),
            )
        });
    });
    section(ui, "Overlay", |ui| {
        let overlay = &mut settings.overlay;
        row(
            ui,
            "Show the overlay",
            "Captions above all other windows: Ctrl+O. Ctrl+Shift with arrows moves them, with Home, \
             End, Page Up and Page Down makes them smaller or larger.",
            |ui| switch(ui, &mut overlay.open, "Show the overlay"),
        );
        row(ui, "Text", "", |ui| choice(ui, &mut overlay.shown, &SHOWN, "Text"));
        row(ui, "Lines", "", |ui| {
            slider(ui, Slider::new(&mut overlay.lines, limits::OVERLAY_LINES))
        });
        row(ui, "Size of text", "", |ui| {
            slider(
                ui,
                Slider::new(&mut overlay.font_size, 14.0..=72.0)
                    .suffix(" pt")
                    .step_by(1.0)
                    .fixed_decimals(0),
            )
        });
        row(ui, "Colour of text", "", |ui| ui.color_edit_button_srgb(&mut overlay.text_color));
        row(ui, "Colour of the ground", "", |ui| {
            ui.color_edit_button_srgb(&mut overlay.ground_color)
        });
        row(ui, "Opacity of the ground", "", |ui| {
            slider(ui, Slider::new(&mut overlay.opacity, 0.0..=1.0).step_by(0.05).fixed_decimals(2))
        });
        row(ui, "Lock", "It cannot be moved, and clicks go through it.", |ui| {
            switch(ui, &mut overlay.locked, "Lock the overlay")
        });
    });
}
