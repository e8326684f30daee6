//! Clips that the program carries: speech that we made ourselves, with its text.

use partita_audio::{AudioError, AudioReader};
use serde::Deserialize;

/// A clip.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Sample {
    /// Its file name.
    pub file: String,
    /// The language spoken.
    pub lang: String,
    /// What is said.
    pub text: String,
}

const LIST: &str = include_str!("../../assets/samples/samples.json");
const FILES: [(&str, &[u8]); 7] = [
    ("en-train.flac", include_bytes!("../../assets/samples/en-train.flac")),
    ("de-soup.flac", include_bytes!("../../assets/samples/de-soup.flac")),
    ("es-garden.flac", include_bytes!("../../assets/samples/es-garden.flac")),
    ("fr-meeting.flac", include_bytes!("../../assets/samples/fr-meeting.flac")),
    ("it-museum.flac", include_bytes!("../../assets/samples/it-museum.flac")),
    ("pt-piano.flac", include_bytes!("../../assets/samples/pt-piano.flac")),
    ("zh-mountains.flac", include_bytes!("../../assets/samples/zh-mountains.flac")),
];

/// The clips, 45 s together, English first.
pub fn all() -> Vec<Sample> {
    let mut list: Vec<Sample> = serde_json::from_str(LIST).unwrap_or_default();
    let place = |sample: &Sample| FILES.iter().position(|(file, _)| *file == sample.file);
    list.retain(|sample| place(sample).is_some());
    list.sort_by_key(place);
    list
}

impl Sample {
    /// Its audio, 16 kHz mono.
    ///
    /// # Errors
    /// Only if the program was built with a broken clip.
    pub fn audio(&self) -> Result<Vec<f32>, AudioError> {
        let bytes = FILES.iter().find(|(file, _)| *file == self.file).map_or(&[][..], |(_, b)| b);
        let mut samples = Vec::new();
        for block in AudioReader::from_stream(Box::new(bytes), &self.file)? {
            samples.extend(block?);
        }
        Ok(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clip_has_its_text_and_its_audio() {
        let samples = all();
        assert_eq!(samples.len(), FILES.len());
        assert_eq!(samples[0].lang, "en");
        for sample in samples {
            assert!(sample.text.chars().count() > 20, "{sample:?}");
            assert!(sample.audio().unwrap().len() > 16_000 * 4, "{sample:?}");
        }
    }
}
