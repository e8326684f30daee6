//! What values make sense.

use super::Settings;
use crate::capture::Source;
use crate::runtimes::Backend;
use partita_model::onnx::Provider;
use std::ops::RangeInclusive;

/// Sizes of text, in points.
pub const FONT_SIZES: RangeInclusive<f32> = 8.0..=96.0;
/// Lines of the overlay.
pub const OVERLAY_LINES: RangeInclusive<u8> = 1..=4;
/// Probabilities from which on a frame is speech.
pub const THRESHOLDS: RangeInclusive<f32> = 0.05..=0.95;
/// Lengths of the shortest phrase, in milliseconds.
pub const MINIMUM_SPEECH_MS: RangeInclusive<u32> = 0..=2_000;
/// Lengths of the pause that ends a phrase, in milliseconds.
pub const PAUSES_MS: RangeInclusive<u32> = 100..=5_000;
/// Lengths of the audio before a phrase, in milliseconds.
pub const PRE_ROLLS_MS: RangeInclusive<u32> = 0..=2_000;
/// Most audio kept of a session, in MiB.
pub const AUDIO_LIMITS_MIB: RangeInclusive<u32> = 1..=65_536;
/// Threads.
pub const MOST_THREADS: u16 = 256;
/// Words of the user's own, and profiles: what a file may hold at most.
const MOST_ENTRIES: usize = 50_000;
/// Engines by name.
const ENGINES: [&str; 3] = ["auto", "whisper", "speech-llm"];

impl Settings {
    /// Moves every value into the range that makes sense; says which were moved.
    pub fn into_range(mut self) -> (Self, Vec<&'static str>) {
        let standard = Self::default();
        let mut moved = Vec::new();
        let mut tell = |name, changed: bool| {
            if changed {
                moved.push(name);
            }
        };
        let unknown = !ENGINES.contains(&self.engine.name.as_str());
        if unknown {
            self.engine.name = standard.engine.name;
        }
        tell("engine.name", unknown);
        let unknown = Backend::from_name(&self.engine.backend).is_none();
        if unknown {
            self.engine.backend = standard.engine.backend;
        }
        tell("engine.backend", unknown);
        let unknown = Provider::from_name(&self.engine.provider).is_none();
        if unknown {
            self.engine.provider = standard.engine.provider;
        }
        tell("engine.provider", unknown);
        let empty = self.engine.device.trim().is_empty();
        if empty {
            self.engine.device = standard.engine.device;
        }
        tell("engine.device", empty);
        tell("engine.threads", clamp(&mut self.engine.threads, &(0..=MOST_THREADS)));
        let empty = self.audio.sources.is_empty();
        if empty {
            self.audio.sources = vec![Source::Default];
        }
        tell("audio.sources", empty);
        let voice = &mut self.voice;
        let threshold = standard.voice.threshold;
        tell("voice.threshold", clamp_float(&mut voice.threshold, &THRESHOLDS, threshold));
        tell("voice.minimum_speech_ms", clamp(&mut voice.minimum_speech_ms, &MINIMUM_SPEECH_MS));
        tell("voice.pause_ms", clamp(&mut voice.pause_ms, &PAUSES_MS));
        tell("voice.pre_roll_ms", clamp(&mut voice.pre_roll_ms, &PRE_ROLLS_MS));
        let size = standard.look.font_size;
        tell("look.font_size", clamp_float(&mut self.look.font_size, &FONT_SIZES, size));
        let overlay = &mut self.overlay;
        tell("overlay.lines", clamp(&mut overlay.lines, &OVERLAY_LINES));
        let size = standard.overlay.font_size;
        tell("overlay.font_size", clamp_float(&mut overlay.font_size, &FONT_SIZES, size));
        let opacity = standard.overlay.opacity;
        tell("overlay.opacity", clamp_float(&mut overlay.opacity, &(0.0..=1.0), opacity));
        let senseless = overlay.place.is_some_and(|place| !is_place(place));
        if senseless {
            overlay.place = None;
        }
        tell("overlay.place", senseless);
        tell("dictation.vocabulary", shorten(&mut self.dictation.vocabulary));
        tell("dictation.profiles", shorten(&mut self.dictation.profiles));
        let limit = &mut self.storage.audio_limit_mib;
        tell("storage.audio_limit_mib", clamp(limit, &AUDIO_LIMITS_MIB));
        self.version = super::VERSION;
        (self, moved)
    }
}

/// A place that a screen could have; monitors may lie left of the first.
fn is_place([left, top, width, height]: [f32; 4]) -> bool {
    let position = -100_000.0..=100_000.0;
    let size = 10.0..=100_000.0;
    position.contains(&left)
        && position.contains(&top)
        && size.contains(&width)
        && size.contains(&height)
}

fn clamp<T: Ord + Copy>(value: &mut T, range: &RangeInclusive<T>) -> bool {
    let before = *value;
    *value = before.clamp(*range.start(), *range.end());
    *value != before
}

fn clamp_float(value: &mut f32, range: &RangeInclusive<f32>, standard: f32) -> bool {
    let before = *value;
    *value = if before.is_nan() { standard } else { before.clamp(*range.start(), *range.end()) };
    before.is_nan() || *value != before
}

fn shorten<T>(list: &mut Vec<T>) -> bool {
    let long = list.len() > MOST_ENTRIES;
    list.truncate(MOST_ENTRIES);
    long
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_in_range() {
        let (settings, moved) = Settings::default().into_range();
        assert_eq!(settings, Settings::default());
        assert!(moved.is_empty(), "{moved:?}");
    }

    #[test]
    fn what_is_out_of_range_is_moved_and_named() {
        let mut wrong = Settings::default();
        wrong.overlay.lines = 9;
        wrong.overlay.opacity = -3.0;
        wrong.overlay.place = Some([0.0, 0.0, f32::NAN, 50.0]);
        wrong.voice.threshold = f32::NAN;
        wrong.voice.pause_ms = 1;
        wrong.look.font_size = f32::INFINITY;
        wrong.engine.name = "sphinx".to_owned();
        wrong.engine.backend = "sphinx".to_owned();
        wrong.engine.provider.clear();
        wrong.audio.sources.clear();
        let (settings, moved) = wrong.into_range();
        assert_eq!(settings.overlay.lines, 4);
        assert_eq!(settings.overlay.opacity, 0.0);
        assert_eq!(settings.overlay.place, None);
        assert_eq!(settings.voice.threshold, Settings::default().voice.threshold);
        assert_eq!(settings.voice.pause_ms, 100);
        assert_eq!(settings.look.font_size, 96.0);
        assert_eq!(settings.engine.name, "auto");
        assert_eq!(settings.engine.backend, "auto");
        assert_eq!(settings.engine.provider, "cpu");
        assert_eq!(settings.audio.sources, [Source::Default]);
        assert_eq!(moved.len(), 10, "{moved:?}");
        assert!(settings.into_range().1.is_empty());
    }
}
