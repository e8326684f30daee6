//! What recognises speech.

use crate::gui::widgets::{choice, pick, row, section, settled_field, slider, weak};
use crate::runtimes::Backend;
use crate::settings::{Settings, limits};
use eframe::egui::{Slider, Ui};
use partita_model::onnx::Provider;
use partita_model::whisper::Quantization;

const ENGINES: [(&str, &str); 3] =
    [("auto", "Automatic"), ("whisper", "Whisper"), ("speech-llm", "Speech LLM")];

pub fn show(ui: &mut Ui, settings: &mut Settings) {
    section(ui, "Engine", |ui| {
        let engine = &mut settings.engine;
        row(
            ui,
            "Engine",
            "Automatic is the one that made the fewest errors here; Whisper if none was measured.",
            |ui| {
                let mut name = ENGINES
                    .iter()
                    .find(|(name, _)| *name == engine.name)
                    .map_or("auto", |(name, _)| *name);
                if choice(ui, &mut name, &ENGINES, "Engine") {
                    engine.name = name.to_owned();
                }
            },
        );
        row(ui, "Model", "A name of the page Models, or the folder of a trained model.", |ui| {
            settled_field(ui, &mut engine.model, ("Name of the model", "the engine's own"), 240.0)
        });
        row(
            ui,
            "Form of the weights",
            "Automatic takes what was measured to be best here.",
            |ui| {
                let forms =
                    Quantization::ALL.map(|form| (form.name().to_owned(), form.name().to_owned()));
                let automatic = (String::new(), "Automatic".to_owned());
                let options: Vec<_> = std::iter::once(automatic).chain(forms).collect();
                let mut form = engine.quantization.to_uppercase();
                if pick(ui, "Form of the weights", &mut form, &options) {
                    engine.quantization = form;
                }
            },
        );
        row(
            ui,
            "Runtime",
            "Of a trained model. Automatic takes the faster one of those that it is exported for.",
            |ui| {
                let table: Vec<_> = Backend::all().map(|(_, name, title)| (name, title)).collect();
                let own = Backend::from_name(&engine.backend).unwrap_or_default();
                let mut name = own.name();
                if choice(ui, &mut name, &table, "Runtime") {
                    engine.backend = name.to_owned();
                }
            },
        );
        row(ui, "ONNX Runtime computes on", "As far as its library can.", |ui| {
            let table = Provider::ALL.map(|own| (own.name().to_owned(), own.title().to_owned()));
            pick(ui, "ONNX Runtime computes on", &mut engine.provider, &table);
        });
        row(ui, "Device", "cpu, cuda:0 or metal", |ui| {
            settled_field(ui, &mut engine.device, ("Name of the device", "cpu"), 120.0)
        });
        let all = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let most = u16::try_from(all).unwrap_or(limits::MOST_THREADS).min(limits::MOST_THREADS);
        row(
            ui,
            "Threads",
            "0 for all cores. Products of quantized weights keep theirs until the program starts \
             anew.",
            |ui| slider(ui, Slider::new(&mut engine.threads, 0..=most)),
        );
        weak(ui, "A change of the engine begins a running session anew.");
    });
}
