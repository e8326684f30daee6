//! What is around pages: the navigation, and what the user is told.

use super::icons::{self, Icon};
use super::pages::{Notices, Page};
use super::theme::{Palette, RADIUS, strong};
use super::widgets::icon_button;
use eframe::egui::{
    Align2, Area, Context, CornerRadius, FontId, Frame, Id, Label, Margin, Order, Rect, RichText,
    Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2,
};

/// The list of pages; the one that was chosen.
pub fn navigation(ui: &mut Ui, current: Page) -> Option<Page> {
    let palette = Palette::of(ui);
    ui.spacing_mut().item_spacing.y = 4.0;
    ui.horizontal(|ui| {
        ui.add_space(8.0);
        let (rect, _) = ui.allocate_exact_size(vec2(24.0, 24.0), Sense::hover());
        mark(ui, rect);
        ui.label(strong("Partita", 17.0));
    });
    ui.add_space(14.0);
    let mut chosen = None;
    for (number, page) in Page::ALL.into_iter().enumerate() {
        let size = vec2(ui.available_width(), 38.0);
        let (rect, response) = ui.allocate_exact_size(size, Sense::click());
        let on = page == current;
        response.widget_info(|| WidgetInfo::selected(Role::Tab, true, on, page.name()));
        let (ground, color) = match (on, response.hovered()) {
            (true, _) => (palette.accent_soft, palette.accent),
            (false, true) => (palette.hover, palette.text),
            (false, false) => (palette.rail, palette.weak),
        };
        let radius = CornerRadius::same(RADIUS);
        ui.painter().rect_filled(rect, radius, ground);
        if response.has_focus() {
            let stroke = Stroke::new(1.5, palette.accent);
            ui.painter().rect_stroke(rect, radius, stroke, StrokeKind::Inside);
        }
        let icon =
            Rect::from_center_size(pos2(rect.left() + 22.0, rect.center().y), vec2(20.0, 20.0));
        icons::paint(ui.painter(), icon, page.icon(), color);
        let text = if on { palette.text } else { color };
        ui.painter().text(
            pos2(rect.left() + 42.0, rect.center().y),
            Align2::LEFT_CENTER,
            page.name(),
            FontId::proportional(14.5),
            text,
        );
        if response.on_hover_text(format!("Ctrl+{}", number + 1)).clicked() {
            chosen = Some(page);
        }
    }
    chosen
}

/// The sign of the program: a staff of sound, in bars.
fn mark(ui: &Ui, rect: Rect) {
    let palette = Palette::of(ui);
    ui.painter().rect_filled(rect, CornerRadius::same(7), palette.accent);
    for (place, height) in [0.30, 0.62, 0.44, 0.22].into_iter().enumerate() {
        let x = rect.left() + 5.4 + place as f32 * 4.4;
        let half = rect.height() * height / 2.0;
        let middle = rect.center().y;
        ui.painter().line_segment(
            [pos2(x, middle - half), pos2(x, middle + half)],
            Stroke::new(2.2, palette.on_accent),
        );
    }
}

/// What the user is told, at the lower right.
pub fn notices(ctx: &Context, notices: &mut Notices) {
    let (shown, until) = notices.shown();
    if let Some(until) = until {
        ctx.request_repaint_after(until);
    }
    if shown.is_empty() {
        return;
    }
    let area = Area::new(Id::unique("notices"))
        .order(Order::Foreground)
        .anchor(Align2::RIGHT_BOTTOM, vec2(-20.0, -48.0));
    area.show(ctx, |ui| {
        ui.set_max_width(380.0);
        for notice in shown {
            let palette = Palette::of(ui);
            let (icon, color) = match notice.bad {
                true => (Icon::Warning, palette.bad),
                false => (Icon::Check, palette.good),
            };
            let frame = Frame::new()
                .fill(palette.card)
                .stroke(Stroke::new(1.0, palette.line))
                .shadow(ui.visuals().popup_shadow)
                .corner_radius(CornerRadius::same(10))
                .inner_margin(Margin::symmetric(12, 8));
            frame.show(ui, |ui| {
                ui.horizontal(|ui| {
                    let (rect, _) = ui.allocate_exact_size(vec2(18.0, 18.0), Sense::hover());
                    icons::paint(ui.painter(), rect, icon, color);
                    let text = RichText::new(&notice.text);
                    let width = 280.0;
                    ui.vertical(|ui| {
                        ui.set_max_width(width);
                        let label = ui.add(Label::new(text).wrap());
                        label.widget_info(|| WidgetInfo::labeled(Role::Status, true, &notice.text));
                    });
                    if icon_button(ui, Icon::Close, "Close the notice").clicked() {
                        notices.close(&notice);
                    }
                });
            });
        }
    });
}
