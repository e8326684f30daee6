//! What is being said, as it is said.

use super::lines::{Lines, Pressed, plain};
use super::{Page, Shared};
use crate::gui::icons::Icon;
use crate::gui::keys;
use crate::gui::languages;
use crate::gui::listener::Phase;
use crate::gui::theme::{Palette, strong};
use crate::gui::widgets::{
    card, empty, field, header, icon_button, labelled_button, meter, page, pick, primary_button,
    toggle_button, weak,
};
use eframe::egui::{Align, Id, Key, Layout, Role, TextEdit, Ui, WidgetInfo};

/// Sizes that caption text can have, in points.
pub const SIZES: std::ops::RangeInclusive<f32> = 12.0..=40.0;

/// The page.
#[derive(Debug, Default)]
pub struct LivePage {
    lines: Lines,
    finding: bool,
    focus: bool,
    sought: String,
    /// Whether a speech model is installed, once that is known.
    pub model: Option<bool>,
}

impl LivePage {
    /// Opens the field to find something.
    pub fn find(&mut self) {
        (self.finding, self.focus) = (true, true);
    }

    /// Draws the page.
    pub fn show(&mut self, ui: &mut Ui, shared: &mut Shared) {
        page(ui, |ui| {
            header(ui, "Live", |ui| self.actions(ui, shared));
            controls(ui, shared);
            if self.finding {
                self.find_bar(ui);
            }
            ui.add_space(4.0);
            if let Phase::Failed(message) = &shared.listener.phase {
                failure(ui, &message.clone(), self.model == Some(false), shared);
            }
            if shared.listener.captions.lines().is_empty() {
                self.nothing_yet(ui, shared);
                return;
            }
            let size = shared.settings.look.font_size;
            let lines = shared.listener.captions.lines();
            if let Some(Pressed::Copy(text)) = self.lines.show(ui, lines, size) {
                ui.ctx().copy_text(text);
                shared.notices.good("The line is copied.");
            }
        });
    }

    fn actions(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let any = !shared.listener.captions.lines().is_empty();
        let overlay = &mut shared.settings.overlay.open;
        let name = if *overlay { "Close the overlay" } else { "Open the overlay (Ctrl+O)" };
        if toggle_button(ui, Icon::Captions, name, *overlay).clicked() {
            *overlay = !*overlay;
        }
        ui.add_enabled_ui(any, |ui| {
            if icon_button(ui, Icon::Eraser, "Clear").clicked() {
                let spoken = shared.listener.runs();
                shared.listener.captions.clear(spoken);
            }
            if icon_button(ui, Icon::Copy, "Copy all (Ctrl+Shift+C)").clicked()
                || ui.input_mut(|input| input.consume_shortcut(&keys::COPY_ALL))
            {
                let lines = shared.listener.captions.lines();
                let text = lines.iter().map(plain).collect::<Vec<_>>().join("\n");
                ui.ctx().copy_text(text);
                shared.notices.good("All lines are copied.");
            }
        });
        let size = &mut shared.settings.look.font_size;
        if icon_button(ui, Icon::Larger, "Larger text (Ctrl++)").clicked() {
            *size = (*size + 2.0).min(*SIZES.end());
        }
        if icon_button(ui, Icon::Smaller, "Smaller text (Ctrl+-)").clicked() {
            *size = (*size - 2.0).max(*SIZES.start());
        }
        if toggle_button(ui, Icon::Search, "Find (Ctrl+F)", self.finding).clicked() {
            match self.finding {
                true => self.close_find(),
                false => self.find(),
            }
        }
    }

    fn close_find(&mut self) {
        self.finding = false;
        self.lines.find(String::new());
    }

    fn find_bar(&mut self, ui: &mut Ui) {
        ui.add_space(2.0);
        ui.horizontal(|ui| {
            let edit = TextEdit::singleline(&mut self.sought)
                .id(Id::unique("find"))
                .hint_text("Find in what was said")
                .desired_width(280.0);
            let response = field(ui, edit, "Find");
            if std::mem::take(&mut self.focus) {
                response.request_focus();
            }
            if response.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter)) {
                let back = ui.input(|input| input.modifiers.shift);
                self.lines.step(!back);
                response.request_focus();
            }
            self.lines.find(self.sought.clone());
            if icon_button(ui, Icon::Up, "Previous match").clicked() {
                self.lines.step(false);
            }
            if icon_button(ui, Icon::Down, "Next match").clicked() {
                self.lines.step(true);
            }
            let (current, all) = self.lines.place();
            if !self.sought.trim().is_empty() {
                weak(ui, format!("{current} of {all}"));
            }
            if icon_button(ui, Icon::Close, "Close find").clicked()
                || ui.input(|input| input.key_pressed(Key::Escape))
            {
                self.close_find();
            }
        });
    }

    fn nothing_yet(&self, ui: &mut Ui, shared: &mut Shared) {
        match (&shared.listener.phase, self.model) {
            (Phase::Listening, _) => {
                empty(ui, Icon::Microphone, "Listening", "Say something: it appears here.");
            }
            (Phase::Starting, _) => {
                empty(ui, Icon::Microphone, "One moment", "The model is being loaded.");
            }
            (Phase::Failed(_), _) => {}
            (_, Some(false)) => {
                let text = "Speech is understood by a model on this machine. It is fetched once; \
                            after that, nothing leaves this machine.";
                empty(ui, Icon::Cube, "A model is needed first", text);
                ui.vertical_centered(|ui| {
                    ui.add_space(8.0);
                    if primary_button(ui, Icon::Export, "Choose a model").clicked() {
                        *shared.go = Some(Page::Models);
                    }
                });
            }
            _ => {
                let text = "Press Start, or F5, and what is said appears here as it is said, with \
                            its translation.";
                empty(ui, Icon::Microphone, "Ready to listen", text);
            }
        }
    }
}

/// Start, pause, what is heard, and the languages.
fn controls(ui: &mut Ui, shared: &mut Shared) {
    card(ui, |ui| {
        ui.horizontal(|ui| {
            let phase = shared.listener.phase.clone();
            let (icon, name) = match phase {
                Phase::Starting | Phase::Listening => (Icon::Stop, "Stop"),
                Phase::Stopping => (Icon::Stop, "Stopping"),
                Phase::Idle | Phase::Failed(_) => (Icon::Play, "Start"),
            };
            let enabled = phase != Phase::Stopping;
            let button = ui.add_enabled_ui(enabled, |ui| primary_button(ui, icon, name)).inner;
            if button.on_hover_text("F5").clicked() {
                shared.listener.toggle(shared.settings);
            }
            if phase == Phase::Listening {
                let paused = shared.listener.paused;
                let (icon, name) =
                    if paused { (Icon::Play, "Resume") } else { (Icon::Pause, "Pause") };
                if labelled_button(ui, icon, name).on_hover_text("Ctrl+P").clicked() {
                    shared.listener.pause(!paused);
                }
            }
            ui.add_space(6.0);
            state(ui, shared);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| spoken(ui, shared));
        });
    });
}

/// What it is doing, and how loud it is.
fn state(ui: &mut Ui, shared: &Shared) {
    let listener = &shared.listener;
    let text = match &listener.phase {
        Phase::Idle | Phase::Failed(_) => source_names(shared),
        Phase::Starting => "Loading the model".to_owned(),
        Phase::Stopping => "Writing down the last words".to_owned(),
        Phase::Listening if listener.paused => "Paused".to_owned(),
        Phase::Listening if !listener.away.is_empty() => {
            format!("Waiting for {}", listener.away.join(", "))
        }
        Phase::Listening => listener.sources.join(", "),
    };
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 6.0;
        let room = (ui.available_width() - 330.0).max(60.0);
        ui.set_max_width(room);
        if listener.level().is_none() {
            ui.add_space(8.0);
        }
        ui.add(eframe::egui::Label::new(text).truncate());
        if let Some(level) = listener.level() {
            meter(ui, level, room.min(180.0), "Level");
            // Loudness moves by itself.
            ui.ctx().request_repaint_after(std::time::Duration::from_millis(66));
        }
    });
}

/// The chosen sources in words.
fn source_names(shared: &Shared) -> String {
    let name = |source: &crate::capture::Source| match source {
        crate::capture::Source::Default => "Default microphone".to_owned(),
        crate::capture::Source::System => "System audio".to_owned(),
        crate::capture::Source::Device(name) => name.clone(),
        crate::capture::Source::File(path) => {
            path.file_name().unwrap_or_default().to_string_lossy().into_owned()
        }
    };
    let names: Vec<_> = shared.settings.audio.sources.iter().map(name).collect();
    names.join(", ")
}

/// The languages, spoken and wanted; filled from the right.
fn spoken(ui: &mut Ui, shared: &mut Shared) {
    let offer = shared.listener.offer(&shared.settings.engine);
    let speech = &mut shared.settings.speech;
    let targets = offer.to_write("No translation", &speech.translate);
    pick(ui, "Translate into", &mut speech.translate, &targets);
    let mut options = offer.to_speak("Any language", &speech.languages);
    let mut one = match speech.languages.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        several => several.join("+"),
    };
    if speech.languages.len() > 1 {
        options.insert(1, (one.clone(), languages::listed(&speech.languages)));
    }
    if pick(ui, "Spoken language", &mut one, &options) {
        speech.languages = match one.as_str() {
            "" => Vec::new(),
            codes => codes.split('+').map(str::to_owned).collect(),
        };
    }
}

/// Why it ended, and what can be done.
fn failure(ui: &mut Ui, message: &str, no_model: bool, shared: &mut Shared) {
    let palette = Palette::of(ui);
    card(ui, |ui| {
        ui.horizontal(|ui| {
            let (rect, _) = ui
                .allocate_exact_size(eframe::egui::vec2(24.0, 24.0), eframe::egui::Sense::hover());
            crate::gui::icons::paint(ui.painter(), rect, Icon::Warning, palette.bad);
            ui.vertical(|ui| {
                ui.label(strong("Listening stopped", 14.0));
                let label = ui.label(message);
                label.widget_info(|| WidgetInfo::labeled(Role::Alert, true, message));
                if no_model && labelled_button(ui, Icon::Cube, "Choose a model").clicked() {
                    *shared.go = Some(Page::Models);
                }
            });
        });
    });
}
