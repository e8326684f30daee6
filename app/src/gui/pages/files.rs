//! Recordings: a queue, and what was said in each.

use super::Shared;
use crate::gui::export;
use crate::gui::icons::{self, Icon};
use crate::gui::jobs::files::{self, Ask, Done, Job, Say};
use crate::gui::languages;
use crate::gui::pages::lines::clock;
use crate::gui::text::Text;
use crate::gui::theme::{Palette, strong};
use crate::gui::widgets::{
    badge, bar, card, choice, column, empty, field, header, icon_button, labelled_button, page,
    pick, primary_button, row, weak,
};
use crate::gui::worker::{Wake, Worker};
use crate::output::{Format, render};
use eframe::egui::{Align, FontId, Key, Layout, RichText, Sense, TextEdit, Ui, vec2};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Recordings that wait, at most.
const MOST: usize = 200;

/// Forms that a result can be written in.
const FORMATS: [(Format, &str); 5] = [
    (Format::Txt, "txt"),
    (Format::Srt, "srt"),
    (Format::Vtt, "vtt"),
    (Format::Json, "json"),
    (Format::Tsv, "tsv"),
];

/// The page.
#[derive(Debug)]
pub struct FilesPage {
    worker: Worker<Ask, (u64, Say)>,
    dialog: Worker<(), Vec<PathBuf>>,
    choosing: bool,
    items: Vec<Item>,
    next: u64,
    open: Option<u64>,
    typed: String,
    format: Format,
}

#[derive(Debug)]
struct Item {
    id: u64,
    path: PathBuf,
    state: State,
    cancelled: Arc<AtomicBool>,
}

#[derive(Debug)]
enum State {
    Waiting,
    Loading,
    Reading(f64, Option<f64>),
    Done(Box<Done>),
    Failed(String),
    Cancelled,
}

impl State {
    fn over(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Failed(_) | Self::Cancelled)
    }
}

impl FilesPage {
    /// An empty queue; `root` is the folder of the store.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn new(root: PathBuf, wake: &Wake) -> std::io::Result<Self> {
        Ok(Self {
            worker: files::start(root, wake.clone())?,
            dialog: Worker::start("file-dialog", wake.clone(), |(), out| {
                out.say(choose());
            })?,
            choosing: false,
            items: Vec::new(),
            next: 1,
            open: None,
            typed: String::new(),
            format: Format::Txt,
        })
    }

    /// Takes what the threads said. To be called once a frame.
    pub fn hear(&mut self) {
        let said: Vec<_> = self.worker.heard().collect();
        for (id, say) in said {
            let Some(item) = self.items.iter_mut().find(|item| item.id == id) else { continue };
            item.state = match say {
                Say::Loading => State::Loading,
                Say::At(seconds, of) => State::Reading(seconds, of),
                Say::Done(done) => State::Done(done),
                Say::Failed(message) => State::Failed(message),
                Say::Cancelled => State::Cancelled,
            };
            if item.state.over() && self.items.iter().all(|item| item.state.over()) {
                self.worker.ask(Ask::Rest);
            }
        }
    }

    /// How many recordings are not done yet.
    pub fn waiting(&self) -> usize {
        self.items.iter().filter(|item| !item.state.over()).count()
    }

    /// Puts recordings at the end of the queue.
    pub fn add(&mut self, paths: Vec<PathBuf>, shared: &mut Shared) {
        for path in paths {
            let (id, cancelled) = (self.next, Arc::new(AtomicBool::new(false)));
            let settings = Arc::new(shared.settings.clone());
            let job = Job { id, path: path.clone(), settings, cancelled: cancelled.clone() };
            if self.items.len() >= MOST || !self.worker.ask(Ask::Read(job)) {
                shared.notices.bad("The queue is full: clear what is done first.");
                return;
            }
            self.items.push(Item { id, path, state: State::Waiting, cancelled });
            self.next += 1;
        }
    }

    /// Draws the page.
    pub fn show(&mut self, ui: &mut Ui, shared: &mut Shared) {
        if let Some(paths) = self.dialog.heard().last() {
            self.choosing = false;
            self.add(paths, shared);
        }
        page(ui, |ui| {
            header(ui, "Files", |ui| {
                if self.items.iter().any(|item| item.state.over())
                    && labelled_button(ui, Icon::Eraser, "Clear finished").clicked()
                {
                    self.items.retain(|item| !item.state.over());
                }
            });
            column(ui, "files", |ui| {
                self.ways_in(ui, shared);
                if self.items.is_empty() {
                    let text = "Recordings and films of any usual form. They are read one after \
                                the other, on this machine.";
                    empty(ui, Icon::File, "Drop recordings here", text);
                }
                let mut again = None;
                for at in 0..self.items.len() {
                    again = self.item(ui, at, shared).or(again);
                }
                if let Some(path) = again {
                    self.add(vec![path], shared);
                }
            });
        });
    }

    fn ways_in(&mut self, ui: &mut Ui, shared: &mut Shared) {
        card(ui, |ui| {
            ui.horizontal(|ui| {
                let button = ui.add_enabled_ui(!self.choosing, |ui| {
                    primary_button(ui, Icon::Folder, "Choose files")
                });
                if button.inner.clicked() {
                    self.choosing = self.dialog.ask(());
                }
                weak(ui, "or");
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    let add = icon_button(ui, Icon::Plus, "Add this path").clicked();
                    let edit = TextEdit::singleline(&mut self.typed)
                        .hint_text("Path of a recording")
                        .desired_width(ui.available_width() - 8.0);
                    let entered = field(ui, edit, "Path of a recording").lost_focus()
                        && ui.input(|input| input.key_pressed(Key::Enter));
                    let path = self.typed.trim();
                    if (add || entered) && !path.is_empty() {
                        let path = PathBuf::from(path.strip_prefix("file://").unwrap_or(path));
                        self.typed.clear();
                        self.add(vec![path], shared);
                    }
                });
            });
            let offer = shared.listener.offer(&shared.settings.engine);
            let speech = &mut shared.settings.speech;
            row(ui, "Translate into", "For recordings that are added from now on.", |ui| {
                let options = offer.to_write("No translation", &speech.translate);
                pick(ui, "Translate recordings into", &mut speech.translate, &options);
            });
        });
    }

    /// Draws one recording; a path to be read again comes back.
    fn item(&mut self, ui: &mut Ui, at: usize, shared: &mut Shared) -> Option<PathBuf> {
        let mut again = None;
        let item = self.items.get(at)?;
        let (id, open) = (item.id, self.open == Some(item.id));
        let mut toggle = false;
        let mut remove = false;
        let format = &mut self.format;
        ui.push_id(id, |ui| {
            card(ui, |ui| {
                ui.horizontal(|ui| {
                    sign(ui, &item.state);
                    ui.vertical(|ui| {
                        ui.spacing_mut().item_spacing.y = 4.0;
                        ui.set_max_width(ui.available_width() - 120.0);
                        ui.add(
                            eframe::egui::Label::new(strong(file_name(&item.path), 14.0))
                                .truncate(),
                        );
                        progress(ui, item);
                    });
                    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                        let name = file_name(&item.path);
                        if item.state.over() {
                            remove =
                                icon_button(ui, Icon::Close, &format!("Remove {name}")).clicked();
                            if !matches!(item.state, State::Done(_))
                                && labelled_button(ui, Icon::Play, "Again").clicked()
                            {
                                again = Some(item.path.clone());
                                remove = true;
                            }
                        } else if icon_button(ui, Icon::Stop, &format!("Cancel {name}")).clicked() {
                            item.cancelled.store(true, Ordering::Relaxed);
                        }
                        if let State::Done(_) = item.state {
                            let (icon, word) =
                                if open { (Icon::Up, "Hide") } else { (Icon::Down, "Show") };
                            let name = format!("{word} the text of {name}");
                            toggle = icon_button(ui, icon, &name).clicked();
                        }
                    });
                });
                if let (State::Done(done), true) = (&item.state, open) {
                    result(ui, &item.path, done, format, shared);
                }
            });
        });
        if toggle {
            self.open = if open { None } else { Some(id) };
        }
        if remove {
            self.items.remove(at);
        }
        again
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn sign(ui: &mut Ui, state: &State) {
    let palette = Palette::of(ui);
    let (icon, color) = match state {
        State::Done(_) => (Icon::Check, palette.good),
        State::Failed(_) => (Icon::Warning, palette.bad),
        State::Cancelled => (Icon::Close, palette.weak),
        State::Waiting => (Icon::Clock, palette.weak),
        State::Loading | State::Reading(..) => (Icon::File, palette.accent),
    };
    let (rect, _) = ui.allocate_exact_size(vec2(22.0, 22.0), Sense::hover());
    icons::paint(ui.painter(), rect, icon, color);
}

fn progress(ui: &mut Ui, item: &Item) {
    let palette = Palette::of(ui);
    let width = ui.available_width().min(320.0);
    let name = format!("Progress of {}", file_name(&item.path));
    match &item.state {
        State::Waiting => {
            weak(ui, "Waiting");
        }
        State::Loading => {
            weak(ui, "Loading the model");
        }
        State::Reading(seconds, of) => {
            let part = of.filter(|of| *of > 0.0).map(|of| (seconds / of) as f32);
            bar(ui, part, width, &name);
            let text = match of {
                Some(of) => format!("{} of {}", clock(*seconds), clock(*of)),
                None => clock(*seconds),
            };
            weak(ui, text);
        }
        State::Done(done) => {
            let language = done.document.language().map_or("no speech", languages::name);
            let speed = done.document.seconds / done.elapsed.max(1e-3);
            let seconds = clock(done.document.seconds);
            weak(ui, format!("{language} · {seconds} · {speed:.1} times as fast as speech"));
            for warning in &done.warnings {
                ui.label(RichText::new(warning).small().color(palette.warn));
            }
        }
        State::Failed(message) => {
            ui.label(RichText::new(message).color(palette.bad));
        }
        State::Cancelled => {
            weak(ui, "Cancelled");
        }
    }
}

/// The text of a recording, and ways to take it along.
fn result(ui: &mut Ui, path: &Path, done: &Done, format: &mut Format, shared: &mut Shared) {
    let palette = Palette::of(ui);
    ui.separator();
    let text = done.document.text();
    let size = 15.0;
    if text.is_empty() {
        weak(ui, "Nothing was said.");
    } else {
        Text::plain(&text, palette.text, FontId::proportional(size)).show(ui);
    }
    if let Some(translation) = done.document.translation().filter(|text| !text.is_empty()) {
        badge(ui, done.document.target.as_deref().unwrap_or_default(), palette.accent);
        let color = palette.accent.lerp_to_gamma(palette.text, 0.25);
        Text::plain(&translation, color, FontId::proportional(size)).show(ui);
    }
    ui.add_space(4.0);
    ui.horizontal(|ui| {
        choice(ui, format, &FORMATS, "Form");
        if labelled_button(ui, Icon::Export, "Export").clicked() {
            let name = format!("{}.{}", file_name(path), format.extension());
            let text = render(&done.document, *format);
            match export::beside(path, &name, &text) {
                Ok(written) => shared.notices.good(format!("Saved as {}", written.display())),
                Err(error) => shared.notices.bad(format!("{error:#}")),
            }
        }
        if labelled_button(ui, Icon::Copy, "Copy text").clicked() {
            ui.ctx().copy_text(render(&done.document, Format::Txt));
            shared.notices.good("The text is copied.");
        }
    });
}

/// Asks the desktop which files; blocks until it has answered.
fn choose() -> Vec<PathBuf> {
    let sound =
        ["wav", "mp3", "flac", "ogg", "opus", "m4a", "aac", "mp4", "mkv", "webm", "mka", "mov"];
    let dialog = rfd::FileDialog::new().set_title("Recordings").add_filter("Recordings", &sound);
    dialog.add_filter("All files", &["*"]).pick_files().unwrap_or_default()
}
