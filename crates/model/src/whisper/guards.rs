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
