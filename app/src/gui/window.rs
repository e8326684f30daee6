//! The window: navigation at the left, a page, a bar at the bottom.

use super::backend::Backend;
use super::dictating::Dictating;
use super::jobs::offers;
use super::keys::{self, Command};
use super::languages::Offer;
use super::listener::Listener;
use super::overlay::OverlayWindow;
use super::pages::files::FilesPage;
use super::pages::history::HistoryPage;
use super::pages::live::{LivePage, SIZES};
use super::pages::models::ModelsPage;
use super::pages::settings::SettingsPage;
use super::pages::{Notices, Page, Shared};
use super::theme::{self, Palette};
use super::tray::{Said, TrayIcon};
use super::worker::{Wake, Worker};
use super::{fonts, frame, status};
use crate::desktop::{self, Choice};
use crate::settings::{Engine, Settings, SharedSettings};
use crossbeam_channel::Receiver;
use eframe::egui::{CentralPanel, Context, Frame, Margin, Panel, Ui, ViewportCommand};
use std::sync::Arc;
use std::time::Duration;

/// How long the last words of a session may take when the program ends.
const LAST_WORDS: Duration = Duration::from_millis(800);

/// The window of the program.
pub struct Window {
    settings: SharedSettings,
    /// The settings as pages see and change them, and as they were taken over last.
    draft: Settings,
    applied: Settings,
    generation: u64,
    listener: Listener,
    offers: Worker<Engine, (Engine, Offer)>,
    /// What it was asked about last, and whether the usual model was there.
    asked: Option<(Engine, Option<bool>)>,
    /// None where nothing is to be typed.
    dictating: Option<Dictating>,
    notices: Notices,
    page: Page,
    live: LivePage,
    files: FilesPage,
    history: HistoryPage,
    models: ModelsPage,
    settings_page: SettingsPage,
    overlay: OverlayWindow,
    tray: Option<TrayIcon>,
    /// Whether there is a way back to a window that is hidden.
    hides: bool,
    /// What was last said about settings that could not be written.
    failure: Option<String>,
    wake: Wake,
}

impl Window {
    /// A window over a backend; `system` are the fonts to draw with, and dictation begins and ends
    /// when it is `asked` for.
    ///
    /// # Errors
    /// When the system has no threads left.
    pub fn new(
        ctx: &Context,
        backend: Backend,
        system: fonts::SystemFonts,
        asked: Receiver<()>,
    ) -> std::io::Result<Self> {
        fonts::install(ctx, system);
        theme::install(ctx);
        let repaint = ctx.clone();
        let wake: Wake = Arc::new(move || repaint.request_repaint());
        let settings = Settings::clone(&backend.settings.get());
        theme::choose(ctx, settings.look.theme);
        let mut notices = Notices::default();
        backend.notices.into_iter().for_each(|notice| notices.bad(notice));
        let root = backend.store.root().to_owned();
        let dictating = backend
            .desk
            .map(|desk| Dictating::start(desk, backend.settings.clone(), asked, wake.clone()));
        let tray = settings.desktop.tray.then(|| TrayIcon::open(wake.clone())).transpose()?;
        Ok(Self {
            dictating: dictating.transpose()?,
            generation: backend.settings.generation(),
            settings: backend.settings,
            applied: settings.clone(),
            draft: settings,
            listener: Listener::new(backend.listen, backend.history.clone(), wake.clone()),
            offers: offers::start(backend.offers, wake.clone())?,
            asked: None,
            notices,
            page: Page::Live,
            live: LivePage::default(),
            files: FilesPage::new(root, &wake)?,
            history: HistoryPage::new(backend.history, backend.recordings, &wake)?,
            models: ModelsPage::new(backend.store, &wake)?,
            settings_page: SettingsPage::new(backend.watch, wake.clone()),
            overlay: OverlayWindow::default(),
            tray,
            hides: false,
            failure: None,
            wake,
        })
    }

    /// The page that is shown.
    pub fn page(&self) -> Page {
        self.page
    }

    /// The settings as they are now.
    pub fn settings(&self) -> &Settings {
        &self.draft
    }

    /// The session.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }

    fn go(&mut self, page: Page) {
        if self.page == Page::Settings && page != Page::Settings {
            self.settings_page.leave();
        }
        if page == Page::History {
            self.history.refresh();
        }
        self.page = page;
    }

    fn commands(&mut self, ctx: &Context) {
        for command in keys::pressed(ctx) {
            let size = &mut self.draft.look.font_size;
            match command {
                Command::Go(page) => self.go(page),
                Command::Toggle => {
                    self.page = Page::Live;
                    self.listener.toggle(&self.draft);
                }
                Command::Find if self.page == Page::History => self.history.find(),
                Command::Find => {
                    self.go(Page::Live);
                    self.live.find();
                }
                Command::Size(true) => *size = (*size + 2.0).min(*SIZES.end()),
                Command::Size(false) => *size = (*size - 2.0).max(*SIZES.start()),
                Command::Overlay => self.draft.overlay.open = !self.draft.overlay.open,
                Command::Place(by, larger) => self.overlay.place(by, larger),
                Command::Pause => self.listener.pause(!self.listener.paused),
                Command::Export => {
                    if self.page == Page::History {
                        self.history.export(&mut self.notices);
                    }
                }
                Command::Quit => self.quit(ctx),
            }
        }
        if self.hides && ctx.input(|input| input.viewport().close_requested()) {
            ctx.send_viewport_cmd(ViewportCommand::CancelClose);
            ctx.send_viewport_cmd(ViewportCommand::Visible(false));
        }
        let dropped: Vec<_> = ctx.input(|input| {
            input.raw.dropped_files.iter().map(|file| file.path().to_owned()).collect()
        });
        if !dropped.is_empty() {
            self.go(Page::Files);
            let Self { files, draft, listener, notices, .. } = self;
            let shared = &mut Shared { settings: draft, listener, notices, go: &mut None };
            files.add(dropped, shared);
        }
    }

    fn quit(&mut self, ctx: &Context) {
        self.hides = false;
        ctx.send_viewport_cmd(ViewportCommand::Close);
    }

    fn hear_tray(&mut self, ctx: &Context) {
        let Some(tray) = &mut self.tray else { return };
        tray.listens(self.listener.runs());
        let said = tray.hear();
        for said in said {
            match said {
                Said::There => self.hides = true,
                Said::Trouble(trouble) => {
                    self.notices.bad(format!("icon in the system tray: {trouble}"));
                }
                Said::Choice(Choice::Show) => show(ctx),
                Said::Choice(Choice::Listen) => self.listener.toggle(&self.draft),
                Said::Choice(Choice::Dictate) => {
                    if let Some(dictating) = &mut self.dictating {
                        dictating.toggle();
                    }
                }
                Said::Choice(Choice::Quit) => self.quit(ctx),
            }
        }
    }

    /// Finds out what languages the engine has that was chosen.
    fn learn(&mut self) {
        let wanted = (self.draft.engine.clone(), self.models.ready());
        if self.asked.as_ref() != Some(&wanted) && self.offers.ask(wanted.0.clone()) {
            self.asked = Some(wanted);
        }
        for (engine, offer) in self.offers.heard() {
            self.listener.learn(&engine, offer);
        }
    }

    /// Settings that were changed elsewhere, and those that pages changed.
    fn take_over(&mut self, ctx: &Context) {
        if self.draft != self.applied {
            let draft = self.draft.clone();
            self.settings.change(|settings| *settings = draft);
        }
        if self.settings.generation() == self.generation {
            return;
        }
        self.generation = self.settings.generation();
        self.draft = Settings::clone(&self.settings.get());
        if self.draft.look.theme != self.applied.look.theme {
            theme::choose(ctx, self.draft.look.theme);
        }
        if self.draft.desktop.start_at_login != self.applied.desktop.start_at_login
            && let Err(error) = desktop::set_start_at_login(self.draft.desktop.start_at_login)
        {
            self.notices.bad(format!("start at login: {error:#}"));
        }
        if self.draft.desktop.tray != self.applied.desktop.tray {
            self.hides = false;
            self.tray = None;
            if self.draft.desktop.tray {
                match TrayIcon::open(self.wake.clone()) {
                    Ok(tray) => self.tray = Some(tray),
                    Err(error) => self.notices.bad(format!("icon in the system tray: {error}")),
                }
            }
        }
        self.listener.change(&self.draft);
        self.applied = self.draft.clone();
        ctx.request_repaint();
    }
}

/// Brings the window to the front, wherever it was.
pub fn show(ctx: &Context) {
    for command in
        [ViewportCommand::Visible(true), ViewportCommand::Minimized(false), ViewportCommand::Focus]
    {
        ctx.send_viewport_cmd(command);
    }
}

impl eframe::App for Window {
    /// Also while the window is hidden: what was said is written down, and the overlay shows it.
    fn logic(&mut self, ctx: &Context, _frame: &mut eframe::Frame) {
        self.listener.hear();
        self.hear_tray(ctx);
        self.listener.notices().into_iter().for_each(|notice| self.notices.add(notice));
        if std::mem::take(&mut self.listener.written) {
            self.history.refresh();
        }
        let Self { dictating, listener, draft, notices, .. } = self;
        if let Some(dictating) = dictating {
            dictating.hear(listener, draft, notices);
        }
        self.files.hear();
        let Self { models, draft, listener, notices, .. } = self;
        models.hear(&mut Shared { settings: draft, listener, notices, go: &mut None });
        self.live.model = self.models.ready();
        self.learn();
        let failure = self.settings.failure();
        if failure != self.failure {
            if let Some(failure) = &failure {
                self.notices.bad(failure.clone());
            }
            self.failure = failure;
        }
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        let ctx = ui.ctx().clone();
        self.commands(&ctx);
        let palette = Palette::of(ui);
        let rail = Frame::new().fill(palette.rail).inner_margin(Margin::symmetric(12, 0));
        Panel::bottom("status").exact_size(34.0).frame(rail).show(ui, |ui| {
            let files = self.files.waiting();
            let files = (files > 0).then(|| format!("{files} recordings to go"));
            let dictating = self.dictating.as_ref().is_some_and(Dictating::is_on);
            let dictating = dictating.then(|| "Dictating".to_owned());
            let busy = self.models.busy().into_iter().chain(files);
            let busy: Vec<_> = dictating.into_iter().chain(busy).collect();
            status::show(ui, &self.listener, &busy);
        });
        let rail = Frame::new().fill(palette.rail).inner_margin(Margin::symmetric(12, 16));
        let chosen = Panel::left("pages").exact_size(184.0).resizable(false).frame(rail);
        let chosen = chosen.show(ui, |ui| frame::navigation(ui, self.page)).inner;
        let mut go = chosen;
        CentralPanel::default().frame(Frame::new().fill(palette.ground)).show(ui, |ui| {
            let Self { draft, listener, notices, .. } = self;
            let shared = &mut Shared { settings: draft, listener, notices, go: &mut go };
            match self.page {
                Page::Live => self.live.show(ui, shared),
                Page::Files => self.files.show(ui, shared),
                Page::History => self.history.show(ui, shared),
                Page::Models => self.models.show(ui, shared),
                Page::Settings => self.settings_page.show(ui, shared),
            }
        });
        frame::notices(&ctx, &mut self.notices);
        self.overlay.show(&ctx, self.listener.captions.lines(), &mut self.draft.overlay);
        if let Some(page) = go {
            self.go(page);
        }
        self.take_over(&ctx);
    }

    fn clear_color(&self, _visuals: &eframe::egui::Visuals) -> [f32; 4] {
        // The overlay's window is drawn by the same painter.
        [0.0; 4]
    }

    fn on_exit(&mut self, _gl: Option<&eframe::glow::Context>) {
        self.listener.quit(LAST_WORDS);
        if let Err(error) = self.settings.save() {
            tracing::warn!("{error}");
        }
    }
}
