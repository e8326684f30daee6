//! How everything looks: one palette for light, one for dark, one accent, one grid of 4 points.

use super::fonts::STRONG;
use crate::settings;
use eframe::egui::{
    Color32, Context, CornerRadius, FontFamily, FontId, Margin, RichText, Shadow, Stroke, Style,
    TextStyle, Theme, ThemePreference, Ui, Visuals, style::HandleShape, vec2,
};

/// The colours of one theme.
#[derive(Debug)]
pub struct Palette {
    /// Marks what is active, and the one thing to press.
    pub accent: Color32,
    /// Text on the accent.
    pub on_accent: Color32,
    /// A ground tinted by the accent: what is chosen.
    pub accent_soft: Color32,
    /// Ground of pages.
    pub ground: Color32,
    /// Ground of the navigation and the status bar.
    pub rail: Color32,
    /// Ground of cards and fields.
    pub card: Color32,
    /// Ground under the pointer.
    pub hover: Color32,
    /// Lines between things.
    pub line: Color32,
    /// Text.
    pub text: Color32,
    /// Text of second rank.
    pub weak: Color32,
    /// What went well.
    pub good: Color32,
    /// What wants attention.
    pub warn: Color32,
    /// What failed.
    pub bad: Color32,
}

const fn rgb(hex: u32) -> Color32 {
    Color32::from_rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

static LIGHT: Palette = Palette {
    accent: rgb(0x0f766e),
    on_accent: Color32::WHITE,
    accent_soft: rgb(0xdcefec),
    ground: rgb(0xfbfbfa),
    rail: rgb(0xf2f3f2),
    card: Color32::WHITE,
    hover: rgb(0xe9ecea),
    line: rgb(0xe1e4e2),
    text: rgb(0x1b2421),
    weak: rgb(0x5d6965),
    good: rgb(0x15803d),
    warn: rgb(0xa15c07),
    bad: rgb(0xb42318),
};

static DARK: Palette = Palette {
    accent: rgb(0x4fc7b8),
    on_accent: rgb(0x06201c),
    accent_soft: rgb(0x1b3a36),
    ground: rgb(0x161a19),
    rail: rgb(0x101312),
    card: rgb(0x1d2221),
    hover: rgb(0x28302e),
    line: rgb(0x2d3533),
    text: rgb(0xe8edeb),
    weak: rgb(0x98a5a1),
    good: rgb(0x5cc98a),
    warn: rgb(0xe3b04b),
    bad: rgb(0xf2857a),
};

impl Palette {
    /// The palette that is in force.
    pub fn of(ui: &Ui) -> &'static Self {
        Self::named(ui.visuals().dark_mode)
    }

    /// The palette of light or dark.
    pub fn named(dark: bool) -> &'static Self {
        if dark { &DARK } else { &LIGHT }
    }
}

/// Corners of cards.
pub const CARD_RADIUS: u8 = 12;
/// Corners of buttons and fields.
pub const RADIUS: u8 = 8;
/// Space around pages.
pub const PAGE: f32 = 24.0;

/// Sets light, dark or the system's choice.
pub fn choose(ctx: &Context, theme: settings::Theme) {
    ctx.set_theme(match theme {
        settings::Theme::System => ThemePreference::System,
        settings::Theme::Light => ThemePreference::Light,
        settings::Theme::Dark => ThemePreference::Dark,
    });
}

/// Installs both themes.
pub fn install(ctx: &Context) {
    for theme in [Theme::Light, Theme::Dark] {
        ctx.style_mut_of(theme, |style| dress(style, theme == Theme::Dark));
    }
    ctx.options_mut(|options| {
        options.fallback_theme = Theme::Light;
        // Ctrl and plus are for the size of captions.
        options.zoom_with_keyboard = false;
    });
}

/// Text in the heavier face.
pub fn strong(text: impl Into<String>, size: f32) -> RichText {
    RichText::new(text).font(FontId::new(size, FontFamily::Name(STRONG.into())))
}

fn dress(style: &mut Style, dark: bool) {
    let palette = Palette::named(dark);
    let body = |size| FontId::new(size, FontFamily::Proportional);
    style.text_styles = [
        (TextStyle::Small, body(12.0)),
        (TextStyle::Body, body(14.0)),
        (TextStyle::Button, body(14.0)),
        (TextStyle::Heading, FontId::new(22.0, FontFamily::Name(STRONG.into()))),
        (TextStyle::Monospace, FontId::new(13.0, FontFamily::Monospace)),
    ]
    .into();
    let spacing = &mut style.spacing;
    spacing.item_spacing = vec2(8.0, 8.0);
    spacing.button_padding = vec2(12.0, 6.0);
    spacing.interact_size = vec2(32.0, 32.0);
    spacing.slider_width = 180.0;
    spacing.slider_rail_height = 4.0;
    spacing.combo_width = 160.0;
    spacing.text_edit_width = 240.0;
    spacing.icon_width = 18.0;
    spacing.icon_width_inner = 10.0;
    spacing.icon_spacing = 8.0;
    spacing.menu_margin = Margin::same(6);
    spacing.window_margin = Margin::same(20);
    style.interaction.selectable_labels = false;
    style.interaction.tooltip_delay = 0.4;
    style.animation_time = 0.1;
    style.visuals = visuals(palette, dark);
}

fn visuals(palette: &Palette, dark: bool) -> Visuals {
    let mut visuals = if dark { Visuals::dark() } else { Visuals::light() };
    visuals.panel_fill = palette.ground;
    visuals.window_fill = palette.card;
    visuals.window_stroke = Stroke::new(1.0, palette.line);
    visuals.window_corner_radius = CornerRadius::same(CARD_RADIUS);
    visuals.menu_corner_radius = CornerRadius::same(RADIUS);
    let shadow = Color32::from_black_alpha(if dark { 110 } else { 36 });
    visuals.window_shadow = Shadow { offset: [0, 8], blur: 28, spread: 0, color: shadow };
    visuals.popup_shadow = Shadow { offset: [0, 4], blur: 14, spread: 0, color: shadow };
    visuals.extreme_bg_color = palette.card;
    visuals.text_edit_bg_color = Some(palette.card);
    visuals.faint_bg_color = palette.rail;
    visuals.code_bg_color = palette.rail;
    visuals.hyperlink_color = palette.accent;
    visuals.warn_fg_color = palette.warn;
    visuals.error_fg_color = palette.bad;
    visuals.weak_text_color = Some(palette.weak);
    visuals.selection.bg_fill = palette.accent_soft;
    visuals.selection.stroke = Stroke::new(1.0, palette.text);
    visuals.slider_trailing_fill = true;
    visuals.handle_shape = HandleShape::Circle;
    visuals.indent_has_left_vline = false;

    let widgets = &mut visuals.widgets;
    let states = [
        (&mut widgets.noninteractive, palette.card, palette.line, palette.text),
        (&mut widgets.inactive, palette.card, palette.line, palette.text),
        (&mut widgets.hovered, palette.hover, palette.line, palette.text),
        (&mut widgets.active, palette.hover, palette.accent, palette.text),
        (&mut widgets.open, palette.hover, palette.line, palette.text),
    ];
    for (state, ground, line, text) in states {
        state.weak_bg_fill = ground;
        state.bg_fill = ground;
        state.bg_stroke = Stroke::new(1.0, line);
        state.fg_stroke = Stroke::new(1.0, text);
        state.corner_radius = CornerRadius::same(RADIUS);
        state.expansion = 0.0;
    }
    // Rails of sliders and bars: seen on cards.
    widgets.inactive.bg_fill = palette.line;
    // The accent as an outline tells where the keyboard is.
    widgets.active.bg_stroke = Stroke::new(1.5, palette.accent);
    visuals
}
