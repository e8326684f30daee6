//! The few controls that pages are made of, each with an accessible name.

use super::icons::{self, Icon};
use super::theme::{CARD_RADIUS, PAGE, Palette, RADIUS, strong};
use eframe::egui::{
    Align, Align2, Button, Color32, ComboBox, CornerRadius, FontId, Frame, InnerResponse, Label,
    Layout, Margin, Rect, Response, RichText, Role, ScrollArea, Sense, Slider, Stroke, StrokeKind,
    TextEdit, TextStyle, Ui, WidgetInfo, pos2, style::WidgetVisuals, vec2,
};

/// Side of a button that is only an icon.
pub const ICON_BUTTON: f32 = 32.0;

/// The title of a page, and what can be done on it at the right.
pub fn header(ui: &mut Ui, title: &str, actions: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        ui.set_min_height(ICON_BUTTON);
        let heading = ui.label(RichText::new(title).text_style(TextStyle::Heading));
        heading.widget_info(|| WidgetInfo::labeled(Role::Heading, true, title));
        ui.with_layout(Layout::right_to_left(Align::Center), actions);
    });
    ui.add_space(8.0);
}

/// The margins of a page.
pub fn page<R>(ui: &mut Ui, contents: impl FnOnce(&mut Ui) -> R) -> R {
    let margin = Margin { left: PAGE as i8, right: PAGE as i8, top: 20, bottom: 12 };
    Frame::new().inner_margin(margin).show(ui, contents).inner
}

/// A column of cards that scrolls, not wider than can be read.
pub fn column<R>(ui: &mut Ui, salt: &str, contents: impl FnOnce(&mut Ui) -> R) -> R {
    const WIDEST: f32 = 760.0;
    let area = ScrollArea::vertical().id_salt(salt).auto_shrink(false);
    area.show(ui, |ui| {
        ui.set_max_width(ui.available_width().min(WIDEST) - 4.0);
        ui.spacing_mut().item_spacing.y = 12.0;
        contents(ui)
    })
    .inner
}

/// A framed group of things that belong together.
pub fn card<R>(ui: &mut Ui, contents: impl FnOnce(&mut Ui) -> R) -> InnerResponse<R> {
    let palette = Palette::of(ui);
    let frame = Frame::new()
        .fill(palette.card)
        .stroke(Stroke::new(1.0, palette.line))
        .corner_radius(CornerRadius::same(CARD_RADIUS))
        .inner_margin(Margin::same(16));
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.spacing_mut().item_spacing.y = 8.0;
        contents(ui)
    })
}

/// A card with a title.
pub fn section<R>(ui: &mut Ui, title: &str, contents: impl FnOnce(&mut Ui) -> R) -> R {
    let titled = |ui: &mut Ui| {
        let label = ui.label(strong(title, 15.0));
        label.widget_info(|| WidgetInfo::labeled(Role::Heading, true, title));
        ui.add_space(4.0);
        contents(ui)
    };
    card(ui, titled).inner
}

/// A name and a word of help at the left, a control at the right that bears the name.
pub fn row<R>(ui: &mut Ui, name: &str, help: &str, control: impl FnOnce(&mut Ui) -> R) -> R {
    let palette = Palette::of(ui);
    let inner = ui.horizontal_top(|ui| {
        let left = ui.available_width() * 0.5;
        ui.allocate_ui_with_layout(vec2(left, 0.0), Layout::top_down(Align::Min), |ui| {
            ui.set_width(left);
            ui.spacing_mut().item_spacing.y = 2.0;
            // A name alone stands at the middle of its control.
            ui.add_space(if help.is_empty() { 6.0 } else { 0.0 });
            ui.label(name);
            if !help.is_empty() {
                ui.add(Label::new(RichText::new(help).small().color(palette.weak)).wrap());
            }
        });
        let size = vec2(ui.available_width(), 34.0);
        let right = Layout::right_to_left(Align::Center);
        ui.allocate_ui_with_layout(size, right, |ui| ui.name_inputs(name, control)).inner
    });
    ui.add_space(2.0);
    inner.inner
}

/// A slider with its value.
pub fn slider(ui: &mut Ui, slider: Slider) -> Response {
    let palette = Palette::of(ui);
    ui.scope(|ui| {
        let visuals = ui.visuals_mut();
        visuals.override_text_color = Some(palette.text);
        visuals.selection.bg_fill = palette.accent;
        let widgets = &mut visuals.widgets;
        for state in [&mut widgets.inactive, &mut widgets.hovered, &mut widgets.active] {
            state.fg_stroke = Stroke::new(2.0, palette.accent);
        }
        ui.add(slider)
    })
    .inner
}

/// On or off.
pub fn switch(ui: &mut Ui, on: &mut bool, name: &str) -> Response {
    let size = vec2(38.0, 22.0);
    let (rect, mut response) = ui.allocate_exact_size(size, Sense::click());
    if response.clicked() {
        *on = !*on;
        response.mark_changed();
    }
    response.widget_info(|| WidgetInfo::selected(Role::Switch, ui.is_enabled(), *on, name));
    if ui.is_rect_visible(rect) {
        let palette = Palette::of(ui);
        let how = ui.ctx().animate_bool_responsive(response.id, *on);
        let radius = rect.height() / 2.0;
        let ground = palette.line.lerp_to_gamma(palette.accent, how);
        ui.painter().rect_filled(rect, radius, ground);
        let x = egui_lerp(rect.left() + radius, rect.right() - radius, how);
        let knob = if how > 0.5 { palette.on_accent } else { palette.card };
        ui.painter().circle_filled(pos2(x, rect.center().y), radius - 3.0, knob);
        outline(ui, &response, rect.expand(2.0), radius + 2.0);
    }
    response
}

fn egui_lerp(from: f32, to: f32, how: f32) -> f32 {
    from + (to - from) * how
}

/// The accent around what the keyboard is at.
fn outline(ui: &Ui, response: &Response, rect: Rect, radius: f32) {
    if response.has_focus() {
        let stroke = Stroke::new(1.5, Palette::of(ui).accent);
        ui.painter().rect_stroke(rect, radius, stroke, StrokeKind::Outside);
    }
}

/// A button that is only an icon; its name is shown under the pointer.
pub fn icon_button(ui: &mut Ui, icon: Icon, name: &str) -> Response {
    toggle_button(ui, icon, name, false)
}

/// A button that is only an icon and may be pressed in.
pub fn toggle_button(ui: &mut Ui, icon: Icon, name: &str, on: bool) -> Response {
    let (rect, response) = ui.allocate_exact_size(vec2(ICON_BUTTON, ICON_BUTTON), Sense::click());
    response.widget_info(|| match on {
        true => WidgetInfo::selected(Role::Button, ui.is_enabled(), true, name),
        false => WidgetInfo::labeled(Role::Button, ui.is_enabled(), name),
    });
    if ui.is_rect_visible(rect) {
        let palette = Palette::of(ui);
        let pointed = response.hovered() && ui.is_enabled();
        let (ground, color) = match (on, pointed) {
            (true, _) => (palette.accent_soft, palette.accent),
            (false, true) => (palette.hover, palette.text),
            (false, false) => (Color32::TRANSPARENT, palette.weak),
        };
        let color = if ui.is_enabled() { color } else { color.gamma_multiply(0.4) };
        ui.painter().rect_filled(rect, CornerRadius::same(RADIUS), ground);
        icons::paint(ui.painter(), rect.shrink(7.0), icon, color);
        outline(ui, &response, rect.shrink(1.0), f32::from(RADIUS));
    }
    response.on_hover_text(name)
}

/// The one thing to press on a page.
pub fn primary_button(ui: &mut Ui, icon: Icon, name: &str) -> Response {
    filled_button(ui, icon, name, true)
}

/// A button with an icon and its name.
pub fn labelled_button(ui: &mut Ui, icon: Icon, name: &str) -> Response {
    filled_button(ui, icon, name, false)
}

fn filled_button(ui: &mut Ui, icon: Icon, name: &str, primary: bool) -> Response {
    let palette = Palette::of(ui);
    let (ground, text, line) = match primary {
        true => (palette.accent, palette.on_accent, palette.accent),
        false => (palette.card, palette.text, palette.line),
    };
    let font = TextStyle::Button.resolve(ui.style());
    let galley = ui.fonts_mut(|fonts| fonts.layout_no_wrap(name.to_owned(), font, text));
    let size = vec2(galley.size().x + 46.0, if primary { 36.0 } else { ICON_BUTTON });
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, ui.is_enabled(), name));
    if ui.is_rect_visible(rect) {
        let ground = match (response.hovered() && ui.is_enabled(), primary) {
            (true, true) => ground.lerp_to_gamma(palette.text, 0.15),
            (true, false) => palette.hover,
            (false, _) => ground,
        };
        let fade = if ui.is_enabled() { 1.0 } else { 0.4 };
        let radius = CornerRadius::same(RADIUS);
        ui.painter().rect_filled(rect, radius, ground.gamma_multiply(fade));
        let stroke = Stroke::new(1.0, line.gamma_multiply(fade));
        ui.painter().rect_stroke(rect, radius, stroke, StrokeKind::Inside);
        let side =
            Rect::from_center_size(pos2(rect.left() + 20.0, rect.center().y), vec2(17.0, 17.0));
        icons::paint(ui.painter(), side, icon, text.gamma_multiply(fade));
        let at = pos2(rect.left() + 34.0, rect.center().y - galley.size().y / 2.0);
        ui.painter().galley(at, galley, text);
        outline(ui, &response, rect.expand(2.0), f32::from(RADIUS) + 2.0);
    }
    response
}

/// One of a few.
pub fn choice<T: PartialEq + Copy>(
    ui: &mut Ui,
    value: &mut T,
    options: &[(T, &str)],
    name: &str,
) -> bool {
    let palette = Palette::of(ui);
    let frame = Frame::new()
        .fill(palette.rail)
        .corner_radius(CornerRadius::same(RADIUS))
        .inner_margin(Margin::same(2));
    let mut changed = false;
    let mut buttons = |ui: &mut Ui| {
        ui.spacing_mut().item_spacing.x = 2.0;
        for (option, label) in options {
            let on = *value == *option;
            let text = RichText::new(*label).color(if on { palette.text } else { palette.weak });
            let ground = if on { palette.card } else { Color32::TRANSPARENT };
            let stroke = Stroke::new(1.0, if on { palette.line } else { Color32::TRANSPARENT });
            let button = Button::new(text).fill(ground).min_size(vec2(0.0, 28.0));
            let response = match ui.memory(|memory| memory.has_focus(ui.next_auto_id())) {
                true => ui.add(button),
                false => ui.add(button.stroke(stroke)),
            };
            response.widget_info(|| {
                let label = format!("{name}: {label}");
                WidgetInfo::selected(Role::RadioButton, ui.is_enabled(), on, label)
            });
            if response.clicked() && !on {
                *value = *option;
                changed = true;
            }
        }
    };
    let font = TextStyle::Button.resolve(ui.style());
    let padding = 2.0 * ui.spacing().button_padding.x + 2.0;
    let width = |label: &str| {
        let text = label.to_owned();
        let galley = ui.fonts_mut(|f| f.layout_no_wrap(text, font.clone(), Color32::PLACEHOLDER));
        galley.size().x + padding
    };
    // Within a row that is filled from the right, options still go from the left, so how wide they
    // are must be known before.
    let size = vec2(options.iter().map(|(_, label)| width(label)).sum(), 28.0);
    frame.show(ui, |ui| {
        ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), &mut buttons);
    });
    changed
}

/// One of many: `options` are values and what is shown for them.
pub fn pick(ui: &mut Ui, name: &str, value: &mut String, options: &[(String, String)]) -> bool {
    let shown = options.iter().find(|(own, _)| own == value).map_or(value.as_str(), |(_, s)| s);
    let before = value.clone();
    let arrow = |ui: &Ui, rect: Rect, _: &WidgetVisuals, _: bool| {
        icons::paint(ui.painter(), rect.expand(1.0), Icon::Down, Palette::of(ui).weak);
    };
    let list = ComboBox::from_id_salt(name).selected_text(shown.to_owned());
    let list = list.height(320.0).icon(arrow);
    let response = list.show_ui(ui, |ui| {
        for (own, label) in options {
            ui.selectable_value(value, own.clone(), label);
        }
    });
    let shown = shown_of(options, value);
    response.response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::ComboBox, ui.is_enabled(), name);
        info.current_text_value = Some(shown.clone());
        info
    });
    *value != before
}

fn shown_of(options: &[(String, String)], value: &str) -> String {
    let found = options.iter().find(|(own, _)| own == value);
    found.map_or(value, |(_, shown)| shown).to_owned()
}

/// How loud it is: `level` is a root mean square of 0 to 1, drawn over 60 decibels.
pub fn meter(ui: &mut Ui, level: f32, width: f32, name: &str) -> Response {
    let (rect, response) = ui.allocate_exact_size(vec2(width, 6.0), Sense::hover());
    let part = ((20.0 * level.max(1e-6).log10() + 60.0) / 60.0).clamp(0.0, 1.0);
    response.widget_info(|| WidgetInfo::labeled(Role::Meter, true, name));
    let palette = Palette::of(ui);
    ui.painter().rect_filled(rect, 3.0, palette.line);
    let filled = Rect::from_min_size(rect.min, vec2(rect.width() * part, rect.height()));
    let color = if part > 0.97 { palette.bad } else { palette.accent };
    ui.painter().rect_filled(filled, 3.0, color);
    response
}

/// How far something is, 0 to 1; unknown when absent.
pub fn bar(ui: &mut Ui, part: Option<f32>, width: f32, name: &str) -> Response {
    let (rect, response) = ui.allocate_exact_size(vec2(width, 6.0), Sense::hover());
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::ProgressIndicator, true, name);
        info.value = part.map(f64::from);
        info
    });
    let palette = Palette::of(ui);
    ui.painter().rect_filled(rect, 3.0, palette.line);
    let (from, to) = match part {
        Some(part) => (0.0, part.clamp(0.0, 1.0)),
        None => {
            ui.ctx().request_repaint_after(std::time::Duration::from_millis(33));
            let phase = (ui.input(|input| input.time) * 0.6).fract() as f32 * 1.3 - 0.3;
            (phase.max(0.0), (phase + 0.3).min(1.0))
        }
    };
    let span =
        egui_lerp(rect.left(), rect.right(), from)..=egui_lerp(rect.left(), rect.right(), to);
    let filled = Rect::from_x_y_ranges(span, rect.y_range());
    ui.painter().rect_filled(filled, 3.0, palette.accent);
    response
}

/// A small word in a rounded frame.
pub fn badge(ui: &mut Ui, text: &str, color: Color32) -> Response {
    let font = FontId::proportional(11.5);
    let galley = ui.fonts_mut(|fonts| fonts.layout_no_wrap(text.to_owned(), font, color));
    let (rect, response) = ui.allocate_exact_size(galley.size() + vec2(12.0, 4.0), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, text));
    ui.painter().rect_filled(rect, 5.0, color.gamma_multiply(0.14));
    ui.painter().galley(rect.min + vec2(6.0, 2.0), galley, color);
    response
}

/// What a page says when there is nothing on it yet.
pub fn empty(ui: &mut Ui, icon: Icon, title: &str, text: &str) {
    let palette = Palette::of(ui);
    ui.vertical_centered(|ui| {
        ui.add_space((ui.available_height() * 0.28).clamp(16.0, 180.0));
        let (rect, _) = ui.allocate_exact_size(vec2(64.0, 64.0), Sense::hover());
        ui.painter().circle_filled(rect.center(), 32.0, palette.accent_soft);
        icons::paint(ui.painter(), rect.shrink(18.0), icon, palette.accent);
        ui.add_space(4.0);
        ui.label(strong(title, 17.0));
        ui.set_max_width(420.0);
        ui.label(RichText::new(text).color(palette.weak));
    });
}

/// A field to write into, with a name of its own.
pub fn field(ui: &mut Ui, field: TextEdit, name: &str) -> Response {
    let response = ui.add(field);
    ui.ctx().accesskit_node_builder(response.id, |node| node.set_label(name));
    response
}

/// A line of text that counts once it is left or Enter is pressed: its letters alone mean nothing.
pub fn settled_field(ui: &mut Ui, text: &mut String, (name, hint): (&str, &str), width: f32) {
    let id = ui.make_persistent_id((name, "being written"));
    let draft: Option<String> = ui.data(|data| data.get_temp(id));
    let was_written = draft.is_some();
    let mut draft = draft.unwrap_or_else(|| text.clone());
    let edit = TextEdit::singleline(&mut draft).hint_text(hint).desired_width(width);
    if field(ui, edit, name).has_focus() {
        ui.data_mut(|data| data.insert_temp(id, draft));
    } else if was_written {
        *text = draft;
        ui.data_mut(|data| data.remove::<String>(id));
    }
}

/// A line of text of second rank.
pub fn weak(ui: &mut Ui, text: impl Into<String>) -> Response {
    let color = Palette::of(ui).weak;
    ui.label(RichText::new(text).color(color))
}

/// Words in the middle of a rectangle.
pub fn centred(ui: &Ui, rect: Rect, text: &str, font: FontId, color: Color32) {
    ui.painter().text(rect.center(), Align2::CENTER_CENTER, text, font, color);
}
