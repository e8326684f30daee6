//! What is spoken and what is wanted.

use crate::gui::icons::Icon;
use crate::gui::languages::{self, Offer};
use crate::gui::widgets::{icon_button, pick, row, section, weak};
use crate::settings::Settings;
use eframe::egui::Ui;

pub fn show(ui: &mut Ui, offer: &Offer, settings: &mut Settings) {
    section(ui, "Languages", |ui| {
        let speech = &mut settings.speech;
        let mut added = String::new();
        row(ui, "Spoken", "One is taken as given; of several, each phrase is one.", |ui| {
            let none = match speech.languages.is_empty() {
                true => "Any language",
                false => "Add a language",
            };
            let mut options = offer.to_speak(none, &[]);
            options.retain(|(code, _)| !speech.languages.contains(code));
            pick(ui, "Spoken language", &mut added, &options);
        });
        if !added.is_empty() {
            speech.languages.push(added);
        }
        let mut gone = None;
        ui.horizontal_wrapped(|ui| {
            for (place, code) in speech.languages.iter().enumerate() {
                let name = languages::name(code);
                ui.label(offer.name_spoken(code));
                if icon_button(ui, Icon::Close, &format!("Remove {name}")).clicked() {
                    gone = Some(place);
                }
            }
        });
        if let Some(place) = gone {
            speech.languages.remove(place);
        }
        row(ui, "Translate into", "Shown below what was said.", |ui| {
            let options = offer.to_write("No translation", &speech.translate);
            pick(ui, "Translation", &mut speech.translate, &options);
        });
        if !speech.translate.is_empty() && speech.translate != "en" {
            weak(
                ui,
                "Whisper translates into English alone; other languages need a trained model.",
            );
        }
    });
}
