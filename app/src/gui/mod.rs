//! The windows: live text, recordings, history, models, settings; and captions above all others.
//!
//! ```text
//! Window ── pages ── Listener ── backend::Live   (a session, elsewhere)
//!    │         └──── jobs, each a Worker: a named thread behind bounded channels
//!    └── overlay
//! ```
//!
//! A window waits for nothing: what takes time is asked of a [`worker::Worker`] or a
//! [`backend::Live`], which wakes the window when there is something to draw. Pages know no threads.

mod alone;
pub mod backend;
pub mod dictating;
pub mod export;
pub mod fonts;
mod frame;
pub mod icons;
pub mod jobs;
mod keys;
pub mod languages;
pub mod listener;
pub mod overlay;
pub mod pages;
mod program;
mod session_log;
mod sign;
mod status;
pub mod text;
pub mod theme;
mod tray;
mod unfocused;
pub mod widgets;
mod window;
pub mod worker;

pub use program::backend;
pub use window::Window;

use self::backend::Backend;
use crate::desktop::{self, Instance, Message};
use anyhow::{Context as _, anyhow, bail};
use crossbeam_channel::{Sender, bounded};
use eframe::egui::{IconData, ViewportBuilder};
use eframe::{NativeOptions, Renderer};
use std::env;
use std::sync::Arc;
use std::thread;

/// Opens the window and runs until it is closed. A second start raises the first.
///
/// # Errors
/// When there is no display, or no folder for settings and models.
pub fn run() -> anyhow::Result<()> {
    let backend = backend()?;
    let folder = desktop::runtime_folder()?;
    let instance = match desktop::claim(&folder)? {
        Some(instance) => instance,
        None => {
            desktop::tell(&folder, Message::Show)?;
            return Ok(());
        }
    };
    open(backend, Some(instance))
}

/// Opens the window over a backend; with an `instance`, further starts come to it.
///
/// # Errors
/// When there is no display.
pub fn open(backend: Backend, instance: Option<Instance>) -> anyhow::Result<()> {
    let fonts = scan_fonts()?;
    let viewport = ViewportBuilder::default()
        .with_title("Partita")
        .with_app_id("partita")
        .with_icon(icon())
        // The painter's surface is picked for this window, and the overlay needs it to be
        // transparent; the window itself is filled by its panels.
        .with_transparent(true)
        .with_inner_size([1080.0, 720.0])
        .with_min_inner_size([760.0, 480.0]);
    start(viewport, move |creation| {
        let (ask, asked) = bounded(8);
        if let Some(instance) = instance {
            follow(instance, ask, creation.egui_ctx.clone());
        }
        let fonts = fonts.join().map_err(|_| anyhow!("fonts could not be looked for"))?;
        let window = Window::new(&creation.egui_ctx, backend, fonts, asked)?;
        Ok(Box::new(window) as Box<dyn eframe::App>)
    })
}

/// Opens the caption overlay alone, listens at once, and runs until it is closed.
///
/// # Errors
/// As [`run`].
pub fn run_overlay() -> anyhow::Result<()> {
    let backend = backend()?;
    let fonts = scan_fonts()?;
    let viewport = overlay::builder(&backend.settings.get().overlay, None);
    unfocused::keep(overlay::TITLE);
    start(viewport, move |creation| {
        let fonts = fonts.join().map_err(|_| anyhow!("fonts could not be looked for"))?;
        Ok(Box::new(alone::Alone::new(&creation.egui_ctx, backend, fonts)))
    })
}

fn start<'a>(
    viewport: ViewportBuilder,
    create: impl FnOnce(&eframe::CreationContext<'_>) -> anyhow::Result<Box<dyn eframe::App + 'a>> + 'a,
) -> anyhow::Result<()> {
    let displays = ["DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"];
    if cfg!(target_os = "linux") && displays.iter().all(|name| env::var_os(name).is_none()) {
        bail!("there is no display for a window; `partita --help` says what works without one");
    }
    #[cfg(target_os = "linux")]
    check_wayland()?;
    let options = NativeOptions {
        centered: viewport.position.is_none(),
        viewport,
        renderer: Renderer::Glow,
        // Fonts are found by ourselves.
        system_font_fallback: false,
        ..NativeOptions::default()
    };
    let create = move |creation: &eframe::CreationContext<'_>| Ok(create(creation)?);
    eframe::run_native("partita", options, Box::new(create))
        .map_err(|error| anyhow!("{error}"))
        .context("the window could not be opened")
}

/// Under Wayland, the library that windows are drawn with is loaded when one opens, and a program
/// without it would end there.
#[cfg(target_os = "linux")]
fn check_wayland() -> anyhow::Result<()> {
    let asked = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let wayland = asked("WAYLAND_DISPLAY") || asked("WAYLAND_SOCKET");
    if wayland && wayland_sys::client::is_lib_available() && !wayland_sys::egl::is_lib_available() {
        bail!(
            "libwayland-egl.so.1 is missing, which a window takes under Wayland (Debian's package: \
             libwayland-egl1); `WAYLAND_DISPLAY= partita` opens it through X11"
        );
    }
    Ok(())
}

fn scan_fonts() -> anyhow::Result<thread::JoinHandle<fonts::SystemFonts>> {
    Ok(thread::Builder::new().name("fonts".to_owned()).spawn(fonts::SystemFonts::scan)?)
}

/// Comes to the front when the program is started again, or dictates when that is asked for.
fn follow(instance: Instance, ask: Sender<()>, ctx: eframe::egui::Context) {
    let follow = move || {
        for message in instance.messages() {
            match message {
                Message::Show => window::show(&ctx),
                // Whoever asks faster than it is drawn may be overheard.
                Message::Dictate => drop(ask.try_send(())),
            }
            ctx.request_repaint();
        }
    };
    if let Err(error) = thread::Builder::new().name("instance".to_owned()).spawn(follow) {
        tracing::warn!(%error, "a second start cannot raise this window");
    }
}

fn icon() -> Arc<IconData> {
    Arc::new(IconData { rgba: sign::rgba(), width: sign::SIDE, height: sign::SIDE })
}
