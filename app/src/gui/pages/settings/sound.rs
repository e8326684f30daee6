//! Which sources are heard, with their levels, and when a phrase begins and ends.

use crate::capture::Source;
use crate::gui::backend::{Ears, SourceLevel};
use crate::gui::theme::Palette;
use crate::gui::widgets::{meter, row, section, slider, switch, weak};
use crate::settings::{Settings, limits};
use eframe::egui::{Align, Label, Layout, RichText, Slider, Ui};
use std::time::Duration;

pub fn show(ui: &mut Ui, ears: &dyn Ears, settings: &mut Settings) {
    section(ui, "What is heard", |ui| {
        let (mut known, trouble) = ears.sources();
        // What was chosen stays in the list while it is away.
        for source in &settings.audio.sources {
            if !known.iter().any(|known| known.source == *source) {
                known.push(SourceLevel {
                    source: source.clone(),
                    name: source.to_string(),
                    level: matches!(source, Source::File(_)).then_some(0.0),
                });
            }
        }
        weak(ui, "Several sources are heard together.");
        for level in &known {
            source(ui, level, &mut settings.audio.sources);
        }
        if let Some(trouble) = trouble {
            let color = Palette::of(ui).warn;
            ui.add(Label::new(RichText::new(trouble).color(color)).wrap());
        }
        if known.iter().any(|source| source.level.is_some_and(|level| level > 0.0)) {
            // Loudness moves by itself.
            ui.ctx().request_repaint_after(Duration::from_millis(66));
        }
    });
    section(ui, "When a phrase begins and ends", |ui| {
        let voice = &mut settings.voice;
        row(ui, "Pause that ends a phrase", "Shorter: text is final sooner.", |ui| {
            slider(
                ui,
                Slider::new(&mut voice.pause_ms, limits::PAUSES_MS).suffix(" ms").step_by(50.0),
            )
        });
        row(
            ui,
            "Speech from a probability of",
            "Higher: less noise, but soft voices are missed.",
            |ui| {
                slider(
                    ui,
                    Slider::new(&mut voice.threshold, limits::THRESHOLDS)
                        .step_by(0.05)
                        .fixed_decimals(2),
                )
            },
        );
        row(ui, "Shortest phrase", "", |ui| {
            let range = limits::MINIMUM_SPEECH_MS;
            slider(ui, Slider::new(&mut voice.minimum_speech_ms, range).suffix(" ms").step_by(50.0))
        });
        row(ui, "Audio before a phrase", "Heard with it, so that no first sound is cut.", |ui| {
            let range = limits::PRE_ROLLS_MS;
            slider(ui, Slider::new(&mut voice.pre_roll_ms, range).suffix(" ms").step_by(50.0))
        });
    });
}

fn source(ui: &mut Ui, level: &SourceLevel, chosen: &mut Vec<Source>) {
    ui.horizontal(|ui| {
        let mut on = chosen.contains(&level.source);
        if switch(ui, &mut on, &level.name).changed() {
            match on {
                true => chosen.push(level.source.clone()),
                // One at least is heard.
                false if chosen.len() > 1 => chosen.retain(|source| *source != level.source),
                false => {}
            }
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            match level.level {
                Some(loud) => {
                    meter(ui, loud, 160.0, &format!("Level of {}", level.name));
                }
                None => {
                    weak(ui, "not there");
                }
            }
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                ui.add(Label::new(&level.name).truncate());
            });
        });
    });
}
