//! Signs that a decoder no longer listens.

use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::Write;

/// Bytes of the text over bytes of the compressed text (Whisper's measure of repetition).
///
/// ```
/// use partita_model::whisper::compression_ratio;
/// assert!(compression_ratio(&"thank you ".repeat(30)) > 2.4);
/// assert!(compression_ratio("Every sentence here says another thing than the one before.") < 2.4);
/// ```
pub fn compression_ratio(text: &str) -> f32 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    match compressed {
        Ok(bytes) if !bytes.is_empty() => text.len() as f32 / bytes.len() as f32,
        _ => 0.0,
    }
}

/// Whether a text is one letter over and over, as decoders write for noise: `H-H-H-H-H-H!`.
///
/// ```
/// use partita_model::whisper::stutters;
/// assert!(stutters("H-H-H-H-H-H!") && stutters(" O, o, o, o"));
/// assert!(!stutters("Ha ha ha ha!") && !stutters("A B C D") && !stutters("I, I, I know"));
/// ```
pub fn stutters(text: &str) -> bool {
    let lower = text.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let Some(first) = words.next() else { return false };
    let again = words.try_fold(1, |count, word| (word == first).then_some(count + 1));
    first.chars().count() == 1 && again.is_some_and(|count| count >= LEAST_STUTTER)
}

/// Fewer times a letter may be said.
const LEAST_STUTTER: usize = 4;
