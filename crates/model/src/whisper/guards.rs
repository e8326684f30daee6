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

/// Longest unit, in tokens, that is looked for.
const LONGEST_UNIT: usize = 40;
/// Times that a unit must stand in a row, and tokens that it must fill, to be a loop.
const REPEATS: usize = 4;
const FILLED: usize = 16;

/// If `tokens` end in a loop, the number of tokens to keep: up to the first copy of the unit.
///
/// ```
/// use partita_model::whisper::cut_loop;
/// assert_eq!(cut_loop(&[1, 2, 3, 4, 5]), None);
/// let looping: Vec<u32> = [7, 8].into_iter().chain([1, 2, 3, 4].repeat(4)).collect();
/// assert_eq!(cut_loop(&looping), Some(6));
/// ```
pub fn cut_loop(tokens: &[u32]) -> Option<usize> {
    for unit in 1..=LONGEST_UNIT.min(tokens.len() / REPEATS) {
        let pairs = tokens.iter().rev().zip(tokens.iter().rev().skip(unit));
        let same = pairs.take_while(|(a, b)| a == b).count();
        let filled = same + unit;
        if filled >= unit * REPEATS && filled >= FILLED {
            return Some(tokens.len() - filled + unit);
        }
    }
    None
}
