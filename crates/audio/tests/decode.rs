//! Every format, every shape of PCM, and files that are cut or broken.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::{Cursor, Read};

use common::{Kind, amplitude, fixtures, sine, wav, wav_header, write};
use partita_audio::decode::BLOCK;
use partita_audio::{AudioError, AudioReader, read_all};

fn read_stream(bytes: Vec<u8>) -> Result<Vec<f32>, AudioError> {
    let mut samples = Vec::new();
    for block in AudioReader::from_stream(Box::new(Cursor::new(bytes)), "standard input")? {
        samples.extend(block?);
    }
    Ok(samples)
}

fn assert_tone(name: &str, samples: &[f32], hertz: f64, seconds: f64, slack: f64) {
    let length = samples.len() as f64 / 16_000.0;
    assert!((length - seconds).abs() <= slack + 1e-4, "{name}: {length} s");
    let level = amplitude(samples, hertz);
    let other = amplitude(samples, hertz * 1.3);
    // ffmpeg makes stereo from mono 3 dB quieter.
    assert!((0.3..0.6).contains(&level), "{name}: amplitude {level}");
    assert!(other < 0.03, "{name}: {other} at a frequency that was not played");
}

#[test]
fn every_kind_of_pcm() {
    let folder = tempfile::tempdir().unwrap();
    for kind in [Kind::U8, Kind::I16, Kind::I24, Kind::I32, Kind::F32, Kind::F64] {
        for (rate, channels) in [(8_000, 1), (16_000, 2), (44_100, 2), (96_000, 6), (192_000, 1)] {
            let bytes = wav(kind, rate, channels, &sine(rate, channels, 1000.0, 0.5));
            let path = write(folder.path(), "tone.wav", &bytes);
            let mut reader = AudioReader::open(&path).unwrap();
            assert!((reader.duration().unwrap() - 0.5).abs() < 1e-3);
            let samples: Vec<f32> = reader.by_ref().flat_map(Result::unwrap).collect();
            let name = format!("{kind:?} {rate} Hz, {channels} channels");
            assert_tone(&name, &samples, 1000.0, 0.5, 0.0);
            assert!(!reader.truncated(), "{name}");
            assert_eq!(read_stream(bytes).unwrap(), samples, "{name}");
        }
    }
}

#[test]
fn every_codec() {
    // Lossy codecs without a note of their padding keep up to two of their blocks of it.
    for (file, slack) in [
        ("tone.mp3", 0.001),
        ("tone-stereo.mp3", 0.001),
        ("tone-no-header.mp3", 0.06),
        ("tone.ogg", 0.001),
        ("tone.opus", 0.001),
        ("tone.webm", 0.02),
        ("tone.m4a", 0.05),
        ("tone-faststart.m4a", 0.05),
        ("tone.aac", 0.05),
        ("tone.flac", 0.0),
        ("tone-alac.m4a", 0.0),
        ("tone-alaw.wav", 0.0),
        ("tone-mulaw.wav", 0.0),
        ("tone-adpcm.wav", 0.03),
        ("tone.aiff", 0.0),
        ("tone.caf", 0.0),
        ("tone.mka", 0.0),
    ] {
        let path = fixtures().join(file);
        let mut reader = AudioReader::open(&path).unwrap_or_else(|e| panic!("{e}"));
        let duration = reader.duration();
        let samples: Vec<f32> = reader.by_ref().flat_map(Result::unwrap).collect();
        println!("{file}: {:.4} s, declared {duration:?}", samples.len() as f64 / 16e3);
        assert_tone(file, &samples, 1000.0, 0.5, slack);
        assert!(
            duration.is_none_or(|seconds| (seconds - 0.5).abs() < 0.06),
            "{file}: {duration:?}"
        );
        assert!(!reader.truncated(), "{file}");
        // From standard input too, but for MP4 with its index at the end, and CAF.
        let streamed = read_stream(std::fs::read(&path).unwrap());
        match streamed {
            Ok(streamed) => assert_tone(file, &streamed, 1000.0, 0.5, slack.max(0.06)),
            Err(error) => {
                assert!(["tone.m4a", "tone-alac.m4a", "tone.caf"].contains(&file), "{error}")
            }
        }
    }
}

#[test]
fn channels_are_averaged() {
    let quiet = sine(16_000, 1, 500.0, 0.2);
    let samples: Vec<f64> = quiet.iter().flat_map(|s| [*s, 0.0, 0.0, -*s, *s, 0.0]).collect();
    let mono = read_stream(wav(Kind::F32, 16_000, 6, &samples)).unwrap();
    for (mono, sample) in mono.iter().zip(quiet) {
        assert!((f64::from(*mono) - sample / 6.0).abs() < 1e-6);
    }
}

#[test]
fn broken_samples_become_silence() {
    let mut samples = sine(16_000, 1, 500.0, 0.1);
    for (index, bad) in [(7, f64::NAN), (8, f64::INFINITY), (900, f64::NEG_INFINITY)] {
        samples[index] = bad;
    }
    samples[901] = 1e30;
    let bytes = wav(Kind::F32, 16_000, 1, &samples);
    let mut reader = AudioReader::from_stream(Box::new(Cursor::new(bytes)), "-").unwrap();
    let read: Vec<f32> = reader.by_ref().flat_map(Result::unwrap).collect();
    assert_eq!(reader.repaired_samples(), 3);
    assert_eq!((read[7], read[8], read[900], read[901]), (0.0, 0.0, 0.0, 1.0));

    let nothing = wav(Kind::F64, 48_000, 2, &[f64::NAN; 9600]);
    let mut reader = AudioReader::from_stream(Box::new(Cursor::new(nothing)), "-").unwrap();
    let read: Vec<f32> = reader.by_ref().flat_map(Result::unwrap).collect();
    assert_eq!((read.len(), reader.repaired_samples()), (1600, 9600));
    assert!(read.iter().all(|sample| *sample == 0.0));
}

#[test]
fn what_is_not_audio_has_one_clear_line() {
    let folder = tempfile::tempdir().unwrap();
    let good = wav(Kind::I16, 16_000, 1, &sine(16_000, 1, 500.0, 0.1));
    let patched = |at: usize, bytes: &[u8]| {
        let mut wav = good.clone();
        wav[at..at + bytes.len()].copy_from_slice(bytes);
        wav
    };
    let no_channels = patched(22, &[0, 0]);
    let most_channels = patched(22, &[0xff, 0xff, 0x80, 0x3e, 0, 0, 0, 0, 0, 0, 0xfe, 0xff]);
    let no_rate = patched(24, &[0; 4]);
    let high_rate = patched(24, &[0xff; 4]);
    let odd_bits = patched(34, &[77, 0]);
    let odd_codec = patched(20, &[0x34, 0x12]);
    for (name, bytes, expected) in [
        ("empty.wav", &b""[..], "empty"),
        ("text.wav", b"This is no music at all, only words.\n", "not an audio file"),
        ("short.wav", b"RIFF", "not an audio file"),
        ("header.wav", &good[..20], "not an audio file"),
        ("silent.wav", &wav(Kind::I16, 16_000, 1, &[]), "contains no audio"),
        ("hollow.wav", &wav_header(Kind::I16, 16_000, 1, 32_000), "contains no audio"),
        ("no-channels.wav", &no_channels, ""),
        ("many-channels.wav", &most_channels, ""),
        ("no-rate.wav", &no_rate, ""),
        ("high-rate.wav", &high_rate, ""),
        ("odd-bits.wav", &odd_bits, ""),
        ("odd-codec.wav", &odd_codec, ""),
        ("zeros.mp3", &[0; 5000], "not an audio file"),
        ("film.mp4", &std::fs::read(fixtures().join("no-audio.mp4")).unwrap(), "audio track"),
    ] {
        let path = write(folder.path(), name, bytes);
        let message = read_all(&path).map(|samples| samples.len()).unwrap_err().to_string();
        println!("{}", message.replace(&folder.path().display().to_string(), ""));
        assert!(message.contains(name) && message.contains(expected), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        assert!(read_stream(bytes.to_vec()).is_err(), "{name}");
    }
    assert!(matches!(read_all(folder.path()), Err(AudioError::Directory { .. })));
    let missing = read_all(&folder.path().join("missing.wav")).unwrap_err();
    assert!(matches!(missing, AudioError::Unreadable { .. }), "{missing}");
}

#[test]
fn a_file_cut_anywhere_gives_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let wav = wav(Kind::I16, 16_000, 1, &sine(16_000, 1, 1000.0, 0.5));
    let mut whole = vec![("cut.wav".to_owned(), wav)];
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        whole.push((name, std::fs::read(path).unwrap()));
    }
    for (name, bytes) in whole {
        for length in (0..bytes.len()).step_by(97) {
            let path = write(folder.path(), &name, &bytes[..length]);
            if let Ok(samples) = read_all(&path) {
                assert!(!samples.is_empty() && samples.len() < 20_000, "{name} at {length}");
            }
            let _ = read_stream(bytes[..length].to_vec()).map(|samples| {
                assert!(!samples.is_empty() && samples.len() < 20_000, "{name} at {length}");
            });
        }
    }
}

#[test]
fn truncation_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = wav(Kind::I16, 16_000, 1, &sine(16_000, 1, 1000.0, 0.5));
    for (name, bytes) in [
        ("cut.wav", &bytes[..bytes.len() / 2]),
        ("cut.flac", &std::fs::read(fixtures().join("tone.flac")).unwrap()[..1400]),
        ("cut.m4a", &std::fs::read(fixtures().join("tone-faststart.m4a")).unwrap()[..2500]),
    ] {
        let path = write(folder.path(), name, bytes);
        let mut reader = AudioReader::open(&path).unwrap();
        let count: usize = reader.by_ref().map(|block| block.unwrap().len()).sum();
        assert!((500..7_000).contains(&count), "{name}: {count}");
        assert!(reader.truncated(), "{name}");
    }
}

#[test]
fn damage_keeps_the_time_right() {
    let folder = tempfile::tempdir().unwrap();
    for (name, count) in [("tone.mp3", 8_000), ("tone-faststart.m4a", 8_731)] {
        let mut bytes = std::fs::read(fixtures().join(name)).unwrap();
        let middle = bytes.len() * 2 / 3;
        bytes[middle..middle + 40].fill(0x5a);
        let samples = read_all(&write(folder.path(), name, &bytes)).unwrap();
        // No more than one MP3 frame may be missing: the one whose beginning cannot be found.
        assert!((count - 420..=count + 1).contains(&samples.len()), "{name}: {}", samples.len());
    }
}

/// Three hours of WAV that exist nowhere: every byte is made when it is read.
struct Endless {
    head: Cursor<Vec<u8>>,
    left: u64,
    phase: u64,
}

impl Read for Endless {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.head.read(out)?;
        if count > 0 {
            return Ok(count);
        }
        let count = out.len().min(usize::try_from(self.left).unwrap());
        for byte in &mut out[..count] {
            *byte = (self.phase / 3) as u8;
            self.phase += 1;
        }
        self.left -= count as u64;
        Ok(count)
    }
}

#[test]
fn three_hours_stream_through() {
    let seconds = 3 * 3600;
    let bytes = seconds * 2 * 8_000;
    let head = Cursor::new(wav_header(Kind::I16, 8_000, 1, bytes));
    let source = Endless { head, left: bytes.into(), phase: 0 };
    let mut reader = AudioReader::from_stream(Box::new(source), "three hours").unwrap();
    assert_eq!(reader.duration(), Some(f64::from(seconds)));
    let mut total = 0;
    while let Some(block) = reader.next_block().unwrap() {
        assert!(!block.is_empty() && block.len() <= BLOCK && block.capacity() <= 2 * BLOCK);
        total += block.len() as u64;
    }
    assert_eq!(total, u64::from(seconds) * 16_000);
    assert!(!reader.truncated());
}

#[test]
fn a_pipe_of_unknown_length() {
    let samples = sine(16_000, 1, 1000.0, 0.5);
    for declared in [u32::MAX, 0x7fff_ffff, 0x7fff_f000] {
        let mut bytes = wav(Kind::I16, 16_000, 1, &samples);
        bytes[4..8].copy_from_slice(&declared.saturating_add(36).to_le_bytes());
        bytes[40..44].copy_from_slice(&declared.to_le_bytes());
        let mut reader = AudioReader::from_stream(Box::new(Cursor::new(bytes)), "-").unwrap();
        assert_eq!(reader.duration(), None);
        assert_eq!(reader.by_ref().map(|block| block.unwrap().len()).sum::<usize>(), 8000);
        assert!(!reader.truncated());
    }
}
