//! The overlay as a program of its own.

use super::backend::Backend;
use super::listener::{Listener, Phase};
use super::overlay::{self, Use};
use super::{fonts, theme};
use crate::live::Line;
use crate::settings::{Settings, SharedSettings, Shown};
use eframe::egui::{Context, Ui, Visuals};
use std::sync::Arc;
use std::time::Duration;

/// How long the last words may take when it is closed.
const LAST_WORDS: Duration = Duration::from_millis(800);

/// The overlay, listening.
pub struct Alone {
    settings: SharedSettings,
    draft: Settings,
    listener: Listener,
    generation: u64,
}

impl Alone {
    /// Begins to listen at once.
    pub fn new(ctx: &Context, backend: Backend, system: fonts::SystemFonts) -> Self {
        fonts::install(ctx, system);
        theme::install(ctx);
        let repaint = ctx.clone();
        let wake = Arc::new(move || repaint.request_repaint());
        let mut listener = Listener::new(backend.listen, backend.history, wake);
        let draft = Settings::clone(&backend.settings.get());
        listener.start(&draft);
        let generation = backend.settings.generation();
        Self { settings: backend.settings, draft, listener, generation }
    }

    /// What is said when there is no text: why it does not listen.
    fn trouble(&self) -> Option<Line> {
        let text = match &self.listener.phase {
            Phase::Failed(message) => message.clone(),
            Phase::Starting => "Loading the model…".to_owned(),
            _ => return None,
        };
        Some(Line { committed: text, ..Line::default() })
    }
}

impl eframe::App for Alone {
    fn logic(&mut self, _ctx: &Context, _frame: &mut eframe::Frame) {
        self.listener.hear();
        for notice in self.listener.notices() {
            tracing::warn!("{}", notice.text);
        }
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        let failed = matches!(self.listener.phase, Phase::Failed(_));
        let lines = self.listener.captions.lines();
        match self.trouble() {
            Some(line) if failed || lines.is_empty() => {
                let mut said = self.draft.overlay.clone();
                said.shown = Shown::Original;
                overlay::draw(ui, &[line], &mut said, Use::Alone);
            }
            _ => overlay::draw(ui, lines, &mut self.draft.overlay, Use::Alone),
        }
        let open = self.settings.get().overlay.open;
        let mut overlay = self.draft.overlay.clone();
        // Whether the window's overlay is open is the window's affair.
        overlay.open = open;
        self.settings.change(|settings| settings.overlay = overlay);
        if self.settings.generation() != self.generation {
            self.generation = self.settings.generation();
            self.draft = Settings::clone(&self.settings.get());
            self.listener.change(&self.draft);
        }
    }

    fn clear_color(&self, _visuals: &Visuals) -> [f32; 4] {
        [0.0; 4]
    }

    fn on_exit(&mut self, _gl: Option<&eframe::glow::Context>) {
        self.listener.quit(LAST_WORDS);
    }
}
