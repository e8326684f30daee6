//! Lines of text with their times: what is being said, and what was.

use crate::gui::icons::{self, Icon};
use crate::gui::text::{Span, Text};
use crate::gui::theme::{Palette, RADIUS};
use crate::gui::widgets::{badge, icon_button};
use crate::live::Line;
use eframe::egui::{
    Align, Color32, CornerRadius, FontFamily, FontId, Frame, Layout, Margin, Pos2, Rect, Role,
    ScrollArea, Sense, Ui, UiBuilder, WidgetInfo, pos2, vec2,
};
use std::collections::HashMap;
use std::ops::Range;

/// Width of the column of times.
const TIMES: f32 = 60.0;
/// Longer texts are hard to read.
const WIDEST: f32 = 900.0;
/// As near to the end is at the end.
const NEAR: f32 = 8.0;

/// A list of lines that follows the newest, until one scrolls up.
#[derive(Debug, Default)]
pub struct Lines {
    /// What is looked for.
    pub needle: String,
    /// Which of the matches is the current one.
    current: usize,
    /// How many matches there are.
    matches: usize,
    /// Whether to scroll to the current match.
    jump: bool,
    /// Whether to go to the end.
    to_end: bool,
    /// Heights of lines, to skip those that are out of sight; of one width and size.
    heights: HashMap<(u64, u64), f32>,
    heights_of: (f32, f32),
}

/// What a person did to a list of lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pressed {
    /// This text is to be copied.
    Copy(String),
}

impl Lines {
    /// Looks for something else.
    pub fn find(&mut self, needle: String) {
        if needle != self.needle {
            self.needle = needle;
            (self.current, self.jump) = (0, true);
        }
    }

    /// Goes to the next match, or the one before.
    pub fn step(&mut self, forward: bool) {
        let count = self.matches.max(1);
        self.current = (self.current + if forward { 1 } else { count - 1 }) % count;
        self.jump = true;
    }

    /// The current match, from 1, and how many there are.
    pub fn place(&self) -> (usize, usize) {
        (if self.matches == 0 { 0 } else { self.current + 1 }, self.matches)
    }

    /// Goes to the newest line.
    pub fn to_end(&mut self) {
        self.to_end = true;
    }

    /// Draws lines over the space there is; `size` is that of the text in points.
    pub fn show(&mut self, ui: &mut Ui, lines: &[Line], size: f32) -> Option<Pressed> {
        let found: Vec<Found> = lines.iter().map(|line| Found::of(line, &self.needle)).collect();
        self.matches = found.iter().map(Found::count).sum();
        self.current = self.current.min(self.matches.saturating_sub(1));
        let mut pressed = None;
        let place = ui.available_rect_before_wrap();
        let area = ScrollArea::vertical().id_salt("lines").auto_shrink(false);
        let area = area.stick_to_bottom(true);
        let out = area.show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 6.0;
            let width = ui.available_width().min(WIDEST);
            if self.heights_of != (width, size) {
                self.heights.clear();
                self.heights_of = (width, size);
            }
            let mut before = 0;
            for (line, found) in lines.iter().zip(&found) {
                let here = before..before + found.count();
                before = here.end;
                let current = here.contains(&self.current).then(|| self.current - here.start);
                let jump = self.jump && current.is_some();
                let key = (line.utterance, line.start.to_bits());
                let from = ui.cursor().min;
                if let Some(height) = self.heights.get(&key)
                    && !jump
                    && !near(ui, Rect::from_min_size(from, vec2(width, *height)))
                {
                    ui.allocate_space(vec2(width, *height));
                    continue;
                }
                let rect = draw(ui, line, found, current, (width, size), &mut pressed);
                self.heights.insert(key, rect.height());
                if jump {
                    ui.scroll_to_rect(rect, Some(Align::Center));
                    self.jump = false;
                }
            }
            ui.add_space(8.0);
            if std::mem::take(&mut self.to_end) {
                ui.scroll_to_cursor(Some(Align::BOTTOM));
            }
        });
        let hidden = out.content_size.y - out.inner_rect.height() - out.state.clamped_offset().y;
        if hidden > NEAR && !lines.is_empty() && newest(ui, place) {
            self.to_end = true;
            ui.ctx().request_repaint();
        }
        if self.heights.len() > 2 * lines.len() + 64 {
            self.heights.clear();
        }
        pressed
    }
}

/// Whether a rectangle is in sight or nearly so.
fn near(ui: &Ui, rect: Rect) -> bool {
    ui.clip_rect().expand(200.0).intersects(rect)
}

/// The button that leads back to the newest line; whether it was pressed.
fn newest(ui: &mut Ui, place: Rect) -> bool {
    const NAME: &str = "Newest line";
    let palette = Palette::of(ui);
    let size = vec2(136.0, 32.0);
    let rect = Rect::from_center_size(
        pos2(place.left() + place.width().min(WIDEST) / 2.0, place.bottom() - 28.0),
        size,
    );
    let response = ui.interact(rect, ui.scope_id().with(NAME), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, NAME));
    let ground = match response.hovered() || response.has_focus() {
        true => palette.accent.lerp_to_gamma(palette.text, 0.15),
        false => palette.accent,
    };
    ui.painter().rect_filled(rect, CornerRadius::same(16), ground);
    let icon = Rect::from_center_size(pos2(rect.left() + 20.0, rect.center().y), vec2(16.0, 16.0));
    icons::paint(ui.painter(), icon, Icon::Down, palette.on_accent);
    ui.painter().text(
        pos2(rect.left() + 36.0, rect.center().y),
        eframe::egui::Align2::LEFT_CENTER,
        NAME,
        FontId::proportional(13.5),
        palette.on_accent,
    );
    response.clicked()
}

/// Where a line has what is looked for.
struct Found {
    text: Vec<Range<usize>>,
    translation: Vec<Range<usize>>,
}

impl Found {
    fn of(line: &Line, needle: &str) -> Self {
        let text = occurrences(&format!("{}{}", line.committed, line.tail), needle);
        let translation = line.translation.as_ref();
        Self { text, translation: translation.map_or(vec![], |(_, t)| occurrences(t, needle)) }
    }

    fn count(&self) -> usize {
        self.text.len() + self.translation.len()
    }
}

/// Where `needle` is in `text`, small or capital letters alike.
pub fn occurrences(text: &str, needle: &str) -> Vec<Range<usize>> {
    let needle: Vec<char> = needle.trim().chars().flat_map(char::to_lowercase).collect();
    if needle.is_empty() {
        return Vec::new();
    }
    // Small letters may be more than one character: each knows whose it is.
    let letters: Vec<(usize, char)> = text
        .char_indices()
        .flat_map(|(place, c)| c.to_lowercase().map(move |small| (place, small)))
        .collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at + needle.len() <= letters.len() {
        let window = letters.iter().skip(at).take(needle.len());
        if window.zip(&needle).all(|((_, a), b)| a == b) {
            let start = letters.get(at).map_or(0, |(place, _)| *place);
            at += needle.len();
            // A character of several letters is marked whole.
            let last = letters.get(at - 1).map_or(start, |(place, _)| *place);
            let end = last + text[last..].chars().next().map_or(0, char::len_utf8);
            found.push(start..end);
        } else {
            at += 1;
        }
    }
    found
}

/// Minutes and seconds, hours when there are any.
pub fn clock(seconds: f64) -> String {
    let total = seconds.max(0.0) as u64;
    let (hours, minutes, seconds) = (total / 3600, total / 60 % 60, total % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// A line as text: what was said, and its translation below.
pub fn plain(line: &Line) -> String {
    let said = format!("{}{}", line.committed, line.tail);
    match &line.translation {
        Some((_, translation)) => format!("{said}\n{translation}"),
        None => said,
    }
}

fn draw(
    ui: &mut Ui,
    line: &Line,
    found: &Found,
    current: Option<usize>,
    (width, size): (f32, f32),
    pressed: &mut Option<Pressed>,
) -> Rect {
    let palette = Palette::of(ui);
    let frame = Frame::new()
        .inner_margin(Margin::symmetric(8, 6))
        .corner_radius(CornerRadius::same(RADIUS))
        .fill(if line.complete { Color32::TRANSPARENT } else { palette.card });
    let inside = |ui: &mut Ui| {
        ui.set_width(width - 16.0);
        let from = ui.cursor().min;
        let text = Rect::from_min_max(
            from + vec2(TIMES, 0.0),
            pos2(from.x + width - 16.0 - 40.0, f32::INFINITY),
        );
        margin(ui, line, from);
        let builder = UiBuilder::new().max_rect(text).layout(Layout::top_down(Align::Min));
        let used = ui.scope_builder(builder, |ui| {
            ui.spacing_mut().item_spacing.y = 2.0;
            texts(ui, line, found, current, size);
        });
        let copy = pos2(text.right() + 8.0, from.y - 4.0);
        let place = Rect::from_min_size(copy, vec2(32.0, 32.0));
        let name = format!("Copy line {}", clock(line.start));
        let button = ui.scope_builder(UiBuilder::new().max_rect(place), |ui| {
            icon_button(ui, Icon::Copy, &name)
        });
        if button.inner.clicked() {
            *pressed = Some(Pressed::Copy(plain(line)));
        }
        ui.advance_cursor_after_rect(used.response.rect);
    };
    frame.show(ui, inside).response.rect
}

/// Time and language.
fn margin(ui: &mut Ui, line: &Line, from: Pos2) {
    let palette = Palette::of(ui);
    let place = Rect::from_min_size(from, vec2(TIMES - 8.0, 40.0));
    ui.scope_builder(UiBuilder::new().max_rect(place), |ui| {
        ui.spacing_mut().item_spacing.y = 3.0;
        let font = FontId::new(12.0, FontFamily::Proportional);
        Text::plain(&clock(line.start), palette.weak, font).show(ui);
        if !line.lang.is_empty() && line.lang != "none" {
            badge(ui, &line.lang, palette.accent);
        }
    });
}

fn texts(ui: &mut Ui, line: &Line, found: &Found, current: Option<usize>, size: f32) {
    let palette = Palette::of(ui);
    let mark = |ranges: &[Range<usize>], before: usize| {
        let ground = |number: usize| match current == Some(before + number) {
            true => palette.accent.gamma_multiply(0.55),
            false => palette.accent.gamma_multiply(0.22),
        };
        ranges.iter().cloned().enumerate().map(|(n, range)| (range, ground(n))).collect()
    };
    let font = FontId::new(size, FontFamily::Proportional);
    let spans = vec![
        Span { text: &line.committed, color: palette.text },
        Span { text: &line.tail, color: palette.weak.gamma_multiply(0.75) },
    ];
    let spans: Vec<Span> = spans.into_iter().filter(|span| !span.text.is_empty()).collect();
    if spans.is_empty() {
        Text::plain("…", palette.weak, font).show(ui);
    } else {
        Text { spans, font, marked: mark(&found.text, 0) }.show(ui);
    }
    if let Some((_, translation)) = &line.translation {
        let font = FontId::new((size * 0.92).round(), FontFamily::Proportional);
        let color = palette.accent.lerp_to_gamma(palette.text, 0.25);
        let spans = vec![Span { text: translation, color }];
        let marked = mark(&found.translation, found.text.len());
        Text { spans, font, marked }.show(ui);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occurrences_are_found_in_any_case_and_script() {
        assert_eq!(occurrences("Der Zug, der ZUG", "zug"), [4..7, 13..16]);
        assert_eq!(occurrences("Привет, мир", "МИР"), vec![14..20; 1]);
        assert_eq!(occurrences("你好世界", "世界"), vec![6..12; 1]);
        assert_eq!(occurrences("aaaa", "aa"), [0..2, 2..4]);
        assert!(occurrences("abc", " ").is_empty());
        // A capital that is two small letters.
        let text = "İx";
        for range in occurrences(text, "i") {
            assert!(text.get(range.clone()).is_some(), "{range:?} is no text");
        }
    }

    #[test]
    fn times_have_hours_only_when_there_are_any() {
        assert_eq!(clock(0.4), "0:00");
        assert_eq!(clock(61.9), "1:01");
        assert_eq!(clock(3661.0), "1:01:01");
    }
}
