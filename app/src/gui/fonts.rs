//! Fonts of the system: one for the windows' own text, and for every character that it lacks the
//! best one that has it, found when the character is first drawn.
//!
//! Files are mapped, not read: a font of 20 MB for Chinese costs the pages that its glyphs lie on,
//! and nothing before Chinese is seen. Runs of one font are shaped by egui (HarfBuzz's rules, in
//! `harfrust`): Arabic joins and Devanagari forms its conjuncts. What egui does not do, setting
//! right-to-left text in order, [`super::text`] does.
//!
//! Limits: a character is drawn by one font for all languages, so Han characters look Chinese,
//! Japanese or Korean by the user's locale and not by the line's language; fonts in colour (emoji)
//! are left out; upright text only, no vertical setting.

use eframe::egui::epaint::text::{FallbackRequest, FontInsert, FontProvider};
use eframe::egui::{Context, FontData, FontDefinitions, FontFamily};
use fontdb::{Database, FaceInfo, ID, Stretch, Style, Weight};
use skrifa::MetadataProvider as _;
use std::sync::{Arc, Mutex};

/// Family of the heavier face.
pub const STRONG: &str = "strong";

/// Families that make good text of windows, the best first.
const PLAIN: [&str; 10] = [
    "Inter",
    "Segoe UI Variable",
    "Segoe UI",
    "Noto Sans",
    "Cantarell",
    "Ubuntu",
    "Roboto",
    "Helvetica Neue",
    "Liberation Sans",
    "DejaVu Sans",
];

/// The system's fonts.
pub struct SystemFonts {
    /// Fonts, and those in the order in which they are asked for a character.
    inner: Mutex<Inner>,
}

struct Inner {
    database: Database,
    ranked: Vec<ID>,
}

impl SystemFonts {
    /// Looks which fonts there are: a few dozen milliseconds, no font is read whole.
    pub fn scan() -> Self {
        let mut database = Database::new();
        database.load_system_fonts();
        Self::of(database)
    }

    /// None: what is drawn looks the same on every machine.
    pub fn none() -> Self {
        Self::of(Database::new())
    }

    fn of(database: Database) -> Self {
        let region = Region::of_locale();
        let mut ranked: Vec<(u32, String, ID)> = database
            .faces()
            .filter_map(|face| {
                let name = &face.families.first()?.0;
                Some((rank(face, name, region)?, name.clone(), face.id))
            })
            .collect();
        ranked.sort();
        let ranked = ranked.into_iter().map(|(.., id)| id).collect();
        Self { inner: Mutex::new(Inner { database, ranked }) }
    }

    /// A font that has `character`, with its name.
    pub fn find(&self, character: char) -> Option<(String, FontData)> {
        let mut inner = self.inner.lock().ok()?;
        let id = inner.ranked.iter().copied().find(|id| inner.has(*id, character))?;
        inner.data(id)
    }

    /// The font for the windows' own text in two weights, if there is a good one.
    fn plain(&self) -> Option<[(String, FontData); 2]> {
        let mut inner = self.inner.lock().ok()?;
        PLAIN.iter().find_map(|family| {
            let regular = inner.face(family, Weight::NORMAL)?;
            let strong = [Weight::SEMIBOLD, Weight::MEDIUM, Weight::BOLD]
                .into_iter()
                .find_map(|weight| inner.face(family, weight))
                .unwrap_or(regular);
            Some([inner.data(regular)?, inner.data(strong)?])
        })
    }
}

impl Inner {
    fn has(&self, id: ID, character: char) -> bool {
        let has = |data: &[u8], index| {
            let font = skrifa::FontRef::from_index(data, index).ok()?;
            font.charmap().map(character).filter(|glyph| glyph.to_u32() != 0)
        };
        self.database.with_face_data(id, |data, index| has(data, index).is_some()) == Some(true)
    }

    fn face(&self, family: &str, weight: Weight) -> Option<ID> {
        let fits = |face: &&FaceInfo| {
            face.weight == weight
                && face.style == Style::Normal
                && face.stretch == Stretch::Normal
                && face.families.iter().any(|(name, _)| name == family)
        };
        self.database.faces().find(fits).map(|face| face.id)
    }

    fn data(&mut self, id: ID) -> Option<(String, FontData)> {
        let name = self.database.face(id)?.post_script_name.clone();
        // SAFETY: the file is mapped; installed fonts are replaced by packages, not written into.
        let (bytes, index) = unsafe { self.database.make_shared_face_data(id) }?;
        Some((name, FontData::from_blob(bytes, index)))
    }
}

impl FontProvider for SystemFonts {
    fn font_for(&self, request: &FallbackRequest<'_>) -> Option<FontInsert> {
        let (name, data) = self.find(request.cluster.chars().next()?)?;
        Some(FontInsert::new(&name, data, Vec::new()))
    }
}

/// Gives a context its fonts.
pub fn install(ctx: &Context, system: SystemFonts) {
    let mut fonts = FontDefinitions::default();
    let strong = FontFamily::Name(STRONG.into());
    let fallbacks = fonts.families.get(&FontFamily::Proportional).cloned().unwrap_or_default();
    fonts.families.insert(strong.clone(), fallbacks);
    if let Some(faces) = system.plain() {
        for (family, (name, data)) in [FontFamily::Proportional, strong].into_iter().zip(faces) {
            fonts.font_data.insert(name.clone(), Arc::new(data));
            if let Some(names) = fonts.families.get_mut(&family) {
                names.insert(0, name);
            }
        }
    }
    ctx.set_fonts(fonts);
    ctx.set_font_providers(vec![Arc::new(system)]);
}

/// Whose Han characters are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Region {
    Simplified,
    Traditional,
    Japan,
    Korea,
}

impl Region {
    fn of_locale() -> Self {
        let names = ["LC_ALL", "LC_CTYPE", "LANG"];
        let locale =
            names.into_iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
        match locale.unwrap_or_default() {
            locale if locale.starts_with("ja") => Self::Japan,
            locale if locale.starts_with("ko") => Self::Korea,
            locale if ["zh_TW", "zh_HK"].iter().any(|tag| locale.starts_with(tag)) => {
                Self::Traditional
            }
            _ => Self::Simplified,
        }
    }

    /// Ends of family names, its own first.
    fn suffix(self) -> &'static [&'static str] {
        match self {
            Self::Simplified => &[" SC", " CN"],
            Self::Traditional => &[" TC", " HK"],
            Self::Japan => &[" JP"],
            Self::Korea => &[" KR"],
        }
    }
}

/// Small is asked first; `None` is never asked.
fn rank(face: &FaceInfo, family: &str, region: Region) -> Option<u32> {
    let upright = face.style == Style::Normal && face.stretch == Stretch::Normal;
    let odd = ["Emoji", "Color", "Last Resort", "Blank", "Nastaliq", "Symbols2"];
    if !upright || odd.iter().any(|word| family.contains(word)) {
        return None;
    }
    let mut rank = u32::from(face.weight.0.abs_diff(Weight::NORMAL.0));
    // A calm text face first, others rather than a box.
    let calm = ["Noto Sans", "Segoe UI", "PingFang", "Hiragino", "Microsoft", "Malgun", "Geeza"];
    rank += match () {
        () if calm.iter().any(|name| family.starts_with(name)) => 0,
        () if family.contains("Sans") => 1000,
        () => 2000,
    };
    rank += if face.monospaced { 500 } else { 0 };
    // Faces for tight lines of windows, drawn smaller than the text around them.
    rank += if family.contains(" UI") && !family.starts_with("Segoe") { 100 } else { 0 };
    if family.contains("CJK") && !region.suffix().iter().any(|suffix| family.ends_with(suffix)) {
        rank += 50;
    }
    Some(rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_of_the_system_has_a_font_with_its_glyph() {
        let fonts = SystemFonts::scan();
        let count = fonts.inner.lock().unwrap().ranked.len();
        if count < 20 {
            println!("skipped: {count} fonts on this system");
            return;
        }
        for character in ['A', 'Ж', 'Ω', 'ñ', '中', 'か', '한', 'अ', 'ش', 'ש', 'ไ', 'ა', 'Ա']
        {
            match fonts.find(character) {
                Some((name, data)) => {
                    let font = skrifa::FontRef::from_index(data.bytes(), data.index).unwrap();
                    assert!(font.charmap().map(character).is_some(), "{name} lacks {character}");
                }
                None => println!("skipped: no font here has {character}"),
            }
        }
        assert!(fonts.find('\u{10fffd}').is_none(), "private use beyond all fonts");
    }
}
