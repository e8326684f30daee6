//! Recordings made by tests.

/// A mono WAV file of 32-bit floats at 16 kHz.
pub fn wav(samples: &[f32]) -> Vec<u8> {
    let bytes = (samples.len() * 4) as u32;
    let mut file = Vec::from(*b"RIFF");
    file.extend((36 + bytes).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend([3, 0, 1, 0]);
    file.extend(16_000_u32.to_le_bytes());
    file.extend(64_000_u32.to_le_bytes());
    file.extend([4, 0, 32, 0]);
    file.extend(b"data");
    file.extend(bytes.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}
