//! Captions above all other windows.
//!
//! A window of its own: without a frame, transparent, on top, never in the way of the keyboard. It
//! is moved by dragging and resized at its edges; locked, it cannot be touched at all and clicks go
//! to what lies below (X11, Windows, macOS; on Wayland where the compositor lets it).

use super::icons::Icon;
use super::text::{Span, Text};
use super::unfocused;
use super::widgets::icon_button;
use crate::live::Line;
use crate::settings::{Overlay, Shown};
use eframe::egui::{
    Align, Color32, Context, CornerRadius, CursorIcon, Event, FontId, Id, Layout, Pos2, Rect,
    ResizeDirection, Role, Sense, Ui, UiBuilder, Vec2, ViewportBuilder, ViewportCommand,
    ViewportId, WidgetInfo, X11WindowType, pos2, vec2,
};

/// The grip at the edges.
const EDGE: f32 = 8.0;
const MARGIN: f32 = 16.0;
/// Rows stand so far apart, in sizes of the text; as [`Text`] has it.
const ROW: f32 = 1.4;

/// What is done beside drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Beside a window, which can lock and unlock it.
    Beside,
    /// Alone: it cannot be locked, as nothing could unlock it.
    Alone,
}

/// The overlay's window as it is while it is open.
#[derive(Debug, Default)]
pub struct OverlayWindow {
    /// How it was asked for when it was opened: asking for another place each time it was moved
    /// would move it again.
    begun: Option<ViewportBuilder>,
    /// How far it is to be moved, and how much larger to be made.
    push: (Vec2, Vec2),
}

/// The window's number.
pub fn id() -> ViewportId {
    ViewportId::from_hash_of("overlay")
}

/// The name of its window.
pub const TITLE: &str = "Partita captions";
/// Its smallest size.
const LEAST: [f32; 2] = [200.0, 48.0];
/// Its size at first, and how far from the lower edge of the screen it stands.
const SIZE: [f32; 2] = [860.0, 140.0];
const ABOVE: f32 = 90.0;

/// A window for the overlay; at first near the lower edge of a screen of that size.
pub fn builder(overlay: &Overlay, screen: Option<Vec2>) -> ViewportBuilder {
    let [width, height] = SIZE;
    let first =
        screen.map(|screen| [(screen.x - width) / 2.0, screen.y - height - ABOVE, width, height]);
    let place = overlay.place.or(first);
    let [left, top, width, height] = place.unwrap_or([0.0, 0.0, width, height]);
    let mut builder = ViewportBuilder::default()
        .with_title(TITLE)
        .with_app_id("partita")
        .with_decorations(false)
        .with_transparent(true)
        .with_always_on_top()
        .with_active(false)
        .with_taskbar(false)
        .with_has_shadow(false)
        // A kind of window that window managers do not give the keyboard to by themselves.
        .with_window_type(X11WindowType::Utility)
        .with_min_inner_size(LEAST)
        .with_inner_size([width, height]);
    if place.is_some() {
        builder = builder.with_position([left, top]);
    }
    builder
}

impl OverlayWindow {
    /// Moves it by so many points, and makes it so much larger, in the next frame.
    pub fn place(&mut self, by: Vec2, larger: Vec2) {
        self.push = (self.push.0 + by, self.push.1 + larger);
    }

    /// Shows the overlay, or takes it away.
    pub fn show(&mut self, ctx: &Context, lines: &[Line], overlay: &mut Overlay) {
        let (by, larger) = std::mem::take(&mut self.push);
        if !overlay.open {
            self.begun = None;
            return;
        }
        let begun = self.begun.get_or_insert_with(|| {
            // It has no business with the keyboard.
            unfocused::keep(TITLE);
            builder(overlay, ctx.input(|input| input.viewport().monitor_size))
        });
        let begun = begun.clone();
        let begun = begun.with_mouse_passthrough(overlay.locked);
        ctx.show_viewport_immediate(id(), begun, |ui, _| {
            push(ui, by, larger);
            draw(ui, lines, overlay, Use::Beside);
            if ui.input(|input| input.viewport().close_requested()) {
                overlay.open = false;
            }
        });
    }
}

/// Moves the window and makes it larger. Where windows do not know their place (Wayland), it stays.
fn push(ui: &Ui, by: Vec2, larger: Vec2) {
    let outer = ui.input(|input| input.viewport().outer_rect);
    if let Some(outer) = outer.filter(|_| by != Vec2::ZERO) {
        ui.ctx().send_viewport_cmd(ViewportCommand::OuterPosition(outer.min + by));
    }
    if larger != Vec2::ZERO {
        let size = (ui.max_rect().size() + larger).max(LEAST.into());
        ui.ctx().send_viewport_cmd(ViewportCommand::InnerSize(size));
    }
}

/// Draws the overlay over a whole window and lets it be moved.
pub fn draw(ui: &mut Ui, lines: &[Line], overlay: &mut Overlay, used: Use) {
    let all = ui.max_rect();
    let locked = overlay.locked && used == Use::Beside;
    let response = ui.interact(all, ui.scope_id().with("overlay"), Sense::click_and_drag());
    let shown = shown(lines, overlay);
    let spoken = shown.iter().flatten().map(Text::whole).collect::<Vec<_>>().join("\n");
    response.widget_info(|| WidgetInfo::labeled(Role::Caption, true, &spoken));

    let [r, g, b] = overlay.ground_color;
    let alpha = (overlay.opacity.clamp(0.0, 1.0) * 255.0).round() as u8;
    let ground = Color32::from_rgba_unmultiplied(r, g, b, alpha);
    ui.painter().rect_filled(all, CornerRadius::same(14), ground);
    texts(ui, all.shrink2(vec2(MARGIN + 8.0, MARGIN * 0.6)), &shown, overlay);
    if spoken.is_empty() && !locked {
        hint(ui, all, overlay);
    }
    if !locked {
        handle(ui, all, &response);
        if ui.rect_contains_pointer(all) {
            buttons(ui, all, overlay, used);
        }
        remember(ui, all, overlay, used);
    }
}

/// The texts that are shown: what was said, its translation; oldest first.
fn shown<'a>(lines: &'a [Line], overlay: &Overlay) -> Vec<Vec<Text<'a>>> {
    let count = usize::from(overlay.lines.clamp(1, 4));
    let [r, g, b] = overlay.text_color;
    let color = Color32::from_rgb(r, g, b);
    let soft = color.gamma_multiply(0.72);
    let font = FontId::proportional(overlay.font_size);
    let recent = || lines.iter().rev().take(count).rev();
    let original = || {
        let spans = |line: &'a Line| {
            let all =
                vec![Span { text: &line.committed, color }, Span { text: &line.tail, color: soft }];
            all.into_iter().filter(|span| !span.text.is_empty()).collect::<Vec<_>>()
        };
        let texts = recent().map(spans).filter(|spans| !spans.is_empty());
        texts.map(|spans| Text { spans, font: font.clone(), marked: Vec::new() }).collect()
    };
    let translation = || {
        let texts = recent().filter_map(|line| line.translation.as_ref());
        texts.map(|(_, text)| Text::plain(text, color, font.clone())).collect()
    };
    match overlay.shown {
        Shown::Original => vec![original()],
        Shown::Translation => vec![translation()],
        Shown::Both => vec![original(), translation()],
    }
}

/// The last rows of each text, one text below the other, at the bottom of `place`.
fn texts(ui: &Ui, place: Rect, shown: &[Vec<Text>], overlay: &Overlay) {
    let row = (overlay.font_size * ROW).round();
    let most = f32::from(overlay.lines.clamp(1, 4)) * row;
    let blocks: Vec<_> = shown
        .iter()
        .map(|texts| texts.iter().map(|text| text.set(ui, place.width())).collect::<Vec<_>>())
        .filter(|galleys| !galleys.is_empty())
        .collect();
    let mut bottom = place.bottom();
    for (number, galleys) in blocks.iter().enumerate().rev() {
        let height: f32 = galleys.iter().map(|(galley, _)| galley.size().y).sum();
        let height = height.min(most);
        let top = (bottom - height).max(place.top());
        let block = Rect::from_min_max(pos2(place.left(), top), pos2(place.right(), bottom));
        let painter = ui.painter_at(block.expand2(vec2(MARGIN, 0.0)));
        let mut y = bottom;
        for (galley, from_right) in galleys.iter().rev() {
            y -= galley.size().y;
            let x = if *from_right { place.right() } else { place.left() };
            // Readable without any ground, too.
            let shade = Color32::from_black_alpha(150);
            painter.galley_with_override_text_color(pos2(x + 1.0, y + 1.5), galley.clone(), shade);
            painter.galley(pos2(x, y), galley.clone(), Color32::WHITE);
            if y <= top {
                break;
            }
        }
        bottom = top - if number > 0 { 4.0 } else { 0.0 };
    }
}

fn hint(ui: &Ui, all: Rect, overlay: &Overlay) {
    let [r, g, b] = overlay.text_color;
    let color = Color32::from_rgba_unmultiplied(r, g, b, 150);
    let font = FontId::proportional(overlay.font_size.min(20.0));
    super::widgets::centred(ui, all, "Captions appear here", font, color);
}

/// Moves the window, or changes its size at the edges.
fn handle(ui: &Ui, all: Rect, response: &eframe::egui::Response) {
    let Some(pointer) = ui.input(|input| input.pointer.hover_pos()) else { return };
    let edge = edge(all, pointer);
    if response.hovered() || response.dragged() {
        ui.ctx().set_cursor_icon(match edge {
            None => CursorIcon::Grab,
            Some(ResizeDirection::East | ResizeDirection::West) => CursorIcon::ResizeHorizontal,
            Some(ResizeDirection::North | ResizeDirection::South) => CursorIcon::ResizeVertical,
            Some(ResizeDirection::NorthWest | ResizeDirection::SouthEast) => CursorIcon::ResizeNwSe,
            Some(_) => CursorIcon::ResizeNeSw,
        });
    }
    if let Some(direction) = edge.filter(|_| response.drag_started()) {
        ui.ctx().send_viewport_cmd(ViewportCommand::BeginResize(direction));
        return;
    }
    // A window that never has the keyboard may not hand its move to the window manager (the window
    // library asks for the focus), so it follows the pointer by itself; where windows do not know
    // their place (Wayland), the manager is asked all the same.
    let taken = taken();
    let (outer, moved) = ui.input(|input| {
        let moved = |event: &Event| matches!(event, Event::PointerMoved(_));
        (input.viewport().outer_rect, input.events.iter().any(moved))
    });
    let Some(outer) = outer else {
        if response.drag_started() {
            ui.ctx().send_viewport_cmd(ViewportCommand::StartDrag);
        }
        return;
    };
    if response.drag_started() {
        let at = ui.input(|input| input.pointer.press_origin()).unwrap_or(pointer);
        ui.data_mut(|data| data.insert_temp(taken, Taken { at, wanted: outer.min }));
    }
    let Some(now) = ui.data(|data| data.get_temp::<Taken>(taken)) else { return };
    if !response.dragged() {
        ui.data_mut(|data| data.remove_temp::<Taken>(taken));
    } else if moved && outer.min.distance(now.wanted) < 1.5 {
        // Only when it is where it was sent, and the pointer is known as seen from there.
        let wanted = (outer.min + (pointer - now.at)).round();
        ui.data_mut(|data| data.insert_temp(taken, Taken { wanted, ..now }));
        ui.ctx().send_viewport_cmd(ViewportCommand::OuterPosition(wanted));
    }
}

fn taken() -> Id {
    Id::unique("overlay-taken")
}

/// How the window is being moved.
#[derive(Clone, Copy, Default)]
struct Taken {
    /// Where it was taken, from its corner.
    at: Pos2,
    /// Where it was sent.
    wanted: Pos2,
}

fn edge(all: Rect, at: Pos2) -> Option<ResizeDirection> {
    let (left, right) = (at.x < all.left() + EDGE, at.x > all.right() - EDGE);
    let (top, bottom) = (at.y < all.top() + EDGE, at.y > all.bottom() - EDGE);
    Some(match (left, right, top, bottom) {
        (true, _, true, _) => ResizeDirection::NorthWest,
        (true, _, _, true) => ResizeDirection::SouthWest,
        (_, true, true, _) => ResizeDirection::NorthEast,
        (_, true, _, true) => ResizeDirection::SouthEast,
        (true, ..) => ResizeDirection::West,
        (_, true, ..) => ResizeDirection::East,
        (_, _, true, _) => ResizeDirection::North,
        (_, _, _, true) => ResizeDirection::South,
        _ => return None,
    })
}

/// What can be done when the pointer is there.
fn buttons(ui: &mut Ui, all: Rect, overlay: &mut Overlay, used: Use) {
    let size = vec2(110.0, 32.0);
    let place = Rect::from_min_size(pos2(all.right() - size.x - 10.0, all.top() + 8.0), size);
    ui.painter().rect_filled(place, CornerRadius::same(8), Color32::from_black_alpha(160));
    let builder = UiBuilder::new().max_rect(place).layout(Layout::right_to_left(Align::Center));
    ui.scope_builder(builder, |ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        if icon_button(ui, Icon::Close, "Close the overlay").clicked() {
            overlay.open = false;
            if used == Use::Alone {
                ui.ctx().send_viewport_cmd(ViewportCommand::Close);
            }
        }
        if used == Use::Beside && icon_button(ui, Icon::Lock, "Lock the overlay").clicked() {
            overlay.locked = true;
        }
        if icon_button(ui, Icon::Larger, "Larger captions").clicked() {
            overlay.font_size = (overlay.font_size + 2.0).min(72.0);
        }
    });
}

/// Keeps the place for the next time; Wayland does not tell it.
fn remember(ui: &Ui, all: Rect, overlay: &mut Overlay, used: Use) {
    // Whether a button is down is not known for sure: of a change of size, the window manager keeps
    // its release to itself.
    if ui.data(|data| data.get_temp::<Taken>(taken())).is_some() {
        return;
    }
    let Some(outer) = ui.input(|input| input.viewport().outer_rect) else { return };
    // What is drawn: the size that is told lags behind that which the window manager gave.
    let size = all.size();
    let place = [outer.left(), outer.top(), size.x, size.y].map(f32::round);
    // Drawn within the window (where there are no others), the place would be the window's.
    let own = used == Use::Alone || ui.ctx().viewport_id() != ViewportId::ROOT;
    if own && overlay.place != Some(place) {
        overlay.place = Some(place);
    }
}
