//! Models, and what this machine does with them.

use super::Shared;
use crate::gui::icons::{self, Icon};
use crate::gui::jobs::measuring;
use crate::gui::jobs::models::{self, Ask, Say, megabytes};
use crate::gui::theme::{Palette, strong};
use crate::gui::widgets::{
    badge, bar, card, column, header, icon_button, labelled_button, page, primary_button, section,
    weak,
};
use crate::gui::worker::{Wake, Worker};
use crate::measure::Measured;
use crate::settings;
use crate::store::{Model, State, Store};
use eframe::egui::{Align, Grid, Id, Label, Layout, Modal, RichText, Sense, Ui, vec2};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The model that speech needs at least.
const NEEDED: &str = "whisper-base";
/// What tells speech from noise: fetched with it.
const WITH_IT: [&str; 2] = ["silero-vad", "onnxruntime"];

/// The page.
#[derive(Debug)]
pub struct ModelsPage {
    store: Store,
    worker: Worker<Ask, Say>,
    states: HashMap<String, Option<State>>,
    known: bool,
    work: Option<Work>,
    failures: HashMap<String, String>,
    /// The model whose terms are being shown.
    terms: Option<String>,
    bench: Worker<measuring::Ask, measuring::Say>,
    measured: Measured,
    measuring: Option<(String, f32)>,
    stop: Arc<AtomicBool>,
}

/// What is being done for a model.
#[derive(Debug)]
struct Work {
    name: String,
    step: String,
    done: u64,
    total: u64,
    cancelled: Arc<AtomicBool>,
    /// Whether it is being fetched.
    pulls: bool,
}

impl ModelsPage {
    /// The models of a store.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn new(store: Store, wake: &Wake) -> std::io::Result<Self> {
        let worker = models::start(store.clone(), wake.clone())?;
        worker.ask(Ask::Look);
        Ok(Self {
            bench: measuring::start(store.root().to_owned(), wake.clone())?,
            measured: Measured::load(store.root()),
            worker,
            store,
            states: HashMap::new(),
            known: false,
            work: None,
            failures: HashMap::new(),
            terms: None,
            measuring: None,
            stop: Arc::default(),
        })
    }

    /// Whether the model that speech needs is installed; `None` until that is known.
    pub fn ready(&self) -> Option<bool> {
        let installed = |state: &Option<State>| matches!(state, Some(State::Installed { .. }));
        self.known.then(|| self.states.get(NEEDED).is_some_and(installed))
    }

    /// What is being fetched or measured, for the status bar.
    pub fn busy(&self) -> Option<String> {
        let work = self.work.as_ref().map(|work| work.step.clone());
        work.or_else(|| self.measuring.as_ref().map(|(what, _)| format!("measuring {what}")))
    }

    /// Takes what the threads said. To be called once a frame.
    pub fn hear(&mut self, shared: &mut Shared) {
        let said: Vec<_> = self.worker.heard().collect();
        for say in said {
            match say {
                Say::States(states) => {
                    self.states = states.into_iter().collect();
                    self.known = true;
                }
                Say::At(name, step, done, total) => {
                    if let Some(work) = self.work.as_mut().filter(|work| work.name == name) {
                        (work.step, work.done, work.total) = (step, done, total);
                    }
                }
                Say::Done(name, text) => {
                    shared.notices.good(text);
                    self.failures.remove(&name);
                    let first = name == NEEDED && self.measured.best(NEEDED).is_none();
                    if first && self.work.as_ref().is_some_and(|work| work.name == name) {
                        self.measure(&shared.settings.engine);
                    }
                    let pulled = self.work.take().is_some_and(|work| work.pulls);
                    if pulled && (name == NEEDED || WITH_IT.contains(&name.as_str())) {
                        self.fetch_the_rest(&name);
                    }
                }
                Say::Failed(name, message) => {
                    self.work = None;
                    self.failures.insert(name, message);
                }
                Say::Cancelled(_) => self.work = None,
            }
        }
        let said: Vec<_> = self.bench.heard().collect();
        for say in said {
            match say {
                measuring::Say::At(what, part) => self.measuring = Some((what, part)),
                measuring::Say::Rows(measured, last) => {
                    self.measured = measured;
                    if last {
                        self.measuring = None;
                    }
                }
                measuring::Say::Failed(message) => {
                    self.measuring = None;
                    shared.notices.bad(message);
                }
                measuring::Say::Cancelled => self.measuring = None,
            }
        }
    }

    fn measure(&mut self, engine: &settings::Engine) {
        self.stop = Arc::default();
        if self.bench.ask(measuring::Ask(engine.clone(), self.stop.clone())) {
            self.measuring = Some((String::new(), 0.0));
        }
    }

    /// Draws the page.
    pub fn show(&mut self, ui: &mut Ui, shared: &mut Shared) {
        page(ui, |ui| {
            header(ui, "Models", |_| {});
            column(ui, "models", |ui| {
                let models = self.store.catalogue().models.clone();
                for model in &models {
                    ui.push_id(&model.name, |ui| card(ui, |ui| self.model(ui, model)));
                }
                self.machine(ui, shared);
                weak(ui, format!("Kept in {}", self.store.root().display()));
            });
        });
        self.ask(ui);
    }

    fn model(&mut self, ui: &mut Ui, model: &Model) {
        let palette = Palette::of(ui);
        let state = self.states.get(&model.name).copied().flatten();
        let here = model.files_here().is_ok();
        ui.horizontal(|ui| {
            ui.vertical(|ui| {
                ui.set_width((ui.available_width() - 190.0).max(120.0));
                ui.spacing_mut().item_spacing.y = 4.0;
                ui.horizontal(|ui| {
                    ui.label(strong(&model.title, 15.0));
                    match state {
                        Some(State::Installed { .. }) => badge(ui, "installed", palette.good),
                        Some(State::Partial { .. }) => badge(ui, "incomplete", palette.warn),
                        _ if !here => badge(ui, "not for this system", palette.weak),
                        _ => badge(ui, &megabytes(model.size_here()), palette.weak),
                    };
                });
                ui.add(Label::new(&model.about).wrap());
                let mut facts = format!("{} · {}", model.languages, model.licence.name);
                if let Some(State::Installed { bytes, derived }) = state {
                    facts = format!("{facts} · {} on disk", megabytes(bytes + derived));
                }
                ui.add(Label::new(RichText::new(facts).small().color(palette.weak)).wrap());
            });
            ui.with_layout(Layout::right_to_left(Align::Min), |ui| {
                self.buttons(ui, model, state, here);
            });
        });
        if let Some(work) = self.work.as_ref().filter(|work| work.name == model.name) {
            let part = (work.total > 0).then(|| work.done as f32 / work.total as f32);
            let name = format!("Progress of {}", model.name);
            ui.horizontal(|ui| {
                bar(ui, part, (ui.available_width() - 130.0).max(80.0), &name);
                if work.total > 0 {
                    weak(ui, format!("{} of {}", megabytes(work.done), megabytes(work.total)));
                }
            });
            ui.add(Label::new(RichText::new(&work.step).small().color(palette.weak)).truncate());
        }
        if let Some(failure) = self.failures.get(&model.name) {
            ui.add(Label::new(RichText::new(failure).color(palette.bad)).wrap());
        }
    }

    fn buttons(&mut self, ui: &mut Ui, model: &Model, state: Option<State>, here: bool) {
        let name = &model.name;
        if let Some(work) = self.work.as_ref().filter(|work| work.name == *name) {
            if icon_button(ui, Icon::Stop, &format!("Cancel {name}")).clicked() {
                work.cancelled.store(true, Ordering::Relaxed);
            }
            return;
        }
        let free = self.work.is_none() && here && self.known;
        ui.add_enabled_ui(free, |ui| match state {
            Some(State::Installed { .. }) => {
                if icon_button(ui, Icon::Trash, &format!("Remove {name}")).clicked() {
                    self.worker.ask(Ask::Remove(name.clone()));
                }
                if icon_button(ui, Icon::Check, &format!("Verify {name}")).clicked() {
                    self.begin(name, Ask::Verify);
                }
            }
            _ => {
                let label = if name == NEEDED { primary_button } else { labelled_button };
                let pressed =
                    ui.push_id("download", |ui| label(ui, Icon::Export, "Download")).inner;
                let named = format!("Download {}", model.title);
                pressed.widget_info(|| {
                    eframe::egui::WidgetInfo::labeled(
                        eframe::egui::Role::Button,
                        free,
                        named.clone(),
                    )
                });
                if pressed.clicked() {
                    match model.licence.accept {
                        true => self.terms = Some(name.clone()),
                        false => self.begin(name, Ask::Pull),
                    }
                }
            }
        });
    }

    /// Fetches the next of the models that go with the one that speech needs.
    fn fetch_the_rest(&mut self, done: &str) {
        let missing = |name: &str| {
            let state = self.states.get(name);
            name != done && matches!(state, Some(Some(State::Absent | State::Partial { .. })))
        };
        if let Some(next) = WITH_IT.into_iter().find(|name| missing(name)) {
            self.begin(next, Ask::Pull);
        }
    }

    fn begin(&mut self, name: &str, ask: impl FnOnce(String, Arc<AtomicBool>) -> Ask) {
        let cancelled = Arc::new(AtomicBool::new(false));
        self.failures.remove(name);
        let ask = ask(name.to_owned(), cancelled.clone());
        let pulls = matches!(ask, Ask::Pull(..));
        if self.worker.ask(ask) {
            let (name, step) = (name.to_owned(), "Beginning".to_owned());
            self.work = Some(Work { name, step, done: 0, total: 0, cancelled, pulls });
        }
    }

    /// What was measured here.
    fn machine(&mut self, ui: &mut Ui, shared: &mut Shared) {
        section(ui, "This machine", |ui| {
            let palette = Palette::of(ui);
            weak(ui, &self.measured.processor);
            if self.measured.rows.is_empty() {
                let text = "Measuring takes a few minutes. It finds the engine that makes the \
                            fewest errors here, and the form of its model that is fastest without \
                            being worse; Automatic uses them from then on.";
                ui.add(Label::new(text).wrap());
            } else {
                self.table(ui);
            }
            ui.add_space(4.0);
            match &self.measuring {
                Some((what, part)) => {
                    ui.horizontal(|ui| {
                        let (rect, _) = ui.allocate_exact_size(vec2(20.0, 20.0), Sense::hover());
                        icons::paint(ui.painter(), rect, Icon::Clock, palette.accent);
                        bar(ui, Some(*part), 240.0, "Progress of measuring");
                        weak(ui, what);
                        if icon_button(ui, Icon::Stop, "Cancel measuring").clicked() {
                            self.stop.store(true, Ordering::Relaxed);
                        }
                    });
                }
                None => {
                    let ready = self.ready() == Some(true) && !shared.listener.runs();
                    let button = ui.add_enabled_ui(ready, |ui| {
                        labelled_button(ui, Icon::Clock, "Measure this machine")
                    });
                    if button.inner.clicked() {
                        self.measure(&shared.settings.engine);
                    }
                }
            }
        });
    }

    fn table(&self, ui: &mut Ui) {
        let palette = Palette::of(ui);
        Grid::new("measured").num_columns(5).spacing([28.0, 6.0]).show(ui, |ui| {
            for title in ["Model", "Form", "Speed", "Right", ""] {
                weak(ui, title);
            }
            ui.end_row();
            for row in &self.measured.rows {
                ui.label(&row.model);
                ui.label(&row.quantization);
                let speed = 1.0 / row.real_time_factor.max(1e-6);
                ui.label(format!("{speed:.1} × speech"));
                ui.label(format!("{:.1} %", row.accuracy * 100.0));
                let best = self.measured.best(&row.model);
                if best.is_some_and(|best| best == row) {
                    badge(ui, "best form", palette.accent);
                } else {
                    ui.label("");
                }
                ui.end_row();
            }
        });
    }

    /// Shows the terms of a model that asks for the user's word.
    fn ask(&mut self, ui: &mut Ui) {
        let Some(name) = self.terms.clone() else { return };
        let Ok(model) = self.store.catalogue().model(&name) else { return };
        let modal = Modal::new(Id::unique("terms")).show(ui.ctx(), |ui| {
            ui.set_width(420.0);
            ui.label(strong(format!("{}: {}", model.title, model.licence.name), 15.0));
            ui.label(&model.licence.summary);
            ui.hyperlink_to("Read the terms", &model.licence.terms);
            ui.add_space(8.0);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let agreed = primary_button(ui, Icon::Check, "I agree").clicked();
                let no = labelled_button(ui, Icon::Close, "Cancel").clicked();
                (agreed, no)
            })
            .inner
        });
        let (agreed, no) = modal.inner;
        if agreed {
            self.begin(&name, Ask::Pull);
        }
        if agreed || no || modal.should_close() {
            self.terms = None;
        }
    }
}
