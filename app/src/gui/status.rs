//! The bar at the bottom: what the session costs, and whether anything waits or was lost.

use super::listener::{Listener, Phase};
use super::theme::Palette;
use super::widgets::weak;
use eframe::egui::{Align, Color32, Layout, Response, RichText, Sense, Ui, vec2};

/// More than this waits to be heard: the machine is too slow.
const BACKLOG: f64 = 2.0;

/// Draws the bar; `busy` is what else is being done.
pub fn show(ui: &mut Ui, listener: &Listener, busy: &[String]) {
    let palette = Palette::of(ui);
    ui.horizontal_centered(|ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        let (color, text) = match &listener.phase {
            Phase::Idle => (palette.weak, "Ready"),
            Phase::Starting => (palette.warn, "Loading"),
            Phase::Listening if listener.paused => (palette.warn, "Paused"),
            Phase::Listening if speaking(listener) => (palette.good, "Speech"),
            Phase::Listening => (palette.accent, "Listening"),
            Phase::Stopping => (palette.warn, "Stopping"),
            Phase::Failed(_) => (palette.bad, "Stopped"),
        };
        dot(ui, color);
        ui.label(text);
        for text in busy {
            ui.add_space(8.0);
            ui.spinner();
            ui.add(eframe::egui::Label::new(RichText::new(text).color(palette.weak)).truncate());
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| numbers(ui, listener));
    });
}

fn speaking(listener: &Listener) -> bool {
    listener.status.is_some_and(|status| status.speaking)
}

fn dot(ui: &mut Ui, color: Color32) {
    let (rect, _) = ui.allocate_exact_size(vec2(14.0, 14.0), Sense::hover());
    ui.painter().circle_filled(rect.center(), 4.0, color);
}

/// Filled from the right.
fn numbers(ui: &mut Ui, listener: &Listener) {
    let palette = Palette::of(ui);
    ui.spacing_mut().item_spacing.x = 5.0;
    if !listener.engine.is_empty() {
        number(ui, "Engine", &listener.engine, None, "What understands speech");
    }
    let Some(status) = listener.status else {
        if let Some(memory) = crate::machine::memory_mib() {
            number(ui, "Memory", &format!("{memory:.0} MB"), None, "Memory that the program holds");
        }
        return;
    };
    number(
        ui,
        "Memory",
        &format!("{:.0} MB", status.memory),
        None,
        "Memory that the program holds",
    );
    let lost = (status.lost > 0.0).then_some(palette.bad);
    number(ui, "Lost", &seconds(status.lost), lost, "Audio that the system lost");
    let waits = (status.backlog > BACKLOG).then_some(palette.warn);
    number(ui, "Backlog", &seconds(status.backlog), waits, "Audio that waits to be heard");
    let load = (status.load > 1.0).then_some(palette.warn);
    number(
        ui,
        "Load",
        &format!("{:.0} %", status.load * 100.0),
        load,
        "Share of time spent in the engine; above 100 % the machine is too slow",
    );
    if let Some(timing) = listener.timing {
        let text = match listener.to_translation {
            Some(translation) => {
                format!("{:.2} s, translation {translation:.2} s", timing.to_final)
            }
            None => format!("{:.2} s", timing.to_final),
        };
        number(ui, "Latency", &text, None, "From the end of the last phrase to its final text");
    }
}

fn seconds(value: f64) -> String {
    format!("{value:.1} s")
}

/// A value and, left of it, its name.
fn number(ui: &mut Ui, name: &str, value: &str, color: Option<Color32>, help: &str) -> Response {
    let palette = Palette::of(ui);
    let value = ui.label(RichText::new(value).color(color.unwrap_or(palette.text)));
    let name = weak(ui, name);
    ui.add_space(10.0);
    (value | name).on_hover_text(help)
}
