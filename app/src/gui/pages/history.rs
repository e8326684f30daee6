//! What was said before.

use super::lines::{Lines, Pressed, clock, plain};
use super::{Notices, Shared};
use crate::gui::export;
use crate::gui::icons::Icon;
use crate::gui::jobs::history::{self, Ask, Say};
use crate::gui::jobs::models::megabytes;
use crate::gui::text::{Text, right_to_left};
use crate::gui::theme::{Palette, RADIUS, strong};
use crate::gui::widgets::{
    badge, choice, empty, field, header, icon_button, labelled_button, page, settled_field, switch,
    weak,
};
use crate::gui::worker::{Wake, Worker};
use crate::history::{Session, Untold};
use crate::live::Line;
use crate::output::Format;
use eframe::egui::{
    Align, CornerRadius, FontId, Frame, Id, Label, Layout, Margin, Modal, Rect, Role, ScrollArea,
    Sense, Stroke, TextEdit, Ui, UiBuilder, WidgetInfo, vec2,
};
use jiff::tz::TimeZone;
use std::path::PathBuf;

/// Width of the list of sessions.
const LIST: f32 = 300.0;

/// The page.
#[derive(Debug)]
pub struct HistoryPage {
    worker: Worker<Ask, Say>,
    query: String,
    asked: Option<String>,
    sessions: Vec<Session>,
    known: bool,
    /// How many sessions are listed at most.
    most: usize,
    open: Option<(i64, Vec<Line>)>,
    lines: Lines,
    format: Format,
    focus: bool,
    /// Recordings without text.
    untold: Vec<Untold>,
    /// What the user is asked about: whether it shall be deleted.
    doubt: Option<Doubt>,
}

/// What may be deleted.
#[derive(Debug, Clone, Copy)]
enum Doubt {
    Session(i64),
    All,
    Untold,
}

impl HistoryPage {
    /// Nothing is read before the page is drawn.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn new(file: PathBuf, recordings: PathBuf, wake: &Wake) -> std::io::Result<Self> {
        Ok(Self {
            worker: history::start(file, recordings, wake.clone())?,
            query: String::new(),
            asked: None,
            sessions: Vec::new(),
            known: false,
            most: history::PAGE,
            open: None,
            lines: Lines::default(),
            format: Format::Txt,
            focus: false,
            untold: Vec::new(),
            doubt: None,
        })
    }

    /// Lists again, as something may have been added.
    pub fn refresh(&mut self) {
        self.asked = None;
    }

    /// Goes to the field of the search.
    pub fn find(&mut self) {
        self.focus = true;
    }

    fn hear(&mut self, shared: &mut Shared) {
        let said: Vec<_> = self.worker.heard().collect();
        for say in said {
            match say {
                Say::Listed(query, sessions, untold) if query == self.query => {
                    self.known = true;
                    (self.sessions, self.untold) = (sessions, untold);
                    let there = |id| self.sessions.iter().any(|session| session.id == id);
                    if self.open.as_ref().is_some_and(|(id, _)| !there(*id)) {
                        self.open = None;
                    }
                }
                Say::Listed(..) | Say::Shown => {}
                Say::Opened(id, lines) => {
                    let lines = lines.into_iter().map(|line| Line {
                        utterance: line.utterance,
                        start: line.start,
                        end: line.end,
                        lang: line.lang,
                        committed: line.text,
                        tail: String::new(),
                        translation: line.translation,
                        complete: true,
                    });
                    self.open = Some((id, lines.collect()));
                }
                Say::Exported(path) => {
                    shared.notices.good(format!("Saved as {}", path.display()));
                }
                Say::Changed => self.refresh(),
                Say::Failed(message) => shared.notices.bad(message),
            }
        }
    }

    /// Draws the page.
    pub fn show(&mut self, ui: &mut Ui, shared: &mut Shared) {
        self.hear(shared);
        if self.asked.as_ref() != Some(&self.query) {
            let running = shared.listener.recording();
            if self.worker.ask(Ask::List(self.query.clone(), self.most, running)) {
                self.asked = Some(self.query.clone());
            }
        }
        page(ui, |ui| {
            header(ui, "History", |ui| {
                switch(ui, &mut shared.settings.storage.history, "Keep what is said");
                weak(ui, "Keep what is said");
                if !self.sessions.is_empty()
                    && labelled_button(ui, Icon::Trash, "Delete all").clicked()
                {
                    self.doubt = Some(Doubt::All);
                }
            });
            self.without_text(ui);
            if self.sessions.is_empty() && self.query.is_empty() && self.known {
                let text = match shared.settings.storage.history {
                    true => "Sessions are kept here, on this machine, until you delete them.",
                    false => "Nothing is kept, as you have switched it off.",
                };
                empty(ui, Icon::Clock, "Nothing was said yet", text);
                return;
            }
            let all = ui.available_rect_before_wrap();
            let list = Rect::from_min_size(all.min, vec2(LIST, all.height()));
            let rest = Rect::from_min_max(all.min + vec2(LIST + 20.0, 0.0), all.max);
            ui.scope_builder(UiBuilder::new().max_rect(list), |ui| self.list(ui));
            ui.scope_builder(UiBuilder::new().max_rect(rest), |ui| self.session(ui, shared));
        });
        self.ask(ui, shared);
    }

    /// Recordings that no session leads to.
    fn without_text(&mut self, ui: &mut Ui) {
        if self.untold.is_empty() {
            return;
        }
        let bytes = self.untold.iter().map(|one| one.bytes).sum();
        let recordings = match self.untold.len() {
            1 => "1 recording".to_owned(),
            count => format!("{count} recordings"),
        };
        ui.horizontal(|ui| {
            weak(ui, format!("Without text: {recordings}, {}", megabytes(bytes)));
            if icon_button(ui, Icon::Folder, "Show the folder of recordings").clicked() {
                self.worker.ask(Ask::ShowRecordings);
            }
            if icon_button(ui, Icon::Trash, "Delete recordings without text").clicked() {
                self.doubt = Some(Doubt::Untold);
            }
        });
    }

    fn list(&mut self, ui: &mut Ui) {
        let edit = TextEdit::singleline(&mut self.query)
            .id(Id::unique("search"))
            .hint_text("Search everything that was said")
            .desired_width(LIST);
        let response = field(ui, edit, "Search");
        if response.changed() {
            self.most = history::PAGE;
        }
        if std::mem::take(&mut self.focus) {
            response.request_focus();
        }
        if self.sessions.is_empty() && self.known {
            weak(ui, "Nothing of the kind was said.");
        }
        ScrollArea::vertical().id_salt("sessions").auto_shrink(false).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 4.0;
            for session in &self.sessions {
                let open = self.open.as_ref().is_some_and(|(id, _)| *id == session.id);
                if entry(ui, session, open) {
                    self.worker.ask(Ask::Open(session.id));
                }
            }
            if self.sessions.len() >= self.most
                && labelled_button(ui, Icon::Down, "Older sessions").clicked()
            {
                self.most += history::PAGE;
                self.asked = None;
            }
        });
    }

    fn session(&mut self, ui: &mut Ui, shared: &mut Shared) {
        let Some((id, lines)) = &self.open else {
            if !self.sessions.is_empty() {
                empty(ui, Icon::Clock, "Choose a session", "Its text is shown here.");
            }
            return;
        };
        let id = *id;
        let mut wanted = false;
        let session = self.sessions.iter_mut().find(|session| session.id == id);
        let audio = session.as_ref().is_some_and(|session| session.heading.audio.is_some());
        if let Some(session) = session {
            let mut name = session.title.clone();
            ui.push_id(id, |ui| {
                let width = ui.available_width() - 20.0;
                settled_field(ui, &mut name, ("Name of the session", ""), width);
            });
            let name = name.trim();
            if !name.is_empty() && *name != session.title {
                session.title = name.to_owned();
                self.worker.ask(Ask::Rename(id, name.to_owned()));
            }
        }
        ui.horizontal_wrapped(|ui| {
            choice(ui, &mut self.format, &FORMATS, "Form");
            if labelled_button(ui, Icon::Export, "Export").on_hover_text("Ctrl+E").clicked() {
                wanted = true;
            }
            if icon_button(ui, Icon::Copy, "Copy the session").clicked() {
                ui.ctx().copy_text(lines.iter().map(plain).collect::<Vec<_>>().join("\n"));
                shared.notices.good("The session is copied.");
            }
            if audio && icon_button(ui, Icon::Play, "Play the recording").clicked() {
                self.worker.ask(Ask::Play(id));
            }
            if icon_button(ui, Icon::Trash, "Delete the session").clicked() {
                self.doubt = Some(Doubt::Session(id));
            }
        });
        ui.add_space(4.0);
        self.lines.find(self.query.clone());
        let size = shared.settings.look.font_size.min(20.0);
        if let Some(Pressed::Copy(text)) = self.lines.show(ui, lines, size) {
            ui.ctx().copy_text(text);
            shared.notices.good("The line is copied.");
        }
        if wanted {
            self.export(shared.notices);
        }
    }

    /// Writes the session that is open into a file in the user's documents.
    pub fn export(&mut self, notices: &mut Notices) {
        let Some((id, _)) = self.open else { return };
        let session = self.sessions.iter().find(|session| session.id == id);
        let started = session.map(when).unwrap_or_default().replace(':', ".");
        match export::path_in_documents(&format!("{started}.{}", self.format.extension())) {
            Ok(path) => {
                self.worker.ask(Ask::Export(id, self.format, path));
            }
            Err(error) => notices.bad(format!("{error:#}")),
        }
    }

    /// Asks whether what is about to go shall go.
    fn ask(&mut self, ui: &mut Ui, shared: &Shared) {
        let Some(doubt) = self.doubt else { return };
        let (text, what) = match doubt {
            Doubt::Session(_) => ("Delete this session for good?", "Its text and its audio are"),
            Doubt::All => {
                ("Delete everything that was ever said for good?", "Its text and its audio are")
            }
            Doubt::Untold => ("Delete the recordings without text for good?", "Their audio is"),
        };
        let modal = Modal::new(Id::unique("delete")).show(ui.ctx(), |ui| {
            ui.set_width(340.0);
            ui.label(strong(text, 15.0));
            weak(ui, format!("{what} removed from this machine."));
            ui.add_space(8.0);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let sure = labelled_button(ui, Icon::Trash, "Delete").clicked();
                let keep = labelled_button(ui, Icon::Close, "Keep").clicked();
                (sure, keep)
            })
            .inner
        });
        let (sure, keep) = modal.inner;
        if sure {
            self.worker.ask(match doubt {
                Doubt::Session(id) => Ask::Delete(id),
                Doubt::All => Ask::DeleteAll,
                Doubt::Untold => Ask::DeleteUntold(shared.listener.recording()),
            });
            if !matches!(doubt, Doubt::Untold) {
                self.open = None;
            }
        }
        if sure || keep || modal.should_close() {
            self.doubt = None;
        }
    }
}

/// Forms that a session can be written in.
const FORMATS: [(Format, &str); 5] = [
    (Format::Txt, "txt"),
    (Format::Md, "md"),
    (Format::Srt, "srt"),
    (Format::Vtt, "vtt"),
    (Format::Json, "json"),
];

/// When a session began, in the user's time.
fn when(session: &Session) -> String {
    let local = session.heading.started.to_zoned(TimeZone::system());
    local.strftime("%Y-%m-%d %H:%M").to_string()
}

/// One session of the list; whether it was chosen.
fn entry(ui: &mut Ui, session: &Session, open: bool) -> bool {
    let palette = Palette::of(ui);
    let frame = Frame::new()
        .inner_margin(Margin::symmetric(12, 10))
        .corner_radius(CornerRadius::same(RADIUS));
    let mut prepared = frame.begin(ui);
    let inside = &mut prepared.content_ui;
    inside.set_width(LIST - 36.0);
    inside.spacing_mut().item_spacing.y = 3.0;
    if right_to_left(&session.title) {
        // As much as fits into a row: it is set by itself, and does not know how to be cut.
        let short: String = session.title.chars().take(32).collect();
        Text::plain(&short, palette.text, FontId::proportional(13.5)).show(inside);
    } else {
        inside.add(Label::new(strong(&session.title, 13.5)).truncate());
    }
    inside.horizontal(|ui| {
        weak(ui, format!("{} · {}", when(session), clock(session.seconds)));
        for language in session.languages.iter().take(3) {
            badge(ui, language, palette.accent);
        }
    });
    let rect = prepared.content_ui.min_rect() + frame.inner_margin;
    let response = ui.interact(rect, ui.scope_id().with(session.id), Sense::click());
    prepared.frame = match (open, response.hovered()) {
        (true, _) => frame.fill(palette.accent_soft),
        (false, true) => frame.fill(palette.hover),
        (false, false) => frame,
    };
    if response.has_focus() {
        prepared.frame = prepared.frame.stroke(Stroke::new(1.5, palette.accent));
    }
    response.widget_info(|| {
        let name = format!("{}, {}", session.title, when(session));
        WidgetInfo::selected(Role::Button, true, open, name)
    });
    prepared.end(ui);
    response.clicked()
}
