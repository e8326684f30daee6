//! TensorBoard's event files, scalars only.
//!
//! A file is a row of TFRecords (length, its masked CRC-32C, content, its masked CRC-32C); each
//! holds an `Event` message: 1 wall time, 2 step, 3 file version, 5 summary, 7 session log. The
//! crates there are for this need a protobuf compiler to build or bring image libraries along.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// Writes one file of a run; TensorBoard joins the files of a folder.
#[derive(Debug)]
pub struct Events {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Events {
    /// Begins a file in `folder`, which is made if there is none. Events of earlier files after
    /// `step` are taken back: they came from a trainer that was killed.
    pub fn create(folder: &Path, step: u64) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, process) = (now.as_secs(), std::process::id());
        let name = format!("events.out.tfevents.{seconds:010}.partita.{process}.{step}");
        let path = folder.join(name);
        let named = || format!("{}: cannot write", path.display());
        fs::create_dir_all(folder).with_context(named)?;
        let file = BufWriter::new(File::create(&path).with_context(named)?);
        let mut events = Self { path, file };
        events.event(0, &field(3, b"brain.Event:2"))?;
        // SessionLog with status START.
        events.event(step + 1, &field(7, &integer(1, 1)))?;
        Ok(events)
    }

    /// Adds values of a step.
    pub fn scalars(
        &mut self,
        step: u64,
        values: impl IntoIterator<Item = (String, f64)>,
    ) -> Result<()> {
        let mut summary = Vec::new();
        for (tag, value) in values {
            let mut scalar = field(1, tag.as_bytes());
            scalar.push(2 << 3 | 5);
            scalar.extend((value as f32).to_le_bytes());
            summary.extend(field(1, &scalar));
        }
        self.event(step, &field(5, &summary))
    }

    /// Hands everything to the system.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().with_context(|| format!("{}: cannot write", self.path.display()))
    }

    fn event(&mut self, step: u64, rest: &[u8]) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut event = vec![1 << 3 | 1];
        event.extend(now.as_secs_f64().to_le_bytes());
        event.extend(integer(2, step));
        event.extend(rest);
        let record = record(&event);
        self.file
            .write_all(&record)
            .with_context(|| format!("{}: cannot write", self.path.display()))
    }
}

/// A field of bytes: a string or a message.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    bytes.extend(varint(content.len() as u64));
    bytes.extend(content);
    bytes
}

/// A field of a whole number.
fn integer(number: u8, value: u64) -> Vec<u8> {
    let mut bytes = vec![number << 3];
    bytes.extend(varint(value));
    bytes
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn record(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    let mut bytes = length.to_vec();
    bytes.extend(masked(&length).to_le_bytes());
    bytes.extend(content);
    bytes.extend(masked(content).to_le_bytes());
    bytes
}

fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: records are short.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_castagnoli() {
        // The check value of the CRC catalogue, and 32 zeros of RFC 3720.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn an_event_is_a_protobuf_message_in_a_record() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = Events::create(folder.path(), 300).unwrap();
        events.scalars(301, [("loss".to_owned(), 0.5)]).unwrap();
        events.flush().unwrap();
        let bytes = fs::read(&events.path).unwrap();
        let mut rest = bytes.as_slice();
        let mut contents = Vec::new();
        while !rest.is_empty() {
            let (length, after) = rest.split_at(8);
            assert_eq!(after[..4], masked(length).to_le_bytes());
            let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
            let (content, after) = after[4..].split_at(length);
            assert_eq!(after[..4], masked(content).to_le_bytes());
            // Field 1, the wall time, comes first.
            assert_eq!(content[0], 0x09);
            contents.push(content[9..].to_vec());
            rest = &after[4..];
        }
        assert_eq!(contents[0], b"\x10\x00\x1a\x0dbrain.Event:2");
        assert_eq!(contents[1], b"\x10\xad\x02\x3a\x02\x08\x01");
        assert_eq!(contents[2], b"\x10\xad\x02\x2a\x0d\x0a\x0b\x0a\x04loss\x15\0\0\0\x3f");
    }
}
