//! Caption text: spans in several colours, in every direction.
//!
//! egui shapes runs, but knows no right-to-left order: it would break an Arabic paragraph so that
//! its end stands in the first row. So a paragraph with right-to-left letters is set here: broken
//! into rows by the widths of its words, each row put into visual order by the Unicode Bidirectional
//! Algorithm (UAX #9), and handed to egui piece by piece, each piece of one direction.
//!
//! Limits: such text cannot be selected with the mouse (it can be copied as a line), and a colour
//! that changes within an Arabic word parts its letters.

use eframe::egui::text::{LayoutJob, LayoutSection, TextFormat, TextWrapping};
use eframe::egui::{
    Align, Color32, FontId, Galley, Response, Role, Sense, Stroke, Ui, WidgetInfo, vec2,
};
use std::ops::Range;
use std::sync::Arc;
use unicode_bidi::{BidiClass, BidiInfo, bidi_class};

/// A stretch of text in one colour.
#[derive(Debug, Clone, PartialEq)]
pub struct Span<'a> {
    /// The text.
    pub text: &'a str,
    /// Its colour.
    pub color: Color32,
}

/// Text to be set.
#[derive(Debug, Clone)]
pub struct Text<'a> {
    /// Its stretches, one behind the other.
    pub spans: Vec<Span<'a>>,
    /// Its font.
    pub font: FontId,
    /// Byte ranges of the whole text with a ground of their own.
    pub marked: Vec<(Range<usize>, Color32)>,
}

impl<'a> Text<'a> {
    /// Text in one colour.
    pub fn plain(text: &'a str, color: Color32, font: FontId) -> Self {
        Self { spans: vec![Span { text, color }], font, marked: Vec::new() }
    }

    /// The text without colours.
    pub fn whole(&self) -> String {
        self.spans.iter().map(|span| span.text).collect()
    }

    /// Draws the text over the width there is; its accessible name is the text as it is read.
    pub fn show(&self, ui: &mut Ui) -> Response {
        let width = ui.available_width();
        let whole = self.whole();
        if !right_to_left(&whole) {
            let mut job = self.job(&whole);
            job.wrap = TextWrapping::wrap_at_width(width);
            return ui.add(eframe::egui::Label::new(job).selectable(true));
        }
        let (galley, from_right) = self.set(ui, width);
        let size = vec2(width, galley.size().y);
        let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
        let corner = if from_right { rect.right_top() } else { rect.left_top() };
        ui.painter().galley(corner, galley, Color32::PLACEHOLDER);
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &whole));
        response
    }

    /// Sets the text in rows at most `width` wide; whether it is to be drawn from the right edge.
    pub fn set(&self, ui: &Ui, width: f32) -> (Arc<Galley>, bool) {
        let whole = self.whole();
        let mut job = self.job(&whole);
        let from_right = right_to_left(&whole) && begins_right(&whole);
        if right_to_left(&whole) {
            let mut measure = |word: &str| {
                let font = self.font.clone();
                let color = Color32::PLACEHOLDER;
                ui.fonts_mut(|fonts| fonts.layout_no_wrap(word.to_owned(), font, color).size().x)
            };
            job = visual(&job, width, &mut measure);
            job.halign = if from_right { Align::RIGHT } else { Align::LEFT };
            job.wrap.max_width = f32::INFINITY;
        } else {
            job.wrap = TextWrapping::wrap_at_width(width);
        }
        (ui.fonts_mut(|fonts| fonts.layout_job(job)), from_right)
    }

    /// The text in logical order.
    fn job(&self, whole: &str) -> LayoutJob {
        let mut job = LayoutJob { text: whole.to_owned(), ..LayoutJob::default() };
        let mut start = 0;
        for span in &self.spans {
            let end = start + span.text.len();
            let mut cuts = vec![start, end];
            let marks = self.marked.iter().flat_map(|(range, _)| [range.start, range.end]);
            cuts.extend(marks.filter(|cut| (start..end).contains(cut)));
            cuts.sort_unstable();
            cuts.dedup();
            for piece in cuts.windows(2) {
                let mut format = TextFormat::simple(self.font.clone(), span.color);
                // Room between rows: captions are read from afar.
                format.line_height = Some((self.font.size * 1.4).round());
                if let Some((_, ground)) = self.marked.iter().find(|(r, _)| r.contains(&piece[0])) {
                    format.background = *ground;
                    format.underline = Stroke::new(1.0, span.color);
                }
                job.sections.push(section(piece[0]..piece[1], format));
            }
            start = end;
        }
        job
    }
}

fn section(range: Range<usize>, format: TextFormat) -> LayoutSection {
    let byte_range = range.start.into()..range.end.into();
    LayoutSection { leading_space: 0.0, byte_range, format }
}

/// Whether there is any letter that is written from the right.
pub fn right_to_left(text: &str) -> bool {
    // Nothing below the Hebrew block is.
    text.chars().any(|c| c >= '\u{590}' && matches!(bidi_class(c), BidiClass::R | BidiClass::AL))
}

/// Whether the first letter that has a direction is written from the right.
fn begins_right(text: &str) -> bool {
    let first = text.chars().find_map(|c| match bidi_class(c) {
        BidiClass::R | BidiClass::AL => Some(true),
        BidiClass::L => Some(false),
        _ => None,
    });
    first == Some(true)
}

/// Breaks a text into rows and puts each into visual order. A row is a line of the result; every
/// piece of one direction and one format is a section.
fn visual(job: &LayoutJob, width: f32, measure: &mut dyn FnMut(&str) -> f32) -> LayoutJob {
    let mut out = LayoutJob { break_on_newline: true, ..LayoutJob::default() };
    let bidi = BidiInfo::new(&job.text, None);
    for paragraph in &bidi.paragraphs {
        for row in rows(&job.text, paragraph.range.clone(), width, measure) {
            if !out.text.is_empty() {
                let format = job.sections.first().map(|first| first.format.clone());
                append(&mut out, "\n", format.unwrap_or_default());
            }
            let (levels, runs) = bidi.visual_runs(paragraph, row);
            for run in runs {
                let right = levels.get(run.start).is_some_and(|level| level.is_rtl());
                for (piece, format) in pieces(job, run, right) {
                    append(&mut out, &piece, format);
                }
            }
        }
    }
    out
}

fn append(job: &mut LayoutJob, text: &str, format: TextFormat) {
    let start = job.text.len();
    job.text.push_str(text);
    job.sections.push(section(start..job.text.len(), format));
}

/// Ranges of a paragraph that fit into the width, broken behind spaces.
fn rows(
    text: &str,
    paragraph: Range<usize>,
    width: f32,
    measure: &mut dyn FnMut(&str) -> f32,
) -> Vec<Range<usize>> {
    let mut rows = Vec::new();
    let (mut start, mut end, mut taken) = (paragraph.start, paragraph.start, 0.0);
    for word in text[paragraph].split_inclusive(' ') {
        let own = measure(word);
        if end > start && taken + own - measure(" ") > width {
            rows.push(start..end);
            (start, taken) = (end, 0.0);
        }
        taken += own;
        end += word.len();
    }
    if end > start {
        rows.push(start..end);
    }
    rows
}

/// The pieces of a run in the order they are drawn from the left. In a run from the right, what is
/// no letter stands apart, turned around: egui draws it with another font, and from the left.
fn pieces(job: &LayoutJob, run: Range<usize>, right: bool) -> Vec<(String, TextFormat)> {
    let mut pieces: Vec<(String, TextFormat)> = Vec::new();
    let (mut kind, mut owner) = (None, None);
    for (offset, c) in job.text[run.clone()].char_indices() {
        let place = run.start + offset;
        let letters = !right
            || matches!(
                bidi_class(c),
                BidiClass::R | BidiClass::AL | BidiClass::NSM | BidiClass::BN
            );
        let holder = job.sections.iter().position(|section| {
            let range = section.byte_range.start.0..section.byte_range.end.0;
            range.contains(&place)
        });
        let format = holder.and_then(|at| job.sections.get(at)).map(|s| s.format.clone());
        match pieces.last_mut() {
            Some((piece, _)) if kind == Some(letters) && owner == holder => match letters {
                true => piece.push(c),
                false => piece.insert(0, mirrored(c)),
            },
            _ => {
                let c = if letters { c } else { mirrored(c) };
                pieces.push((c.to_string(), format.unwrap_or_default()));
            }
        }
        (kind, owner) = (Some(letters), holder);
    }
    if right {
        pieces.reverse();
    }
    pieces
}

/// What stands for a bracket in text from the right.
fn mirrored(c: char) -> char {
    match c {
        '(' => ')',
        ')' => '(',
        '[' => ']',
        ']' => '[',
        '{' => '}',
        '}' => '{',
        '<' => '>',
        '>' => '<',
        '«' => '»',
        '»' => '«',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows as drawn, letters of a piece in logical order: the shaper turns those.
    fn drawn(text: &str, width: f32) -> Vec<String> {
        let job = Text::plain(text, Color32::BLACK, FontId::default()).job(text);
        let mut measure = |word: &str| word.chars().count() as f32;
        let set = visual(&job, width, &mut measure);
        let mut rows = vec![String::new()];
        for section in &set.sections {
            let piece = &set.text[section.byte_range.start.0..section.byte_range.end.0];
            match piece {
                "\n" => rows.push(String::new()),
                piece => rows.last_mut().unwrap().push_str(piece),
            }
        }
        rows
    }

    #[test]
    fn words_from_the_right_stand_from_the_right() {
        assert_eq!(drawn("אחת שתים שלוש.", 99.0), [".שלוש שתים אחת"]);
    }

    #[test]
    fn the_first_row_holds_the_first_words() {
        assert_eq!(drawn("אחת שתים שלוש ארבע", 9.0), [" שתים אחת", "ארבע שלוש"]);
    }

    #[test]
    fn numbers_and_latin_names_keep_their_order() {
        assert_eq!(drawn("בשנת 1984 ב-Berlin Mitte שלום", 99.0), ["שלום Berlin Mitte-ב 1984 בשנת"]);
        assert_eq!(drawn("He said שלום עולם (twice)", 99.0), ["He said עולם שלום (twice)"]);
    }

    #[test]
    fn brackets_are_mirrored() {
        assert_eq!(drawn("אחת (שתים)", 99.0), ["(שתים) אחת"]);
    }

    #[test]
    fn colours_stay_with_their_words() {
        let (a, b) = (Color32::RED, Color32::BLUE);
        let spans = vec![Span { text: "אחת ", color: a }, Span { text: "שתים", color: b }];
        let text = Text { spans, font: FontId::default(), marked: Vec::new() };
        let set = visual(&text.job(&text.whole()), 99.0, &mut |word| word.len() as f32);
        let colors: Vec<_> = set.sections.iter().map(|s| s.format.color).collect();
        assert_eq!(colors, [b, a, a], "{:?}", set.text);
    }

    #[test]
    fn text_from_the_left_is_left_alone() {
        assert!(!right_to_left("Grüße, Ελλάδα, 中文, हिन्दी"));
        assert!(right_to_left("abc שלום") && right_to_left("سلام"));
        assert!(begins_right("1. שלום") && !begins_right("abc שלום"));
    }
}
